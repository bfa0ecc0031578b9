// SPDX-License-Identifier: GPL-2.0-only
// Around both ways to reset the bus.
@@
identifier dev, probe, rc;
expression E;
@@
 pci_reset_bus_function(struct pci_dev *dev, bool probe)
 {
 	... when any
+	rc = iommu_quarantine_reset_prepare(dev, probe);
+	if (rc)
+		return rc;
+
 	rc = pci_dev_reset_slot_function(dev, probe);
 	if (rc != -ENOTTY)
-		return rc;
-	return E;
+		goto done;
+	rc = E;
+done:
+	iommu_quarantine_reset_done(dev, probe, rc);
+	return rc;
 }
