// SPDX-License-Identifier: GPL-2.0-only
// What pollers have acknowledged meanwhile is left as it is.
@@
identifier gerror;
@@
 arm_smmu_gerror_handler(...)
 {
 	... when any
-	writel(gerror, smmu->base + ARM_SMMU_GERRORN);
+	smmu_quarantine_ack(smmu, gerror);
 	return IRQ_HANDLED;
 }
