// SPDX-License-Identifier: GPL-2.0-only
// VF Enable is set again: the virtual functions can be looked at now.
@@
identifier dev;
@@
 pci_restore_state(struct pci_dev *dev)
 {
 	...
 	pci_restore_iov_state(dev);
+	iommu_quarantine_restored(dev);
 	...
 }
