// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  vtd_handle_fsts_write(s);
+ iommu_fault_vtd_fsts_written(s);
