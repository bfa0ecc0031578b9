// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol feature; @@
- return feature;
+ return feature | IOMMU_FAULT_AMD_EFR;
