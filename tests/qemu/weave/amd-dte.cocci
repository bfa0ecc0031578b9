// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, devid, entry; expression E; @@
- dma_memory_read(&address_space_memory, E, entry, AMDVI_DEVTAB_ENTRY_SIZE, MEMTXATTRS_UNSPECIFIED)
+ !iommu_fault_amd_read_dte(s, devid, entry)
