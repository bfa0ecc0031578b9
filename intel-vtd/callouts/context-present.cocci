// SPDX-License-Identifier: GPL-2.0-only
// The store that makes an entry visible, one with the fence.
@@
identifier fn =~ "^(domain_context_mapping_one|context_setup_pass_through)$";
identifier context, bus, devfn;
@@
 fn(..., u8 bus, u8 devfn)
 {
 	... when any
 	context = iommu_context_addr(iommu, bus, devfn, ...);
 	... when any
-	context_set_present(context);
+	intel_quarantine_set_present(iommu, bus, devfn, context);
 	... when any
 }
