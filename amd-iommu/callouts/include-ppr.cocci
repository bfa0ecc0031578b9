// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include "../iommu-pages.h"
+#include "../quarantine/amd-iommu/quarantine.h"
