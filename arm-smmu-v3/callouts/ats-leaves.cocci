// SPDX-License-Identifier: GPL-2.0-only
// ATS goes off first, the invalidations follow.
@@
identifier master;
@@
+	smmu_quarantine_ats_leaves(master);
 	pci_disable_ats(to_pci_dev(master->dev));
