// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarantine backend of Intel VT-d.
 *
 * A device-TLB invalidation that is not answered raises an Invalidation
 * Time-out Error (FSTS.ITE): pending wait descriptors are aborted, nothing is
 * fetched until ITE is cleared, and IQERCD.ITESID names the source id on
 * hardware that has the field (VT-d specification 6.5.2.11, 11.4.9.9).
 *
 * All invalidations pass qi_submit_sync(), so that function alone carries the
 * call-outs:
 *
 *  - where a descriptor is copied into the queue, one for a device that is not
 *    healthy is replaced by a harmless one                    ..._filter()
 *  - in the ITE branch, under q_lock and before ITE is cleared, the device is
 *    accused and its descriptors that hardware has not fetched are overwritten,
 *    so that they cost no further timeout                      ..._ite()
 *  - after q_lock is released and before the function returns or starts again,
 *    a device that was accused is fenced                       ..._settle()
 *
 * The fence takes the ATS permission out of the context entry (legacy mode:
 * translation type 01b, scalable mode: DTE and PRE) and invalidates what the
 * IOMMU has cached of it. Translated requests are checked against that entry,
 * so that afterwards the device can use neither the translations that it holds
 * nor get new ones. Any CPU that needs the fence runs all of it: it is
 * idempotent, and nobody waits for a CPU that may be interrupted.
 *
 * Lock order: q_lock, then vtd_dev.lock, which is innermost. The
 * driver's iommu->lock may or may not be held by callers and is never taken.
 */

#define pr_fmt(fmt) "DMAR: iommu-quarantine: " fmt
#define dev_fmt(fmt) "iommu-quarantine: " fmt

#include <kunit/visibility.h>
#include <linux/dmar.h>
#include <linux/init.h>
#include <linux/iommu.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/xarray.h>

#include "iommu.h"
#include "backend.h"
#include "quarantine.h"

/*
 * How long a flush waits for the hardware's word, in ns. PCIe gives a device a minute
 * and a half to answer (ATS: invalidate completion timeout of one minute, plus
 * up to 50 %), the hardware gives up after that or earlier: past two minutes it
 * is the IOMMU itself that does not answer.
 */
#define VTD_WAIT_BOUND_NS	(120ULL * NSEC_PER_SEC)

/* From then on the watchdogs are told that this CPU waits for hardware */
#define VTD_WAIT_LONG_NS	(1ULL * NSEC_PER_SEC)
/* Polls between two looks at the clock */
#define VTD_WAIT_POLLS		256

/* In both modes bit 2 gives ATS away: TT 01b, or DTE */
#define VTD_CONTEXT_ATS		BIT_ULL(2)
#define VTD_CONTEXT_SM_PRE	BIT_ULL(4)
#define VTD_CONTEXT_FPD		BIT_ULL(1)

static struct vtd_unit vtd_units[DMAR_UNITS_SUPPORTED];

/* Source id -> struct vtd_dev, per IOMMU; readers hold RCU and nothing else */
static DEFINE_XARRAY(vtd_devs);

atomic_t intel_quarantine_active = ATOMIC_INIT(0);

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_INTEL_KUNIT_TEST)
void (*vtd_kunit_hardware)(struct intel_iommu *iommu);
#endif

/* Where harmless wait descriptors write; hardware may do so at any later time */
static u32 vtd_scratch;

VISIBLE_IF_KUNIT struct vtd_unit *vtd_unit(struct intel_iommu *iommu)
{
	return &vtd_units[iommu->seq_id];
}

static unsigned long vtd_key(struct intel_iommu *iommu, u16 sid)
{
	return (unsigned long)iommu->seq_id << 16 | sid;
}

VISIBLE_IF_KUNIT struct vtd_dev *vtd_find(struct intel_iommu *iommu, u16 sid)
{
	return xa_load(&vtd_devs, vtd_key(iommu, sid));
}

/* Unless another device has got hold of its source id, as its DMA alias */
static struct vtd_dev *vtd_of(struct device_domain_info *info)
{
	struct vtd_dev *vdev = vtd_find(info->iommu,
					PCI_DEVID(info->bus, info->devfn));

	return vdev && vdev->info == info ? vdev : NULL;
}

/* Source id of a device-TLB invalidation, or -1 for any other descriptor */
static int vtd_devtlb_sid(const struct qi_desc *desc)
{
	switch (desc->qw0 & GENMASK_ULL(3, 0)) {
	case QI_DIOTLB_TYPE:
		return (desc->qw0 >> 32) & 0xffff;
	case QI_DEIOTLB_TYPE:
		return (desc->qw0 >> 16) & 0xffff;
	default:
		return -1;
	}
}

/*
 * A wait descriptor that nobody looks at. It does no invalidation, so it can
 * stand for one in any batch.
 */
static void vtd_make_harmless(void *slot, size_t size)
{
	struct qi_desc desc = {
		.qw0 = QI_IWD_STATUS_DATA(QI_DONE) | QI_IWD_STATUS_WRITE |
		       QI_IWD_TYPE,
		.qw1 = virt_to_phys(&vtd_scratch),
	};

	memcpy(slot, &desc, size);
}

static bool vtd_is_fenced(struct vtd_dev *vdev)
{
	return atomic_read(&vdev->state) >= VTD_FENCING;
}

/**
 * intel_quarantine_filter() - may this descriptor be queued?
 * @iommu: the IOMMU
 * @slot: where it would go
 * @desc: the descriptor
 * @size: bytes of a descriptor
 * @options: of qi_submit_sync()
 * @wait: the submission's notes; what is held back is noted
 *
 * Context: q_lock held, so that it cannot race with an accusation: what is
 * queued before that is found by the accuser, what comes later is refused here.
 * Return: true if @slot holds a harmless descriptor now.
 */
