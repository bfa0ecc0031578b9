// SPDX-License-Identifier: GPL-2.0-only
// First of all: afterwards nobody looks at the device on our behalf.
@@
identifier info, iommu, dev;
@@
 intel_iommu_release_device(struct device *dev)
 {
 	struct device_domain_info *info = dev_iommu_priv_get(dev);
 	struct intel_iommu *iommu = info->iommu;
+
+	intel_quarantine_release(info);
 	... when any
 }
