/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the AMD backend expect of the driver and not every one has */
#ifndef __AMD_QUARANTINE_KUNIT_COMPAT_H
#define __AMD_QUARANTINE_KUNIT_COMPAT_H

#include <linux/bitmap.h>
#include <linux/bits.h>

#include "compat.h"

/* Where the guest's CR3 table is, in the two halves of a device table entry */
#ifndef DTE_GCR3_14_12
#define DTE_GCR3_14_12	GENMASK_ULL(60, 58)
#define DTE_GCR3_30_15	GENMASK_ULL(31, 16)
#define DTE_GCR3_51_31	GENMASK_ULL(63, 43)
#endif

/* The device may ask for pages; of the first word of an entry */
#ifndef DTE_FLAG_PPR
#define DTE_FLAG_PPR	BIT_ULL(52)
#endif

/* An identity domain that can have PASIDs */
#ifndef FEATURE_GCR3TRPMODE
#define FEATURE_GCR3TRPMODE	0
#endif

#ifdef IQ_HAVE_AMD_PGTABLE_MODE
#define AMD_KUNIT_PGTABLE(mode) (mode)
#else
#define AMD_KUNIT_PGTABLE(mode) \
	((mode) == PD_MODE_V1 ? AMD_IOMMU_V1 : AMD_IOMMU_V2)
#endif

/* Width of an address in the host's tables: a driver without it knows only one */
#ifndef IQ_HAVE_AMD_VASIZE
static u8 amd_iommu_hpt_vasize;
#endif

#ifdef IQ_HAVE_AMD_IDENTITY
static inline void amd_kunit_init_identity(void)
{
	if (!amd_iommu_ops.identity_domain->ops)
		amd_iommu_init_identity_domain();
}
#else
static inline void amd_kunit_init_identity(void)
{
}
#endif

/* The ids of domains; a driver that has found no IOMMU may have none to give */
#ifdef IQ_HAVE_AMD_PDOM_IDS
static inline int amd_kunit_init_dids(void)
{
	return 0;
}
#else
static inline int amd_kunit_init_dids(void)
{
	if (amd_iommu_pd_alloc_bitmap)
		return 0;
	amd_iommu_pd_alloc_bitmap = bitmap_zalloc(MAX_DOMAIN_ID, GFP_KERNEL);
	if (!amd_iommu_pd_alloc_bitmap)
		return -ENOMEM;
	/* Nobody's, as in the driver */
	__set_bit(0, amd_iommu_pd_alloc_bitmap);
	return 0;
}
#endif

/* Where a wait's store goes: some drivers keep it, others work it out each time */
#ifdef IQ_HAVE_AMD_SEM_PADDR
static inline void amd_kunit_init_sem(struct amd_iommu *iommu)
{
	iommu->cmd_sem_paddr = virt_to_phys((void *)iommu->cmd_sem);
}
#else
static inline void amd_kunit_init_sem(struct amd_iommu *iommu)
{
}
#endif

#endif /* __AMD_QUARANTINE_KUNIT_COMPAT_H */
