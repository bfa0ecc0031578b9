// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; identifier ret, val; @@
  ret = vtd_context_cache_invalidate(s, val);
+ iommu_fault_vtd_ccmd(s, val);
