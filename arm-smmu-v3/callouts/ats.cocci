// SPDX-License-Identifier: GPL-2.0-only
// A device that could not be fenced is not given ATS.
@@
identifier dev;
@@
 arm_smmu_ats_supported(struct arm_smmu_master *master)
 {
 	...
+	if (!smmu_quarantine_allows_ats(master))
+		return false;
+
 	return dev_is_pci(dev) && pci_ats_supported(to_pci_dev(dev));
 }
