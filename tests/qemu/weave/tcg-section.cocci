// SPDX-License-Identifier: GPL-2.0-or-later
@@
typedef hwaddr, CPUState, CPUTLBEntryFull, MemTxAttrs, vaddr, MemoryRegionSection;
symbol section, mr_offset;
identifier out, cpu, xlat, attrs, addr, ra;
@@
 static MemoryRegionSection *io_prepare(hwaddr *out, CPUState *cpu,
- hwaddr xlat,
+ CPUTLBEntryFull *full,
  MemTxAttrs attrs, vaddr addr, uintptr_t ra)
 {
     ...
-    section = iotlb_to_section(cpu, xlat, attrs);
-    mr_offset = (xlat & TARGET_PAGE_MASK) + addr;
+    section = iommu_fault_section(cpu, full, addr, &mr_offset);
     ...
 }

@@ identifier full; expression A, B, C, D, E; @@
  io_prepare(A, B,
- full->xlat_section,
+ full,
  C, D, E)
