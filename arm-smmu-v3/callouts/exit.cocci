// SPDX-License-Identifier: GPL-2.0-only
@@
identifier drv;
@@
 arm_smmu_driver_unregister(struct platform_driver *drv)
 {
 	...
 	platform_driver_unregister(drv);
+	smmu_quarantine_exit();
 }
