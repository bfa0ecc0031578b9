// SPDX-License-Identifier: GPL-2.0-only
// At the end of the structure: modules that were built before keep their
// offsets.
@@
@@
 struct iommu_ops {
 	...
 	struct iommu_domain *default_domain;
 	u8 user_pasid_table:1;
+	void (*reset_device_done)(struct device *dev);
 };
