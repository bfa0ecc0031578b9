// SPDX-License-Identifier: GPL-2.0-only
// A blocked device that leaves must not keep its siblings blocked.
@@
identifier dev, group, gdev;
@@
 __iommu_group_remove_device(struct device *dev)
 {
 	<+...
 	list_del(&gdev->list);
+	quarantine_gdev_remove(group, gdev);
 	__iommu_group_free_device(group, gdev);
 	...+>
 }
