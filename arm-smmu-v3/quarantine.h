/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the call-outs in drivers/iommu/arm/arm-smmu-v3 use. With the option off
 * each of them leaves the statement as it was, so that the object code is that
 * of a driver without call-outs; `make check-text` shows it.
 */
#ifndef __SMMU_QUARANTINE_H
#define __SMMU_QUARANTINE_H

#include <linux/compiler.h>
#include <linux/iommu-quarantine.h>
#include <linux/minmax.h>
#include <linux/platform_device.h>
#include <linux/types.h>

#include "../../arm/arm-smmu-v3/arm-smmu-v3.h"
#include "compat.h"

/**
 * struct smmu_quarantine_wait - one submission's own notes, on its stack
 * @word: smmu_quarantine_word before the commands were queued
 * @atc: there is a CMD_ATC_INV among them, or there was
 * @late: the last look for room was past the bound
 * @full: since when there has been no room in the queue, in ns; 0: there was
 */
struct smmu_quarantine_wait {
	unsigned int word;
	bool atc;
	bool late;
	u64 full;
};

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM)

/*
 * Bit 0: look closer, some device is not healthy. The rest counts the timeouts
 * that any SMMU has reported. The hot path's one load.
 */
extern unsigned int smmu_quarantine_word;

int __smmu_quarantine_filter(struct arm_smmu_device *smmu,
			     struct arm_smmu_cmd *cmds, int n,
			     struct smmu_quarantine_wait *wait);
int __smmu_quarantine_poll(struct arm_smmu_device *smmu,
			   struct arm_smmu_cmdq *cmdq,
			   struct arm_smmu_queue_poll *qp);
bool smmu_quarantine_drop(struct arm_smmu_device *smmu,
			  struct arm_smmu_cmdq *cmdq,
			  struct smmu_quarantine_wait *wait);
int __smmu_quarantine_settle(struct arm_smmu_device *smmu,
			     struct arm_smmu_cmd *cmds, int n,
			     const struct smmu_quarantine_wait *wait, int ret);
void smmu_quarantine_gerror(struct arm_smmu_device *smmu,
			    struct arm_smmu_cmdq *cmdq);
void smmu_quarantine_ack(struct arm_smmu_device *smmu,
			 struct arm_smmu_cmdq *cmdq, u32 gerror,
			 void __iomem *gerrorn);
bool smmu_quarantine_skip(struct arm_smmu_device *smmu,
			  struct arm_smmu_cmdq *cmdq, u32 cons, const u64 *sync);
void smmu_quarantine_store(struct arm_smmu_master *master, bool ste,
			   __le64 *entry, unsigned int i, __le64 val);
int smmu_quarantine_issue_user(struct arm_smmu_device *smmu,
			       struct arm_smmu_cmd *cmds, int n,
			       int (*issue)(struct arm_smmu_device *smmu,
					    struct arm_smmu_cmdq *cmdq,
					    struct arm_smmu_cmd *cmds, int n,
					    bool sync), unsigned int *back);
bool smmu_quarantine_muted(struct arm_smmu_device *smmu, const u64 *evt);
bool smmu_quarantine_allows_ats(struct arm_smmu_master *master);
int smmu_quarantine_probe(struct arm_smmu_master *master);
void smmu_quarantine_release(struct arm_smmu_master *master);
void smmu_quarantine_exit(void);
void smmu_quarantine_reset_device_done(struct device *dev);

/* in arm-smmu-v3.c, see access.h */
struct arm_smmu_ste *smmu_quarantine_ste(struct arm_smmu_device *smmu, u32 sid);
const struct iommu_ops *smmu_quarantine_ops(void);

/* in tegra241-cmdqv.c, see vcmdq.h: whose queues are the only other ones */
#ifdef CONFIG_TEGRA241_CMDQV
void __iomem *smmu_quarantine_vcmdq_gerror(struct arm_smmu_cmdq *cmdq);
#else
static inline void __iomem *
smmu_quarantine_vcmdq_gerror(struct arm_smmu_cmdq *cmdq)
{
	return NULL;
}
#endif

/* A test plays the hardware, which goes on whenever the driver polls */
#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM_KUNIT_TEST)
extern void (*smmu_kunit_hardware)(struct arm_smmu_device *smmu);
int smmu_kunit_init_structures(struct arm_smmu_device *smmu);
void smmu_kunit_gerror_irq(struct arm_smmu_device *smmu);
#ifdef IQ_HAVE_SMMU_BY_DRIVER
int smmu_kunit_adopt(struct platform_device *pdev);
void smmu_kunit_unregister(struct platform_device *pdev);
#else
static inline int smmu_kunit_adopt(struct platform_device *pdev)
{
	return 0;
}

