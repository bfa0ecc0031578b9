// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, event; @@
- smmuv3_record_event(s, &event);
+ if (!iommu_fault_smmuv3_muted(s)) {
+     smmuv3_record_event(s, &event);
+ }