bool intel_quarantine_filter(struct intel_iommu *iommu, void *slot,
			     const struct qi_desc *desc, size_t size,
			     unsigned long options,
			     struct intel_quarantine_wait *wait)
{
	int sid = vtd_devtlb_sid(desc);
	struct vtd_dev *vdev;
	int state;

	if (sid < 0)
		return false;

	guard(rcu)();
	vdev = vtd_find(iommu, sid);
	/* A device that the IOMMU has released is never asked again */
	if (vdev) {
		state = atomic_read(&vdev->state);
		if (state == VTD_HEALTHY)
			return false;
		if (state == VTD_SUSPECT && (options & QI_OPT_QUARANTINE_PROBE))
			return false;
		/*
		 * Only what may be sent later has to be run again; what a
		 * fenced device is not told, its reset makes it forget.
		 */
		if (state < VTD_FENCING)
			wait->dropped = true;
	}

	vtd_make_harmless(slot, size);
	iommu_quarantine_count(IOMMU_QUARANTINE_FILTERED);
	return true;
}

/* q_lock held. Nothing that is already decided is decided again. */
static void vtd_accuse(struct vtd_dev *vdev, enum iommu_broken_cause cause,
		       u32 fault, u64 iqe_err)
{
	if (vtd_is_fenced(vdev))
		return;
	vdev->evidence = (struct iommu_broken_evidence){
		.cause = cause,
		.epoch = iommu_quarantine_epoch(vdev->info->dev),
		.hw = { fault, iqe_err },
	};
	WRITE_ONCE(vdev->accused, vdev->accused + 1);
	/* Counted once, even if vtd_exonerate() is at work on it */
	atomic_inc(&intel_quarantine_active);
	/* Pairs with atomic_read_acquire() in vtd_fence() */
	if (atomic_xchg(&vdev->state, VTD_FENCING) != VTD_HEALTHY)
		atomic_dec(&intel_quarantine_active);
}

static void vtd_suspect(struct vtd_dev *vdev)
{
	/* Accused and suspected only under q_lock: no other transition races */
	if (atomic_cmpxchg(&vdev->state, VTD_HEALTHY, VTD_SUSPECT) ==
	    VTD_HEALTHY)
		atomic_inc(&intel_quarantine_active);
}

static void vtd_exonerate(struct vtd_dev *vdev)
{
	if (atomic_cmpxchg(&vdev->state, VTD_ANSWERED, VTD_HEALTHY) ==
	    VTD_ANSWERED)
		atomic_dec(&intel_quarantine_active);
}

struct vtd_window {
	struct vtd_dev *last;	/* a device that was asked, the only one if ... */
	unsigned int devices;	/* ... this is 1; 2 and more mean "several" */
	bool named;		/* the source id that hardware named was asked */
	bool pf_named;		/* or a virtual function of it */
};

/*
 * Who was asked and has not answered? Looks at what hardware has fetched, from
 * the newest backwards to the last wait that completed: an answer to that one
 * is an answer to all before it. With @suspect, all that are found are held
 * back from now on.
 */
static void vtd_look_at_window(struct intel_iommu *iommu, int head, int sid,
			       bool suspect, struct vtd_window *win)
{
	struct q_inval *qi = iommu->qi;
	int shift = qi_shift(iommu);
	struct vtd_dev *vdev;
	struct qi_desc *desc;
	int i, s;

	*win = (struct vtd_window){};
	for (i = head; i != qi->free_tail;) {
		i = (i + QI_LENGTH - 1) % QI_LENGTH;
		desc = qi->desc + (i << shift);

		if ((desc->qw0 & GENMASK_ULL(3, 0)) == QI_IWD_TYPE &&
		    desc->qw1 == virt_to_phys(&qi->desc_status[i]) &&
		    READ_ONCE(qi->desc_status[i]) == QI_DONE)
			break;

		s = vtd_devtlb_sid(desc);
		if (s < 0 || qi->desc_status[i] != QI_IN_USE)
			continue;
		if (s == sid)
			win->named = true;
		vdev = vtd_find(iommu, s);
		if (!vdev) {
			/* Released: it cannot be asked, but it was */
			win->devices++;
			continue;
		}
		if (vdev->pf_sid == sid && s != sid)
			win->pf_named = true;
		if (vdev != win->last) {
			win->devices++;
			win->last = vdev;
		}
		if (suspect)
			vtd_suspect(vdev);
	}
}

/* Overwrite what hardware has not fetched yet and nobody is to be asked */
static void vtd_scrub(struct intel_iommu *iommu, int head)
{
	struct q_inval *qi = iommu->qi;
	int shift = qi_shift(iommu);
	struct vtd_dev *vdev;
	void *slot;
	int i, sid;

	for (i = head; i != qi->free_head; i = (i + 1) % QI_LENGTH) {
		slot = qi->desc + (i << shift);
		sid = vtd_devtlb_sid(slot);
		if (sid < 0)
			continue;
		vdev = vtd_find(iommu, sid);
		if (vdev && atomic_read(&vdev->state) == VTD_HEALTHY)
			continue;
		vtd_make_harmless(slot, 1 << shift);
		/*
		 * Read by intel_quarantine_slot() of the owner, under q_lock. A
		 * slot that its owner has already given back stays free.
		 */
		if (qi->desc_status[i] == QI_IN_USE)
			qi->desc_status[i] = QI_QUARANTINE_DROPPED;
		iommu_quarantine_count(IOMMU_QUARANTINE_SCRUBBED);
	}
	/* The clearing of ITE, which starts the queue, is ordered by writel() */
}

