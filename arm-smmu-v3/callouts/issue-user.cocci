// SPDX-License-Identifier: GPL-2.0-only
// A guest is told that its device did not answer, and at which command.
@@
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
identifier ret, cur;
expression E, N;
@@
 arm_vsmmu_cache_invalidate(...)
 {
 	... when any
 	int ret;
+	unsigned int back;
 	<+...
-	ret = issue(smmu, &smmu->cmdq, E, N, true);
+	ret = smmu_quarantine_issue_user(smmu, E, N, issue, &back);
 	if (ret) {
-		cur--;
+		cur -= back;
 		goto out;
 	}
 	...+>
 }
