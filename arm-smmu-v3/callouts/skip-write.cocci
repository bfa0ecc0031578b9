// SPDX-License-Identifier: GPL-2.0-only
// Unless a CPU that waits with irqs off has dealt with the error meanwhile.
@@
identifier smmu, cmdq;
expression C, D, N, Q;
@@
 __arm_smmu_cmdq_skip_err(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq)
 {
 	<+...
-	queue_write(Q_ENT(Q, C), D, N);
+	if (!smmu_quarantine_skip(smmu, cmdq, C, D))
+		queue_write(Q_ENT(Q, C), D, N);
 	...+>
 }
