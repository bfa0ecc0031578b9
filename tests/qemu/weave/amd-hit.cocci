// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, devid, iotlb_entry; @@
- if (iotlb_entry)
+ if (iotlb_entry && iommu_fault_amd_hit(s, devid, iotlb_entry->domid))
  { ... }
