// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, evt, devid, addr, info; @@
  info |= AMDVI_EVENT_IOPF_I | AMDVI_EVENT_IOPF;
  amdvi_encode_event(evt, devid, addr, info);
- amdvi_log_event(s, evt);
+ iommu_fault_amd_page_fault(s, devid, addr, info & AMDVI_PERM_WRITE);
