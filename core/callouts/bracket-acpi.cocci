// SPDX-License-Identifier: GPL-2.0-only
// Around _RST.
@@
identifier dev, handle;
expression C;
@@
 pci_dev_acpi_reset(struct pci_dev *dev, ...)
 {
 	acpi_handle handle = ...;
+	int ret;
 	... when any
+	ret = iommu_quarantine_reset_prepare(dev, false);
+	if (ret)
+		return ret;
+
 	if (ACPI_FAILURE(C)) {
 		pci_warn(...);
-		return -ENOTTY;
+		ret = -ENOTTY;
 	}
-	return 0;
+	iommu_quarantine_reset_done(dev, false, ret);
+	return ret;
 }