/**
 * intel_quarantine_ite() - an Invalidation Time-out Error was seen
 * @iommu: the IOMMU
 * @fault: FSTS
 * @iqe_err: IQERCD
 *
 * Only records: who is accused or suspected, and the queue made harmless while
 * it stands still. The fence runs in intel_quarantine_settle().
 *
 * ITESID of 0 is hardware without the field, all ones a read that failed. One
 * that names a physical function while virtual ones of it were asked is not
 * taken at its word either: the specification does not say whose it is. Nor is
 * one of which nothing would come, as nobody has that name or who has it is
 * fenced: what is in the queue would be sent again, for ever.
 *
 * Context: q_lock held, ITE still set, irqs off. Bounded by the queue's length.
 */
void intel_quarantine_ite(struct intel_iommu *iommu, u32 fault, u64 iqe_err)
{
	struct vtd_unit *unit = vtd_unit(iommu);
	u16 sid = DMAR_IQER_REG_ITESID(iqe_err);
	bool named = sid && sid != 0xffff;
	struct vtd_dev *vdev = NULL;
	struct vtd_window win;
	int head;

	iommu_quarantine_count(IOMMU_QUARANTINE_TIMEOUTS);

	guard(rcu)();
	if (named)
		vdev = vtd_find(iommu, sid);

	if (!iommu_quarantine_enabled()) {
		struct iommu_broken_evidence evidence = {
			.cause = IOMMU_BROKEN_ATS_TIMEOUT,
			.hw = { fault, iqe_err },
		};

		if (vdev && iommu_quarantine_reports()) {
			evidence.epoch =
				iommu_quarantine_epoch(vdev->info->dev);
			iommu_quarantine_report(vdev->info->dev, &evidence);
		}
		return;
	}

	head = readl(iommu->reg + DMAR_IQH_REG) >> qi_shift(iommu);

	vtd_look_at_window(iommu, head, sid, false, &win);
	if (win.pf_named ||
	    (win.devices && !win.named && (!vdev || vtd_is_fenced(vdev))))
		named = false;

	if (named && vdev) {
		vtd_accuse(vdev, IOMMU_BROKEN_ATS_TIMEOUT, fault, iqe_err);
	} else if (!named) {
		iommu_quarantine_count(IOMMU_QUARANTINE_NARROWINGS);
		if (win.devices == 1 && win.last && !unit->murky)
			vtd_accuse(win.last, IOMMU_BROKEN_ATS_NARROWED, fault,
				   iqe_err);
		else
			vtd_look_at_window(iommu, head, sid, true, &win);
	}
	/*
	 * Nobody of ours: a device that was released meanwhile. Keep the filter
	 * on, so that its descriptors are not run again.
	 */
	if (!atomic_read(&intel_quarantine_active))
		atomic_inc(&intel_quarantine_active);

	unit->ites++;
	/* What was aborted but not answered may expire later, until drained */
	unit->murky = true;
	vtd_scrub(iommu, head);
}

/**
 * intel_quarantine_handles_ite() - is a timed out submission retried by us?
 *
 * The driver looks a device up by its source id under a lock that must not be
 * taken there, and gives a whole batch up when the device is gone, with the
 * innocent part of it. With the quarantine neither is needed.
 *
 * Context: any.
 * Return: true if the driver is to leave both out.
 */
bool intel_quarantine_handles_ite(void)
{
	return iommu_quarantine_enabled();
}

/**
 * intel_quarantine_may_ask() - is a device asked whose configuration space is gone?
 * @dev: a PCI device with ATS
 *
 * The driver leaves out the device-TLB invalidation that follows a change of domain
 * then, as the IOMMU might wait for the answer for ever. The pages of the domain
 * are freed all the same, and a device that comes back still has them.
 *
 * Context: any.
 * Return: true if it is; without an answer it is fenced.
 */
bool intel_quarantine_may_ask(struct device *dev)
{
	return iommu_quarantine_may_ask(dev);
}

/* Where the hardware stands, so that the log tells a device from an IOMMU */
static void vtd_say_waiting(struct intel_iommu *iommu, u64 waited)
{
	pr_warn("%s has not answered for %llu ms, a flush waits: IQH %#x, IQT %#x, FSTS %#x\n",
		iommu->name, waited / NSEC_PER_MSEC,
		readl(iommu->reg + DMAR_IQH_REG),
		readl(iommu->reg + DMAR_IQT_REG),
		readl(iommu->reg + DMAR_FSTS_REG));
}

/**
 * intel_quarantine_poll() - one more look at a wait that is not over
 * @iommu: the IOMMU
 * @wait: the submission's notes
 * @rc: what qi_check_fault() said
 *
 * Context: q_lock held, irqs off.
 * Return: @rc, or -EIO when the hardware has not said a word within the bound.
 */
int intel_quarantine_poll(struct intel_iommu *iommu,
			  struct intel_quarantine_wait *wait, int rc)
{
	struct vtd_unit *unit = vtd_unit(iommu);
	u64 now, bound;

	vtd_kunit_poll(iommu);
	if (rc || ++wait->polls % VTD_WAIT_POLLS)
		return rc;
	if (!iommu_quarantine_enabled())
		return rc;
	if (READ_ONCE(unit->lost))
		return -EIO;

