// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol pre_fsts; expression E; @@
- E || pre_fsts & VTD_FSTS_IQE
+ E || pre_fsts & VTD_FSTS_IQE || pre_fsts & IOMMU_FAULT_VTD_FSTS_ITE
