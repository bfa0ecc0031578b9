// SPDX-License-Identifier: GPL-2.0-only
// The same for the error registers of a VCMDQ.
@@
identifier cmdqv, vcmdq, gerror;
expression E;
@@
 tegra241_vintf0_handle_error(...)
 {
 	<+...
 	__arm_smmu_cmdq_skip_err(&cmdqv->smmu, &vcmdq->cmdq);
-	writel(gerror, E);
+	smmu_quarantine_ack(&cmdqv->smmu, &vcmdq->cmdq, gerror, E);
 	...+>
 }
