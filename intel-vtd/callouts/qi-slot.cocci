// SPDX-License-Identifier: GPL-2.0-only
// What was taken out of the queue is noted; what was given up is not reused.
@@
expression E;
@@
 qi_submit_sync(...)
 {
 	<+...
-	qi->desc_status[E] = QI_FREE;
+	intel_quarantine_slot(&qi->desc_status[E], rc, &wait);
 	...+>
 }
