// SPDX-License-Identifier: GPL-2.0-only
// Before the drivers below are told.
@@
identifier bridge;
@@
 pcie_do_recovery(...)
 {
 	<+...
+	iommu_quarantine_recovery_begin(bridge);
 	pci_walk_bridge(bridge, pci_pm_runtime_get_sync, NULL);
 	...+>
 }
