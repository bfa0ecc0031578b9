// SPDX-License-Identifier: GPL-2.0-only
// The bracket, and the accessors of struct iommu_group and struct group_device.
@@
identifier dev;
@@
 dev_has_iommu(struct device *dev)
 {
 	...
 }
+
+#include "quarantine/core/compat/bracket.h"
