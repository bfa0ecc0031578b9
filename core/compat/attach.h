/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Attach a domain to one device, in the core's own way: some kernels tell the
 * driver which domain the device leaves, in others it asks (bracket.h). A part
 * of iommu.c.
 */
#include "features.h"

#ifdef IQ_HAVE_ATTACH_OLD
static int __iommu_attach_device(struct iommu_domain *domain,
				 struct device *dev, struct iommu_domain *old);

#define quarantine_attach_device(domain, dev, old) \
	__iommu_attach_device(domain, dev, old)
#else
#define quarantine_attach_device(domain, dev, old) \
	((void)(old), __iommu_attach_device(domain, dev))
#endif
