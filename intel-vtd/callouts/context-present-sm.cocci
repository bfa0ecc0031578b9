// SPDX-License-Identifier: GPL-2.0-only
// As in legacy mode.
@@
identifier context, dev, info;
@@
 context_entry_set_pasid_table(struct context_entry *context, struct device *dev)
 {
 	struct device_domain_info *info = dev_iommu_priv_get(dev);
 	... when any
-	context_set_present(context);
+	intel_quarantine_set_present(iommu, info->bus, info->devfn, context);
 	... when any
 }
