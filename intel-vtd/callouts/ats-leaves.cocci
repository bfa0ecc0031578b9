// SPDX-License-Identifier: GPL-2.0-only
// Every attach turns ATS off first and then asks nobody any more.
@@
identifier dev, info;
@@
 device_block_translation(struct device *dev)
 {
 	struct device_domain_info *info = dev_iommu_priv_get(dev);
 	... when any
+	intel_quarantine_ats_leaves(info);
 	iommu_disable_pci_caps(info);
 	... when any
 }
