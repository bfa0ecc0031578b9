// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include "../../dma-iommu.h"
+#include "../../quarantine/arm-smmu-v3/quarantine.h"
