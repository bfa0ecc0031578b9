// SPDX-License-Identifier: GPL-2.0-only
// The work blocks only a device that is still reported, decided under the mutex.
@@
identifier pdev, gdev;
@@
 pci_dev_reset_iommu_prepare(struct pci_dev *pdev)
 {
 	... when any
+	if (iommu_quarantine_stale(&pdev->dev))
+		return -ECANCELED;
+
 	if (gdev->reset_depth++)
 		return 0;
 	... when any
 }
