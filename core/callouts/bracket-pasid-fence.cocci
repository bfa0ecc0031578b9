// SPDX-License-Identifier: GPL-2.0-only
// No new PASID for a group of which a device is blocked.
@@
identifier domain, group;
@@
 iommu_attach_device_pasid(struct iommu_domain *domain, ...)
 {
 	... when any
 	mutex_lock(&group->mutex);
+	if (quarantine_fences(group, 0)) {
+		ret = -EBUSY;
+		goto out_unlock;
+	}
+
 	... when any
 }
