// SPDX-License-Identifier: GPL-2.0-only
// A fenced device that goes on writing makes these at full rate.
@@
identifier q, evt;
@@
 arm_smmu_evtq_thread(...)
 {
 <...
 while (!queue_remove_raw(q, evt)) {
+	if (smmu_quarantine_muted(smmu, evt))
+		continue;
 	...
 }
 ...>
 }
