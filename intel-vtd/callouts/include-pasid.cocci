// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include "../iommu-pages.h"
+#include "../quarantine/intel-vtd/quarantine.h"
