// SPDX-License-Identifier: GPL-2.0-only
// Around the method of the table.
@@
identifier dev, probe, i;
@@
 pci_dev_specific_reset(struct pci_dev *dev, bool probe)
 {
 	<+...
-	return i->reset(dev, probe);
+	return iommu_quarantine_reset_by(dev, probe, i->reset);
 	...+>
 }
