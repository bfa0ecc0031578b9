/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the call-outs in drivers/iommu/amd use. With the option off each of them
 * leaves the statement as it was, so that the object code is that of a driver
 * without call-outs; `make check-text` shows it.
 */
#ifndef __AMD_QUARANTINE_H
#define __AMD_QUARANTINE_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "../../amd/amd_iommu.h"
#include "compat.h"

#ifdef CONFIG_IOMMU_QUARANTINE_AMD

/* Not 0: some device is not healthy, look closer */
extern atomic_t amd_quarantine_active;

/* Per IOMMU: the first quadword of what the hardware logs next, see log_seen() */
extern u64 *amd_quarantine_next_event[MAX_IOMMUS];

int __amd_quarantine_filter(struct amd_iommu *iommu, struct iommu_cmd *cmd);
void amd_quarantine_probing(struct amd_iommu *iommu, bool probing);
int __amd_quarantine_settle(struct amd_iommu *iommu, u64 data, int polls);
bool __amd_quarantine_full(struct amd_iommu *iommu, unsigned int polls);
void amd_quarantine_narrow(struct amd_iommu *iommu);
unsigned long amd_quarantine_control_lock(struct amd_iommu *iommu);
void amd_quarantine_control_unlock(struct amd_iommu *iommu,
				   unsigned long flags);
void amd_quarantine_log_reset(struct amd_iommu *iommu);
void amd_quarantine_log_restart(struct amd_iommu *iommu);
void amd_quarantine_event(struct amd_iommu *iommu, void *event);
bool amd_quarantine_muted(struct amd_iommu *iommu, u16 devid);
bool amd_quarantine_refuses_ppr(struct amd_iommu *iommu, u16 devid);
void amd_quarantine_store_dte(struct amd_iommu *iommu, u16 devid,
			      struct dev_table_entry *dte,
			      struct dev_table_entry *new,
			      void (*store)(struct dev_table_entry *dte,
					    struct dev_table_entry *new));
#ifdef IQ_HAVE_AMD_DTE_WORDS
void amd_quarantine_set_flags(struct amd_iommu *iommu, u16 devid,
			      struct dev_table_entry *dte, u64 flags);
void amd_quarantine_clear_flags(struct amd_iommu *iommu, u16 devid,
				struct dev_table_entry *dte);
#endif
void amd_quarantine_probe(struct amd_iommu *iommu, struct device *dev);
void amd_quarantine_release(struct device *dev);
void amd_quarantine_reset_device_done(struct device *dev);
bool amd_quarantine_pasid_taken(struct iommu_domain *old);
int amd_quarantine_set_gcr3(struct iommu_dev_data *dev_data, ioasid_t pasid,
			    unsigned long gcr3);
void amd_quarantine_clear_gcr3(struct iommu_dev_data *dev_data,
			       ioasid_t pasid);
#ifdef IQ_HAVE_AMD_NESTED
int amd_quarantine_nest(struct nested_domain *ndom, struct device *dev,
			struct iommu_domain *old);
#endif

/* in drivers/iommu/amd/iommu.c, see commands.h */
int amd_quarantine_submit(struct amd_iommu *iommu, struct iommu_cmd *cmd,
			  unsigned int count, u64 *data);
void amd_quarantine_build_inv_dte(struct iommu_cmd *cmd, u16 devid);
void amd_quarantine_build_inv_iotlb_all(struct iommu_cmd *cmd,
					struct iommu_dev_data *dev_data,
					ioasid_t pasid, bool gn);

/* Polls of a microsecond or more, after which a wait is no positive answer */
#define AMD_QUARANTINE_ANSWER_POLLS	10000

/* Returns 0 if @cmd may be queued. Context: iommu->lock held. */
static inline int amd_quarantine_filter(struct amd_iommu *iommu,
					struct iommu_cmd *cmd)
{
	if (cmd->data[1] >> 28 != CMD_INV_IOTLB_PAGES ||
	    likely(!atomic_read(&amd_quarantine_active)))
		return 0;
	return __amd_quarantine_filter(iommu, cmd);
}

