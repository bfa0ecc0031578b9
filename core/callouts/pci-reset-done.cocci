// SPDX-License-Identifier: GPL-2.0-only
// The outcome that the function is about to return.
@@
identifier fn =~ "^(pcie_flr|pci_af_flr|pci_pm_reset|cxl_reset_bus_function|pci_dev_acpi_reset)$";
identifier dev, rc;
@@
 fn(struct pci_dev *dev, ...)
 {
 	<+...
-	pci_dev_reset_iommu_done(dev);
+	iommu_quarantine_reset_done(dev, false, rc);
 	return rc;
 	...+>
 }
