// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  s->gbpa = SMMU_GBPA_RESET_VAL;
+ iommu_fault_smmuv3_reset(s);