#define smmu_kunit_unregister platform_device_unregister
#endif
#ifdef CONFIG_TEGRA241_CMDQV
struct arm_smmu_device *smmu_kunit_smmu(void);
struct arm_smmu_cmdq *smmu_kunit_cmdqv_start(void __iomem *base);
void smmu_kunit_cmdqv_stop(void);
void smmu_kunit_cmdqv_irq(void);
#endif

static inline void smmu_kunit_poll(struct arm_smmu_device *smmu)
{
	if (smmu_kunit_hardware)
		smmu_kunit_hardware(smmu);
}
#else
static inline void smmu_kunit_poll(struct arm_smmu_device *smmu)
{
}
#endif

/*
 * Before anything is queued. Takes out of @cmds what may not be sent. Returns what
 * is left. Context: as __smmu_quarantine_filter().
 */
static inline int smmu_quarantine_filter(struct arm_smmu_device *smmu,
					 struct arm_smmu_cmd *cmds, int n,
					 struct smmu_quarantine_wait *wait)
{
	int i;

	wait->full = 0;
	wait->atc = false;
	for (i = 0; i < n; i++)
		wait->atc |= (cmds[i].data[0] & CMDQ_0_OP) == CMDQ_OP_ATC_INV;
	if (likely(!wait->atc))
		return n;
	/* Before the commands can be seen, and so before they can time out */
	wait->word = READ_ONCE(smmu_quarantine_word);
	if (likely(!(wait->word & 1)))
		return n;
	return __smmu_quarantine_filter(smmu, cmds, n, wait);
}

/*
 * There was no room, and it took time to wait for some: the commands are looked at
 * again if anything has happened since. None of them is queued yet. Context: as
 * __smmu_quarantine_filter().
 */
static inline int smmu_quarantine_refilter(struct arm_smmu_device *smmu,
					   struct arm_smmu_cmd *cmds, int n,
					   struct smmu_quarantine_wait *wait)
{
	u64 full = wait->full;

	if (!wait->atc || READ_ONCE(smmu_quarantine_word) == wait->word)
		return n;
	n = smmu_quarantine_filter(smmu, cmds, n, wait);
	/* For whom nothing is left to be queued has to be fenced all the same */
	wait->atc = true;
	wait->full = full;
	return n;
}

/*
 * After the queue was let go: no flush returns while a device that did not
 * answer could use what was flushed. Context: as __smmu_quarantine_settle().
 */
static inline int smmu_quarantine_settle(struct arm_smmu_device *smmu,
					 struct arm_smmu_cmd *cmds, int n,
					 const struct smmu_quarantine_wait *wait,
					 int ret)
{
	if (likely(!wait->atc))
		return ret;
	/* The CMD_SYNC was seen to complete: so is what was recorded before */
	dma_rmb();
	if (likely(!ret && !(wait->word & 1) &&
		   READ_ONCE(smmu_quarantine_word) == wait->word))
		return 0;
	return __smmu_quarantine_settle(smmu, cmds, n, wait, ret);
}

/* The last look at CMDQ_CONS: did the queue stop at an error? Context: any. */
static inline void smmu_quarantine_look(struct arm_smmu_device *smmu,
					struct arm_smmu_cmdq *cmdq, u32 cons)
{
	if (unlikely(FIELD_GET(CMDQ_CONS_ERR, cons) ==
		     CMDQ_ERR_CERROR_ATC_INV_IDX))
		smmu_quarantine_gerror(smmu, cmdq);
}

/* The driver doubles its delay with each poll, up to half a second */
#define SMMU_QUARANTINE_DELAY_US	1024

/* After a poll of the driver, which ended with @ret. Context: any. */
static inline int smmu_quarantine_poll(struct arm_smmu_device *smmu,
				       struct arm_smmu_cmdq *cmdq,
				       struct arm_smmu_queue_poll *qp, int ret)
{
	smmu_kunit_poll(smmu);
	/*
	 * Look often enough to see an error soon: here, as a poller that waits
	 * for an MSI does not read CMDQ_CONS.
	 */
	if (unlikely(qp->delay >= SMMU_QUARANTINE_DELAY_US)) {
		qp->delay = SMMU_QUARANTINE_DELAY_US;
		if (!qp->spin_cnt)
			smmu_quarantine_gerror(smmu, cmdq);
	}
	return unlikely(ret) ? __smmu_quarantine_poll(smmu, cmdq, qp) : 0;
}

