// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, cmd, cmd_error; expression E; @@
  trace_smmuv3_cmdq_opcode(E);
+ if (iommu_fault_smmuv3_stop(s, &cmd, &cmd_error)) {
+     break;
+ }
