// SPDX-License-Identifier: GPL-2.0-only
// Around the bus reset, and what lets it pass the port.
@@
identifier dev, rc, reg, bridge, val;
statement S1, S2;
@@
 cxl_reset_bus_function(struct pci_dev *dev, ...)
 {
 	... when any
 	rc = pci_read_config_word(bridge, ...);
 	if (rc)
 		return -ENOTTY;
+
+	rc = iommu_quarantine_reset_prepare(dev, false);
+	if (rc)
+		return rc;
 	if (reg & PCI_DVSEC_CXL_PORT_CTL_UNMASK_SBR)
 		S1
 	else
 		S2
 	... when any
+	iommu_quarantine_reset_done(dev, false, rc);
 	return rc;
 }
