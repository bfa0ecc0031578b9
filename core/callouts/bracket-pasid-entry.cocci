// SPDX-License-Identifier: GPL-2.0-only
// Of a PASID without a handle the array would not know the domain.
@@
identifier domain, dev, pasid, handle, group;
@@
 iommu_attach_device_pasid(struct iommu_domain *domain, struct device *dev, ioasid_t pasid, struct iommu_attach_handle *handle)
 {
 	<+...
-	xa_insert(&group->pasid_array, pasid, handle, GFP_KERNEL)
+	xa_insert(&group->pasid_array, pasid, quarantine_pasid_entry(handle, domain), GFP_KERNEL)
 	...+>
 }
