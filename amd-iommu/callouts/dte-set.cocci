// SPDX-License-Identifier: GPL-2.0-only
// The store of the word that holds the ATS permission, one with the fence.
@@
identifier iommu, dev_table, devid, flags;
@@
 set_dte_entry(struct amd_iommu *iommu, ...)
 {
 	<+...
-	dev_table[devid].data[1] = flags;
+	amd_quarantine_set_flags(iommu, devid, &dev_table[devid], flags);
 	...+>
 }
