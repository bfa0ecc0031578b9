// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  amdvi_handle_devtab_write(s);
+ iommu_fault_amd_dte_flush(s);
