// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol as; @@
- PCI_BUILD_BDF(as->bus_num, as->devfn)
+ iommu_fault_amd_as_devid(as)
