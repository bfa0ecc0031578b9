// SPDX-License-Identifier: GPL-2.0-only
// The same where the entry is emptied, which leaves the permission in it.
@@
identifier iommu, dev_table, devid;
@@
 clear_dte_entry(struct amd_iommu *iommu, ...)
 {
 	<+...
-	dev_table[devid].data[1] &= DTE_FLAG_MASK;
+	amd_quarantine_clear_flags(iommu, devid, &dev_table[devid]);
 	...+>
 }
