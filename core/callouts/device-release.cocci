// SPDX-License-Identifier: GPL-2.0-only
// Before group->mutex is taken: the work takes it as well.
@@
identifier dev, group;
@@
 iommu_release_device(struct device *dev)
 {
 	struct iommu_group *group = dev->iommu_group;
+
+	iommu_quarantine_release(dev);
 	... when any
 }
