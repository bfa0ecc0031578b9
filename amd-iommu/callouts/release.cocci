// SPDX-License-Identifier: GPL-2.0-only
// The device is attached to nothing any more.
@@
identifier dev, dev_data;
@@
 amd_iommu_release_device(struct device *dev)
 {
 	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
 	...
+	amd_quarantine_release(dev);
 }
