// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, cmd; @@
- amdvi_completion_wait(s, cmd);
+ if (!iommu_fault_amd_hold_wait(s, cmd)) {
+     amdvi_completion_wait(s, cmd);
+ }
