// SPDX-License-Identifier: GPL-2.0-only
// Before the stream ids are freed; also where probe fails.
@@
expression E;
@@
 arm_smmu_remove_master(struct arm_smmu_master *master)
 {
 	...
+	smmu_quarantine_release(master);
 	if (E)
 		return;
 	... when any
 }