	now = ktime_get_mono_fast_ns();
	/* Counted from the last word of the hardware, whoever it was about */
	if (!wait->start || wait->ites != unit->ites) {
		wait->start = now;
		wait->ites = unit->ites;
		wait->late = false;
	}
	bound = iommu_quarantine_wait_bound(VTD_WAIT_BOUND_NS);
	if (now - wait->start > VTD_WAIT_LONG_NS)
		iommu_quarantine_wait_for_hardware();
	if (iommu_quarantine_wait_is_news(&unit->said, now - wait->start, bound))
		vtd_say_waiting(iommu, now - wait->start);
	if (now - wait->start <= bound)
		return rc;
	/* The caller looks once more: this CPU may have been stopped since it last did */
	if (wait->late)
		return -EIO;
	wait->late = true;
	return rc;
}

/**
 * intel_quarantine_lost() - has this IOMMU been given up?
 * @iommu: the IOMMU
 *
 * For loops that wait for another CPU, which may wait for the hardware.
 *
 * Context: any.
 * Return: true if the loop cannot end any more.
 */
bool intel_quarantine_lost(struct intel_iommu *iommu)
{
	/* Else it is the driver's own loop, and watchdogs are to see it hang */
	if (iommu_quarantine_enabled())
		iommu_quarantine_wait_for_hardware();
	return READ_ONCE(vtd_unit(iommu)->lost);
}

/* The context entry as it has to be while the device is fenced */
static u64 vtd_masked(struct vtd_dev *vdev, unsigned int n, u64 lo)
{
	u64 ats = VTD_CONTEXT_ATS;

	if (sm_supported(vdev->info->iommu))
		ats |= VTD_CONTEXT_SM_PRE;

	lockdep_assert_held(&vdev->lock);
	vdev->sids[n].taken |= lo & ats;
	/* Nor does it get to fill the fault log */
	return (lo & ~ats) | VTD_CONTEXT_FPD;
}

/*
 * Submit on behalf of the fence. A wait that completes says that nothing that
 * was asked before is still on its way, unless something expired meanwhile.
 */
static int vtd_submit(struct intel_iommu *iommu, struct qi_desc *desc,
		      unsigned int count)
{
	struct vtd_unit *unit = vtd_unit(iommu);
	unsigned int ites = READ_ONCE(unit->ites);
	unsigned long flags;
	int rc;

	rc = qi_submit_sync(iommu, desc, count, QI_OPT_QUARANTINE);
	if (rc)
		return rc;

	raw_spin_lock_irqsave(&iommu->qi->q_lock, flags);
	if (unit->ites == ites)
		unit->murky = false;
	raw_spin_unlock_irqrestore(&iommu->qi->q_lock, flags);
	return 0;
}

/* Make the IOMMU forget all it has cached of context entries */
static int vtd_invalidate_contexts(struct intel_iommu *iommu)
{
	struct qi_desc desc[4] = {};
	unsigned int n = 0;

	iommu_flush_write_buffer(iommu);

	/*
	 * All of it, not just one device: an entry that a concurrent attach has
	 * already cleared may still be cached under a domain id that nobody
	 * knows here. And in the order of 6.5.3.3, kept by a fence.
	 */
	desc[n++].qw0 = QI_CC_GRAN(DMA_CCMD_GLOBAL_INVL) | QI_CC_TYPE;
	vtd_make_harmless(&desc[n], sizeof(desc[n]));
	desc[n++].qw0 |= QI_IWD_FENCE;
	if (sm_supported(iommu))
		desc[n++].qw0 = QI_PC_GRAN(QI_PC_GLOBAL) | QI_PC_TYPE;
	qi_desc_iotlb(iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &desc[n++]);

	return vtd_submit(iommu, desc, n);
}

/* See iommu_quarantine_cut_off(). Returns false if the device can still write. */
static bool vtd_cut_off(struct vtd_dev *vdev)
{
	if (!READ_ONCE(vdev->cut_off))
		WRITE_ONCE(vdev->cut_off,
			   iommu_quarantine_cut_off(to_pci_dev(vdev->info->dev)));
	return vdev->cut_off;
}

/*
 * FENCING -> FENCED. Called by every CPU that meets FENCING, with any lock of
 * the driver held, so it takes none of them: context tables are never freed
 * while their IOMMU runs. RCU read section.
 */
static void vtd_fence(struct vtd_dev *vdev)
{
	unsigned int accused = READ_ONCE(vdev->accused);
	struct intel_iommu *iommu = vdev->info->iommu;
	struct iommu_broken_evidence evidence;
	struct context_entry *context;
	unsigned long flags;
	unsigned int i;
	u16 sid;
	int rc;

	iommu_quarantine_hold_fence();

	for (i = 0; i < vdev->nr_sids; i++) {
		sid = vdev->sids[i].sid;
		context = iommu_context_addr(iommu, PCI_BUS_NUM(sid),
					     sid & 0xff, 0);
		if (!context)
			continue;
		raw_spin_lock_irqsave(&vdev->lock, flags);
		/* A reset may have lifted it meanwhile */
		if (vtd_is_fenced(vdev) && context_present(context)) {
			WRITE_ONCE(context->lo,
				   vtd_masked(vdev, i, context->lo));
			__iommu_flush_cache(iommu, context, sizeof(*context));
		}
		raw_spin_unlock_irqrestore(&vdev->lock, flags);
	}

	rc = vtd_invalidate_contexts(iommu);
	/* Given up, and said so; what is left is the last resort */
	if (rc)
		vtd_cut_off(vdev);

	/*
	 * A reset may have lifted it meanwhile, and the device be broken again:
	 * the entry was looked at in between, so that is another CPU's fence.
	 */
	scoped_guard(raw_spinlock_irqsave, &iommu->qi->q_lock) {
		if (atomic_read(&vdev->state) != VTD_FENCING ||
		    vdev->accused != accused)
			return;
		evidence = vdev->evidence;
		atomic_set(&vdev->state, VTD_FENCED);
	}
	iommu_quarantine_fenced(vdev->info->dev, &evidence);
}

