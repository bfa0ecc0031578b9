// SPDX-License-Identifier: GPL-2.0-only
// What the backend needs of the static functions above it.
@@
identifier info;
@@
 iommu_disable_pci_pri(struct device_domain_info *info)
 {
 	...
 }
+
+#include "../quarantine/intel-vtd/ats.h"
