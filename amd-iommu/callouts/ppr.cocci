// SPDX-License-Identifier: GPL-2.0-only
// The core expects that who is blocked sends none; it keeps the PASIDs of such a one.
@@
identifier iommu, raw;
@@
 iommu_call_iopf_notifier(struct amd_iommu *iommu, u64 *raw)
 {
 	... when any
-	if (!ppr_is_valid(iommu, raw))
+	if (!ppr_is_valid(iommu, raw) ||
+	    amd_quarantine_refuses_ppr(iommu, devid))
 		goto out;
 	... when any
 }
