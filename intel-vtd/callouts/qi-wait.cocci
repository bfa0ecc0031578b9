// SPDX-License-Identifier: GPL-2.0-only
// One submission's notes. On its stack: nothing is shared on the hot path.
@@
identifier qi, iommu;
@@
 qi_submit_sync(struct intel_iommu *iommu, ...)
 {
 	struct q_inval *qi = iommu->qi;
+	struct intel_quarantine_wait wait = {};
 	... when any
 }
