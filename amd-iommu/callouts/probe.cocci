// SPDX-License-Identifier: GPL-2.0-only
// Last of all that may fail, before the device is attached for the first time.
@@
identifier dev, iommu;
@@
 amd_iommu_probe_device(struct device *dev)
 {
 	... when any
+	amd_quarantine_probe(iommu, dev);
 	iommu_completion_wait(iommu);
 	... when any
 }
