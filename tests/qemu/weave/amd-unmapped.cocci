// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol as, pte, perms, addr; @@
  if (!pte) {
+     iommu_fault_amd_page_fault(as->iommu_state, iommu_fault_amd_devid(as->iommu_state, as->bus_num, as->devfn), addr, perms & AMDVI_PERM_WRITE);
      return;
  }
