// SPDX-License-Identifier: GPL-2.0-only
// Where all secondary bus resets pass.
@@
identifier dev;
expression wait;
@@
 pci_bridge_secondary_bus_reset(struct pci_dev *dev)
 {
 	...
+	iommu_quarantine_bus_prepare(dev);
 	pcibios_reset_secondary_bus(dev);
-	return wait;
+	return iommu_quarantine_bus_done(dev, wait);
 }
