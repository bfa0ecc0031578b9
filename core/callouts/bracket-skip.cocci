// SPDX-License-Identifier: GPL-2.0-only
// What must succeed passes over a blocked device: it gets the domain later.
@@
iterator name for_each_group_device;
identifier group, new_domain, flags, gdev, ret;
@@
 __iommu_group_set_domain_internal(struct iommu_group *group, struct iommu_domain *new_domain, unsigned int flags)
 {
 	<+...
+	if (quarantine_is_blocked(gdev))
+		continue;
 	ret = __iommu_device_set_domain(group, gdev->dev, new_domain, flags);
 	...+>
 }
