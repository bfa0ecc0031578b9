// SPDX-License-Identifier: GPL-2.0-only
// A driver that undoes by the old domain what it did has to be told the real one.
@@
identifier release_domain, group, dev;
@@
 iommu_deinit_device(struct device *dev)
 {
 	<+...
-	release_domain->ops->attach_dev(release_domain, dev, group->domain);
+	release_domain->ops->attach_dev(release_domain, dev, quarantine_old_domain(group, dev));
 	...+>
 }
