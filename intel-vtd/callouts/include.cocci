// SPDX-License-Identifier: GPL-2.0-only
@@
@@
 #include "perfmon.h"
+#include "../quarantine/intel-vtd/quarantine.h"
