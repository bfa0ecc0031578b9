// SPDX-License-Identifier: GPL-2.0-only
// Logging stands still since the log was full: what was lost in between nobody knows.
@@
identifier iommu;
@@
 amd_iommu_restart_event_logging(struct amd_iommu *iommu)
 {
+	amd_quarantine_log_restart(iommu);
 	...
 }
