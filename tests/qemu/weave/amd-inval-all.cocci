// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, cmd; @@
  amdvi_inval_all(s, cmd);
+ iommu_fault_amd_dte_flush(s);
