// SPDX-License-Identifier: GPL-2.0-only
// Whether it completed or not: is that a positive answer?
@@
identifier iommu, data, i;
@@
 wait_on_sem(struct amd_iommu *iommu, u64 data)
 {
 	...
+	i = amd_quarantine_settle(iommu, data, i);
 	if (i == LOOP_TIMEOUT) {
 		...
 	}
 	... when any
 }
