// SPDX-License-Identifier: GPL-2.0-only
// Before the first context entry of the device is written. Without state, no
// ATS: a device that cannot be fenced is not given translations to keep.
@@
identifier info, iommu, pdev, ret;
@@
 intel_iommu_probe_device(...)
 {
 	<+...
+	intel_quarantine_probe(info);
 	dev_iommu_priv_set(dev, info);
 	...+>
 }
