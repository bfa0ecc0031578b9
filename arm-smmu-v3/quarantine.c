// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarantine backend of Arm SMMUv3.
 *
 * A CMD_ATC_INV that is not answered makes the next CMD_SYNC fail: GERROR.CMDQ_ERR
 * becomes active with CERROR_ATC_INV_SYNC, CONS stays at the CMD_SYNC and the
 * queue stops. Once the error is acknowledged the CMD_SYNC is tried again, and
 * then succeeds (IHI 0070, 3.9.1.4, 7.1). Which of the CMD_ATC_INVs before it
 * timed out is not said, and its issuer sees success.
 *
 * All commands pass arm_smmu_cmdq_issue_cmdlist(), in trees with an erratum's
 * repetitions the function of that name with two underscores. It carries the
 * call-outs:
 *
 *  - before anything is queued, CMD_ATC_INVs of devices that are not asked any
 *    more are taken out of the list                               ..._filter()
 *  - after the queue was let go and before the function returns: whoever queued
 *    a CMD_ATC_INV while an SMMU has reported a timeout takes none of his own for
 *    answered. He sends them again, one at a time, each with its own CMD_SYNC:
 *    what stands alone under one that fails is broken             ..._settle()
 *  - where the queue is polled, GERROR is looked at: the CPU that polls with
 *    irqs off may be the one that the interrupt goes to           ..._gerror()
 *
 * Where the error is noticed, in the irq or by a poller, it is only recorded,
 * while the queue stands still: if all CMD_ATC_INVs under the failed CMD_SYNC are
 * of one device, that is the culprit, and what stands behind for it is taken out.
 *
 * The fence takes EATS out of the stream table entries of the device and makes
 * the SMMU forget what it has cached of them (CMD_CFGI_STE). With ATSCHK set
 * translated requests are checked against them. Any CPU that needs the fence
 * runs all of it: it is idempotent, and nobody waits for a CPU that may be
 * interrupted.
 *
 * Lock order: smmu_lock or the driver's locks, then smmu_dev.lock, which is
 * innermost. None of the driver's locks is taken.
 */

#define pr_fmt(fmt) "arm-smmu-v3: iommu-quarantine: " fmt
#define dev_fmt(fmt) "iommu-quarantine: " fmt

#include <kunit/visibility.h>
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "backend.h"
#include "quarantine.h"

/*
 * How long a flush waits for the hardware's word, in ns. PCIe gives a device a
 * minute and a half to answer, and the SMMU gives up after that or earlier: past
 * two minutes it is the SMMU itself that does not answer.
 */
#define SMMU_WAIT_BOUND_NS	(120ULL * NSEC_PER_SEC)

/* No room for so long is no longer only a busy queue */
#define SMMU_WAIT_LONG_NS	(1ULL * NSEC_PER_SEC)

/* Times that a device, asked alone, may fail to answer before it is accused */
#define SMMU_ASKS		8

unsigned int smmu_quarantine_word;

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM_KUNIT_TEST)
void (*smmu_kunit_hardware)(struct arm_smmu_device *smmu);
#endif

/* Protects smmu_quarantine_word, accusations, and who acknowledges an error */
static DEFINE_RAW_SPINLOCK(smmu_lock);
static unsigned int smmu_timeouts;	/* that any SMMU has reported */
static unsigned int smmu_unhealthy;	/* devices, and who narrows */

/* struct arm_smmu_device -> struct smmu_unit; freed when the driver is unloaded */
static DEFINE_XARRAY(smmu_units);
static bool smmu_registered;

VISIBLE_IF_KUNIT struct smmu_unit *smmu_unit(struct arm_smmu_device *smmu)
{
	return xa_load(&smmu_units, (unsigned long)smmu);
}

static struct smmu_dev *smmu_find(struct arm_smmu_device *smmu, u32 sid)
{
	struct smmu_unit *unit = smmu_unit(smmu);

	return unit ? xa_load(&unit->devs, sid) : NULL;
}

/* Unless another device has got hold of its stream id */
static struct smmu_dev *smmu_of(struct arm_smmu_master *master)
{
	struct smmu_dev *sdev = smmu_find(master->smmu, master->streams[0].id);

	return sdev && sdev->master == master ? sdev : NULL;
}

static bool smmu_is_fenced(struct smmu_dev *sdev)
{
	return atomic_read(&sdev->state) >= SMMU_FENCING;
}

/* Of the narrowing CPU itself nothing is held back. Irqs are off there. */
static bool smmu_is_narrower(struct smmu_unit *unit)
{
	unsigned long flags;
	bool yes;

	local_irq_save(flags);
	yes = atomic_read(&unit->narrower) == smp_processor_id();
	local_irq_restore(flags);
	return yes;
}

/* StreamID of a CMD_ATC_INV, or -1 for any other command */
static s64 smmu_atc_sid(u64 data)
{
	return FIELD_GET(CMDQ_0_OP, data) == CMDQ_OP_ATC_INV ?
		(s64)FIELD_GET(CMDQ_ATC_0_SID, data) : -1;
}

/* smmu_lock held */
static void smmu_update_word(void)
{
	lockdep_assert_held(&smmu_lock);
	WRITE_ONCE(smmu_quarantine_word,
		   smmu_timeouts << 1 | (smmu_unhealthy ? 1 : 0));
}

static void smmu_count_unhealthy(int by)
{
	guard(raw_spinlock_irqsave)(&smmu_lock);
	smmu_unhealthy += by;
	smmu_update_word();
}

/* smmu_lock held. Nothing that is already decided is decided again. */
static void smmu_accuse(struct smmu_dev *sdev, enum iommu_broken_cause cause,
			u32 gerror, u32 cons)
{
	int state = atomic_read(&sdev->state);

	lockdep_assert_held(&smmu_lock);
	if (state >= SMMU_FENCING)
		return;
	sdev->evidence = (struct iommu_broken_evidence){
		.cause = cause,
		.epoch = iommu_quarantine_epoch(sdev->master->dev),
		.hw = { gerror, cons },
	};
	WRITE_ONCE(sdev->accused, sdev->accused + 1);
	if (state == SMMU_HEALTHY)
		smmu_unhealthy++;
	/* Pairs with atomic_read_acquire() in smmu_fence_all() */
	atomic_set_release(&sdev->state, SMMU_FENCING);
	smmu_update_word();
}

