// SPDX-License-Identifier: GPL-2.0-only
// Nobody waits without a bound.
@@
identifier rc, iommu, index, wait_index;
@@
 qi_submit_sync(struct intel_iommu *iommu, ...)
 {
 	<+...
-	rc = qi_check_fault(iommu, index, wait_index);
+	rc = intel_quarantine_poll(iommu, &wait, qi_check_fault(iommu, index, wait_index));
 	...+>
 }
