// SPDX-License-Identifier: GPL-2.0-only
// The table of the PASIDs may be gone: the core blocks the device itself first.
@@
expression dev_data, pasid;
@@
 remove_dev_pasid(...)
 {
 	<+...
-	amd_iommu_clear_gcr3(dev_data, pasid)
+	amd_quarantine_clear_gcr3(dev_data, pasid)
 	...+>
 }
