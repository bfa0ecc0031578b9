// SPDX-License-Identifier: GPL-2.0-only
// Before the depth is looked at: the quarantine holds one.
@@
identifier pdev, gdev;
@@
 pci_dev_reset_iommu_done(struct pci_dev *pdev)
 {
 	... when any
+	quarantine_gdev_lift(gdev);
 	if (--gdev->reset_depth)
 		return;
 	... when any
 }
