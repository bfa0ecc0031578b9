// SPDX-License-Identifier: GPL-2.0-only
// The owner is told of a quarantine by the error eventfd.
@@
identifier vdev;
@@
 vfio_pci_core_register_device(struct vfio_pci_core_device *vdev)
 {
 	<+...
+	iommu_quarantine_vfio_register(vdev);
 	return 0;
 	...+>
 }
