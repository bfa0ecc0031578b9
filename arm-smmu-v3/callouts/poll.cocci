// SPDX-License-Identifier: GPL-2.0-only
// The driver's second is too short for a device, and for ever is too long.
@@
identifier fn =~ "^(arm_smmu_cmdq_poll_until_not_full|__arm_smmu_cmdq_poll_until_msi|__arm_smmu_cmdq_poll_until_consumed)$";
identifier qp;
@@
 fn(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq, ...)
 {
 	<+...
-	queue_poll(&qp)
+	smmu_quarantine_poll(smmu, cmdq, &qp, queue_poll(&qp))
 	...+>
 }
