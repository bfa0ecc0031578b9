// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that belongs to user space by VFIO: its owner is told of the
 * quarantine by the eventfd of the error interrupt, the one that AER signals.
 * What the owner does about it is its own affair; it has VFIO's resets.
 *
 * VFIO's error_detected() is not called: that is for callers that hold the
 * device lock, which a remove() may hold while its own unmaps time out.
 */

#define dev_fmt(fmt) "iommu-quarantine: " fmt

#include <linux/cleanup.h>
#include <linux/device.h>
#include <linux/eventfd.h>
#include <linux/iommu.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>
#include <linux/vfio_pci_core.h>

#include "compat/vfio.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "iommu_quarantine."

/*
 * Signal the error eventfd of a VFIO device that is quarantined. Not by
 * module_param(): what that asserts of its strings sparse cannot evaluate.
 */
static bool vfio_signal = true;
module_param_cb(vfio_signal, &param_ops_bool, &vfio_signal, 0644);

struct vfio_owner {
	struct notifier_block nb;
	struct vfio_pci_core_device *vdev;
};

static int vfio_owner_tell(struct notifier_block *nb, unsigned long event,
			   void *dev)
{
	struct vfio_owner *owner = container_of(nb, struct vfio_owner, nb);

	if (dev != &owner->vdev->pdev->dev || !READ_ONCE(vfio_signal))
		return NOTIFY_DONE;
	if (event != IOMMU_QUARANTINE_EVENT_QUARANTINED &&
	    event != IOMMU_QUARANTINE_EVENT_FAILED)
		return NOTIFY_DONE;

	/* The work's context: it holds no lock but that of the chain */
	quarantine_vfio_signal(owner->vdev);
	return NOTIFY_OK;
}

static void vfio_owner_forget(void *data)
{
	struct vfio_owner *owner = data;

	iommu_quarantine_unregister_notifier(&owner->nb);
	put_device(&owner->vdev->vdev.device);
}

/**
 * iommu_quarantine_vfio_register() - VFIO has taken on a device
 * @vdev: the device
 *
 * Stands where VFIO's PCI drivers have registered a device. The way back is that
 * of the driver core, when the driver has let the device go; till then @vdev
 * is kept.
 *
 * Context: process, from the driver's probe().
 */
void iommu_quarantine_vfio_register(struct vfio_pci_core_device *vdev)
{
	struct device *dev = &vdev->pdev->dev;
	struct vfio_owner *owner;

	if (!pci_ats_supported(vdev->pdev))
		return;

	owner = devm_kzalloc(dev, sizeof(*owner), GFP_KERNEL);
	if (!owner)
		goto err_warn;
	owner->nb.notifier_call = vfio_owner_tell;
	owner->vdev = vdev;
	get_device(&vdev->vdev.device);
	if (iommu_quarantine_register_notifier(&owner->nb)) {
		put_device(&vdev->vdev.device);
		goto err_warn;
	}
	if (!devm_add_action_or_reset(dev, vfio_owner_forget, owner))
		return;

err_warn:
	dev_warn(dev, "its owner will not be told of a quarantine\n");
}
EXPORT_SYMBOL_GPL(iommu_quarantine_vfio_register);
