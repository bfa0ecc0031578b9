// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol as, pte, perms, addr; @@
  if (!pte) {
+     iommu_fault_amd_page_fault(as->iommu_state, iommu_fault_amd_as_devid(as), addr, perms & AMDVI_PERM_WRITE);
      return;
  }
