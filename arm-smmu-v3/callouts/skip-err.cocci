// SPDX-License-Identifier: GPL-2.0-only
// Before the error is acknowledged; CMDQVs come here too.
@@
identifier idx;
@@
 __arm_smmu_cmdq_skip_err(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq)
 {
 <...
 switch (idx) {
 	case CMDQ_ERR_CERROR_ATC_INV_IDX:
+		smmu_quarantine_gerror(smmu, cmdq);
 		return;
 }
 ...>
 }