static void smmu_suspect(struct smmu_dev *sdev)
{
	/* One with regard to an accusation, so that it is counted right */
	guard(raw_spinlock_irqsave)(&smmu_lock);
	if (atomic_cmpxchg(&sdev->state, SMMU_HEALTHY, SMMU_SUSPECT) ==
	    SMMU_HEALTHY) {
		smmu_unhealthy++;
		smmu_update_word();
	}
}

/* ---- where the error is noticed ---- */

static u64 smmu_queue_entry(struct arm_smmu_queue *q, u32 p)
{
	return le64_to_cpu(READ_ONCE(*Q_ENT(q, p)));
}

/* Entries that producers have claimed but the SMMU has not consumed */
static u32 smmu_occupied(struct arm_smmu_queue *q, u32 cons)
{
	u32 mask = (2U << q->llq.max_n_shift) - 1;

	return (READ_ONCE(q->llq.prod) - cons) & mask;
}

/*
 * Of whom are the CMD_ATC_INVs between the failed CMD_SYNC and the one before
 * it, which succeeded? NULL unless it is one device. Producers may overwrite
 * entries before CONS when the queue is nearly full: then nobody can say.
 * A CMD_SYNC that has completed by MSI has zeroes in its first half.
 */
static struct smmu_dev *smmu_culprit(struct arm_smmu_device *smmu,
				     struct arm_smmu_queue *q, u32 cons)
{
	u32 i, size = 1U << q->llq.max_n_shift;
	struct smmu_dev *sdev, *only = NULL;
	u64 data;
	s64 sid;

	for (i = 1; i < size; i++) {
		data = smmu_queue_entry(q, cons - i);
		if (FIELD_GET(CMDQ_0_OP, data) == CMDQ_OP_CMD_SYNC ||
		    !lower_32_bits(data))
			break;
		sid = smmu_atc_sid(data);
		if (sid < 0)
			continue;
		sdev = smmu_find(smmu, sid);
		if (!sdev || (only && only != sdev))
			return NULL;
		only = sdev;
	}
	/* Producers claim an entry and fill it then: look at what was claimed last */
	smp_rmb();
	return smmu_occupied(q, cons) + i <= size ? only : NULL;
}

/* No command does nothing, and a CMD_SYNC that signals nobody comes next to it */
static void smmu_make_sync(__le64 *entry)
{
	struct arm_smmu_cmd sync = arm_smmu_make_cmd_sync(CMDQ_SYNC_0_CS_NONE, 0);

	WRITE_ONCE(entry[0], cpu_to_le64(sync.data[0]));
	WRITE_ONCE(entry[1], cpu_to_le64(sync.data[1]));
}

/*
 * What others have queued for the accused behind the failed CMD_SYNC would expire
 * in its turn. While the error is active the SMMU has thrown away what it had
 * fetched of it, and fetches it once more afterwards (7.1); producers are done
 * with all that PROD covers. As the driver makes a CMD_SYNC of an illegal command,
 * so do we of these. Whoever waits for the answer sees the count of timeouts change.
 */
static void smmu_scrub(struct arm_smmu_device *smmu, struct arm_smmu_queue *q,
		       u32 cons)
{
	u32 mask = (2U << q->llq.max_n_shift) - 1, p;
	u32 prod = readl(q->prod_reg);
	struct smmu_dev *sdev;
	__le64 *entry;
	s64 sid;

	for (p = cons; (p ^ prod) & mask; p++) {
		entry = Q_ENT(q, p);
		sid = smmu_atc_sid(le64_to_cpu(READ_ONCE(entry[0])));
		sdev = sid < 0 ? NULL : smmu_find(smmu, sid);
		if (!sdev || !smmu_is_fenced(sdev))
			continue;
		smmu_make_sync(entry);
		iommu_quarantine_count(IOMMU_QUARANTINE_SCRUBBED);
	}
}

/*
 * smmu_lock held, the error is active: the queue stands still. Returns false if it is
 * nobody's, and nobody looks for whose it is.
 */
static bool smmu_record(struct arm_smmu_device *smmu,
			struct arm_smmu_cmdq *cmdq, u32 gerror, u32 cons)
{
	struct smmu_unit *unit = smmu_unit(smmu);
	struct iommu_broken_evidence evidence;
	struct smmu_dev *sdev;

	iommu_quarantine_count(IOMMU_QUARANTINE_TIMEOUTS);
	guard(rcu)();
	sdev = smmu_culprit(smmu, &cmdq->q, cons);
	if (!iommu_quarantine_enabled()) {
		if (!sdev)
			return false;
		evidence = (struct iommu_broken_evidence){
			.cause = IOMMU_BROKEN_ATS_TIMEOUT,
			.epoch = iommu_quarantine_epoch(sdev->master->dev),
			.hw = { gerror, cons },
		};
		iommu_quarantine_report(sdev->master->dev, &evidence);
		return true;
	}
	if (sdev)
		smmu_accuse(sdev, IOMMU_BROKEN_ATS_TIMEOUT, gerror, cons);
	smmu_scrub(smmu, &cmdq->q, cons);
	/* Who sees the count sees the state: pairs with smp_rmb() in the slow paths */
	smp_wmb();
	smmu_timeouts++;
	if (unit)
		WRITE_ONCE(unit->word, ktime_get_mono_fast_ns());
	if (unit && cmdq == &smmu->cmdq)
		WRITE_ONCE(unit->timeouts, unit->timeouts + 1);
	smmu_update_word();
	return true;
}

/* A command queue's error register: a VCMDQ of Tegra241's has one of its own */
static void __iomem *smmu_gerror(struct arm_smmu_device *smmu,
				 struct arm_smmu_cmdq *cmdq)
{
	return cmdq == &smmu->cmdq ? smmu->base + ARM_SMMU_GERROR :
				     smmu_quarantine_vcmdq_gerror(cmdq);
}

/* From there to the register that acknowledges, in both */
#define SMMU_TO_GERRORN		(ARM_SMMU_GERRORN - ARM_SMMU_GERROR)

/* Returns false if there was a timeout that smmu_say_nobody() is to be told of */
static bool smmu_take_gerror(struct arm_smmu_device *smmu,
			     struct arm_smmu_cmdq *cmdq)
{
	void __iomem *reg = smmu_gerror(smmu, cmdq);
	u32 gerror, gerrorn, cons;
	bool known;

