// SPDX-License-Identifier: GPL-2.0-only
// The core blocks a PASID by the blocking domain, and names it when it gives it back.
@@
identifier domain, dev, pasid, old;
@@
 iommu_sva_set_dev_pasid(struct iommu_domain *domain, struct device *dev, ioasid_t pasid, struct iommu_domain *old)
 {
 	<+...
-	if (old)
+	if (amd_quarantine_pasid_taken(old))
 		return -EOPNOTSUPP;
 	...+>
 }
