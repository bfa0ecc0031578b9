// SPDX-License-Identifier: GPL-2.0-only
// From D3hot to the last wait.
@@
identifier dev, csr;
expression E;
@@
 pci_pm_reset(struct pci_dev *dev, ...)
 {
 	u16 csr;
+	int ret;
 	... when any
+	ret = iommu_quarantine_reset_prepare(dev, false);
+	if (ret)
+		return ret;
+
 	csr &= ~PCI_PM_CTRL_STATE_MASK;
 	csr |= PCI_D3hot;
 	... when any
-	return E;
+	ret = E;
+	iommu_quarantine_reset_done(dev, false, ret);
+	return ret;
 }