	lockdep_assert_held(&smmu_lock);
	gerror = readl_relaxed(reg);
	gerrorn = readl_relaxed(reg + SMMU_TO_GERRORN);
	if (!((gerror ^ gerrorn) & GERROR_CMDQ_ERR))
		return true;
	cons = readl_relaxed(cmdq->q.cons_reg);
	if (FIELD_GET(CMDQ_CONS_ERR, cons) != CMDQ_ERR_CERROR_ATC_INV_IDX)
		return true;
	known = smmu_record(smmu, cmdq, gerror, cons);
	/* Only this one: others that are active stay so */
	writel(gerrorn ^ GERROR_CMDQ_ERR, reg + SMMU_TO_GERRORN);
	return known;
}

/* The driver's handler finds nothing any more, so it is said here. No lock is held. */
static void smmu_say_nobody(struct arm_smmu_device *smmu)
{
	dev_warn_ratelimited(smmu->dev,
			     "ATC invalidate timeout, of more than one device or of an unknown one\n");
}

/**
 * smmu_quarantine_gerror() - look for an error of a command queue
 * @smmu: the SMMU
 * @cmdq: the queue
 *
 * Records a CERROR_ATC_INV_SYNC and acknowledges it, which lets the queue go on.
 * Any other error is left to the driver.
 *
 * Context: any.
 */
void smmu_quarantine_gerror(struct arm_smmu_device *smmu,
			    struct arm_smmu_cmdq *cmdq)
{
	void __iomem *reg = smmu_gerror(smmu, cmdq);
	bool known;

	if (!iommu_quarantine_reports())
		return;
	/* CMDQ_CONS may show an old error until there is a new one */
	if (!((readl_relaxed(reg) ^ readl_relaxed(reg + SMMU_TO_GERRORN)) &
	      GERROR_CMDQ_ERR))
		return;
	scoped_guard(raw_spinlock_irqsave, &smmu_lock)
		known = smmu_take_gerror(smmu, cmdq);
	if (!known)
		smmu_say_nobody(smmu);
}

/**
 * smmu_quarantine_ack() - the driver acknowledges the errors that it has seen
 * @smmu: the SMMU
 * @cmdq: the command queue that the register belongs to
 * @gerror: GERROR as it was when the driver looked
 * @gerrorn: the register that acknowledges
 *
 * While the driver prints, pollers may have acknowledged a timeout, the next one
 * and so on: GERROR of then says nothing about the command queue any more. An
 * error other than a timeout is the driver's, and it has looked; or it is a new one,
 * as a poller has dealt with that, and is raised once more when it is acknowledged.
 *
 * Context: hard irq; irq thread for a VCMDQ.
 */
void smmu_quarantine_ack(struct arm_smmu_device *smmu,
			 struct arm_smmu_cmdq *cmdq, u32 gerror,
			 void __iomem *gerrorn)
{
	u32 now, cons;
	bool known;

	if (!iommu_quarantine_reports()) {
		writel(gerror, gerrorn);
		return;
	}
	scoped_guard(raw_spinlock_irqsave, &smmu_lock) {
		known = smmu_take_gerror(smmu, cmdq);
		now = readl_relaxed(smmu_gerror(smmu, cmdq));
		cons = readl(cmdq->q.cons_reg);
		/* This instant: left active, for the irq or for a poller */
		if (FIELD_GET(CMDQ_CONS_ERR, cons) ==
		    CMDQ_ERR_CERROR_ATC_INV_IDX)
			now = readl_relaxed(gerrorn);
		gerror &= ~GERROR_CMDQ_ERR;
		gerror |= now & GERROR_CMDQ_ERR;
		writel(gerror, gerrorn);
	}
	if (!known)
		smmu_say_nobody(smmu);
}

/**
 * smmu_quarantine_skip() - the driver makes a CMD_SYNC of an illegal command
 * @smmu: the SMMU
 * @cmdq: the queue
 * @cons: CMDQ_CONS as it was when the driver looked
 * @sync: the CMD_SYNC
 *
 * Stands before the driver writes it. A poller may have dealt with the error since,
 * and then it is somebody's command that stands there: so it is written here, if the
 * queue still stands at it.
 *
 * Context: hard irq; irq thread for a VCMDQ.
 * Return: true if the driver is to write nothing.
 */
bool smmu_quarantine_skip(struct arm_smmu_device *smmu,
			  struct arm_smmu_cmdq *cmdq, u32 cons, const u64 *sync)
{
	void __iomem *reg = smmu_gerror(smmu, cmdq);
	__le64 *entry = Q_ENT(&cmdq->q, cons);

	/* No poller does it */
	if (!iommu_quarantine_enabled())
		return false;
	guard(raw_spinlock_irqsave)(&smmu_lock);
	if (!((readl_relaxed(reg) ^ readl_relaxed(reg + SMMU_TO_GERRORN)) &
	      GERROR_CMDQ_ERR) || readl_relaxed(cmdq->q.cons_reg) != cons)
		return true;
	WRITE_ONCE(entry[0], cpu_to_le64(sync[0]));
	WRITE_ONCE(entry[1], cpu_to_le64(sync[1]));
	return true;
}

/*
 * An error that is the driver's: an illegal command, or one that could not be
 * fetched. Its handler deals with that, but the interrupt may be this CPU's, which
 * waits with irqs off and would do so until the bound is over. So what the handler
 * does is done here (Arm SMMUv3 specification, 7.1). It is no word of the hardware:
 * a queue that cannot be fetched for good gets no more time by it.
 */
static void smmu_take_error(struct arm_smmu_device *smmu,
			    struct arm_smmu_cmdq *cmdq)
{
	void __iomem *reg = smmu_gerror(smmu, cmdq);
	u32 gerrorn, cons, error;

	scoped_guard(raw_spinlock_irqsave, &smmu_lock) {
		gerrorn = readl_relaxed(reg + SMMU_TO_GERRORN);
		if (!((readl_relaxed(reg) ^ gerrorn) & GERROR_CMDQ_ERR))
			return;
		cons = readl_relaxed(cmdq->q.cons_reg);
		error = FIELD_GET(CMDQ_CONS_ERR, cons);
		/* That one is ours, by the next look */
		if (error == CMDQ_ERR_CERROR_ATC_INV_IDX)
			return;
		if (error != CMDQ_ERR_CERROR_ABT_IDX &&
		    error != CMDQ_ERR_CERROR_NONE_IDX)
			smmu_make_sync(Q_ENT(&cmdq->q, cons));
		writel(gerrorn ^ GERROR_CMDQ_ERR, reg + SMMU_TO_GERRORN);
	}
	dev_err_ratelimited(smmu->dev,
			    "CMDQ error %u (cons 0x%08x), dealt with by a CPU that waits\n",
			    error, cons);
}

