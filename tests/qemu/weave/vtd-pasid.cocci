// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, x86_iommu; @@
- if (s->pasid && x86_iommu->dt_supported)
+ if (false && s->pasid && x86_iommu->dt_supported)
  { ... }
