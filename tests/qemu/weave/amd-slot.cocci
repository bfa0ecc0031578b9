// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s, bus; @@
- pci_bus_num(bus)
+ iommu_fault_amd_slot(s, bus)