/* By shutdown(), or in Service Failure Mode: nothing is translated any more */
static bool smmu_is_off(struct arm_smmu_device *smmu)
{
	return !(readl_relaxed(smmu->base + ARM_SMMU_CR0ACK) & CR0_CMDQEN);
}

/*
 * Neither an answer nor a timeout: nothing can be said through the queue any
 * more, and memory is not protected. Said and counted for each wait that ends so,
 * be it one for room in the queue or that of a fence, and whatever was flushed.
 */
static void smmu_declare_lost(struct smmu_unit *unit)
{
	struct device *dev = unit->smmu->dev;

	if (iommu_quarantine_last_resort() == IOMMU_LAST_RESORT_PANIC)
		panic("arm-smmu-v3: %s does not answer, memory can no longer be protected from DMA",
		      dev_name(dev));
	if (!xchg(&unit->lost, true)) {
		/* So that flushes look closer, and notice when it is back */
		smmu_count_unhealthy(1);
		dev_emerg(dev, "does not answer, it is given up\n");
	}
	iommu_quarantine_unprotected(dev_name(dev));
}

/*
 * It answers nobody any more, and nobody is at fault: no last resort. As the machine
 * goes down that is how it should be, else memory is not protected, which is said.
 */
static void smmu_declare_off(struct smmu_unit *unit)
{
	if (!xchg(&unit->lost, true))
		smmu_count_unhealthy(1);
	if (system_state <= SYSTEM_RUNNING)
		iommu_quarantine_unprotected(dev_name(unit->smmu->dev));
}

/* Where the hardware stands, so that the log tells a device from an SMMU */
static void smmu_say_waiting(struct smmu_unit *unit, struct arm_smmu_cmdq *cmdq,
			     u64 waited)
{
	struct arm_smmu_device *smmu = unit->smmu;

	dev_warn(smmu->dev, "has not answered for %llu ms, a flush waits: PROD %#x, CONS %#x, GERROR %#x of the queue\n",
		 waited / NSEC_PER_MSEC, readl_relaxed(cmdq->q.prod_reg),
		 readl_relaxed(cmdq->q.cons_reg),
		 readl_relaxed(smmu_gerror(smmu, cmdq)));
}

/**
 * __smmu_quarantine_poll() - the driver's second of waiting is over
 * @smmu: the SMMU
 * @cmdq: the queue
 * @qp: the driver's notes
 *
 * Context: any; irqs may be off.
 * Return: 0 to wait on, -ETIMEDOUT when the hardware has not said a word within
 * the bound, and then the SMMU is lost, or if the driver has turned it off.
 */
int __smmu_quarantine_poll(struct arm_smmu_device *smmu,
			   struct arm_smmu_cmdq *cmdq,
			   struct arm_smmu_queue_poll *qp)
{
	u64 bound = iommu_quarantine_wait_bound(SMMU_WAIT_BOUND_NS);
	struct smmu_unit *unit = smmu_unit(smmu);
	u64 since;
	s64 waited;
	bool late;

	/* The driver has no ATS device behind it: nothing of ours */
	if (!iommu_quarantine_enabled() || !unit)
		return -ETIMEDOUT;
	if (smmu_is_off(smmu)) {
		smmu_declare_off(unit);
		return -ETIMEDOUT;
	}
	smmu_quarantine_gerror(smmu, cmdq);
	smmu_take_error(smmu, cmdq);
	iommu_quarantine_wait_for_hardware();
	/* From its timeout or the hardware's last word, whatever came later */
	since = max_t(u64, ktime_to_ns(qp->timeout), READ_ONCE(unit->word));
	waited = ktime_get_mono_fast_ns() - since;
	late = waited > (s64)bound;
	if (iommu_quarantine_wait_is_news(&unit->said, waited, bound))
		smmu_say_waiting(unit, cmdq, waited);
	/*
	 * Past the bound the caller looks once more: this CPU may have been stopped, with
	 * its machine or by a debugger, since it last did. The driver's delay is for its
	 * second, which is over: 0 says that this was the last look.
	 */
	if (READ_ONCE(unit->lost) || (late && !qp->delay)) {
		/* The driver takes a wait for an MSI that it gives up for consumed */
		if (smmu->options & ARM_SMMU_OPT_MSIPOLL)
			WRITE_ONCE(unit->dropped, true);
		smmu_declare_lost(unit);
		return -ETIMEDOUT;
	}
	qp->delay = !late;
	udelay(8);
	return 0;
}

/**
 * smmu_quarantine_drop() - there is no room in the queue
 * @smmu: the SMMU
 * @cmdq: the queue
 * @wait: the submission's notes
 *
 * The driver looks for room for ever, and where nobody else waits for a CMD_SYNC
 * it does so without a poll.
 *
 * Context: any; nothing of the queue is claimed.
 * Return: true if the SMMU is lost or turned off, so that there will be none.
 */
bool smmu_quarantine_drop(struct arm_smmu_device *smmu,
			  struct arm_smmu_cmdq *cmdq,
			  struct smmu_quarantine_wait *wait)
{
	u64 bound = iommu_quarantine_wait_bound(SMMU_WAIT_BOUND_NS), now;
	struct smmu_unit *unit = smmu_unit(smmu);
	s64 waited;
	bool late;

	/* Hardware goes on meanwhile, made-up hardware only if it is asked to */
	smmu_kunit_poll(smmu);
	if (!iommu_quarantine_enabled() || !unit)
		return false;
	now = ktime_get_mono_fast_ns();
	if (!wait->full)
		wait->full = now;
	if (!READ_ONCE(unit->lost) && now - wait->full < SMMU_WAIT_LONG_NS)
		return false;
	if (smmu_is_off(smmu)) {
		smmu_declare_off(unit);
		return true;
	}
	if (!READ_ONCE(unit->lost)) {
		smmu_quarantine_gerror(smmu, cmdq);
		smmu_take_error(smmu, cmdq);
		iommu_quarantine_wait_for_hardware();
		late = wait->late;
		waited = now - max(wait->full, READ_ONCE(unit->word));
		wait->late = waited > (s64)bound;
		if (iommu_quarantine_wait_is_news(&unit->said, waited, bound))
			smmu_say_waiting(unit, cmdq, waited);
		if (!late || !wait->late)
			return false;
	}
	smmu_declare_lost(unit);
	/* What it was not told it does not know, should it come back */
	WRITE_ONCE(unit->dropped, true);
	return true;
}

