// SPDX-License-Identifier: GPL-2.0-only
// The stores of the half that holds the ATS permission, one with the fence.
@@
identifier iommu, dev_data, new, ptr;
expression E;
@@
 update_dte256(struct amd_iommu *iommu, struct iommu_dev_data *dev_data, struct dev_table_entry *new)
 {
 	<+...
-	write_dte_lower128(ptr, E);
+	amd_quarantine_write_dte(iommu, dev_data->devid, ptr, E);
 	...+>
 }
