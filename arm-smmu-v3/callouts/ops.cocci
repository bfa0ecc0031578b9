// SPDX-License-Identifier: GPL-2.0-only
@@
expression E;
@@
 struct iommu_ops arm_smmu_ops = {
 	...,
 	.release_device = E,
+	.reset_device_done = smmu_quarantine_reset_device_done,
 	...,
 };