/* ---- the fence ---- */

/* See iommu_quarantine_cut_off(). Returns false if the device can still write. */
static bool smmu_cut_off(struct smmu_dev *sdev)
{
	if (!READ_ONCE(sdev->cut_off))
		WRITE_ONCE(sdev->cut_off,
			   iommu_quarantine_cut_off(to_pci_dev(sdev->master->dev)));
	return sdev->cut_off;
}

/* Take EATS out of the stream table entries of a fenced device */
static void smmu_mask(struct smmu_dev *sdev)
{
	struct arm_smmu_master *master = sdev->master;
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_ste *ste;
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < master->num_streams; i++) {
		ste = smmu_quarantine_ste(smmu, master->streams[i].id);
		raw_spin_lock_irqsave(&sdev->lock, flags);
		/* A reset may have lifted it meanwhile */
		if (smmu_is_fenced(sdev))
			WRITE_ONCE(ste->data[1], ste->data[1] &
				   ~cpu_to_le64(STRTAB_STE_1_EATS));
		raw_spin_unlock_irqrestore(&sdev->lock, flags);
	}
}

/*
 * The fence itself: afterwards the SMMU refuses what the device has cached. It
 * takes no lock of the driver: stream tables are never freed while their SMMU
 * runs. Returns 0, or an error when the SMMU does not answer.
 */
static int smmu_mask_and_sync(struct smmu_dev *sdev)
{
	struct arm_smmu_master *master = sdev->master;
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_cmd cmd;
	unsigned int i;
	int rc = 0;

	smmu_mask(sdev);
	for (i = 0; i < master->num_streams && !rc; i++) {
		cmd = arm_smmu_make_cmd_cfgi_ste(master->streams[i].id, true);
		rc = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, &cmd, 1,
						 true);
	}
	return rc;
}

/*
 * FENCING -> FENCED, and the report. A reset may have lifted it meanwhile, and
 * the device be broken again: the entry was looked at in between, so that is
 * another CPU's fence.
 */
static void smmu_fenced(struct smmu_dev *sdev, unsigned int accused)
{
	struct iommu_broken_evidence evidence;

	scoped_guard(raw_spinlock_irqsave, &smmu_lock) {
		if (atomic_read(&sdev->state) != SMMU_FENCING ||
		    sdev->accused != accused)
			return;
		evidence = sdev->evidence;
		atomic_set(&sdev->state, SMMU_FENCED);
	}
	iommu_quarantine_fenced(sdev->master->dev, &evidence);
}

/*
 * Called by every CPU that meets FENCING, with any lock of the driver held. RCU
 * read section.
 */
static void smmu_fence(struct smmu_dev *sdev)
{
	unsigned int accused = READ_ONCE(sdev->accused);

	iommu_quarantine_hold_fence();

	/* What is left is the last resort */
	if (smmu_mask_and_sync(sdev))
		smmu_cut_off(sdev);
	smmu_fenced(sdev, accused);
}

/*
 * The SMMU is lost. What is left for those that were asked needs no queue, and is
 * the operator's choice. The SMMU's own TLB was not heard of either, so memory is
 * not protected whatever that does.
 */
static void smmu_give_up(struct arm_smmu_device *smmu,
			 struct arm_smmu_cmd *cmds, int n)
{
	struct smmu_unit *unit = smmu_unit(smmu);
	struct smmu_dev *sdev;
	unsigned int accused;
	s64 sid;
	int i;

	if (smmu_is_off(smmu))
		return;
	for (i = 0; i < n; i++) {
		sid = smmu_atc_sid(cmds[i].data[0]);
		sdev = sid < 0 ? NULL : xa_load(&unit->devs, sid);
		if (!sdev || !smmu_cut_off(sdev))
			continue;
		scoped_guard(raw_spinlock_irqsave, &smmu_lock) {
			smmu_accuse(sdev, IOMMU_BROKEN_NO_ANSWER, 0, 0);
			accused = sdev->accused;
		}
		/* For the day that the SMMU looks at its tables again */
		smmu_mask(sdev);
		smmu_fenced(sdev, accused);
	}
}

/*
 * An SMMU that was given up has consumed a CMD_SYNC, and so all that was queued
 * before. Its entries of devices that are fenced are made sure of once more;
 * from then on it is one like any other. Unless commands were dropped for want
 * of room: what it was to forget nobody knows any more.
 */
static void smmu_back_again(struct smmu_unit *unit)
{
	struct smmu_dev *sdev;
	unsigned long sid;

	if (READ_ONCE(unit->dropped))
		return;
	xa_for_each(&unit->devs, sid, sdev)
		if (smmu_is_fenced(sdev) && smmu_mask_and_sync(sdev))
			return;
	if (xchg(&unit->lost, false)) {
		smmu_count_unhealthy(-1);
		dev_warn(unit->smmu->dev, "answers again\n");
	}
}

/* Nobody goes on while somebody is accused and not fenced. RCU read section. */
static void smmu_fence_all(struct arm_smmu_device *smmu)
{
	struct smmu_unit *unit = smmu_unit(smmu);
	struct smmu_dev *sdev;
	unsigned long sid;
	bool again;

	do {
		again = false;
		xa_for_each(&unit->devs, sid, sdev) {
			if (atomic_read_acquire(&sdev->state) != SMMU_FENCING)
				continue;
			smmu_fence(sdev);
			again = true;
		}
	} while (again && !READ_ONCE(unit->lost));
}

/**
 * smmu_quarantine_store() - store a word of a stream table entry or a context
 * descriptor
 * @master: whose it is
 * @ste: it is a stream table entry
 * @entry: the entry
 * @i: which word
 * @val: what the driver wants to be there
 *
 * An attach that runs while the device is being fenced must not make EATS
 * visible again, not for an instant: so the decision and the store are one with
 * regard to the fence.
 *
 * Context: any.
 */