/* Wait until a timeout can no longer belong to something older */
static void vtd_drain(struct intel_iommu *iommu)
{
	struct vtd_unit *unit = vtd_unit(iommu);
	struct qi_desc desc;

	while (READ_ONCE(unit->murky)) {
		qi_desc_iotlb(iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &desc);
		if (vtd_submit(iommu, &desc, 1))
			return;
	}
}

/* Ask one suspect, alone. The answer is in its state. */
static void vtd_ask(struct vtd_dev *vdev)
{
	struct device_domain_info *info = vdev->info;
	struct qi_desc desc;

	/* Without ATS there is nothing to ask, and nothing to fear */
	if (!info->ats_enabled) {
		atomic_cmpxchg(&vdev->state, VTD_SUSPECT, VTD_ANSWERED);
		return;
	}
	qi_desc_dev_iotlb(vdev->sids[0].sid, info->pfsid, info->ats_qdep, 0,
			  MAX_AGAW_PFN_WIDTH, &desc);
	/* An answer or a timeout, but for a queue that refuses the descriptor */
	if (qi_submit_sync(info->iommu, &desc, 1,
			   QI_OPT_QUARANTINE | QI_OPT_QUARANTINE_PROBE) != -EINVAL)
		return;
	guard(raw_spinlock_irqsave)(&info->iommu->qi->q_lock);
	vtd_accuse(vdev, IOMMU_BROKEN_ATS_NARROWED, 0, 0);
}

/*
 * Find out which of the suspects does not answer. One CPU does it, with irqs
 * off, so that a flush in an interrupt cannot wait for the CPU that it has
 * interrupted. Each round either decides or adds a suspect, and no suspect is
 * let go before the end: so there are no more rounds than devices.
 */
static void vtd_narrow(struct intel_iommu *iommu)
{
	struct vtd_unit *unit = vtd_unit(iommu);
	unsigned long key, flags;
	struct vtd_dev *vdev;
	bool again;

	local_irq_save(flags);
	if (atomic_cmpxchg_acquire(&unit->narrowing, 0, 1)) {
		local_irq_restore(flags);
		while (atomic_read(&unit->narrowing) && !READ_ONCE(unit->lost)) {
			iommu_quarantine_wait_for_hardware();
			cpu_relax();
		}
		return;
	}

	guard(rcu)();
	do {
		again = false;
		xa_for_each_range(&vtd_devs, key, vdev, vtd_key(iommu, 0),
				  vtd_key(iommu, 0xffff)) {
			if (atomic_read(&vdev->state) != VTD_SUSPECT)
				continue;
			vtd_drain(iommu);
			vtd_ask(vdev);
			if (atomic_read(&vdev->state) == VTD_FENCING)
				vtd_fence(vdev);
			else if (atomic_read(&vdev->state) == VTD_SUSPECT)
				again = true;
		}
	} while (again && !READ_ONCE(unit->lost));

	xa_for_each_range(&vtd_devs, key, vdev, vtd_key(iommu, 0),
			  vtd_key(iommu, 0xffff))
		vtd_exonerate(vdev);

	atomic_set_release(&unit->narrowing, 0);
	local_irq_restore(flags);
}

/*
 * Neither an answer nor a timeout: nothing can be said through the queue any
 * more. What is left needs no queue, and is the operator's choice. Only a
 * submission of nothing but invalidations for devices that are cut off returns
 * with memory protected; any other one is lost, and that is said.
 */
static void vtd_give_up(struct intel_iommu *iommu, struct qi_desc *desc,
			unsigned int count)
{
	struct vtd_unit *unit = vtd_unit(iommu);
	bool protected = true;
	struct vtd_dev *vdev;
	unsigned int i;
	int sid, old;

	if (iommu_quarantine_last_resort() == IOMMU_LAST_RESORT_PANIC)
		panic("DMAR: %s does not answer, memory can no longer be protected from DMA",
		      iommu->name);

	if (!xchg(&unit->lost, true)) {
		atomic_inc(&intel_quarantine_active);
		pr_emerg("%s does not answer, it is given up\n", iommu->name);
	}

	guard(rcu)();
	for (i = 0; i < count; i++) {
		sid = vtd_devtlb_sid(&desc[i]);
		vdev = sid < 0 ? NULL : vtd_find(iommu, sid);
		if (!vdev || !vtd_cut_off(vdev)) {
			protected = false;
			continue;
		}
		old = atomic_xchg(&vdev->state, VTD_FENCED);
		if (old == VTD_HEALTHY)
			atomic_inc(&intel_quarantine_active);
		if (old == VTD_FENCED)
			continue;
		vdev->evidence = (struct iommu_broken_evidence){
			.cause = IOMMU_BROKEN_NO_ANSWER,
			.epoch = iommu_quarantine_epoch(vdev->info->dev),
		};
		iommu_quarantine_report(vdev->info->dev, &vdev->evidence);
	}
	if (!protected)
		iommu_quarantine_unprotected(iommu->name);
}

