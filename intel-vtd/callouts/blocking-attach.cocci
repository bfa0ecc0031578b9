// SPDX-License-Identifier: GPL-2.0-only
// Blocking over blocking: nothing is attached to the device any more.
@@
identifier domain, dev, old, info;
@@
 blocking_domain_attach_dev(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old)
 {
 	struct device_domain_info *info = dev_iommu_priv_get(dev);
 	... when any
 	device_block_translation(dev);
+	if (intel_quarantine_ats_off(info) && old == domain) {
+		iommu_disable_pci_pri(info);
+		iommu_disable_pci_ats(info);
+	}
 	return 0;
 }