void smmu_quarantine_store(struct arm_smmu_master *master, bool ste,
			   __le64 *entry, unsigned int i, __le64 val)
{
	struct smmu_dev *sdev = NULL;
	unsigned long flags;

	guard(rcu)();
	if (ste && i == 1 && master->num_streams)
		sdev = smmu_find(master->smmu, master->streams[0].id);
	if (!sdev) {
		WRITE_ONCE(entry[i], val);
		return;
	}
	raw_spin_lock_irqsave(&sdev->lock, flags);
	if (smmu_is_fenced(sdev))
		val &= ~cpu_to_le64(STRTAB_STE_1_EATS);
	WRITE_ONCE(entry[i], val);
	raw_spin_unlock_irqrestore(&sdev->lock, flags);
}

/* ---- whose fault? ---- */

/*
 * One CPU asks at a time, with irqs off, so that a flush in an interrupt cannot
 * wait for the CPU that it has interrupted. Who has CMD_ATC_INVs to send through
 * this SMMU waits meanwhile, so that what is asked is asked alone.
 */
static void smmu_narrowing_begin(struct smmu_unit *unit, unsigned long *flags)
{
	for (;;) {
		local_irq_save(*flags);
		if (atomic_cmpxchg_acquire(&unit->narrower, -1,
					   smp_processor_id()) == -1)
			break;
		local_irq_restore(*flags);
		while (atomic_read(&unit->narrower) != -1) {
			iommu_quarantine_wait_for_hardware();
			cpu_relax();
		}
	}
	smmu_count_unhealthy(1);
	iommu_quarantine_count(IOMMU_QUARANTINE_NARROWINGS);
}

static void smmu_narrowing_end(struct smmu_unit *unit, unsigned long flags)
{
	smmu_count_unhealthy(-1);
	atomic_set_release(&unit->narrower, -1);
	local_irq_restore(flags);
}

/*
 * Send a list and wait. Returns 0 if no timeout was reported meanwhile. Through
 * the SMMU's own queue, whoever's list it was: a timeout in another one, of this
 * SMMU or the next, says nothing of this list.
 */
static int smmu_run(struct smmu_unit *unit, struct arm_smmu_cmd *cmd, int n)
{
	unsigned int timeouts = READ_ONCE(unit->timeouts);
	int rc;

	rc = arm_smmu_cmdq_issue_cmdlist(unit->smmu, &unit->smmu->cmdq, cmd, n,
					 true);
	/* The CMD_SYNC was seen to complete: so is what was recorded before */
	dma_rmb();
	if (!rc && READ_ONCE(unit->timeouts) != timeouts)
		rc = -ETIME;
	return rc;
}

/*
 * Ask a device, alone. The narrowing CPU, RCU read section. A CPU that passed the
 * filter before this began may queue its list only now, so a timeout accuses
 * nobody by itself: whose CMD_ATC_INVs stood under the failed CMD_SYNC is looked
 * at when it is recorded. Only who fails again and again is accused although the
 * queue was too full to look.
 */
static void smmu_ask(struct smmu_dev *sdev, struct arm_smmu_cmd *cmd)
{
	struct arm_smmu_device *smmu = sdev->unit->smmu;
	unsigned int asks;
	int rc = -ETIME;

	for (asks = 0; asks < SMMU_ASKS && rc == -ETIME; asks++) {
		/* What is on its way may expire now, and is nobody's then */
		do {
			rc = smmu_run(sdev->unit, NULL, 0);
		} while (rc == -ETIME);
		if (!rc && !smmu_is_fenced(sdev))
			rc = smmu_run(sdev->unit, cmd, 1);
		smmu_fence_all(smmu);
		if (smmu_is_fenced(sdev))
			return;
	}
	if (rc == -ETIME) {
		scoped_guard(raw_spinlock_irqsave, &smmu_lock)
			smmu_accuse(sdev, IOMMU_BROKEN_ATS_NARROWED,
				    GERROR_CMDQ_ERR, 0);
		smmu_fence_all(smmu);
	}
	if (rc) {
		if (rc != -ETIME)
			smmu_give_up(smmu, cmd, 1);
		return;
	}
	/* One with regard to an accusation, so that it is counted right */
	guard(raw_spinlock_irqsave)(&smmu_lock);
	if (atomic_cmpxchg(&sdev->state, SMMU_SUSPECT, SMMU_HEALTHY) ==
	    SMMU_SUSPECT) {
		smmu_unhealthy--;
		smmu_update_word();
	}
}

/* A device that was reset has to answer before anything else is sent to it */
static void smmu_prove(struct smmu_dev *sdev)
{
	struct arm_smmu_cmd cmd;
	unsigned long flags;
	unsigned int i;

	smmu_narrowing_begin(sdev->unit, &flags);
	for (i = 0; i < sdev->master->num_streams &&
	     !smmu_is_fenced(sdev); i++) {
		cmd = arm_smmu_make_cmd_atc_inv_all(sdev->master->streams[i].id,
						    IOMMU_NO_PASID);
		smmu_ask(sdev, &cmd);
	}
	smmu_narrowing_end(sdev->unit, flags);
}

/**
 * __smmu_quarantine_filter() - which of these commands may be queued?
 * @smmu: the SMMU
 * @cmds: the commands; those that may not are taken out
 * @n: their number
 * @wait: the submission's notes
 *
 * Context: the caller's, before it has claimed space in the queue. May wait for
 * the hardware.
 * Return: how many are left.
 */
int __smmu_quarantine_filter(struct arm_smmu_device *smmu,
			     struct arm_smmu_cmd *cmds, int n,
			     struct smmu_quarantine_wait *wait)
{
	struct smmu_unit *unit = smmu_unit(smmu);
	struct smmu_dev *sdev;
	int i, left = 0;
	s64 sid;

	if (!unit || smmu_is_narrower(unit))
		return n;

	/* The word was read: pairs with smp_wmb() in smmu_record() */
	smp_rmb();
	guard(rcu)();
	while (atomic_read(&unit->narrower) != -1 && !READ_ONCE(unit->lost)) {
		iommu_quarantine_wait_for_hardware();
		cpu_relax();
	}
	for (i = 0; i < n; i++) {
		sid = smmu_atc_sid(cmds[i].data[0]);
		sdev = sid < 0 ? NULL : xa_load(&unit->devs, sid);
		while (sdev && atomic_read(&sdev->state) == SMMU_SUSPECT &&
		       !READ_ONCE(unit->lost))
			smmu_prove(sdev);
		if (sdev && smmu_is_fenced(sdev))
			iommu_quarantine_count(IOMMU_QUARANTINE_FILTERED);
		else
			cmds[left++] = cmds[i];
	}
	wait->word = READ_ONCE(smmu_quarantine_word) | 1;
	return left;
}

