// SPDX-License-Identifier: GPL-2.0-only
// Blocking turns ATS off first and then asks nobody any more.
@@
identifier dev, dev_data, iommu;
@@
 detach_device(struct device *dev)
 {
 	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
 	struct amd_iommu *iommu = get_amd_iommu_from_dev_data(dev_data);
 	... when any
+	amd_quarantine_ats_leaves(iommu, dev_data);
 	if (dev_is_pci(dev))
 		pdev_disable_caps(to_pci_dev(dev));
 	... when any
 }
