/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the VT-d backend share */
#ifndef __INTEL_QUARANTINE_BACKEND_H
#define __INTEL_QUARANTINE_BACKEND_H

#include <linux/atomic.h>
#include <linux/iommu-quarantine.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#include "iommu.h"
#include "compat.h"

enum vtd_state {
	VTD_HEALTHY,	/* is sent invalidations */
	VTD_SUSPECT,	/* held back until one that is sent alone is answered */
	VTD_ANSWERED,	/* answered, held back until the narrowing is over */
	VTD_FENCING,	/* accused, nothing is queued for it any more */
	VTD_FENCED,	/* and its ATS permission is gone */
};

/**
 * struct vtd_dev - the backend's state of one ATS device
 * @info: the driver's view of it
 * @lock: serialises the stores of context.lo that change what the device may
 *	do: the fence and the two stores of the driver that turn the present bit.
 *	Innermost, never held across a hardware wait.
 * @state: enum vtd_state; towards SUSPECT and FENCING, and back by a reset,
 *	only under q_lock
 * @cut_off: bus mastering is off at the port above
 * @accused: how often it was; under q_lock
 * @pf_sid: requester id of its physical function, its own if it is one
 * @evidence: of the last accusation, written before @state becomes FENCING
 * @rcu: grace period between release and free
 * @nr_sids: source ids of the device
 * @sids: its requester id first, then its DMA aliases
 */
struct vtd_dev {
	struct device_domain_info *info;
	raw_spinlock_t lock;
	atomic_t state;
	struct iommu_broken_evidence evidence;
	struct rcu_head rcu;
	bool cut_off;
	unsigned int accused;
	u16 pf_sid;
	unsigned int nr_sids;
	struct {
		u16 sid;
		u64 taken;	/* permission bits taken out; under @lock */
	} sids[] __counted_by(nr_sids);
};

/**
 * struct vtd_unit - the backend's state of one IOMMU
 * @narrowing: a CPU sends suspects' invalidations alone
 * @ites: ITE seen; under q_lock
 * @murky: aborted ones may still expire; under q_lock
 * @lost: the IOMMU did not answer within the bound
 * @said: when a wait for it was last worth a line in the log
 */
struct vtd_unit {
	atomic_t narrowing;
	unsigned int ites;
	bool murky;
	bool lost;
	atomic64_t said;
};

#if IS_ENABLED(CONFIG_KUNIT)
struct vtd_unit *vtd_unit(struct intel_iommu *iommu);
struct vtd_dev *vtd_find(struct intel_iommu *iommu, u16 sid);
#endif

/*
 * A test plays the hardware. It goes on whenever the driver polls, with q_lock
 * held, so that a write of 1 to clear a bit has its effect before the next read.
 */
#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_INTEL_KUNIT_TEST)
extern void (*vtd_kunit_hardware)(struct intel_iommu *iommu);

static inline void vtd_kunit_poll(struct intel_iommu *iommu)
{
	if (vtd_kunit_hardware)
		vtd_kunit_hardware(iommu);
}
#else
static inline void vtd_kunit_poll(struct intel_iommu *iommu)
{
}
#endif

#endif /* __INTEL_QUARANTINE_BACKEND_H */