/* Every batch of a device-TLB invalidation has its own CMD_SYNC */
static inline bool smmu_quarantine_force_sync(struct arm_smmu_cmdq_batch *cmds)
{
	return cmds->num == CMDQ_BATCH_ENTRIES && iommu_quarantine_enabled() &&
	       (*(const u64 *)cmds->cmds & CMDQ_0_OP) == CMDQ_OP_ATC_INV;
}

/* @ste: a stream table entry, not a context descriptor */
static inline void smmu_quarantine_set(struct arm_smmu_entry_writer *writer,
				       bool ste, __le64 *entry, unsigned int i,
				       __le64 val)
{
	smmu_quarantine_store(writer->master, ste, entry, i, val);
}

#else /* !CONFIG_IOMMU_QUARANTINE_ARM */

static inline int smmu_quarantine_filter(struct arm_smmu_device *smmu,
					 struct arm_smmu_cmd *cmds, int n,
					 struct smmu_quarantine_wait *wait)
{
	return n;
}

static inline int smmu_quarantine_settle(struct arm_smmu_device *smmu,
					 struct arm_smmu_cmd *cmds, int n,
					 const struct smmu_quarantine_wait *wait,
					 int ret)
{
	return ret;
}

static inline void smmu_quarantine_look(struct arm_smmu_device *smmu,
					struct arm_smmu_cmdq *cmdq, u32 cons)
{
}

static inline int smmu_quarantine_poll(struct arm_smmu_device *smmu,
				       struct arm_smmu_cmdq *cmdq,
				       struct arm_smmu_queue_poll *qp, int ret)
{
	return ret;
}

static inline bool smmu_quarantine_drop(struct arm_smmu_device *smmu,
					struct arm_smmu_cmdq *cmdq,
					struct smmu_quarantine_wait *wait)
{
	return false;
}

static inline int smmu_quarantine_refilter(struct arm_smmu_device *smmu,
					   struct arm_smmu_cmd *cmds, int n,
					   struct smmu_quarantine_wait *wait)
{
	return n;
}

static inline bool smmu_quarantine_force_sync(struct arm_smmu_cmdq_batch *cmds)
{
	return false;
}

static inline void smmu_quarantine_set(struct arm_smmu_entry_writer *writer,
				       bool ste, __le64 *entry, unsigned int i,
				       __le64 val)
{
	WRITE_ONCE(entry[i], val);
}

static inline void smmu_quarantine_gerror(struct arm_smmu_device *smmu,
					  struct arm_smmu_cmdq *cmdq)
{
}

static inline void smmu_quarantine_ack(struct arm_smmu_device *smmu,
				       struct arm_smmu_cmdq *cmdq, u32 gerror,
				       void __iomem *gerrorn)
{
	writel(gerror, gerrorn);
}

static inline bool smmu_quarantine_skip(struct arm_smmu_device *smmu,
					struct arm_smmu_cmdq *cmdq, u32 cons,
					const u64 *sync)
{
	return false;
}

static inline int
smmu_quarantine_issue_user(struct arm_smmu_device *smmu,
			   struct arm_smmu_cmd *cmds, int n,
			   int (*issue)(struct arm_smmu_device *smmu,
					struct arm_smmu_cmdq *cmdq,
					struct arm_smmu_cmd *cmds, int n,
					bool sync), unsigned int *back)
{
	*back = 1;
	return issue(smmu, &smmu->cmdq, cmds, n, true);
}

static inline bool smmu_quarantine_muted(struct arm_smmu_device *smmu,
					 const u64 *evt)
{
	return false;
}

static inline bool smmu_quarantine_allows_ats(struct arm_smmu_master *master)
{
	return true;
}

static inline int smmu_quarantine_probe(struct arm_smmu_master *master)
{
	return 0;
}

static inline void smmu_quarantine_release(struct arm_smmu_master *master)
{
}

static inline void smmu_quarantine_exit(void)
{
}

#define smmu_quarantine_reset_device_done NULL

#endif /* CONFIG_IOMMU_QUARANTINE_ARM */

#ifndef IQ_HAVE_SMMU_CMD
/* The driver's list is one of u64 */
#define smmu_quarantine_filter(smmu, cmds, n, wait) \
	smmu_quarantine_filter(smmu, (struct arm_smmu_cmd *)(cmds), n, wait)
#define smmu_quarantine_refilter(smmu, cmds, n, wait) \
	smmu_quarantine_refilter(smmu, (struct arm_smmu_cmd *)(cmds), n, wait)
#define smmu_quarantine_settle(smmu, cmds, n, wait, ret) \
	smmu_quarantine_settle(smmu, (struct arm_smmu_cmd *)(cmds), n, wait, ret)
#endif

#endif /* __SMMU_QUARANTINE_H */
