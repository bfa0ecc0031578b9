// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; identifier d; @@
- !vtd_process_wait_desc(s, &d)
+ !iommu_fault_vtd_hold_wait(s) && !vtd_process_wait_desc(s, &d)
