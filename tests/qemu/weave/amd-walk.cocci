// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol as; expression list E; @@
  amdvi_page_fault(as->iommu_state,
-     as->devfn,
+     iommu_fault_amd_as_devid(as),
      E)
