// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, pasid_dir_base, pasid, pe, ret; @@
  ret = vtd_get_pe_from_pasid_table(s, pasid_dir_base, pasid, pe);
+ ret = iommu_fault_vtd_pasid_entry(s, pasid_dir_base, pasid, pe->val, ret);
