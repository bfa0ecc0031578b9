// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include <linux/aer.h>
+#include <linux/iommu-quarantine.h>
