// SPDX-License-Identifier: GPL-2.0-only
// AER and DPC: with the latter the hardware has done the reset before.
@@
identifier reset, bridge;
statement S;
@@
 pcie_do_recovery(...)
 {
 	<+...
+	iommu_quarantine_bus_prepare(bridge);
 	if (reset(bridge) != PCI_ERS_RESULT_RECOVERED)
 		S
 	...+>
 }

@@
identifier reset, bridge;
@@
 pcie_do_recovery(...)
 {
 	<+...
-	reset(bridge) != PCI_ERS_RESULT_RECOVERED
+	iommu_quarantine_bus_done(bridge, reset(bridge) != PCI_ERS_RESULT_RECOVERED)
 	...+>
 }
