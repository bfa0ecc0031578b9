// SPDX-License-Identifier: GPL-2.0-only
@@
expression E;
@@
 struct iommu_ops intel_iommu_ops = {
 	...,
 	.release_device = E,
+	.reset_device_done = intel_quarantine_reset_device_done,
 	...,
 };
