// SPDX-License-Identifier: GPL-2.0-only
// What a device leaves is not its group's domain if it never was there.
@@
identifier dev;
@@
 __iommu_attach_device(struct iommu_domain *domain, struct device *dev)
 {
 	... when any
 	dev->iommu->attach_deferred = 0;
+	quarantine_attached(dev);
 	... when any
 }
