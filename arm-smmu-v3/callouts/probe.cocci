// SPDX-License-Identifier: GPL-2.0-only
// The stream ids are known, the device is attached to nothing yet.
@@
identifier ret;
@@
 arm_smmu_probe_device(struct device *dev)
 {
 	... when any
+	smmu_quarantine_probe(master);
 	ret = arm_smmu_master_prepare_ats(master);
 	... when any
 }