/**
 * __intel_quarantine_settle() - what has to be true before a flush goes on
 * @iommu: the IOMMU
 * @desc: the submission
 * @count: descriptors in it
 * @options: of qi_submit_sync()
 * @wait: the submission's notes
 * @rc: its result so far
 *
 * Fences every device of the submission that was accused, and has suspects
 * narrowed down. Called by the fence's own submissions too, for which it does
 * neither: those are loops, never recursions.
 *
 * Context: the caller's: perhaps irqs off, perhaps raw locks and iommu->lock
 * held; never q_lock. May wait for the hardware.
 * Return: 0 when the flush may return, -EAGAIN when it is to be run again (its
 * innocent parts were aborted or held back), another error to be passed on.
 */
int __intel_quarantine_settle(struct intel_iommu *iommu, struct qi_desc *desc,
			      unsigned int count, unsigned long options,
			      struct intel_quarantine_wait *wait, int rc)
{
	struct vtd_dev *vdev;
	unsigned int i;
	int sid, state;

	if (!iommu_quarantine_enabled())
		return rc;
	if (rc == -EIO) {
		vtd_give_up(iommu, desc, count);
		return rc;
	}

	guard(rcu)();
	if (options & QI_OPT_QUARANTINE_PROBE) {
		vdev = vtd_find(iommu, vtd_devtlb_sid(desc));
		if (vdev && !rc && !wait->dropped)
			atomic_cmpxchg(&vdev->state, VTD_SUSPECT, VTD_ANSWERED);
		return rc == -EAGAIN ? -ETIMEDOUT : rc;
	}
	if (options & QI_OPT_QUARANTINE) {
		*wait = (struct intel_quarantine_wait){};
		return rc;
	}

	for (i = 0; i < count; i++) {
		sid = vtd_devtlb_sid(&desc[i]);
		if (sid < 0)
			continue;
		vdev = vtd_find(iommu, sid);
		if (!vdev)
			continue;
		while ((state = atomic_read_acquire(&vdev->state)) != VTD_HEALTHY &&
		       state != VTD_FENCED && !intel_quarantine_lost(iommu)) {
			if (state == VTD_FENCING)
				vtd_fence(vdev);
			else
				vtd_narrow(iommu);
		}
		/* Neither asked nor fenced: the IOMMU was given up meanwhile */
		if (state != VTD_HEALTHY && state != VTD_FENCED) {
			vtd_give_up(iommu, desc, count);
			return -EIO;
		}
		/* Held back as a suspect, exonerated since */
		if (!rc && wait->dropped && state == VTD_HEALTHY)
			rc = -EAGAIN;
	}
	if (rc == -EAGAIN) {
		iommu_quarantine_count(IOMMU_QUARANTINE_RERUNS);
		*wait = (struct intel_quarantine_wait){};
	}
	return rc;
}

/* Index into vdev->sids, or -1 if the entry is not one of the device's own */
static int vtd_sid_index(struct vtd_dev *vdev, u16 sid)
{
	unsigned int i;

	for (i = 0; i < vdev->nr_sids; i++)
		if (vdev->sids[i].sid == sid)
			return i;
	return -1;
}

/*
 * A driver's store into a context entry. The decision whether the device may
 * have the permission and the store are one with regard to the fence.
 */
static void vtd_store(struct intel_iommu *iommu, u16 sid,
		      struct context_entry *context,
		      void (*store)(struct context_entry *))
{
	struct vtd_dev *vdev;
	unsigned long flags;
	int n;

	guard(rcu)();
	vdev = vtd_find(iommu, sid);
	if (!vdev) {
		store(context);
		return;
	}
	n = vtd_sid_index(vdev, sid);
	raw_spin_lock_irqsave(&vdev->lock, flags);
	if (vtd_is_fenced(vdev))
		context->lo = vtd_masked(vdev, n, context->lo);
	store(context);
	/* Emptied: what keeps the device from filling the fault log stays */
	if (vtd_is_fenced(vdev))
		context->lo = vtd_masked(vdev, n, context->lo);
	raw_spin_unlock_irqrestore(&vdev->lock, flags);
}

/**
 * intel_quarantine_set_present() - make a context entry visible to hardware
 * @iommu: the IOMMU
 * @bus: bus of the entry
 * @devfn: device and function of the entry
 * @context: the entry, complete but for its present bit
 *
 * Stands where the driver calls context_set_present(). An attach that runs
 * while the device is being fenced must not bring the permission back, not for
 * an instant.
 *
 * Context: iommu->lock held.
 */
void intel_quarantine_set_present(struct intel_iommu *iommu, u8 bus, u8 devfn,
				  struct context_entry *context)
{
	vtd_store(iommu, PCI_DEVID(bus, devfn), context, context_set_present);
}

/**
 * intel_quarantine_clear_present() - take a context entry away from hardware
 * @iommu: the IOMMU
 * @bus: bus of the entry
 * @devfn: device and function of the entry
 * @context: the entry
 *
 * Stands where the driver calls context_clear_present(): a store of the fence
 * in the midst of that read-modify-write would make the entry present again.
 *
 * Context: iommu->lock held.
 */
void intel_quarantine_clear_present(struct intel_iommu *iommu, u8 bus, u8 devfn,
				    struct context_entry *context)
{
	vtd_store(iommu, PCI_DEVID(bus, devfn), context, context_clear_present);
}

/**
 * intel_quarantine_clear_entry() - empty a context entry that is not present
 * @iommu: the IOMMU
 * @bus: bus of the entry
 * @devfn: device and function of the entry
 * @context: the entry
 *
 * Stands where the driver empties the entry of a device that is being blocked.
 * Hardware looks at FPD even if the entry is not present: while the device is
 * fenced it stays set, or the device would fill the fault log after all.
 *
 * Context: process.
 */
