/* SPDX-License-Identifier: GPL-2.0-only */
/* What the AMD backend keeps of a device */
#ifndef __AMD_QUARANTINE_BACKEND_H
#define __AMD_QUARANTINE_BACKEND_H

#include <linux/atomic.h>
#include <linux/iommu-quarantine.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#include "amd_iommu.h"

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
	struct rcu_head rcu;
	unsigned int nr_sids;
	u16 sids[] __counted_by(nr_sids);
};

#endif /* __AMD_QUARANTINE_BACKEND_H */
