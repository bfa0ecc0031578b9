// SPDX-License-Identifier: GPL-2.0-only
// The PASIDs of a blocked device are detached already.
@@
iterator name for_each_group_device;
identifier device;
@@
 __iommu_remove_group_pasid(...)
 {
 	<+...
-	if (device->dev->iommu->max_pasids > 0)
+	if (!quarantine_is_blocked(device) && device->dev->iommu->max_pasids > 0)
 	{
 		...
 	}
 	...+>
 }
