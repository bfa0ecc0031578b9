// SPDX-License-Identifier: GPL-2.0-only
// Logs are restarted by this while the command buffer is: neither may undo the other.
@@
identifier f =~ "^iommu_feature_";
identifier iommu, ctrl;
@@
 f(struct amd_iommu *iommu, ...)
 {
+	unsigned long flags = amd_quarantine_control_lock(iommu);
 	u64 ctrl;
 	... when any
 	writeq(ctrl, iommu->mmio_base + MMIO_CONTROL_OFFSET);
+	amd_quarantine_control_unlock(iommu, flags);
 }
