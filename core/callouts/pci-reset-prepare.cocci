// SPDX-License-Identifier: GPL-2.0-only
// A bracket that knows of probes and samples the proof of the reset.
@@
identifier fn =~ "^(pcie_flr|pci_af_flr|pci_pm_reset|cxl_reset_bus_function|pci_dev_acpi_reset)$";
identifier dev;
@@
 fn(struct pci_dev *dev, ...)
 {
 	<+...
-	pci_dev_reset_iommu_prepare(dev)
+	iommu_quarantine_reset_prepare(dev, false)
 	...+>
 }
