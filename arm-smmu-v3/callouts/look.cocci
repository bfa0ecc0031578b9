// SPDX-License-Identifier: GPL-2.0-only
// The poller has read it anyway: did the queue stop at an error?
@@
identifier llq;
@@
 __arm_smmu_cmdq_poll_until_consumed(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq, struct arm_smmu_ll_queue *llq)
 {
 	<+...
 	llq->cons = readl(cmdq->q.cons_reg);
+	smmu_quarantine_look(smmu, cmdq, llq->cons);
 	...+>
 }
