// SPDX-License-Identifier: GPL-2.0-only
// Before it wakes up, and when it is back and nothing has been restored yet.
@@
identifier dev, locked;
@@
 __pci_set_power_state(struct pci_dev *dev, pci_power_t state, bool locked)
 {
 	<+...
+	iommu_quarantine_power_wake(dev, locked);
-	return pci_set_full_power_state(dev, locked);
+	return iommu_quarantine_power_up(dev, locked, pci_set_full_power_state(dev, locked));
 	...+>
 }
