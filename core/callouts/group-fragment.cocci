// SPDX-License-Identifier: GPL-2.0-only
// The accessors of struct iommu_group and struct group_device.
@@
identifier dev;
@@
 __dev_to_gdev(struct device *dev)
 {
 	...
 }
+
+#include "quarantine/core/group.h"
