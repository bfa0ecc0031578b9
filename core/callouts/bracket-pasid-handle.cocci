// SPDX-License-Identifier: GPL-2.0-only
// Whoever looks for a handle finds none there, as before.
@@
identifier group, pasid, handle;
@@
 iommu_attach_handle_get(struct iommu_group *group, ioasid_t pasid, ...)
 {
 	<+...
-	handle = xa_load(&group->pasid_array, pasid);
+	handle = quarantine_pasid_handle(xa_load(&group->pasid_array, pasid));
 	...+>
 }
