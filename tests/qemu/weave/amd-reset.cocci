// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  amdvi_set_quad(s, AMDVI_MMIO_STATUS, ...);
+ iommu_fault_amd_reset(s);
