// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, addr, val, size; @@
  if (addr + size > AMDVI_MMIO_SIZE) {
      trace_amdvi_mmio_write(...);
      return;
  }
+ if (iommu_fault_amd_reg_write(s, addr, val, size)) {
+     return;
+ }
