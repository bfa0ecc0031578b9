// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; expression E; @@
  trace_amdvi_control_status(E);
+ iommu_fault_amd_control(s);
