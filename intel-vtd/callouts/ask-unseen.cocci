// SPDX-License-Identifier: GPL-2.0-only
// Who does not answer configuration requests may all the same hold translations.
@@
expression D;
@@
-	if (!pci_device_is_present(to_pci_dev(D)))
+	if (!intel_quarantine_may_ask(D) &&
+	    !pci_device_is_present(to_pci_dev(D)))
 		return;
