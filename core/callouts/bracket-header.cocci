// SPDX-License-Identifier: GPL-2.0-only
// The bracket of kernels that have none of their own.
@@
@@
 #include <linux/iommu-quarantine.h>
+#include <linux/iommu-quarantine-bracket.h>
