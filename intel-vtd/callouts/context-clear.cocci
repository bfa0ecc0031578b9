// SPDX-License-Identifier: GPL-2.0-only
// The store that takes a present entry away, one with the fence.
@@
identifier fn =~ "^(copied_context_tear_down|domain_context_clear_one|device_pasid_table_teardown|device_pasid_table_setup)$";
identifier context, bus, devfn;
@@
 fn(..., u8 bus, u8 devfn)
 {
 	<+...
-	context_clear_present(context);
+	intel_quarantine_clear_present(iommu, bus, devfn, context);
 	...+>
 }