/*
 * Between a wait and its return: no flush returns while a device that did not
 * answer could use what was flushed. Returns the polls, LOOP_TIMEOUT if the wait
 * is given up. Context: as __amd_quarantine_settle().
 */
static inline int amd_quarantine_settle(struct amd_iommu *iommu, u64 data,
					int polls)
{
	u64 **next = &amd_quarantine_next_event[iommu->index], *event;

	/* The event before the store, see HARDWARE.md */
	dma_rmb();
	event = READ_ONCE(*next);
	if (likely(polls < AMD_QUARANTINE_ANSWER_POLLS && !READ_ONCE(*event))) {
		/* Or was it emptied just now, after the next one was chosen? */
		smp_rmb();
		if (likely(READ_ONCE(*next) == event))
			return polls;
	}
	return __amd_quarantine_settle(iommu, data, polls);
}

/* Is a buffer that is full to be given up? Context: iommu->lock held. */
static inline bool amd_quarantine_full(struct amd_iommu *iommu,
				       unsigned int polls)
{
	return polls >= LOOP_TIMEOUT && __amd_quarantine_full(iommu, polls);
}

/* A macro, as what it calls is static in the file that uses it */
#define amd_quarantine_write_dte(iommu, devid, ptr, new) \
	amd_quarantine_store_dte(iommu, devid, ptr, new, write_dte_lower128)

#else /* !CONFIG_IOMMU_QUARANTINE_AMD */

static inline int amd_quarantine_filter(struct amd_iommu *iommu,
					struct iommu_cmd *cmd)
{
	return 0;
}

static inline int amd_quarantine_settle(struct amd_iommu *iommu, u64 data,
					int polls)
{
	return polls;
}

static inline bool amd_quarantine_full(struct amd_iommu *iommu,
				       unsigned int polls)
{
	return polls == LOOP_TIMEOUT;
}

#define amd_quarantine_write_dte(iommu, devid, ptr, new) \
	((void)(iommu), (void)(devid), write_dte_lower128(ptr, new))

#ifdef IQ_HAVE_AMD_DTE_WORDS
static inline void amd_quarantine_set_flags(struct amd_iommu *iommu, u16 devid,
					    struct dev_table_entry *dte,
					    u64 flags)
{
	dte->data[1] = flags;
}

static inline void amd_quarantine_clear_flags(struct amd_iommu *iommu,
					      u16 devid,
					      struct dev_table_entry *dte)
{
	dte->data[1] &= DTE_FLAG_MASK;
}
#endif

static inline unsigned long amd_quarantine_control_lock(struct amd_iommu *iommu)
{
	return 0;
}

static inline void amd_quarantine_control_unlock(struct amd_iommu *iommu,
						 unsigned long flags)
{
}

static inline void amd_quarantine_log_reset(struct amd_iommu *iommu)
{
}

static inline void amd_quarantine_log_restart(struct amd_iommu *iommu)
{
}

static inline void amd_quarantine_event(struct amd_iommu *iommu, void *event)
{
}

static inline bool amd_quarantine_muted(struct amd_iommu *iommu, u16 devid)
{
	return false;
}

static inline bool amd_quarantine_refuses_ppr(struct amd_iommu *iommu,
					      u16 devid)
{
	return false;
}

static inline void amd_quarantine_probe(struct amd_iommu *iommu,
					struct device *dev)
{
}

static inline void amd_quarantine_release(struct device *dev)
{
}

#define amd_quarantine_reset_device_done NULL

#define amd_quarantine_pasid_taken(old) (old)
#define amd_quarantine_set_gcr3 amd_iommu_set_gcr3
#define amd_quarantine_clear_gcr3 amd_iommu_clear_gcr3
#define amd_quarantine_nest(ndom, dev, old) 0

#endif /* CONFIG_IOMMU_QUARANTINE_AMD */

#endif /* __AMD_QUARANTINE_H */
