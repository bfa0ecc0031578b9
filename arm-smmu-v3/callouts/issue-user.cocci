// SPDX-License-Identifier: GPL-2.0-only
// A guest is told that its device did not answer.
@@
expression E, N;
@@
 arm_vsmmu_cache_invalidate(...)
 {
 	<+...
-	__arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, E, N, true)
+	smmu_quarantine_issue_user(smmu, E, N)
 	...+>
 }
