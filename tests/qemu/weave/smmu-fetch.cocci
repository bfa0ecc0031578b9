// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, q, cmd; @@
- queue_read(q, &cmd) != MEMTX_OK
+ iommu_fault_smmuv3_fetch(s, &cmd) != MEMTX_OK
