// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, devid, addr, is_write; @@
+ if (iommu_fault_amd_blocked(s, devid, addr, is_write)) {
+     return;
+ }
  amdvi_page_walk(...);
