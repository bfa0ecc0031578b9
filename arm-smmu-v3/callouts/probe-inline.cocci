// SPDX-License-Identifier: GPL-2.0-only
// As where probe prepares ATS in a function of its own.
@@
identifier dev;
@@
 arm_smmu_probe_device(struct device *dev)
 {
 	... when any
+	smmu_quarantine_probe(master);
 	if (dev_is_pci(dev)) {
 		...
 		pci_prepare_ats(...);
 	}
 	... when any
 }