/**
 * __smmu_quarantine_settle() - what has to be true before a flush returns
 * @smmu: the SMMU
 * @cmds: what was queued
 * @n: how many
 * @wait: the submission's notes
 * @ret: its result so far
 *
 * Context: the caller's: perhaps irqs off, perhaps raw locks held; the queue is
 * let go. May wait for the hardware.
 * Return: @ret.
 */
int __smmu_quarantine_settle(struct arm_smmu_device *smmu,
			     struct arm_smmu_cmd *cmds, int n,
			     const struct smmu_quarantine_wait *wait, int ret)
{
	struct smmu_unit *unit = smmu_unit(smmu);
	struct smmu_dev *sdev;
	unsigned long flags;
	s64 sid;
	int i;

	if (!iommu_quarantine_enabled() || !unit || smmu_is_narrower(unit))
		return ret;

	guard(rcu)();
	if (ret) {
		smmu_give_up(smmu, cmds, n);
		return ret;
	}
	if (unlikely(READ_ONCE(unit->lost)))
		smmu_back_again(unit);
	smmu_fence_all(smmu);
	if (READ_ONCE(smmu_quarantine_word) >> 1 == wait->word >> 1)
		return ret;

	/* A timeout while ours were on their way: whose was it? */
	for (i = 0; i < n; i++) {
		sid = smmu_atc_sid(cmds[i].data[0]);
		sdev = sid < 0 ? NULL : xa_load(&unit->devs, sid);
		if (!sdev || smmu_is_fenced(sdev))
			continue;
		smmu_narrowing_begin(unit, &flags);
		smmu_ask(sdev, &cmds[i]);
		smmu_narrowing_end(unit, flags);
		iommu_quarantine_count(IOMMU_QUARANTINE_RERUNS);
	}
	smmu_fence_all(smmu);
	return ret;
}

/**
 * smmu_quarantine_issue_user() - send what a guest wants to be sent, and wait
 * @smmu: the SMMU
 * @cmds: the commands, with the host's stream ids; not more than a batch
 * @n: how many
 * @issue: how the driver does it: an erratum's repetitions are the guest's affair
 * @back: on an error, so far before the end of the list is the one that failed
 *
 * A guest's dead device costs the host what any other one costs. To the guest a
 * CMD_ATC_INV that was not answered, or not even sent, is an error, and it is told
 * which one: what stands before it in the list was done.
 *
 * Context: process.
 * Return: 0, -EIO if one of the devices that were to be asked is fenced by now,
 * or the error of the queue, of which the driver says that it was the last command.
 */
int smmu_quarantine_issue_user(struct arm_smmu_device *smmu,
			       struct arm_smmu_cmd *cmds, int n,
			       int (*issue)(struct arm_smmu_device *smmu,
					    struct arm_smmu_cmdq *cmdq,
					    struct arm_smmu_cmd *cmds, int n,
					    bool sync), unsigned int *back)
{
	s64 sids[CMDQ_BATCH_ENTRIES];
	struct smmu_dev *sdev;
	int i, ret;

	*back = 1;
	/* The filter takes commands out of the list, and moves what is left */
	for (i = 0; i < n && i < ARRAY_SIZE(sids); i++)
		sids[i] = smmu_atc_sid(cmds[i].data[0]);
	ret = issue(smmu, &smmu->cmdq, cmds, n, true);
	if (ret || !iommu_quarantine_enabled())
		return ret;

	guard(rcu)();
	for (i = 0; i < n && i < ARRAY_SIZE(sids); i++) {
		sdev = sids[i] < 0 ? NULL : smmu_find(smmu, sids[i]);
		if (sdev && smmu_is_fenced(sdev)) {
			*back = n - i;
			return -EIO;
		}
	}
	return 0;
}

/* Events that nothing but a request that ATS has prepared, or prepares, makes */
#define SMMU_EVT_BAD_ATS_TREQ		0x05
#define SMMU_EVT_TRANSL_FORBIDDEN	0x07

/**
 * smmu_quarantine_muted() - is an event to be passed over?
 * @smmu: the SMMU
 * @evt: the event
 *
 * Until the worker blocks it, a fenced device that goes on writing makes these at
 * full rate, and the driver limits what it prints for all devices together.
 *
 * Context: process.
 * Return: true if it is an ATS event of a fenced device.
 */
bool smmu_quarantine_muted(struct arm_smmu_device *smmu, const u64 *evt)
{
	struct smmu_dev *sdev;
	bool muted;

	switch (FIELD_GET(EVTQ_0_ID, evt[0])) {
	case SMMU_EVT_BAD_ATS_TREQ:
	case SMMU_EVT_TRANSL_FORBIDDEN:
		break;
	default:
		return false;
	}
	scoped_guard(rcu) {
		sdev = smmu_find(smmu, FIELD_GET(EVTQ_0_SID, evt[0]));
		muted = sdev && smmu_is_fenced(sdev);
	}
	if (muted)
		cond_resched();
	return muted;
}

/* ---- lifetime ---- */

/* struct iommu_quarantine_backend::verify. Context: process, group->mutex held. */
static int smmu_quarantine_verify(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct smmu_dev *sdev;

	/* Without a fence there is nobody to hold back */
	if (!iommu_quarantine_enabled())
		return 0;

	guard(rcu)();
	sdev = smmu_of(master);
	if (!sdev)
		return 0;
	/* Without ATS there is nothing to ask, and nothing to fear */
	if (!master->ats_enabled)
		return smmu_is_fenced(sdev) ? -ETIMEDOUT : 0;
	/* It may be here by the administrator's request, never having failed */
	smmu_suspect(sdev);
	if (!smmu_is_fenced(sdev))
		smmu_prove(sdev);
	return atomic_read(&sdev->state) == SMMU_HEALTHY ? 0 : -ETIMEDOUT;
}

/* struct iommu_quarantine_backend::pretend. Context: process. */
static int __maybe_unused smmu_quarantine_pretend(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct smmu_dev *sdev;

	if (!iommu_quarantine_enabled())
		return -EOPNOTSUPP;

	guard(rcu)();
	sdev = smmu_of(master);
	if (!sdev)
		return -ENODEV;
	scoped_guard(raw_spinlock_irqsave, &smmu_lock)
		smmu_accuse(sdev, IOMMU_BROKEN_ATS_TIMEOUT, 0, 0);
	smmu_fence_all(master->smmu);
	return 0;
}

