// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
  vtd_define_quad(s, DMAR_IRTA_REG, ...);
+ iommu_fault_vtd_reset(s);
