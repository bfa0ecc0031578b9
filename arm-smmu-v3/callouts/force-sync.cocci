// SPDX-License-Identifier: GPL-2.0-only
// Every batch of a device-TLB invalidation has its own CMD_SYNC.
@@
identifier cmds;
@@
 arm_smmu_cmdq_batch_force_sync(struct arm_smmu_device *smmu, struct arm_smmu_cmdq_batch *cmds, ...)
 {
 	... when any
+	if (smmu_quarantine_force_sync(cmds))
+		return true;
+
 	return false;
 }
