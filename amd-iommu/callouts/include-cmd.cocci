// SPDX-License-Identifier: GPL-2.0-only
// Not before the structure of a command, which nobody else knows there.
@@
@@
 struct iommu_cmd {
 	...
 };
+
+#define AMD_QUARANTINE_CMD
+#include "../quarantine/amd-iommu/quarantine.h"
