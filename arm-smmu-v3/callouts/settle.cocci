// SPDX-License-Identifier: GPL-2.0-only
// The shared count is let go, before the flush returns.
@@
type T;
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
identifier ret, flags;
@@
 issue(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq, T *cmds, int n, bool sync)
 {
 	... when any
 	local_irq_restore(flags);
-	return ret;
+	return smmu_quarantine_settle(smmu, cmds, n, &wait, ret);
 }
