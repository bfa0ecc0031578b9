// SPDX-License-Identifier: GPL-2.0-only
// A fenced device does not get its faults logged while it is blocked.
@@
identifier context, bus, devfn;
@@
 domain_context_clear_one(..., u8 bus, u8 devfn)
 {
 	<+...
-	context_clear_entry(context);
+	intel_quarantine_clear_entry(iommu, bus, devfn, context);
 	...+>
 }
