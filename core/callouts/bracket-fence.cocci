// SPDX-License-Identifier: GPL-2.0-only
// No new domain for a group of which a device is blocked.
@@
identifier group, new_domain, flags;
@@
 __iommu_group_set_domain_internal(struct iommu_group *group, struct iommu_domain *new_domain, unsigned int flags)
 {
 	... when any
 	if (WARN_ON(!new_domain))
 		return -EINVAL;
+
+	if (quarantine_fences(group, flags))
+		return -EBUSY;
 	... when any
 }
