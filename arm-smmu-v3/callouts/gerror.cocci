// SPDX-License-Identifier: GPL-2.0-only
// Before the driver looks: what is ours is dealt with once, here or by a poller.
@@
identifier gerror;
@@
 arm_smmu_gerror_handler(...)
 {
 	...
+	smmu_quarantine_gerror(smmu, &smmu->cmdq);
 	gerror = readl_relaxed(...);
 	... when any
 }
