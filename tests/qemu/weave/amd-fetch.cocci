// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; statement S; @@
- while (s->cmdbuf_head != s->cmdbuf_tail)
+ while (s->cmdbuf_head != s->cmdbuf_tail && !iommu_fault_amd_stalled(s))
  S
