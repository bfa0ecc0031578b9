// SPDX-License-Identifier: GPL-2.0-only
// The device is attached to nothing any more.
@@
identifier dev;
@@
 amd_iommu_release_device(struct device *dev)
 {
 	...
 	amd_iommu_uninit_device(dev);
+	amd_quarantine_release(dev);
 	...
 }
