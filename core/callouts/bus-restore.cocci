// SPDX-License-Identifier: GPL-2.0-only
// A device far below a bus that was reset can be looked at now.
@@
identifier dev;
@@
 pci_restore_state(struct pci_dev *dev)
 {
+	iommu_quarantine_restoring(dev);
 	pci_restore_pcie_state(dev);
 	...
 }
