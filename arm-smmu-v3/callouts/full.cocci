// SPDX-License-Identifier: GPL-2.0-only
// No room, for good: the driver would look for it for ever. Nothing is claimed. And
// for whom there was to be room may have stopped answering meanwhile.
@@
type T;
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
identifier flags;
expression E;
@@
 issue(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq, T *cmds, int n, bool sync)
 {
 	<+...
 	if (arm_smmu_cmdq_poll_until_not_full(...))
 		E;
+	if (smmu_quarantine_drop(smmu, cmdq, &wait))
+		return smmu_quarantine_settle(smmu, cmds, n, &wait, -ETIMEDOUT);
+	n = smmu_quarantine_refilter(smmu, cmds, n, &wait);
 	local_irq_save(flags);
 	...+>
 }
