@@
@@
 #include "../iommu-pages.h"
+#include "../quarantine/intel-vtd/quarantine.h"
