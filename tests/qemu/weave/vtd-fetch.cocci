// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; statement S; @@
- while (s->iq_head != s->iq_tail)
+ while (s->iq_head != s->iq_tail && !iommu_fault_vtd_stalled(s))
  S