void intel_quarantine_clear_entry(struct intel_iommu *iommu, u8 bus, u8 devfn,
				  struct context_entry *context)
{
	vtd_store(iommu, PCI_DEVID(bus, devfn), context, context_clear_entry);
}

#ifdef IQ_HAVE_VTD_FLIP_PRI
/**
 * intel_quarantine_flip_pri() - turn page requests of a device on or off
 * @iommu: the IOMMU
 * @bus: bus of the entry
 * @devfn: device and function of the entry
 * @context: the entry, which is present
 * @enable: on
 *
 * Stands where the driver does that in the entry. Of a fenced device only what
 * it is given back changes.
 *
 * Context: iommu->lock held.
 */
void intel_quarantine_flip_pri(struct intel_iommu *iommu, u8 bus, u8 devfn,
			       struct context_entry *context, bool enable)
{
	void (*flip)(struct context_entry *context) =
		enable ? context_set_sm_pre : context_clear_sm_pre;
	u16 sid = PCI_DEVID(bus, devfn);
	struct vtd_dev *vdev;
	u64 *taken;

	guard(rcu)();
	vdev = vtd_find(iommu, sid);
	if (!vdev) {
		flip(context);
		return;
	}
	guard(raw_spinlock_irqsave)(&vdev->lock);
	if (!vtd_is_fenced(vdev)) {
		flip(context);
		return;
	}
	taken = &vdev->sids[vtd_sid_index(vdev, sid)].taken;
	*taken &= ~VTD_CONTEXT_SM_PRE;
	*taken |= enable ? VTD_CONTEXT_SM_PRE : 0;
}
#endif

/* More aliases than any quirk gives to one device */
#define VTD_MAX_SIDS	8

static int vtd_add_alias(struct pci_dev *pdev, u16 alias, void *data)
{
	struct vtd_dev *vdev = data;

	/* An alias that belongs to a bridge never carries the permission */
	if (&pdev->dev != vdev->info->dev ||
	    vtd_sid_index(vdev, alias) >= 0)
		return 0;
	if (vdev->nr_sids == VTD_MAX_SIDS)
		return -ENOSPC;
	vdev->nr_sids++;
	vdev->sids[vdev->nr_sids - 1].sid = alias;
	return 0;
}

static int vtd_probe(struct device_domain_info *info)
{
	struct intel_iommu *iommu = info->iommu;
	struct vtd_dev *vdev;
	unsigned int i;
	int ret = 0;

	vdev = kzalloc(struct_size(vdev, sids, VTD_MAX_SIDS), GFP_KERNEL);
	if (!vdev)
		return -ENOMEM;
	vdev->info = info;
	vdev->pf_sid = pci_dev_id(pci_physfn(to_pci_dev(info->dev)));
	raw_spin_lock_init(&vdev->lock);
	vdev->nr_sids = 1;
	vdev->sids[0].sid = PCI_DEVID(info->bus, info->devfn);
	if (!dev_is_real_dma_subdevice(info->dev))
		ret = pci_for_each_dma_alias(to_pci_dev(info->dev),
					     vtd_add_alias, vdev);

	for (i = 0; !ret && i < vdev->nr_sids; i++)
		ret = xa_insert(&vtd_devs, vtd_key(iommu, vdev->sids[i].sid),
				vdev, GFP_KERNEL);
	if (!ret && iommu_quarantine_condemned(info->dev)) {
		atomic_inc(&intel_quarantine_active);
		atomic_set(&vdev->state, VTD_FENCED);
	}
	if (!ret)
		return 0;

	/* Of the ids only those are in the index that are ours */
	for (i = 0; i < vdev->nr_sids; i++)
		xa_cmpxchg(&vtd_devs, vtd_key(iommu, vdev->sids[i].sid), vdev,
			   NULL, GFP_KERNEL);
	kfree_rcu(vdev, rcu);
	return ret;
}

/**
 * intel_quarantine_probe() - the driver takes on a device
 * @info: the driver's view of it
 *
 * A device for which there is no memory, or of whose DMA aliases another one
 * has got hold, could not be fenced: it is not given ATS.
 *
 * Context: process; before the first context entry of the device is written.
 */
void intel_quarantine_probe(struct device_domain_info *info)
{
	int ret;

	if (!info->ats_supported || !iommu_quarantine_reports())
		return;
	ret = vtd_probe(info);
	if (!ret || !iommu_quarantine_enabled())
		return;
	dev_warn(info->dev, "could not be fenced, so it gets no ATS: %d\n", ret);
	info->ats_supported = 0;
	info->pri_supported = 0;
}

/**
 * intel_quarantine_release() - the driver lets a device go
 * @info: the driver's view of it
 *
 * Afterwards nobody uses @info or the device on behalf of the quarantine.
 *
 * Context: process; before anything of the device is freed.
 */
void intel_quarantine_release(struct device_domain_info *info)
{
	struct intel_iommu *iommu = info->iommu;
	struct vtd_dev *vdev = vtd_of(info);
	unsigned int i;

	if (!vdev)
		return;
	for (i = 0; i < vdev->nr_sids; i++)
		xa_erase(&vtd_devs, vtd_key(iommu, vdev->sids[i].sid));
	/* Fences and reports run in RCU read sections */
	synchronize_rcu();
	if (atomic_read(&vdev->state) != VTD_HEALTHY)
		atomic_dec(&intel_quarantine_active);
	kfree(vdev);
}

