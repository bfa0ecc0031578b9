// SPDX-License-Identifier: GPL-2.0-only
// What the backend needs of the static functions above it.
@@
identifier iommu, last_bdf, devid;
@@
 amd_iommu_flush_dte_all(struct amd_iommu *iommu)
 {
 	...
 }
+
+#include "../quarantine/amd-iommu/commands.h"
