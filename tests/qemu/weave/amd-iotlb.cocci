// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, cmd; @@
- iommu_inval_iotlb(s, cmd);
+ if (!iommu_fault_amd_inval_iotlb(s, cmd)) {
+     iommu_inval_iotlb(s, cmd);
+ }
