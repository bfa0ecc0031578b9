// SPDX-License-Identifier: GPL-2.0-only
// What the backend needs of the static things above it.
@@
identifier smmu;
@@
 tegra241_cmdqv_probe(struct arm_smmu_device *smmu)
 {
 	...
 }
+
+#include "../../quarantine/arm-smmu-v3/vcmdq.h"
