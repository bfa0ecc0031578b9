// SPDX-License-Identifier: GPL-2.0-only
// The same where ATS alone is turned on and off, by every attach.
@@
identifier info;
@@
 iommu_disable_pci_caps(struct device_domain_info *info)
 {
 	...
 }
+
+#include "../quarantine/intel-vtd/ats.h"
