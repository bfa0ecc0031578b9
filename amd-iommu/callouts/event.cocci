// SPDX-License-Identifier: GPL-2.0-only
// Complete, as its type is there, and not emptied yet.
@@
identifier iommu, __evt, type;
@@
 iommu_print_event(struct amd_iommu *iommu, void *__evt)
 {
 	... when any
+	amd_quarantine_event(iommu, __evt);
 	if (type == EVENT_TYPE_IO_FAULT) {
 		...
 	}
 	... when any
 }
