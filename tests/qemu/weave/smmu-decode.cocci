// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, cfg, ste, event; @@
- decode_ste(s, cfg, &ste, event)
+ iommu_fault_smmuv3_decode_ste(s, cfg, &ste, event)
