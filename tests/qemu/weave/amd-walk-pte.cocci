// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol as; expression E; @@
  amdvi_get_pte_entry(as->iommu_state, E,
-     as->devfn
+     iommu_fault_amd_as_devid(as)
  )
