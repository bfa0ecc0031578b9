// SPDX-License-Identifier: GPL-2.0-only
// The only way into the command buffer.
@@
identifier next_tail;
expression E;
@@
 __iommu_queue_command_sync(struct amd_iommu *iommu, struct iommu_cmd *cmd, bool sync)
 {
+	int ret = amd_quarantine_filter(iommu, cmd);
 	unsigned int count = 0;
 	...
+	if (ret)
+		return ret;
+
 	next_tail = E;
 	... when any
 }
