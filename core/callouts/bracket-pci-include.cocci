// SPDX-License-Identifier: GPL-2.0-only
@@
@@
+#include <linux/iommu.h>
 #include "pci.h"