static struct iommu_quarantine_backend smmu_quarantine_backend = {
	.name = "arm-smmu-v3",
	.verify = smmu_quarantine_verify,
	.blocked = smmu_quarantine_blocked,
#ifdef CONFIG_IOMMU_QUARANTINE_FAULT
	.pretend = smmu_quarantine_pretend,
#endif
};

static struct smmu_unit *smmu_unit_get(struct arm_smmu_device *smmu)
{
	struct smmu_unit *unit = smmu_unit(smmu);

	if (unit)
		return unit;
	unit = kzalloc_obj(*unit);
	if (!unit)
		return NULL;
	unit->smmu = smmu;
	atomic_set(&unit->narrower, -1);
	xa_init(&unit->devs);
	if (xa_err(xa_store(&smmu_units, (unsigned long)smmu, unit, GFP_KERNEL))) {
		kfree(unit);
		return NULL;
	}
	return unit;
}

static int smmu_probe(struct arm_smmu_master *master)
{
	struct smmu_unit *unit = smmu_unit_get(master->smmu);
	struct smmu_dev *sdev;
	unsigned int i;
	int ret = 0;

	/* Without the check no stream table entry stops a translated request */
	if (!(readl_relaxed(master->smmu->base + ARM_SMMU_CR0ACK) & CR0_ATSCHK))
		return -EOPNOTSUPP;
	sdev = unit ? kzalloc_obj(*sdev) : NULL;
	if (!sdev)
		return -ENOMEM;
	sdev->master = master;
	sdev->unit = unit;
	raw_spin_lock_init(&sdev->lock);

	for (i = 0; !ret && i < master->num_streams; i++)
		if (xa_load(&unit->devs, master->streams[i].id) != sdev)
			ret = xa_insert(&unit->devs, master->streams[i].id,
					sdev, GFP_KERNEL);
	if (!ret && iommu_quarantine_condemned(master->dev)) {
		atomic_set(&sdev->state, SMMU_FENCED);
		smmu_count_unhealthy(1);
	}
	if (!ret)
		return 0;

	/* Of the ids only those are in the index that are ours */
	for (i = 0; i < master->num_streams; i++)
		xa_cmpxchg(&unit->devs, master->streams[i].id, sdev, NULL,
			   GFP_KERNEL);
	kfree_rcu(sdev, rcu);
	return ret;
}

/**
 * smmu_quarantine_probe() - the driver takes on a device
 * @master: the driver's view of it
 *
 * A device for which there is no memory, of whose stream ids another one has got
 * hold, or whose SMMU does not check translated requests, could not be fenced: it
 * is not given ATS.
 *
 * Context: process, under iommu_probe_device_lock; before the device is attached
 * for the first time.
 * Return: 0.
 */
int smmu_quarantine_probe(struct arm_smmu_master *master)
{
	int ret;

	if (!dev_is_pci(master->dev) || !iommu_quarantine_reports() ||
	    !pci_ats_supported(to_pci_dev(master->dev)) ||
	    !(master->smmu->features & ARM_SMMU_FEAT_ATS))
		return 0;
	if (!smmu_registered) {
		smmu_quarantine_backend.ops = smmu_quarantine_ops();
		iommu_quarantine_backend_register(&smmu_quarantine_backend);
		smmu_registered = true;
	}
	ret = smmu_probe(master);
	if (ret && iommu_quarantine_enabled())
		dev_warn(master->dev, "could not be fenced, so it gets no ATS: %d\n",
			 ret);
	return 0;
}

/**
 * smmu_quarantine_allows_ats() - may a device be given ATS?
 * @master: the driver's view of it
 *
 * Context: process.
 * Return: false if it could not be fenced.
 */
bool smmu_quarantine_allows_ats(struct arm_smmu_master *master)
{
	guard(rcu)();
	return !iommu_quarantine_enabled() || smmu_of(master);
}

/**
 * smmu_quarantine_release() - the driver lets a device go
 * @master: the driver's view of it
 *
 * Context: process; before the stream ids are freed.
 */
void smmu_quarantine_release(struct arm_smmu_master *master)
{
	struct smmu_dev *sdev = NULL;
	unsigned int i;

	if (master->streams && master->num_streams)
		sdev = smmu_of(master);
	if (!sdev)
		return;
	for (i = 0; i < master->num_streams; i++)
		xa_erase(&sdev->unit->devs, master->streams[i].id);
	/* Fences and reports run in RCU read sections */
	synchronize_rcu();
	if (atomic_read(&sdev->state) != SMMU_HEALTHY)
		smmu_count_unhealthy(-1);
	kfree(sdev);
}

/**
 * smmu_quarantine_exit() - the driver is unloaded
 *
 * Context: process; no device is left.
 */
void smmu_quarantine_exit(void)
{
	struct smmu_unit *unit;
	unsigned long key;

	if (smmu_registered)
		iommu_quarantine_backend_unregister(&smmu_quarantine_backend);
	xa_for_each(&smmu_units, key, unit) {
		xa_destroy(&unit->devs);
		kfree(unit);
	}
	xa_destroy(&smmu_units);
}

/**
 * smmu_quarantine_reset_device_done() - iommu_ops::reset_device_done of SMMUv3
 * @dev: a device that was proven to have been reset
 *
 * Lets the driver give EATS back, which the re-attach does. The device stays a
 * suspect, whose first invalidation goes alone and has to be answered.
 *
 * Context: process, group->mutex held, before the re-attach.
 */
void smmu_quarantine_reset_device_done(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct smmu_dev *sdev;

	guard(rcu)();
	sdev = smmu_of(master);
	if (!sdev)
		return;
	/*
	 * What was accused before is lifted here; what comes later is new: an
	 * accusation and its epoch are one with regard to this. And it is about
	 * what was queued later: the queue is a FIFO, the attach to the blocking
	 * domain before the reset has sent a CMD_SYNC through it, and a timeout
	 * is recorded before the CMD_SYNC that fails by it completes. Where a CMDQV
	 * gives CPUs queues of their own, one may be late; that costs another reset.
	 */
	guard(raw_spinlock_irqsave)(&smmu_lock);
	if (smmu_is_fenced(sdev))
		atomic_set(&sdev->state, SMMU_SUSPECT);
	WRITE_ONCE(sdev->cut_off, false);
}
