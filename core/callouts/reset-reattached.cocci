// SPDX-License-Identifier: GPL-2.0-only
// RID and PASIDs are attached again: the device has to prove itself.
@@
identifier pdev, group;
@@
 pci_dev_reset_iommu_done(struct pci_dev *pdev)
 {
 	... when any
 	if (!WARN_ON(group->recovery_cnt == 0))
 		group->recovery_cnt--;
+	iommu_quarantine_reattached(&pdev->dev);
 }
