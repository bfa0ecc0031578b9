// SPDX-License-Identifier: GPL-2.0-only
// Before a device, or later the port above it, turns the power off.
@@
identifier dev, state, locked;
statement S1, S2;
@@
 __pci_set_power_state(struct pci_dev *dev, pci_power_t state, bool locked)
 {
 	<+...
+	iommu_quarantine_power_down(dev, locked);
 	if (state == PCI_D3cold)
 		S1
 	else
 		S2
 	...+>
 }
