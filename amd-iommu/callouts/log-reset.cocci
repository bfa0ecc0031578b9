// SPDX-License-Identifier: GPL-2.0-only
// Head and tail are 0, logging is still off.
@@
identifier iommu;
@@
 iommu_enable_event_buffer(...)
 {
 	<+...
+	amd_quarantine_log_reset(iommu);
 	iommu_feature_enable(iommu, CONTROL_EVT_LOG_EN);
 	...+>
 }
