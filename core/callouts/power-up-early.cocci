// SPDX-License-Identifier: GPL-2.0-only
// The same as the machine resumes.
@@
identifier dev;
@@
 pci_pm_power_up_and_verify_state(struct pci_dev *dev)
 {
+	iommu_quarantine_power_wake(dev, false);
 	pci_power_up(dev);
 	...
 }
