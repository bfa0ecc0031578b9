/* SPDX-License-Identifier: GPL-2.0-only */
/* What the backend expects of the driver and not every one has */
#ifndef __INTEL_QUARANTINE_COMPAT_H
#define __INTEL_QUARANTINE_COMPAT_H

#include <linux/pci.h>

#include "../core/compat/compat.h"

#ifndef IQ_HAVE_VTD_SUBDEVICE
/* Behind a bridge of VMD's, whose requests are made in its name */
static inline bool dev_is_real_dma_subdevice(struct device *dev)
{
	return dev_is_pci(dev) &&
	       pci_real_dma_dev(to_pci_dev(dev)) != to_pci_dev(dev);
}
#endif

#endif /* __INTEL_QUARANTINE_COMPAT_H */
