/* SPDX-License-Identifier: GPL-2.0-only */
/* What the SMMUv3 backend keeps of an SMMU and of a device */
#ifndef __SMMU_QUARANTINE_BACKEND_H
#define __SMMU_QUARANTINE_BACKEND_H

#include <linux/atomic.h>
#include <linux/iommu-quarantine.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "../../arm/arm-smmu-v3/arm-smmu-v3.h"
#include "compat.h"

#ifndef IQ_HAVE_SMMU_CMD
#define arm_smmu_cmdq_issue_cmdlist smmu_quarantine_issue
/* for tests */
#define CMDQ_OP_TLBI_NH_ALL	0x10
#endif
#ifndef IQ_HAVE_SMMU_CMDLIST_TWICE
#define __arm_smmu_cmdq_issue_cmdlist arm_smmu_cmdq_issue_cmdlist
#endif

enum smmu_state {
	SMMU_HEALTHY,	/* is sent invalidations */
	SMMU_SUSPECT,	/* was reset: held back until it has answered one alone */
	SMMU_FENCING,	/* accused, nothing is queued for it any more */
	SMMU_FENCED,	/* and its ATS permission is gone */
};

/**
 * struct smmu_unit - the backend's state of one SMMU
 * @smmu: the SMMU
 * @devs: StreamID -> struct smmu_dev; a device is in it once for each of its ids
 * @narrower: the CPU that asks its devices one by one, with irqs off; -1: none
 * @timeouts: that its own command queue has reported; under smmu_lock
 * @word: when it did so last, in ns of the monotonic clock
 * @lost: the SMMU did not answer within the bound, nor has it since
 * @said: when a wait for it was last worth a line in the log
 * @dropped: commands were dropped meanwhile, since its queue was full
 */
struct smmu_unit {
	struct arm_smmu_device *smmu;
	struct xarray devs;
	atomic_t narrower;
	unsigned int timeouts;
	u64 word;
	bool lost;
	atomic64_t said;
	bool dropped;
};

/**
 * struct smmu_dev - the backend's state of one ATS device
 * @master: the driver's view of it
 * @unit: its SMMU
 * @lock: serialises the stores of the word of its stream table entries that
 *	holds EATS. Innermost, never held across a hardware wait.
 * @state: enum smmu_state; towards FENCING, and back by a reset, only under
 *	smmu_lock
 * @cut_off: bus mastering is off at the port above
 * @accused: how often it was; under smmu_lock
 * @evidence: of the last accusation, written before @state becomes FENCING
 * @rcu: grace period between release and free
 */
struct smmu_dev {
	struct arm_smmu_master *master;
	struct smmu_unit *unit;
	raw_spinlock_t lock;
	atomic_t state;
	bool cut_off;
	unsigned int accused;
	struct iommu_broken_evidence evidence;
	struct rcu_head rcu;
};

#if IS_ENABLED(CONFIG_KUNIT)
struct smmu_unit *smmu_unit(struct arm_smmu_device *smmu);
#endif

#endif /* __SMMU_QUARANTINE_BACKEND_H */
