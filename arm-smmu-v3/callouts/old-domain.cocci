// SPDX-License-Identifier: GPL-2.0-only
// While a device is blocked, that is not the domain of its group.
@@
expression E;
@@
-iommu_get_domain_for_dev(E)
+iommu_quarantine_domain_for_dev(E)