#ifndef IQ_HAVE_VTD_ATS_APART
/**
 * intel_quarantine_ats_leaves() - before an attach turns PCI ATS off
 * @info: the driver's view of the device
 *
 * The driver relies on ATS being off to empty the device's cache, and sends no
 * invalidation from then on: the pages of the domain that the device leaves are
 * freed, and ATS comes back with the next domain. A device that answers one
 * invalidation now obeys its configuration, too; one that does not is fenced
 * (VT-d specification, 6.5.3.3).
 *
 * Context: process, group->mutex held, no spinlock.
 */
void intel_quarantine_ats_leaves(struct device_domain_info *info)
{
	if (!info->ats_enabled || !iommu_quarantine_may_ask(info->dev))
		return;
	qi_flush_dev_iotlb(info->iommu, PCI_DEVID(info->bus, info->devfn),
			   info->pfsid, info->ats_qdep, 0, MAX_AGAW_PFN_WIDTH);
}
#endif

/**
 * intel_quarantine_ats_off() - are PCI ATS and PRI to be turned off?
 * @info: the driver's view of the device
 *
 * Called when the blocking domain is attached over itself, which the core of
 * the quarantine does once nothing is attached to the device any more.
 *
 * Context: process, group->mutex held.
 * Return: true for a device that can be quarantined.
 */
bool intel_quarantine_ats_off(struct device_domain_info *info)
{
	return info->ats_supported;
}

/**
 * intel_quarantine_reset_device_done() - iommu_ops::reset_device_done of VT-d
 * @dev: a device that was proven to have been reset
 *
 * Gives the ATS permission back. The device stays a suspect, whose first
 * invalidation goes alone and has to be answered.
 *
 * Context: process, group->mutex held, before the re-attach.
 */
void intel_quarantine_reset_device_done(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_iommu *iommu = info->iommu;
	struct context_entry *context;
	struct vtd_dev *vdev;
	unsigned long flags;
	unsigned int i;
	bool lifted;
	u16 sid;
	u64 lo;

	guard(rcu)();
	vdev = vtd_of(info);
	if (!vdev)
		return;

	/*
	 * q_lock: an accusation and its epoch are one with regard to the lift.
	 * What is accused before is lifted here; what comes later is new. And it
	 * is about what was queued later: the queue is a FIFO, the attach to the
	 * blocking domain before the reset has waited for it, and no wait behind
	 * an invalidation that expires completes before ITE is dealt with.
	 */
	raw_spin_lock_irqsave(&iommu->qi->q_lock, flags);
	raw_spin_lock(&vdev->lock);
	lifted = vtd_is_fenced(vdev);
	if (lifted)
		atomic_set(&vdev->state, VTD_SUSPECT);
	for (i = 0; lifted && i < vdev->nr_sids; i++) {
		sid = vdev->sids[i].sid;
		context = iommu_context_addr(iommu, PCI_BUS_NUM(sid),
					     sid & 0xff, 0);
		if (context) {
			lo = context->lo & ~VTD_CONTEXT_FPD;
			if (context_present(context))
				lo |= vdev->sids[i].taken;
			WRITE_ONCE(context->lo, lo);
			__iommu_flush_cache(iommu, context, sizeof(*context));
		}
		vdev->sids[i].taken = 0;
	}
	WRITE_ONCE(vdev->cut_off, false);
	raw_spin_unlock(&vdev->lock);
	raw_spin_unlock_irqrestore(&iommu->qi->q_lock, flags);

	if (lifted)
		vtd_invalidate_contexts(iommu);
	/* In legacy mode the attach does it */
	if (sm_supported(iommu))
		intel_quarantine_ats_on(info, lifted);
}

/* struct iommu_quarantine_backend::verify. Context: process, group->mutex held. */
static int intel_quarantine_verify(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_iommu *iommu = info->iommu;
	struct vtd_dev *vdev;
	int state;

	/* Without a fence there is nobody to hold back */
	if (!iommu_quarantine_enabled())
		return 0;

	guard(rcu)();
	vdev = vtd_of(info);
	if (!vdev)
		return 0;
	/* It may be here by the administrator's request, never having failed */
	scoped_guard(raw_spinlock_irqsave, &iommu->qi->q_lock)
		vtd_suspect(vdev);
	while ((state = atomic_read(&vdev->state)) != VTD_HEALTHY &&
	       state < VTD_FENCING && !intel_quarantine_lost(iommu))
		vtd_narrow(iommu);
	return state == VTD_HEALTHY ? 0 : -ETIMEDOUT;
}

/* struct iommu_quarantine_backend::pretend. Context: process. */
static int __maybe_unused intel_quarantine_pretend(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_iommu *iommu = info->iommu;
	struct vtd_dev *vdev;

	if (!iommu_quarantine_enabled())
		return -EOPNOTSUPP;

	guard(rcu)();
	vdev = vtd_of(info);
	if (!vdev)
		return -ENODEV;
	scoped_guard(raw_spinlock_irqsave, &iommu->qi->q_lock)
		vtd_accuse(vdev, IOMMU_BROKEN_ATS_TIMEOUT, 0, 0);
	if (atomic_read_acquire(&vdev->state) == VTD_FENCING)
		vtd_fence(vdev);
	return 0;
}

static struct iommu_quarantine_backend intel_quarantine_backend = {
	.name = "intel-vtd",
	.ops = &intel_iommu_ops,
	.verify = intel_quarantine_verify,
#ifdef CONFIG_IOMMU_QUARANTINE_FAULT
	.pretend = intel_quarantine_pretend,
#endif
};

/* Runs before intel_iommu_init(), which is a rootfs initcall */
static int __init intel_quarantine_init(void)
{
	iommu_quarantine_backend_register(&intel_quarantine_backend);
	return 0;
}

subsys_initcall(intel_quarantine_init);
