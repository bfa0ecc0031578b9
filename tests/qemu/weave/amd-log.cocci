// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, evt; @@
  if (!s->evtlog_enabled || amdvi_test_mask(s, AMDVI_MMIO_STATUS, AMDVI_MMIO_STATUS_EVT_OVF))
  {
      return;
  }
+ iommu_fault_amd_log_event(s, evt);
+ return;
