// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, cmd; @@
  amdvi_inval_devtab_entry(s, cmd);
+ iommu_fault_amd_inval_dte(s, cmd);
