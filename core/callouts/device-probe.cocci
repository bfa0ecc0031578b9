// SPDX-License-Identifier: GPL-2.0-only
// State is created when nothing can fail any more.
@@
identifier dev, group;
@@
 __iommu_probe_device(struct device *dev, ...)
 {
 	... when any
 	if (group->default_domain)
 		iommu_setup_dma_ops(dev, ...);
 	mutex_unlock(&group->mutex);
+	iommu_quarantine_probe(dev);
 	return 0;
 	... when any
 }
