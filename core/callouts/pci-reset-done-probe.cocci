// SPDX-License-Identifier: GPL-2.0-only
// As above, for the methods that are called inside the bracket for a probe.
@@
identifier fn =~ "^(pci_reset_bus_function|__pci_dev_specific_reset)$";
identifier dev, probe, rc;
@@
 fn(struct pci_dev *dev, bool probe, ...)
 {
 	<+...
-	pci_dev_reset_iommu_done(dev);
+	iommu_quarantine_reset_done(dev, probe, rc);
 	return rc;
 	...+>
 }
