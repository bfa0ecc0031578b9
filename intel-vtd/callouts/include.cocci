@@
@@
 #include "perfmon.h"
+#include "../quarantine/intel-vtd/quarantine.h"
