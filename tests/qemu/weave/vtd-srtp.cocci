// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  vtd_handle_gcmd_srtp(s);
+ iommu_fault_vtd_ctx_flush(s);
