// SPDX-License-Identifier: GPL-2.0-only
// After q_lock was released, before the flush returns or starts again.
@@
identifier iommu, desc, count, options, rc, restart;
@@
 qi_submit_sync(struct intel_iommu *iommu, struct qi_desc *desc, unsigned int count, unsigned long options)
 {
 	<+...
+	rc = intel_quarantine_settle(iommu, desc, count, options, &wait, rc);
 	if (rc == -EAGAIN)
 		goto restart;
 	...+>
 }
