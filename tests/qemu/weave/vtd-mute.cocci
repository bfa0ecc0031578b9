// SPDX-License-Identifier: GPL-2.0-or-later
@@ identifier fpd, err; @@
- if (fpd && vtd_is_qualified_fault(err))
+ if (iommu_fault_vtd_muted(s) || (fpd && vtd_is_qualified_fault(err)))
  {
      trace_vtd_fault_disabled();
  }
  else { ... }
