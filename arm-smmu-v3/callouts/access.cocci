// SPDX-License-Identifier: GPL-2.0-only
// What the backend needs of the static things above it.
@@
identifier master;
@@
 arm_smmu_ats_supported(struct arm_smmu_master *master)
 {
 	...
 }
+
+#include "../../quarantine/arm-smmu-v3/access.h"
