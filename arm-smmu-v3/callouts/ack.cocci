// SPDX-License-Identifier: GPL-2.0-only
// What pollers have acknowledged meanwhile is left as it is.
@@
identifier gerror;
expression E;
@@
 arm_smmu_gerror_handler(...)
 {
 	... when any
-	writel(gerror, E);
+	smmu_quarantine_ack(smmu, &smmu->cmdq, gerror, E);
 	return IRQ_HANDLED;
 }
