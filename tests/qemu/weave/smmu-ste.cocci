// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, sid, ste, event; @@
- smmu_find_ste(s, sid, &ste, event)
+ iommu_fault_smmuv3_find_ste(s, sid, &ste, event)
