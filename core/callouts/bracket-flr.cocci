// SPDX-License-Identifier: GPL-2.0-only
// From the trigger to the last wait, whatever the way out.
@@
identifier fn =~ "^(pcie_flr|pci_af_flr)$";
identifier dev, trigger =~ "^(pcie_capability_set_word|pci_write_config_byte)$";
expression list args;
expression E;
@@
 fn(struct pci_dev *dev, ...)
 {
+	int ret;
+
 	... when any
+	ret = iommu_quarantine_reset_prepare(dev, false);
+	if (ret)
+		return ret;
+
 	trigger(args);
 	if (dev->imm_ready)
-		return 0;
+		goto done;
 	msleep(100);
-	return E;
+	ret = E;
+done:
+	iommu_quarantine_reset_done(dev, false, ret);
+	return ret;
 }
