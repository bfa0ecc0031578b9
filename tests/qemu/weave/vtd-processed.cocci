// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; @@
+ iommu_fault_vtd_processed(s, inv_desc.lo, inv_desc.hi);
  s->iq_head++;
