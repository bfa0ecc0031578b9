// SPDX-License-Identifier: GPL-2.0-only
// While a device does not answer the buffer stands still for longer than 100 ms.
@@
identifier iommu, cmd, sync, count;
@@
 __iommu_queue_command_sync(struct amd_iommu *iommu, struct iommu_cmd *cmd, bool sync)
 {
 	<+...
-	if (count == LOOP_TIMEOUT) {
+	if (amd_quarantine_full(iommu, count)) {
 		...
 	}
 	...+>
 }
