/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Signal the error eventfd of a VFIO device as the kernel's own VFIO does it when
 * AER reports an error. A part of vfio.c.
 */
#include "features.h"

#ifdef IQ_HAVE_VFIO_ERROR_EVENTFD

/* Replaced under vdev->igate, freed after a grace period */
static void quarantine_vfio_signal(struct vfio_pci_core_device *vdev)
{
	struct vfio_pci_eventfd *eventfd;

	guard(rcu)();
	eventfd = rcu_dereference(vdev->err_trigger);
	if (eventfd)
		eventfd_signal(eventfd->ctx);
}

#else /* !IQ_HAVE_VFIO_ERROR_EVENTFD */

#include <linux/mutex.h>

/*
 * Replaced and freed under vdev->igate. Whoever holds that may wait for
 * vdev->memory_lock, as an ioctl that sets up MSI does, and so for a reset of the
 * device by VFIO, which takes pci_bus_sem, quarantine.busy and group->mutex. The
 * work that comes here holds none of these, nothing but the read side of the
 * notifier chain. Who waits for the chain or for the work is binding or removing a
 * device and holds device locks, which VFIO's resets only try. If it is pciehp it may
 * hold its reset_lock as well, but then it is stuck on the device lock of what is
 * being reset before it can come to wait here.
 *
 * It was AER, which comes to igate with pci_bus_sem, that could be caught in a
 * circle there; hence the RCU of later kernels.
 */
static void quarantine_vfio_signal(struct vfio_pci_core_device *vdev)
{
	guard(mutex)(&vdev->igate);
	if (vdev->err_trigger)
		eventfd_signal(vdev->err_trigger);
}

#endif /* IQ_HAVE_VFIO_ERROR_EVENTFD */
