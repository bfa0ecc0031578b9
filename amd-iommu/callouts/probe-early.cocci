// SPDX-License-Identifier: GPL-2.0-only
// As where the wait is not reached by a probe that has failed.
@@
identifier dev, iommu, iommu_dev;
@@
 amd_iommu_probe_device(struct device *dev)
 {
 	... when any
 	iommu_dev = &iommu->iommu;
+	amd_quarantine_probe(iommu, dev);
 	... when any
 }
