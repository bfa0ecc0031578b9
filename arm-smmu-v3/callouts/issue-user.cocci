// SPDX-License-Identifier: GPL-2.0-only
// A guest is told that its device did not answer.
@@
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
expression E, N;
@@
 arm_vsmmu_cache_invalidate(...)
 {
 	<+...
-	issue(smmu, &smmu->cmdq, E, N, true)
+	smmu_quarantine_issue_user(smmu, E, N, issue)
 	...+>
 }
