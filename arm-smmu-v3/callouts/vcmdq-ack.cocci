// SPDX-License-Identifier: GPL-2.0-only
// The same for the error registers of a VCMDQ.
@@
identifier gerror;
expression S, Q, E;
@@
 tegra241_vintf0_handle_error(...)
 {
 	<+...
 	__arm_smmu_cmdq_skip_err(S, Q);
-	writel(gerror, E);
+	smmu_quarantine_ack(S, Q, gerror, E);
 	...+>
 }
