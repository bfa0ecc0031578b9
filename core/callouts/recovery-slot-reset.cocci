// SPDX-License-Identifier: GPL-2.0-only
// The driver may enable its device before it restores it.
@@
identifier dev, vote, err_handler;
@@
 report_slot_reset(struct pci_dev *dev, ...)
 {
 	<+...
+	iommu_quarantine_slot_reset(dev);
 	vote = err_handler->slot_reset(dev);
 	...+>
 }
