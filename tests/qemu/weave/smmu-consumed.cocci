// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, q; @@
- queue_cons_incr(q);
+ if (iommu_fault_smmuv3_consumed(s)) {
+     queue_cons_incr(q);
+ }
