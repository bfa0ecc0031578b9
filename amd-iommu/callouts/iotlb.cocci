// SPDX-License-Identifier: GPL-2.0-only
// The only place that builds a device-TLB invalidation.
@@
identifier dev_data, iommu, cmd;
@@
 device_flush_iotlb(struct iommu_dev_data *dev_data, ...)
 {
 	... when any
-	return iommu_queue_command(iommu, &cmd);
+	return amd_quarantine_queue_iotlb(iommu, &cmd);
 }
