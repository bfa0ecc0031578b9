/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the VT-d backend expect of the driver and not every one has */
#ifndef __INTEL_QUARANTINE_KUNIT_COMPAT_H
#define __INTEL_QUARANTINE_KUNIT_COMPAT_H

#include <linux/bitmap.h>

#include "iommu.h"
#include "pasid.h"
#include "compat.h"

/* The ids of domains that an IOMMU has to give away */
#ifdef IQ_HAVE_VTD_DOMAIN_IDA
static inline int vtd_kunit_init_dids(struct intel_iommu *iommu)
{
	ida_init(&iommu->domain_ida);
	mutex_init(&iommu->did_lock);
#ifdef IQ_HAVE_VTD_MAX_DOMAIN_ID
	iommu->max_domain_id = cap_ndoms(iommu->cap);
#endif
	return 0;
}

static inline void vtd_kunit_free_dids(struct intel_iommu *iommu)
{
	ida_destroy(&iommu->domain_ida);
}
#else
static inline int vtd_kunit_init_dids(struct intel_iommu *iommu)
{
	iommu->domain_ids = bitmap_zalloc(cap_ndoms(iommu->cap), GFP_KERNEL);
	if (!iommu->domain_ids)
		return -ENOMEM;
	/* The first ones are not for domains */
	bitmap_set(iommu->domain_ids, 0, NUM_RESERVED_DID);
	return 0;
}

static inline void vtd_kunit_free_dids(struct intel_iommu *iommu)
{
	bitmap_free(iommu->domain_ids);
}
#endif

#endif /* __INTEL_QUARANTINE_KUNIT_COMPAT_H */
