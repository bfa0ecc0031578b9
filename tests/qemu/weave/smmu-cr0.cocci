// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; expression E; @@
  s->cr0ack = E;
+ iommu_fault_smmuv3_cr0(s);
  smmuv3_cmdq_consume(s);
