// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include "amd_iommu.h"
+#include "../quarantine/amd-iommu/quarantine.h"
