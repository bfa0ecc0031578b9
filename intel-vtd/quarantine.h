/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the call-outs in drivers/iommu/intel use. With the option off each of
 * them leaves the statement as it was, so that the object code is that of a
 * driver without call-outs; `make check-text` shows it.
 */
#ifndef __INTEL_QUARANTINE_H
#define __INTEL_QUARANTINE_H

#include <linux/compiler.h>
#include <linux/string.h>
#include <linux/types.h>

#include "../../intel/iommu.h"
#include "../core/compat/features.h"

/**
 * struct intel_quarantine_wait - one submission's own notes, on its stack
 * @start: of the wait or of what the hardware said last, in ns of the
 *	monotonic clock
 * @ites: timeouts that the hardware had reported at @start
 * @polls: polls so far
 * @dropped: an invalidation of this submission was held back or aborted
 * @late: the last look was past the bound
 */
struct intel_quarantine_wait {
	u64 start;
	unsigned int ites;
	unsigned int polls;
	bool dropped;
	bool late;
};

#ifdef CONFIG_IOMMU_QUARANTINE_INTEL

/*
 * Options of qi_submit_sync() for the submissions of the fence itself. They
 * never enter the fence again: what they meet is dealt with by the loop that
 * submitted them.
 */
#define QI_OPT_QUARANTINE	BIT(8)	/* not by a flush, but by the fence */
#define QI_OPT_QUARANTINE_PROBE	BIT(9)	/* may talk to a suspect, does not retry */

/* Status of a slot in addition to QI_FREE .. QI_ABORT */
#define QI_QUARANTINE_DROPPED	16	/* taken out of the queue by us */
#define QI_QUARANTINE_ABANDONED	17	/* given up: hardware may still use it */

/* Not 0: some device is not healthy, look closer. The hot path's one load. */
extern atomic_t intel_quarantine_active;

bool intel_quarantine_filter(struct intel_iommu *iommu, void *slot,
			     const struct qi_desc *desc, size_t size,
			     unsigned long options,
			     struct intel_quarantine_wait *wait);
void intel_quarantine_ite(struct intel_iommu *iommu, u32 fault, u64 iqe_err);
bool intel_quarantine_handles_ite(void);
bool intel_quarantine_may_ask(struct device *dev);
void intel_quarantine_clear_entry(struct intel_iommu *iommu, u8 bus, u8 devfn,
				  struct context_entry *context);
int intel_quarantine_poll(struct intel_iommu *iommu,
			  struct intel_quarantine_wait *wait, int rc);
bool intel_quarantine_lost(struct intel_iommu *iommu);
int __intel_quarantine_settle(struct intel_iommu *iommu, struct qi_desc *desc,
			      unsigned int count, unsigned long options,
			      struct intel_quarantine_wait *wait, int rc);
void intel_quarantine_set_present(struct intel_iommu *iommu, u8 bus, u8 devfn,
				  struct context_entry *context);
void intel_quarantine_clear_present(struct intel_iommu *iommu, u8 bus, u8 devfn,
				    struct context_entry *context);
#ifdef IQ_HAVE_VTD_FLIP_PRI
void intel_quarantine_flip_pri(struct intel_iommu *iommu, u8 bus, u8 devfn,
			       struct context_entry *context, bool enable);
#endif
void intel_quarantine_probe(struct device_domain_info *info);
void intel_quarantine_release(struct device_domain_info *info);
bool intel_quarantine_ats_off(struct device_domain_info *info);
void intel_quarantine_ats_leaves(struct device_domain_info *info);
void intel_quarantine_reset_device_done(struct device *dev);

/* in drivers/iommu/intel/iommu.c, see ats.h */
void intel_quarantine_ats_on(struct device_domain_info *info, bool lifted);

/*
 * Copy a descriptor into the queue, unless its device is not to be asked.
 * Context: q_lock held.
 */
