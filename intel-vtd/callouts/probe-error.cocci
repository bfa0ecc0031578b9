// SPDX-License-Identifier: GPL-2.0-only
// A probe that fails leaves nothing behind.
@@
identifier info;
@@
 intel_iommu_probe_device(...)
 {
 	<+...
+	intel_quarantine_release(info);
 	kfree(info);
 	return ...;
 	...+>
 }
