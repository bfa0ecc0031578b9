// SPDX-License-Identifier: GPL-2.0-only
// No look-up under a lock that does not nest here, no batch dropped with its
// innocent part.
@@
identifier iommu, ite_sid, dev;
statement S;
@@
 qi_check_fault(struct intel_iommu *iommu, ...)
 {
 	<+...
-	if (ite_sid)
+	if (ite_sid && !intel_quarantine_handles_ite())
 	{
 		dev = device_rbtree_find(iommu, ite_sid);
 		...
 	}
 	...+>
 }
