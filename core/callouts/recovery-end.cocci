// SPDX-License-Identifier: GPL-2.0-only
// On both ways out.
@@
identifier bridge;
@@
 pcie_do_recovery(...)
 {
 	<+...
+	iommu_quarantine_recovery_end(bridge);
 	pci_walk_bridge(bridge, pci_pm_runtime_put, NULL);
 	...+>
 }
