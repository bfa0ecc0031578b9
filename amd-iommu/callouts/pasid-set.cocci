// SPDX-License-Identifier: GPL-2.0-only
// Whoever asks the device for all that it holds has to know its PASIDs.
@@
expression dev_data, pasid, gcr3;
@@
 iommu_sva_set_dev_pasid(...)
 {
 	<+...
-	amd_iommu_set_gcr3(dev_data, pasid, gcr3)
+	amd_quarantine_set_gcr3(dev_data, pasid, gcr3)
 	...+>
 }
