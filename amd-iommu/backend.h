/* SPDX-License-Identifier: GPL-2.0-only */
/* What the AMD backend keeps of a device */
#ifndef __AMD_QUARANTINE_BACKEND_H
#define __AMD_QUARANTINE_BACKEND_H

#include <linux/atomic.h>
#include <linux/iommu-quarantine.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "amd_iommu.h"
#include "compat.h"

#ifndef IQ_HAVE_AMD_SEARCH
/* In iommu.c, where the driver's own function is static; see commands.h */
struct iommu_dev_data *amd_quarantine_search(struct amd_iommu *iommu, u16 devid);

#define search_dev_data amd_quarantine_search
#endif

/* Times that a suspect, asked alone, may fail to answer in time */
#define AMD_ASKS	3

enum amd_state {
	AMD_HEALTHY,	/* is sent invalidations */
	AMD_SUSPECT,	/* held back until one that is sent alone is answered */
	AMD_ANSWERED,	/* answered, held back until the narrowing is over */
	AMD_FENCING,	/* accused, nothing is queued for it any more */
	AMD_FENCED,	/* and its ATS permission is gone */
};

/**
 * struct amd_dev - the backend's state of one ATS device
 * @dev: the device
 * @dev_data: the driver's view of it
 * @iommu: its IOMMU
 * @lock: serialises the stores of the lower half of its device table entries.
 *	Innermost, never held across a hardware wait.
 * @state: enum amd_state
 * @cut_off: bus mastering is off at the port above
 * @accused: how often it was; under amd_unit.log_lock
 * @evidence: of the last accusation, written before @state becomes FENCING
 * @parent: what it was attached to when a guest's tables were last put on top;
 *	only to be compared, it may be gone; under group->mutex
 * @pasids: PASIDs that are attached; what is stored has no meaning
 * @rcu: grace period between release and free
 * @nr_sids: DeviceIDs of the device
 * @sids: its own one first, then its DMA aliases
 */
struct amd_dev {
	struct device *dev;
	struct iommu_dev_data *dev_data;
	struct amd_iommu *iommu;
	raw_spinlock_t lock;
	atomic_t state;
	bool cut_off;
	unsigned int accused;
	struct iommu_broken_evidence evidence;
	struct protection_domain *parent;
	struct xarray pasids;
	struct rcu_head rcu;
	unsigned int nr_sids;
	u16 sids[] __counted_by(nr_sids);
};

/**
 * struct amd_unit - the backend's state of one IOMMU
 * @control_lock: serialises changes of the control register, each a read and a
 *	write. Innermost.
 * @log_lock: protects @seen and the choice of amd_quarantine_next_event
 * @seen: offset of the first event that was not looked at yet
 * @taken: offset of the event that the irq thread takes next; not ahead of @seen
 * @events: IOTLB_INV_TIMEOUT seen
 * @nameless: those of them that name no device of ours
 * @restarts: how often logging was, after the log had been full
 * @unhealthy: devices that are not AMD_HEALTHY, and who narrows
 * @probing: what is queued may ask suspects; under iommu->lock
 * @narrowing: a CPU asks suspects one by one; it owns @window
 * @slow: waits that have taken too long for an answer and are not verified yet
 * @slow_from: what the oldest of them stores, or an older one; under @log_lock
 * @verified: what the last wait stores whose invalidations were verified; under
 *	@narrowing
 * @missed: an invalidation was not queued since the IOMMU is lost, or was
 * @lost: the IOMMU did not answer within the bound, nor has it since
 * @said: when a wait for it was last worth a line in the log
 * @dropped: commands were dropped meanwhile, since its buffer was full
 * @overwritten: some of them are not in the buffer any more
 * @nr_window: invalidations in @window
 * @window: those that were not answered in time, as many as the buffer holds;
 *	NULL: it has no ATS device of ours
 */
struct amd_unit {
	raw_spinlock_t control_lock;
	raw_spinlock_t log_lock;
	u32 seen;
	u32 taken;
	unsigned int events;
	unsigned int nameless;
	unsigned int restarts;
	atomic_t unhealthy;
	bool probing;
	atomic_t narrowing;
	atomic_t slow;
	u64 slow_from;
	u64 verified;
	bool missed;
	bool lost;
	atomic64_t said;
	bool dropped;
	bool overwritten;
	unsigned int nr_window;
	struct iommu_cmd *window;
};

#if IS_ENABLED(CONFIG_KUNIT)
struct amd_unit *amd_unit(struct amd_iommu *iommu);
struct amd_dev *amd_find(struct amd_iommu *iommu, u16 devid);
#endif

#endif /* __AMD_QUARANTINE_BACKEND_H */
