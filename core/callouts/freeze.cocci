// SPDX-License-Identifier: GPL-2.0-only
// Its state is saved, and nobody uses it any more.
@@
identifier pdev;
@@
 pci_pm_freeze_noirq(...)
 {
 	<+...
+	iommu_quarantine_freeze(pdev);
 	pci_pm_set_unknown_state(pdev);
 	...+>
 }
