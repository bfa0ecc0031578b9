// SPDX-License-Identifier: GPL-2.0-only
// After probe_finalize(), where some drivers turn ATS on.
@@
identifier dev, ops;
@@
 iommu_probe_device(struct device *dev)
 {
 	... when any
 	if (ops->probe_finalize)
 		ops->probe_finalize(dev);
+	iommu_quarantine_probed(dev);
 	return 0;
 }

// The same for those that were there before their IOMMU.
@@
identifier dev, ops;
@@
 iommu_group_do_probe_finalize(struct device *dev)
 {
 	...
 	if (ops->probe_finalize)
 		ops->probe_finalize(dev);
+	iommu_quarantine_probed(dev);
 }
