// SPDX-License-Identifier: GPL-2.0-only
// A fenced device that goes on writing makes these at full rate.
@@
identifier type;
@@
 iommu_print_event(struct amd_iommu *iommu, void *__evt)
 {
 <...
 switch (type) {
 	case EVENT_TYPE_INV_DEV_REQ:
+		if (amd_quarantine_muted(iommu, devid))
+			break;
 		...
 		break;
 }
 ...>
 }
