// SPDX-License-Identifier: GPL-2.0-only
// The only way into the queue; nothing of it is claimed yet.
@@
type T;
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
identifier ret;
expression E, F;
@@
 issue(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq, T *cmds, int n, bool sync)
 {
 	...
 	int ret = 0;
+	struct smmu_quarantine_wait wait;
+
+	n = smmu_quarantine_filter(smmu, cmds, n, &wait);
 	E = F;
 	... when any
 }