static inline void intel_quarantine_copy(struct intel_iommu *iommu, void *slot,
					 const struct qi_desc *desc, size_t size,
					 unsigned long options,
					 struct intel_quarantine_wait *wait)
{
	if (unlikely(atomic_read(&intel_quarantine_active)) &&
	    intel_quarantine_filter(iommu, slot, desc, size, options, wait))
		return;
	memcpy(slot, desc, size);
}

/* A submission is over: free its slot. Context: q_lock held. */
static inline void intel_quarantine_slot(int *status, int rc,
					 struct intel_quarantine_wait *wait)
{
	/* Also QI_ABORT of a descriptor whose wait was not fetched yet */
	if (unlikely(*status >= QI_ABORT))
		wait->dropped = true;
	/* The hardware may still read or write the slot: never use it again */
	*status = unlikely(rc == -EIO) ? QI_QUARANTINE_ABANDONED : QI_FREE;
}

/*
 * Between a submission and its return: no flush returns while a device that
 * did not answer could use what was flushed. Context: as
 * __intel_quarantine_settle().
 */
static inline int intel_quarantine_settle(struct intel_iommu *iommu,
					  struct qi_desc *desc,
					  unsigned int count,
					  unsigned long options,
					  struct intel_quarantine_wait *wait,
					  int rc)
{
	if (likely(!atomic_read(&intel_quarantine_active) && !wait->dropped &&
		   rc != -EIO))
		return rc;
	return __intel_quarantine_settle(iommu, desc, count, options, wait, rc);
}

#else /* !CONFIG_IOMMU_QUARANTINE_INTEL */

static inline void intel_quarantine_copy(struct intel_iommu *iommu, void *slot,
					 const struct qi_desc *desc, size_t size,
					 unsigned long options,
					 struct intel_quarantine_wait *wait)
{
	memcpy(slot, desc, size);
}

static inline void intel_quarantine_slot(int *status, int rc,
					 struct intel_quarantine_wait *wait)
{
	*status = QI_FREE;
}

static inline int intel_quarantine_settle(struct intel_iommu *iommu,
					  struct qi_desc *desc,
					  unsigned int count,
					  unsigned long options,
					  struct intel_quarantine_wait *wait,
					  int rc)
{
	return rc;
}

static inline void intel_quarantine_ite(struct intel_iommu *iommu, u32 fault,
					u64 iqe_err)
{
}

static inline bool intel_quarantine_handles_ite(void)
{
	return false;
}

static inline bool intel_quarantine_may_ask(struct device *dev)
{
	return false;
}

static inline int intel_quarantine_poll(struct intel_iommu *iommu,
					struct intel_quarantine_wait *wait,
					int rc)
{
	return rc;
}

static inline bool intel_quarantine_lost(struct intel_iommu *iommu)
{
	return false;
}

static inline void intel_quarantine_set_present(struct intel_iommu *iommu,
						u8 bus, u8 devfn,
						struct context_entry *context)
{
	context_set_present(context);
}

static inline void intel_quarantine_clear_present(struct intel_iommu *iommu,
						  u8 bus, u8 devfn,
						  struct context_entry *context)
{
	context_clear_present(context);
}

static inline void intel_quarantine_clear_entry(struct intel_iommu *iommu,
						u8 bus, u8 devfn,
						struct context_entry *context)
{
	context_clear_entry(context);
}

#ifdef IQ_HAVE_VTD_FLIP_PRI
static inline void intel_quarantine_flip_pri(struct intel_iommu *iommu, u8 bus,
					     u8 devfn,
					     struct context_entry *context,
					     bool enable)
{
	if (enable)
		context_set_sm_pre(context);
	else
		context_clear_sm_pre(context);
}
#endif

static inline void intel_quarantine_probe(struct device_domain_info *info)
{
}

static inline void intel_quarantine_release(struct device_domain_info *info)
{
}

static inline void intel_quarantine_ats_leaves(struct device_domain_info *info)
{
}

static inline bool intel_quarantine_ats_off(struct device_domain_info *info)
{
	return false;
}

#define intel_quarantine_reset_device_done NULL

#endif /* CONFIG_IOMMU_QUARANTINE_INTEL */

#endif /* __INTEL_QUARANTINE_H */
