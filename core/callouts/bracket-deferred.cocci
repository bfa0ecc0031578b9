// SPDX-License-Identifier: GPL-2.0-only
// The attach that was put off must not undo the blocking.
@@
identifier domain, dev;
@@
 iommu_deferred_attach(struct device *dev, struct iommu_domain *domain)
 {
 	<+...
-	return __iommu_attach_device(domain, dev);
+	return quarantine_deferred_attach(domain, dev);
 	...+>
 }
