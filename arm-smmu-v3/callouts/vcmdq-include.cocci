// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include "arm-smmu-v3.h"
+#include "../../quarantine/arm-smmu-v3/quarantine.h"
