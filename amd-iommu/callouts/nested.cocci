// SPDX-License-Identifier: GPL-2.0-only
// The guest's tables come back on top of nothing: blocking has taken the host's away.
@@
identifier dom, dev, old, dev_data;
@@
 nested_attach_device(struct iommu_domain *dom, struct device *dev, struct iommu_domain *old)
 {
 	... when any
+	ret = amd_quarantine_nest(to_ndomain(dom), dev, old);
+	if (ret)
+		return ret;
+
 	mutex_lock(&dev_data->mutex);
 	... when any
 }
