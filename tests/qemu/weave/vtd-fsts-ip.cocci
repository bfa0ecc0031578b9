// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol status_fields; expression E; @@
- uint32_t status_fields = E;
+ uint32_t status_fields = E | IOMMU_FAULT_VTD_FSTS_ITE;
