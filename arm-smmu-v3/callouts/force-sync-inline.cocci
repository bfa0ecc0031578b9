// SPDX-License-Identifier: GPL-2.0-only
// Every batch of a device-TLB invalidation has its own CMD_SYNC.
@@
identifier fn =~ "^arm_smmu_cmdq_batch_add(_cmd_p)?$";
identifier cmds, force_sync, unsupported_cmd;
@@
 fn(struct arm_smmu_device *smmu, struct arm_smmu_cmdq_batch *cmds, ...)
 {
 	<+...
-	if (force_sync || unsupported_cmd)
+	if (force_sync || unsupported_cmd || smmu_quarantine_force_sync(cmds))
 	{ ... }
 	...+>
 }
