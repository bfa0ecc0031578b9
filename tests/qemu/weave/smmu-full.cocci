// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, q; @@
  if (smmuv3_q_full(q)) {
-     return MEMTX_ERROR;
+     iommu_fault_smmuv3_overflow(s);
+     return MEMTX_OK;
  }
