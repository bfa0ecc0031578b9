// SPDX-License-Identifier: GPL-2.0-only
// The only place where a descriptor enters the queue.
@@
identifier qi, desc, iommu, options, i, offset, shift;
@@
 qi_submit_sync(struct intel_iommu *iommu, struct qi_desc *desc, unsigned int count, unsigned long options)
 {
 	<+...
-	memcpy(qi->desc + offset, &desc[i], 1 << shift);
+	intel_quarantine_copy(iommu, qi->desc + offset, &desc[i], 1 << shift, options, &wait);
 	...+>
 }
