/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the backend expects of the driver, for those that have it not.
 */
#ifndef __SMMU_QUARANTINE_COMPAT_H
#define __SMMU_QUARANTINE_COMPAT_H

#include "../core/compat/compat.h"

#ifdef IQ_HAVE_SMMU_INVS

#define smmu_quarantine_blocked NULL

#else /* !IQ_HAVE_SMMU_INVS */

/*
 * A flush lets go of the list of who is attached before it sends the last of what it has
 * made of it. So it is an RCU reader from its look at the list to the last answer, in any
 * context, and the core waits for it once a device is blocked.
 */
#include <linux/rcupdate.h>

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM)
#define smmu_quarantine_hold_reset() guard(rcu)()
#else
#define smmu_quarantine_hold_reset() do { } while (0)
#endif

/* struct iommu_quarantine_backend::blocked. Context: process. */
static inline void smmu_quarantine_blocked(struct device *dev)
{
	synchronize_rcu();
}

#endif /* IQ_HAVE_SMMU_INVS */

#ifndef IQ_HAVE_SMMU_CMD
/* A command is two u64 there and is made of another structure; the layout is the same. */

#include <linux/bitfield.h>

#include "../../arm/arm-smmu-v3/arm-smmu-v3.h"

struct arm_smmu_cmd {
	u64 data[CMDQ_ENT_DWORDS];
};

static_assert(sizeof(struct arm_smmu_cmd) == CMDQ_ENT_DWORDS * sizeof(u64));

/* In arm-smmu-v3.c, where the driver's own function is static; see access.h */
int smmu_quarantine_issue(struct arm_smmu_device *smmu,
			  struct arm_smmu_cmdq *cmdq,
			  struct arm_smmu_cmd *cmds, int n, bool sync);

static inline struct arm_smmu_cmd arm_smmu_make_cmd_op(unsigned int op)
{
	return (struct arm_smmu_cmd){ { FIELD_PREP(CMDQ_0_OP, op) } };
}

static inline struct arm_smmu_cmd arm_smmu_make_cmd_cfgi_ste(u32 sid, bool leaf)
{
	return (struct arm_smmu_cmd){ {
		FIELD_PREP(CMDQ_0_OP, CMDQ_OP_CFGI_STE) |
			FIELD_PREP(CMDQ_CFGI_0_SID, sid),
		FIELD_PREP(CMDQ_CFGI_1_LEAF, leaf),
	} };
}

static inline struct arm_smmu_cmd arm_smmu_make_cmd_atc_inv_all(u32 sid,
								u32 ssid)
{
	return (struct arm_smmu_cmd){ {
		FIELD_PREP(CMDQ_0_OP, CMDQ_OP_ATC_INV) |
			FIELD_PREP(CMDQ_0_SSV, ssid != IOMMU_NO_PASID) |
			FIELD_PREP(CMDQ_ATC_0_SSID, ssid) |
			FIELD_PREP(CMDQ_ATC_0_SID, sid),
		FIELD_PREP(CMDQ_ATC_1_SIZE, ATC_INV_SIZE_ALL),
	} };
}

static inline struct arm_smmu_cmd arm_smmu_make_cmd_sync(unsigned int cs,
							 u64 msiaddr)
{
	return (struct arm_smmu_cmd){ {
		FIELD_PREP(CMDQ_0_OP, CMDQ_OP_CMD_SYNC) |
			FIELD_PREP(CMDQ_SYNC_0_CS, cs) |
			FIELD_PREP(CMDQ_SYNC_0_MSH, ARM_SMMU_SH_ISH) |
			FIELD_PREP(CMDQ_SYNC_0_MSIATTR, ARM_SMMU_MEMATTR_OIWB),
		msiaddr & CMDQ_SYNC_1_MSIADDR_MASK,
	} };
}

#endif /* IQ_HAVE_SMMU_CMD */

#endif /* __SMMU_QUARANTINE_COMPAT_H */
