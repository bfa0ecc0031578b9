// SPDX-License-Identifier: GPL-2.0-only
// The interface comes with <linux/iommu.h>: a driver that reports a device
// needs no further header, and without CONFIG_IOMMU_API it gets the stub.
@@
@@
 #include <linux/iova_bitmap.h>
+#include <linux/iommu-quarantine.h>
