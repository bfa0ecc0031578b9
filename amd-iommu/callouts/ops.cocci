// SPDX-License-Identifier: GPL-2.0-only
@@
expression E;
@@
 struct iommu_ops amd_iommu_ops = {
 	...,
 	.release_device = E,
+	.reset_device_done = amd_quarantine_reset_device_done,
 	...,
 };
