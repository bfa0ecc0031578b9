/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages as IOMMU drivers get them: some kernels know the size of what is freed */
#ifndef __IQ_CONFORMANCE_PAGES_H
#define __IQ_CONFORMANCE_PAGES_H

#include "../../../iommu-pages.h"
#include "../../core/compat/compat.h"

static inline void *iq_alloc_pages(size_t size)
{
#ifdef IQ_HAVE_PAGES_BY_SIZE
	return iommu_alloc_pages_node_sz(NUMA_NO_NODE, GFP_KERNEL, size);
#else
	return iommu_alloc_pages_node(NUMA_NO_NODE, GFP_KERNEL, get_order(size));
#endif
}

static inline void iq_free_pages(void *virt, size_t size)
{
#ifdef IQ_HAVE_PAGES_BY_SIZE
	iommu_free_pages(virt);
#else
	iommu_free_pages(virt, get_order(size));
#endif
}

#endif /* __IQ_CONFORMANCE_PAGES_H */
