// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  s->ecap |= VTD_ECAP_PASID;
+ s->ecap = deposit64(s->ecap, 35, 5, IOMMU_FAULT_VTD_PSS);
