// SPDX-License-Identifier: GPL-2.0-only
// The methods that are called inside the bracket even for a probe.
@@
identifier fn =~ "^(pci_reset_bus_function|__pci_dev_specific_reset)$";
identifier dev, probe;
@@
 fn(struct pci_dev *dev, bool probe, ...)
 {
 	<+...
-	pci_dev_reset_iommu_prepare(dev)
+	iommu_quarantine_reset_prepare(dev, probe)
 	...+>
 }
