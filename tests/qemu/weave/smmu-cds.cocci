// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol ste; @@
- STE_S1CDMAX(ste) != 0
+ iommu_fault_smmuv3_bad_cds(ste)
