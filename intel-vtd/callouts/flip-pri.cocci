// SPDX-License-Identifier: GPL-2.0-only
// Written into an entry that is present, so one with the fence.
@@
identifier enable, context;
@@
 context_flip_pri(struct device_domain_info *info, bool enable)
 {
 	<+...
-	if (enable)
-		context_set_sm_pre(context);
-	else
-		context_clear_sm_pre(context);
+	intel_quarantine_flip_pri(iommu, bus, devfn, context, enable);
 	...+>
 }
