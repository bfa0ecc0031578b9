// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarantine backend of AMD IOMMU.
 *
 * An INVALIDATE_IOTLB_PAGES command that is not answered is logged after the
 * programmed time as IOTLB_INV_TIMEOUT with the DeviceID (48882, 2.4.4 and
 * 2.5.8). Until then the COMPLETION_WAIT behind it does not store; afterwards it
 * does, so that a completed wait may be no positive answer. See HARDWARE.md for
 * what is not known about that, and why this file is right in each case.
 *
 * All flushes end in wait_on_sem(), so that function carries the call-out which
 * keeps one from returning too early                         ..._settle()
 *
 *  - It waits for the hardware's word, where the driver gives up after 100 ms.
 *  - It looks into the event log itself, since the CPU that waits may be the one
 *    that is to run the log's irq thread. It consumes nothing: the position up to
 *    which events were seen is our own, and the thread moves it along, too.
 *  - What the hardware names is accused and fenced. A wait that took longer than
 *    10 ms is no positive answer, even if nobody was named (the event may come
 *    later, or was lost as the log was full): the devices that were asked are
 *    held back, and their invalidations run again one device at a time. Those
 *    that are answered in time were innocent.
 *
 * Where a command is copied into the buffer, one for a device that is not
 * healthy is refused                                         ..._filter()
 *
 * The fence takes the IOTLB permission out of the device table entry and makes
 * the IOMMU forget what it has cached of it. Translated requests are checked
 * against that entry. Any CPU that needs the fence runs all of it: it is
 * idempotent, and nobody waits for a CPU that may be interrupted.
 *
 * Lock order: iommu->lock, then amd_unit.log_lock. Below these and dte_lock comes
 * amd_dev.lock; that and amd_unit.control_lock are innermost. The driver's dte_lock
 * and domain->lock may be held by callers and are never taken.
 */

#define pr_fmt(fmt) "AMD-Vi: iommu-quarantine: " fmt
#define dev_fmt(fmt) "iommu-quarantine: " fmt

#include <kunit/visibility.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/iommu.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/xarray.h>

#include <asm/iommu.h>

#include "amd_iommu.h"
#include "backend.h"
#include "quarantine.h"

/*
 * How long a flush waits for the hardware's word, in ns. The driver programs a
 * timeout of one second; past ten it is the IOMMU itself that does not answer.
 */
#define AMD_WAIT_BOUND_NS	(10ULL * NSEC_PER_SEC)
/*
 * An answer that took longer may be none: far below the timeout programmed, far
 * above any answer. The driver's polls take a microsecond each, or more.
 */
#define AMD_ANSWER_NS		(AMD_QUARANTINE_ANSWER_POLLS * NSEC_PER_USEC)
/* The same of one that is asked alone, measured from when it was queued */
#define AMD_ASK_NS		(100ULL * NSEC_PER_MSEC)
/* How much later than the store of its wait an event may become visible */
#define AMD_EVENT_LATE_NS	(100ULL * NSEC_PER_MSEC)
/* A wait that was dropped by the hardware is sent again */
#define AMD_WAIT_AGAIN_NS	(1ULL * NSEC_PER_SEC)

/* Three bits at CONTROL_INV_TIMEOUT; the driver's own mask may be shifted */
#define AMD_INV_TO_MASK		7

/* MMIO 2020h */
#define AMD_STATUS_CMDBUF_RUN	BIT(4)
/* Device table entry, SA: log no page faults of the device */
#define AMD_DTE_SUPPRESS	BIT_ULL(34)

static struct amd_unit amd_units[MAX_IOMMUS] = {
	[0 ... MAX_IOMMUS - 1] = {
		.control_lock = __RAW_SPIN_LOCK_UNLOCKED(amd_units.control_lock),
		.log_lock = __RAW_SPIN_LOCK_UNLOCKED(amd_units.log_lock),
	},
};

/* Before there is a log, and where each wait has to look closer */
static u64 amd_no_event;
static u64 amd_look_closer = 1;

u64 *amd_quarantine_next_event[MAX_IOMMUS] = {
	[0 ... MAX_IOMMUS - 1] = &amd_no_event,
};

/*
 * DeviceID -> struct amd_dev, per IOMMU; readers hold RCU and nothing else. A
 * device is in it once for each of its DeviceIDs.
 */
static DEFINE_XARRAY(amd_devs);

atomic_t amd_quarantine_active = ATOMIC_INIT(0);

VISIBLE_IF_KUNIT struct amd_unit *amd_unit(struct amd_iommu *iommu)
{
	return &amd_units[iommu->index];
}

static unsigned long amd_key(struct amd_iommu *iommu, u16 devid)
{
	return (unsigned long)iommu->index << 16 | devid;
}

VISIBLE_IF_KUNIT struct amd_dev *amd_find(struct amd_iommu *iommu, u16 devid)
{
	return xa_load(&amd_devs, amd_key(iommu, devid));
}

/* Unless another device has got hold of its DeviceID, as its DMA alias */
static struct amd_dev *amd_of(struct iommu_dev_data *dev_data)
{
	struct amd_dev *adev = amd_find(get_amd_iommu_from_dev_data(dev_data),
					dev_data->devid);

	return adev && adev->dev_data == dev_data ? adev : NULL;
}

static bool amd_is_fenced(struct amd_dev *adev)
{
	return atomic_read(&adev->state) >= AMD_FENCING;
}

/* DeviceID of an INVALIDATE_IOTLB_PAGES, or -1 for any other command */
static int amd_iotlb_devid(const struct iommu_cmd *cmd)
{
	return cmd->data[1] >> 28 == CMD_INV_IOTLB_PAGES ?
		cmd->data[0] & 0xffff : -1;
}

static bool amd_done(struct amd_iommu *iommu, u64 data)
{
	return (s64)(READ_ONCE(*iommu->cmd_sem) - data) >= 0;
}

/* ---- the event log ---- */

/*
 * Where the next wait is to look. What is logged next, as a rule; but while a
 * device of this IOMMU is not healthy every wait takes the long way, and so it
 * does where the driver cannot empty the log's entries, which is with SNP.
 */
static void amd_update_next_event(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);
	u64 *next = (u64 *)(iommu->evt_buf + unit->seen);

	lockdep_assert_held(&unit->log_lock);
	if (amd_iommu_snp_en || atomic_read(&unit->unhealthy))
		next = &amd_look_closer;
	WRITE_ONCE(amd_quarantine_next_event[iommu->index], next);
}

static void amd_count_unhealthy(struct amd_iommu *iommu, int by)
{
	struct amd_unit *unit = amd_unit(iommu);
	unsigned long flags;

	raw_spin_lock_irqsave(&unit->log_lock, flags);
	atomic_add(by, &unit->unhealthy);
	atomic_add(by, &amd_quarantine_active);
	amd_update_next_event(iommu);
	raw_spin_unlock_irqrestore(&unit->log_lock, flags);
}

/* While there is a slow one, the one that stores @data, every wait looks closer */
static void amd_slow_begin(struct amd_iommu *iommu, u64 data)
{
	struct amd_unit *unit = amd_unit(iommu);

	scoped_guard(raw_spinlock_irqsave, &unit->log_lock)
		if (atomic_inc_return(&unit->slow) == 1 ||
		    (s64)(data - unit->slow_from) < 0)
			unit->slow_from = data;
	amd_count_unhealthy(iommu, 1);
}

static void amd_slow_end(struct amd_iommu *iommu)
{
	atomic_dec(&amd_unit(iommu)->slow);
	amd_count_unhealthy(iommu, -1);
}

/* What the oldest unverified one stores, of the slow ones and @data's. Narrowing. */
static u64 amd_slow_from(struct amd_iommu *iommu, u64 data)
{
	struct amd_unit *unit = amd_unit(iommu);

	guard(raw_spinlock_irqsave)(&unit->log_lock);
	if (!atomic_read(&unit->slow) || (s64)(unit->slow_from - data) >= 0)
		return data;
	return (s64)(unit->slow_from - unit->verified) > 0 ?
		unit->slow_from : unit->verified + 1;
}

/* log_lock held. Nothing that is already decided is decided again. */
static void amd_accuse(struct amd_dev *adev, enum iommu_broken_cause cause,
		       u64 event, u64 address)
{
	struct amd_unit *unit = amd_unit(adev->iommu);

	lockdep_assert_held(&unit->log_lock);
	if (amd_is_fenced(adev))
		return;
	adev->evidence = (struct iommu_broken_evidence){
		.cause = cause,
		.epoch = iommu_quarantine_epoch(adev->dev),
		.hw = { event, address },
	};
	WRITE_ONCE(adev->accused, adev->accused + 1);
	/* Counted once, whatever else becomes of the state at this moment */
	atomic_inc(&unit->unhealthy);
	atomic_inc(&amd_quarantine_active);
	/* Pairs with atomic_read_acquire() in amd_fence_all() */
	if (atomic_xchg(&adev->state, AMD_FENCING) != AMD_HEALTHY) {
		atomic_dec(&unit->unhealthy);
		atomic_dec(&amd_quarantine_active);
	}
}

static void amd_take_event(struct amd_iommu *iommu, u64 event, u64 address)
{
	struct amd_unit *unit = amd_unit(iommu);
	struct iommu_broken_evidence evidence;
	struct iommu_dev_data *dev_data;
	struct amd_dev *adev;

	if (event >> 60 != EVENT_TYPE_IOTLB_INV_TO)
		return;
	iommu_quarantine_count(IOMMU_QUARANTINE_TIMEOUTS);
	WRITE_ONCE(unit->events, unit->events + 1);

	/* The device may have been released meanwhile: nobody to blame */
	adev = amd_find(iommu, event & 0xffff);
	if (!adev) {
		dev_data = search_dev_data(iommu, event & 0xffff);
		if (!dev_data ||
		    !(dev_data->flags & AMD_IOMMU_DEVICE_FLAG_ATS_SUP))
			WRITE_ONCE(unit->nameless, unit->nameless + 1);
		return;
	}
	if (iommu_quarantine_enabled()) {
		amd_accuse(adev, IOMMU_BROKEN_ATS_TIMEOUT, event, address);
	} else if (iommu_quarantine_reports()) {
		evidence = (struct iommu_broken_evidence){
			.cause = IOMMU_BROKEN_ATS_TIMEOUT,
			.epoch = iommu_quarantine_epoch(adev->dev),
			.hw = { event, address },
		};
		iommu_quarantine_report(adev->dev, &evidence);
	}
}

/* The entry at unit->seen, or 0 if the hardware has not written it */
static u64 amd_peek(struct amd_iommu *iommu, u64 *address)
{
	struct amd_unit *unit = amd_unit(iommu);
	u64 *entry = (u64 *)(iommu->evt_buf + unit->seen);
	u64 event;

	if (amd_iommu_snp_en &&
	    unit->seen == readl(iommu->mmio_base + MMIO_EVT_TAIL_OFFSET))
		return 0;
	event = READ_ONCE(entry[0]);
	if (!(event >> 60))
		return 0;
	/* Erratum 732: not before its type is there */
	dma_rmb();
	*address = READ_ONCE(entry[1]);
	return event;
}

static void amd_advance(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);

	unit->seen = (unit->seen + EVTLOG_ENTRY_SIZE) % amd_iommu_evtlog_size;
}

/*
 * Look at what was logged since. The loop ends: entries that the driver has
 * taken are empty (see amd_quarantine_event()), and hardware never fills the
 * last one. RCU read section.
 */
static void amd_read_log(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);
	unsigned long flags;
	u64 event, address;

	raw_spin_lock_irqsave(&unit->log_lock, flags);
	while ((event = amd_peek(iommu, &address))) {
		amd_take_event(iommu, event, address);
		amd_advance(iommu);
	}
	amd_update_next_event(iommu);
	raw_spin_unlock_irqrestore(&unit->log_lock, flags);
}

/**
 * amd_quarantine_log_reset() - the log starts anew at its first entry
 * @iommu: the IOMMU
 *
 * Empties it: entries of before, or of the kernel that crashed, are nobody's
 * any more. So is what it has queued, see amd_take_window(): the command buffer has
 * started anew just before, and what was queued since is in front of its tail.
 *
 * Context: process; after head and tail were set to 0, logging is still off.
 */
void amd_quarantine_log_reset(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);

	if (!amd_iommu_snp_en)
		memset(iommu->evt_buf, 0, amd_iommu_evtlog_size);
	scoped_guard(raw_spinlock_irqsave, &iommu->lock)
		memset(iommu->cmd_buf + iommu->cmd_buf_tail, 0,
		       CMD_BUFFER_SIZE - iommu->cmd_buf_tail);

	guard(raw_spinlock_irqsave)(&unit->log_lock);
	unit->seen = 0;
	unit->taken = 0;
	amd_update_next_event(iommu);
}

/**
 * amd_quarantine_log_restart() - logging goes on, if the log was full
 * @iommu: the IOMMU
 *
 * Context: process; nothing has been logged since it was full.
 */
void amd_quarantine_log_restart(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);

	guard(raw_spinlock_irqsave)(&unit->log_lock);
	WRITE_ONCE(unit->restarts, unit->restarts + 1);
}

/* Whatever happened since @restarts was read is in the log, or has been */
static bool amd_log_complete(struct amd_iommu *iommu, unsigned int restarts)
{
	if (!(readl(iommu->mmio_base + MMIO_STATUS_OFFSET) &
	      MMIO_STATUS_EVT_RUN_MASK))
		return false;
	/* It is counted before it runs again */
	rmb();
	return READ_ONCE(amd_unit(iommu)->restarts) == restarts;
}

/* ---- waiting ---- */

/**
 * amd_quarantine_control_lock() - the control register is read, to be written
 * @iommu: the IOMMU
 *
 * The threads of the logs restart these by it, with no lock of the driver's, while a
 * flush that waits may restart the command buffer: the one would undo the other,
 * and a log, or the buffer, stay off for good.
 *
 * Context: any; the register is read and written before the unlock, no more.
 * Return: what amd_quarantine_control_unlock() is to be given.
 */
unsigned long amd_quarantine_control_lock(struct amd_iommu *iommu)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&amd_unit(iommu)->control_lock, flags);
	return flags;
}

/**
 * amd_quarantine_control_unlock() - the control register was written
 * @iommu: the IOMMU
 * @flags: of amd_quarantine_control_lock()
 *
 * Context: as amd_quarantine_control_lock().
 */
void amd_quarantine_control_unlock(struct amd_iommu *iommu, unsigned long flags)
{
	raw_spin_unlock_irqrestore(&amd_unit(iommu)->control_lock, flags);
}

/* Should the command buffer have stopped at the event: go on where it stands */
static void amd_restart(struct amd_iommu *iommu)
{
	u8 __iomem *control = iommu->mmio_base + MMIO_CONTROL_OFFSET;
	u64 enable = BIT_ULL(CONTROL_CMDBUF_EN);

	lockdep_assert_held(&iommu->lock);
	if (readl(iommu->mmio_base + MMIO_STATUS_OFFSET) & AMD_STATUS_CMDBUF_RUN)
		return;
	guard(raw_spinlock_irqsave)(&amd_unit(iommu)->control_lock);
	writeq(readq(control) & ~enable, control);
	writeq(readq(control) | enable, control);
}

/* The PCI function that the IOMMU is, as lspci has it */
static const char *amd_name(struct amd_iommu *iommu, char (*name)[16])
{
	snprintf(*name, sizeof(*name), "%04x:%02x:%02x.%x", iommu->pci_seg->id,
		 PCI_BUS_NUM(iommu->devid), PCI_SLOT(iommu->devid),
		 PCI_FUNC(iommu->devid));
	return *name;
}

/* Where the hardware stands, so that the log tells a device from an IOMMU */
static void amd_say_waiting(struct amd_iommu *iommu, u64 waited)
{
	char name[16];

	pr_warn("%s has not answered for %llu ms, a flush waits: command head %#x, tail %#x, status %#x\n",
		amd_name(iommu, &name), waited / NSEC_PER_MSEC,
		readl(iommu->mmio_base + MMIO_CMD_HEAD_OFFSET),
		readl(iommu->mmio_base + MMIO_CMD_TAIL_OFFSET),
		readl(iommu->mmio_base + MMIO_STATUS_OFFSET));
}

/*
 * Wait until the wait for @data has completed, whatever that means. Accuses
 * whom the hardware names meanwhile, fences nobody: so it is what the fence
 * itself waits with. RCU read section.
 *
 * Returns 0, or -EIO when the hardware has not said a word within the bound.
 */
static int amd_wait(struct amd_iommu *iommu, u64 data)
{
	u64 start = ktime_get_mono_fast_ns(), word = start, sent = start, now, sem;
	u64 bound = iommu_quarantine_wait_bound(AMD_WAIT_BOUND_NS);
	struct amd_unit *unit = amd_unit(iommu);
	unsigned int events = READ_ONCE(unit->events), polls = 0;
	u64 last = READ_ONCE(*iommu->cmd_sem), again;
	u32 head, last_head = 0;

	while (!amd_done(iommu, data)) {
		udelay(1);
		if (++polls % 64)
			continue;
		if (READ_ONCE(unit->lost))
			return -EIO;
		amd_read_log(iommu);

		now = ktime_get_mono_fast_ns();
		sem = READ_ONCE(*iommu->cmd_sem);
		/* This clock may go back a little from one CPU to another */
		if ((s64)(now - start) < (s64)AMD_ANSWER_NS)
			continue;
		/*
		 * Counted from the last word, whoever it was about. Events may get lost,
		 * but a head that moves towards the wait is one, if not one that has
		 * come to the end without storing anything.
		 */
		head = readl(iommu->mmio_base + MMIO_CMD_HEAD_OFFSET);
		if (sem != last || events != READ_ONCE(unit->events) ||
		    (head != last_head && head != READ_ONCE(iommu->cmd_buf_tail)))
			word = now;
		last_head = head;
		if ((s64)(now - word) > (s64)bound)
			return -EIO;
		if (iommu_quarantine_wait_is_news(&unit->said, now - word, bound))
			amd_say_waiting(iommu, now - word);

		iommu_quarantine_wait_for_hardware();
		scoped_guard(raw_spinlock_irqsave, &iommu->lock)
			amd_restart(iommu);
		/* An event may have taken the wait with it */
		if (events != READ_ONCE(unit->events) ||
		    (s64)(now - sent) > (s64)AMD_WAIT_AGAIN_NS) {
			amd_quarantine_submit(iommu, NULL, 0, &again);
			sent = now;
		}
		last = sem;
		events = READ_ONCE(unit->events);
	}
	/* Hardware logs first and stores then */
	dma_rmb();
	amd_read_log(iommu);
	return 0;
}

/*
 * Neither an answer nor a timeout: nothing can be said through the buffer any
 * more, and memory is not protected. Said and counted by whoever meets it, each
 * time, be it the one that fences or narrows, or one that finds no room.
 */
static void amd_declare_lost(struct amd_iommu *iommu)
{
	char name[16];

	amd_name(iommu, &name);
	if (iommu_quarantine_last_resort() == IOMMU_LAST_RESORT_PANIC)
		panic("AMD-Vi: %s does not answer, memory can no longer be protected from DMA",
		      name);
	if (!xchg(&amd_unit(iommu)->lost, true)) {
		/* So that waits look closer, and notice when it is back */
		amd_count_unhealthy(iommu, 1);
		pr_emerg("%s does not answer, it is given up\n", name);
	}
	iommu_quarantine_unprotected(name);
}

/**
 * __amd_quarantine_full() - the command buffer is full
 * @iommu: the IOMMU
 * @polls: microseconds so far
 *
 * The driver gives up after 100 ms and loses the command. While a device does
 * not answer the buffer stands still for longer. Past the bound the IOMMU is lost.
 *
 * Context: iommu->lock held.
 * Return: true if the driver is to give up.
 */
bool __amd_quarantine_full(struct amd_iommu *iommu, unsigned int polls)
{
	u64 bound = iommu_quarantine_wait_bound(AMD_WAIT_BOUND_NS);
	struct amd_unit *unit = amd_unit(iommu);
	u64 waited = (u64)polls * NSEC_PER_USEC;

	if (!iommu_quarantine_enabled() || !READ_ONCE(unit->window))
		return true;
	if (!(polls % 1024)) {
		if (iommu_quarantine_wait_is_news(&unit->said, waited, bound))
			amd_say_waiting(iommu, waited);
		iommu_quarantine_wait_for_hardware();
		amd_restart(iommu);
	}
	if (!READ_ONCE(unit->lost) && waited <= bound)
		return false;
	amd_declare_lost(iommu);
	/* What it was not told it does not know, should it come back */
	WRITE_ONCE(unit->dropped, true);
	return true;
}

/* ---- the fence ---- */

/* See iommu_quarantine_cut_off(). Returns false if the device can still write. */
static bool amd_cut_off(struct amd_dev *adev)
{
	if (!READ_ONCE(adev->cut_off))
		WRITE_ONCE(adev->cut_off,
			   iommu_quarantine_cut_off(to_pci_dev(adev->dev)));
	return adev->cut_off;
}

/* The word of the entry that holds the permission, as it is for a fenced device */
static u64 amd_masked(struct amd_dev *adev, u64 data)
{
	lockdep_assert_held(&adev->lock);
	/* Nor does it get to fill the event log */
	return (data & ~DTE_FLAG_IOTLB) | AMD_DTE_SUPPRESS;
}

/* More aliases than any quirk gives to one device */
#define AMD_MAX_SIDS	8

/* Make the IOMMU forget what it has cached of the device's table entries */
static int amd_invalidate_dtes(struct amd_dev *adev)
{
	struct iommu_cmd cmd[AMD_MAX_SIDS];
	unsigned int i;
	u64 data;

	for (i = 0; i < adev->nr_sids; i++)
		amd_quarantine_build_inv_dte(&cmd[i], adev->sids[i]);
	return amd_quarantine_submit(adev->iommu, cmd, i, &data) ?:
		amd_wait(adev->iommu, data);
}

/* Take the permission out of the device table entries of a fenced device */
static void amd_mask(struct amd_dev *adev)
{
	struct dev_table_entry *dte;
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < adev->nr_sids; i++) {
		dte = &get_dev_table(adev->iommu)[adev->sids[i]];
		raw_spin_lock_irqsave(&adev->lock, flags);
		/* A reset may have lifted it meanwhile */
		if (amd_is_fenced(adev))
			WRITE_ONCE(dte->data[1],
				   amd_masked(adev, dte->data[1]));
		raw_spin_unlock_irqrestore(&adev->lock, flags);
	}
}

/*
 * FENCING -> FENCED, and the report. A reset may have lifted it meanwhile, and
 * the device be broken again: the entry was looked at in between, so that is
 * another CPU's fence.
 */
static void amd_fenced(struct amd_dev *adev, unsigned int accused)
{
	struct iommu_broken_evidence evidence;

	scoped_guard(raw_spinlock_irqsave, &amd_unit(adev->iommu)->log_lock) {
		if (atomic_read(&adev->state) != AMD_FENCING ||
		    adev->accused != accused)
			return;
		evidence = adev->evidence;
		atomic_set(&adev->state, AMD_FENCED);
	}
	iommu_quarantine_fenced(adev->dev, &evidence);
}

/*
 * Called by every CPU that meets FENCING, with any lock of the driver held but
 * iommu->lock, so it takes no other. See HARDWARE.md. RCU read section.
 */
static void amd_fence(struct amd_dev *adev)
{
	unsigned int accused = READ_ONCE(adev->accused);

	lockdep_assert_not_held(&adev->iommu->lock);
	iommu_quarantine_hold_fence();

	amd_mask(adev);
	/* What is left is the last resort */
	if (amd_invalidate_dtes(adev)) {
		amd_cut_off(adev);
		amd_declare_lost(adev->iommu);
	}
	amd_fenced(adev, accused);
}

/* Nobody goes on while somebody is accused and not fenced. RCU read section. */
static void amd_fence_all(struct amd_iommu *iommu)
{
	struct amd_dev *adev;
	unsigned long key;
	bool again;

	do {
		again = false;
		xa_for_each_range(&amd_devs, key, adev, amd_key(iommu, 0),
				  amd_key(iommu, 0xffff)) {
			if (atomic_read_acquire(&adev->state) != AMD_FENCING)
				continue;
			amd_fence(adev);
			/* The fence may have met another one's timeout */
			again = true;
		}
	} while (again);
}

/**
 * amd_quarantine_store_dte() - store the lower half of a device table entry
 * @iommu: the IOMMU
 * @devid: DeviceID of the entry
 * @dte: the entry
 * @new: what the driver wants to be there
 * @store: how the driver stores it
 *
 * Stands where the driver calls @store, write_dte_lower128(). An attach that
 * runs while the device is being fenced must not bring the permission back, not
 * for an instant: so the decision and the store are one with regard to the
 * fence.
 *
 * Context: dte_lock held.
 */
void amd_quarantine_store_dte(struct amd_iommu *iommu, u16 devid,
			      struct dev_table_entry *dte,
			      struct dev_table_entry *new,
			      void (*store)(struct dev_table_entry *dte,
					    struct dev_table_entry *new))
{
	struct dev_table_entry masked;
	struct amd_dev *adev;
	unsigned long flags;

	guard(rcu)();
	adev = amd_find(iommu, devid);
	if (!adev) {
		store(dte, new);
		return;
	}
	raw_spin_lock_irqsave(&adev->lock, flags);
	masked = *new;
	if (amd_is_fenced(adev))
		masked.data[1] = amd_masked(adev, masked.data[1]);
	store(dte, &masked);
	raw_spin_unlock_irqrestore(&adev->lock, flags);
}

#ifdef IQ_HAVE_AMD_DTE_WORDS
/*
 * The second word of a device's own entry: what the driver makes of what is
 * there, without anything that the fence has left in it. Decided and stored under
 * the lock of the fence.
 */
static void amd_store_flags(struct amd_iommu *iommu, u16 devid,
			    struct dev_table_entry *dte, u64 keep, u64 flags)
{
	struct amd_dev *adev;
	u64 word;

	/* Nor what the fence of one that was removed from there has left */
	keep &= ~AMD_DTE_SUPPRESS;
	flags &= ~AMD_DTE_SUPPRESS;
	guard(rcu)();
	adev = amd_find(iommu, devid);
	if (!adev) {
		WRITE_ONCE(dte->data[1], (READ_ONCE(dte->data[1]) & keep) | flags);
		return;
	}
	guard(raw_spinlock_irqsave)(&adev->lock);
	word = (READ_ONCE(dte->data[1]) & keep) | flags;
	WRITE_ONCE(dte->data[1],
		   amd_is_fenced(adev) ? amd_masked(adev, word) : word);
}

/**
 * amd_quarantine_set_flags() - store the word that holds the ATS permission
 * @iommu: the IOMMU
 * @devid: DeviceID of the entry
 * @dte: the entry
 * @flags: what the driver wants to be there
 *
 * For drivers that write an entry by the word.
 *
 * Context: any.
 */
void amd_quarantine_set_flags(struct amd_iommu *iommu, u16 devid,
			      struct dev_table_entry *dte, u64 flags)
{
	amd_store_flags(iommu, devid, dte, 0, flags);
}

/**
 * amd_quarantine_clear_flags() - the same of an entry that is emptied
 * @iommu: the IOMMU
 * @devid: DeviceID of the entry
 * @dte: the entry
 *
 * Such a driver leaves the ATS permission in the entry of a device that is
 * attached to nothing. A device that is blocked must not have it: PCI ATS is
 * turned off, but a broken device need not care.
 *
 * Context: any.
 */
void amd_quarantine_clear_flags(struct amd_iommu *iommu, u16 devid,
				struct dev_table_entry *dte)
{
	amd_store_flags(iommu, devid, dte, DTE_FLAG_MASK & ~DTE_FLAG_IOTLB, 0);
}
#endif

/* ---- whose fault? ---- */

static void amd_suspect(struct amd_dev *adev)
{
	if (atomic_cmpxchg(&adev->state, AMD_HEALTHY, AMD_SUSPECT) ==
	    AMD_HEALTHY)
		amd_count_unhealthy(adev->iommu, 1);
}

/**
 * __amd_quarantine_filter() - may this invalidation be queued?
 * @iommu: the IOMMU
 * @cmd: an INVALIDATE_IOTLB_PAGES
 *
 * Context: iommu->lock held.
 * Return: 0 if it may, -ECANCELED if it is left out, as the device is fenced or
 * the IOMMU lost, -EAGAIN if it is held back.
 */
int __amd_quarantine_filter(struct amd_iommu *iommu, struct iommu_cmd *cmd)
{
	struct amd_unit *unit = amd_unit(iommu);
	struct amd_dev *adev;
	int state;

	if (!iommu_quarantine_enabled())
		return 0;

	guard(rcu)();
	adev = amd_find(iommu, amd_iotlb_devid(cmd));
	if (!adev)
		return 0;
	state = atomic_read(&adev->state);
	/* Who is asked is asked alone, so all others wait as well */
	if (unit->probing ? state < AMD_FENCING :
	    state == AMD_HEALTHY && !atomic_read(&unit->narrowing))
		return 0;
	iommu_quarantine_count(IOMMU_QUARANTINE_FILTERED);
	if (state >= AMD_FENCING)
		return -ECANCELED;
	if (!READ_ONCE(unit->lost))
		return -EAGAIN;
	/*
	 * Nobody can be asked through an IOMMU that is lost. Should it come
	 * back, the device is asked for all that it holds before a flush
	 * returns.
	 */
	amd_suspect(adev);
	WRITE_ONCE(unit->missed, true);
	return -ECANCELED;
}

/**
 * amd_quarantine_probing() - suspects are asked on purpose
 * @iommu: the IOMMU
 * @probing: from now on, or not any more
 *
 * Context: iommu->lock held.
 */
void amd_quarantine_probing(struct amd_iommu *iommu, bool probing)
{
	lockdep_assert_held(&iommu->lock);
	amd_unit(iommu)->probing = probing;
}

/*
 * The device-TLB invalidations behind the wait that stores @from, as they were
 * queued, and who was asked by them: what is on its way is in the command buffer
 * still. Whoever queues one later is held back, as this CPU narrows. What a wait
 * before @slow covers was answered in time, so far as is known; a device that sleeps
 * by now would not answer again, and is not asked for that. @newest is what the
 * newest wait stores. Returns false if some of it is overwritten, the wait that stores
 * @slow included.
 */
static bool amd_take_window(struct amd_iommu *iommu, u64 from, u64 slow,
			    u64 *newest)
{
	struct iommu_cmd *cmds = (struct iommu_cmd *)iommu->cmd_buf, *cmd;
	struct amd_unit *unit = amd_unit(iommu);
	struct amd_dev *adev;
	unsigned int i, tail;
	u64 data, oldest;

	unit->nr_window = 0;
	scoped_guard(raw_spinlock_irqsave, &iommu->lock) {
		tail = iommu->cmd_buf_tail / sizeof(*cmd);
		*newest = iommu->cmd_sem_val;
	}

	oldest = *newest;
	/* Backwards, from the newest to the one that is overwritten next */
	for (i = 1; i < CMD_BUFFER_ENTRIES; i++) {
		cmd = &cmds[(tail + CMD_BUFFER_ENTRIES - i) % CMD_BUFFER_ENTRIES];
		/* Never used, so nothing was overwritten */
		if (!cmd->data[1])
			return true;
		if (cmd->data[1] >> 28 == CMD_COMPL_WAIT) {
			data = (u64)cmd->data[3] << 32 | cmd->data[2];
			if ((s64)(data - from) <= 0)
				break;
			oldest = data;
			continue;
		}
		if (amd_iotlb_devid(cmd) < 0)
			continue;
		adev = amd_find(iommu, amd_iotlb_devid(cmd));
		if (!adev || amd_is_fenced(adev))
			continue;
		if ((s64)(oldest - slow) < 0 && !iommu_quarantine_may_ask(adev->dev))
			continue;
		amd_suspect(adev);
		unit->window[unit->nr_window++] = *cmd;
	}
	return (s64)(oldest - slow) < 0;
}

/* The hardware may say later than it stores whom it waited for in vain */
static void amd_wait_for_event(struct amd_iommu *iommu, unsigned int events)
{
	struct amd_unit *unit = amd_unit(iommu);
	u64 end = ktime_get_mono_fast_ns() + AMD_EVENT_LATE_NS;

	while (READ_ONCE(unit->events) == events &&
	       ktime_get_mono_fast_ns() < end) {
		udelay(1);
		amd_read_log(iommu);
	}
}

/* How long the hardware was told to wait for an answer, in ns */
static u64 amd_timeout_ns(struct amd_iommu *iommu)
{
	static const u32 ms[] = {
		[CTRL_INV_TO_1MS] = 1,
		[CTRL_INV_TO_10MS] = 10,
		[CTRL_INV_TO_100MS] = 100,
		[CTRL_INV_TO_1S] = 1000,
		[CTRL_INV_TO_10S] = 10000,
		[CTRL_INV_TO_100S] = 100000,
	};
	u64 control = readq(iommu->mmio_base + MMIO_CONTROL_OFFSET);
	unsigned int to = control >> CONTROL_INV_TIMEOUT & AMD_INV_TO_MASK;

	return to < ARRAY_SIZE(ms) ? ms[to] * (u64)NSEC_PER_MSEC : 0;
}

/*
 * Send commands and wait for them. Returns 0 if that was an answer, -ETIMEDOUT if
 * it took too long to be one, -ECANCELED if the device was accused meanwhile,
 * -EIO if the IOMMU is silent.
 */
static int amd_run(struct amd_iommu *iommu, struct iommu_cmd *cmd,
		   unsigned int count)
{
	struct amd_unit *unit = amd_unit(iommu);
	unsigned int events = READ_ONCE(unit->events);
	unsigned int nameless = READ_ONCE(unit->nameless);
	unsigned int restarts = READ_ONCE(unit->restarts);
	u64 data, start;
	s64 took;
	int rc;

	rc = amd_quarantine_submit(iommu, cmd, count, &data);
	start = ktime_get_mono_fast_ns();
	if (!rc)
		rc = amd_wait(iommu, data);
	if (rc)
		return rc;
	took = ktime_get_mono_fast_ns() - start;
	/* A timeout that names nobody may be a short one */
	if (took < (s64)AMD_ASK_NS && READ_ONCE(unit->nameless) == nameless)
		return 0;
	/*
	 * Slow, but far from the hardware's timeout, and where one is logged there
	 * is none: it has answered. Nobody is accused of taking its time.
	 */
	amd_wait_for_event(iommu, events);
	if (took < (s64)amd_timeout_ns(iommu) / 2 &&
	    READ_ONCE(unit->events) == events &&
	    amd_log_complete(iommu, restarts))
		return 0;
	return -ETIMEDOUT;
}

/* A suspect that answers: run its invalidations again, as they may be lost */
static int amd_run_window(struct amd_dev *adev)
{
	struct amd_unit *unit = amd_unit(adev->iommu);
	unsigned int i;
	int rc;

	for (i = 0; i < unit->nr_window; i++) {
		if (amd_iotlb_devid(&unit->window[i]) != adev->sids[0])
			continue;
		rc = amd_run(adev->iommu, &unit->window[i], 1);
		if (rc)
			return rc;
		iommu_quarantine_count(IOMMU_QUARANTINE_RERUNS);
	}
	return 0;
}

/*
 * Some of what was not answered is overwritten: it may have been about any PASID.
 * Without PASID the device has been asked already.
 */
static int amd_run_pasids(struct amd_dev *adev)
{
	struct dev_table_entry *dte =
		&get_dev_table(adev->iommu)[adev->sids[0]];
	struct iommu_cmd cmd;
	unsigned long pasid;
	void *entry;
	int rc = 0;

	if (!amd_unit(adev->iommu)->overwritten)
		return 0;
	/* What the driver sends for a domain with tables of version 2 */
	if (READ_ONCE(dte->data[0]) & DTE_FLAG_GV) {
		amd_quarantine_build_inv_iotlb_all(&cmd, adev->dev_data, 0, true);
		rc = amd_run(adev->iommu, &cmd, 1);
	}
	xa_for_each(&adev->pasids, pasid, entry) {
		if (rc)
			break;
		amd_quarantine_build_inv_iotlb_all(&cmd, adev->dev_data, pasid,
						   true);
		rc = amd_run(adev->iommu, &cmd, 1);
	}
	return rc;
}

/*
 * Can the device use translations of its own? While the driver turns ATS off its
 * flag is cleared first and the entry last.
 */
static bool amd_has_ats(struct amd_dev *adev)
{
	struct dev_table_entry *dte =
		&get_dev_table(adev->iommu)[adev->sids[0]];

	return adev->dev_data->ats_enabled ||
	       READ_ONCE(dte->data[1]) & DTE_FLAG_IOTLB;
}

/* Ask one suspect, alone. The answer is in its state. */
static void amd_ask(struct amd_dev *adev)
{
	struct amd_iommu *iommu = adev->iommu;
	struct amd_unit *unit = amd_unit(iommu);
	unsigned int asks, nameless;
	struct iommu_cmd cmd;
	int rc;

	/* Without ATS there is nothing to ask, and nothing to fear */
	if (!amd_has_ats(adev)) {
		atomic_cmpxchg(&adev->state, AMD_SUSPECT, AMD_ANSWERED);
		return;
	}
	amd_quarantine_build_inv_iotlb_all(&cmd, adev->dev_data,
					   IOMMU_NO_PASID, false);
	for (asks = 0; asks < AMD_ASKS; asks++) {
		/* Nothing else is on its way when this one is sent, nor an event */
		rc = amd_run(iommu, NULL, 0);
		if (rc == -EIO)
			amd_declare_lost(iommu);
		if (rc == -EIO || atomic_read(&adev->state) != AMD_SUSPECT)
			return;
		nameless = READ_ONCE(unit->nameless);
		rc = amd_run(iommu, &cmd, 1) ?: amd_run_window(adev) ?:
		     amd_run_pasids(adev);
		if (!rc)
			atomic_cmpxchg(&adev->state, AMD_SUSPECT, AMD_ANSWERED);
		if (rc == -EIO)
			amd_declare_lost(iommu);
		if (rc == -EIO || atomic_read(&adev->state) != AMD_SUSPECT)
			return;
		/* A timeout that names nobody, while nobody else was asked */
		if (READ_ONCE(unit->nameless) != nameless)
			break;
	}
	/*
	 * It was alone: it is its timeout. Or it was never exonerated within the
	 * bound, and its events got lost.
	 */
	guard(raw_spinlock_irqsave)(&unit->log_lock);
	amd_accuse(adev, IOMMU_BROKEN_ATS_NARROWED, 0, 0);
}

/*
 * Ask all suspects one by one, and let go those that answered. Returns false if
 * somebody is a suspect still, as the IOMMU is lost.
 */
static bool amd_ask_all(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);
	struct amd_dev *adev;
	unsigned long key;
	bool again, missed = READ_ONCE(unit->missed);

	iommu_quarantine_count(IOMMU_QUARANTINE_NARROWINGS);
	if (missed)
		unit->overwritten = true;
	do {
		again = false;
		xa_for_each_range(&amd_devs, key, adev, amd_key(iommu, 0),
				  amd_key(iommu, 0xffff)) {
			if (atomic_read(&adev->state) != AMD_SUSPECT)
				continue;
			amd_ask(adev);
			amd_fence_all(iommu);
			again |= atomic_read(&adev->state) == AMD_SUSPECT;
		}
	} while (again && !READ_ONCE(unit->lost));

	xa_for_each_range(&amd_devs, key, adev, amd_key(iommu, 0),
			  amd_key(iommu, 0xffff))
		if (atomic_cmpxchg(&adev->state, AMD_ANSWERED, AMD_HEALTHY) ==
		    AMD_ANSWERED)
			amd_count_unhealthy(iommu, -1);
	if (missed && !again)
		WRITE_ONCE(unit->missed, false);
	return !again;
}

/*
 * One CPU narrows at a time, with irqs off, so that a flush in an interrupt
 * cannot wait for the CPU that it has interrupted.
 */
static bool amd_narrowing_begin(struct amd_iommu *iommu, unsigned long *flags)
{
	struct amd_unit *unit = amd_unit(iommu);

	local_irq_save(*flags);
	if (!atomic_cmpxchg_acquire(&unit->narrowing, 0, 1)) {
		/* So that the filter and the waits look closer */
		amd_count_unhealthy(iommu, 1);
		return true;
	}
	local_irq_restore(*flags);
	while (atomic_read(&unit->narrowing) && !READ_ONCE(unit->lost)) {
		iommu_quarantine_wait_for_hardware();
		cpu_relax();
	}
	return false;
}

static void amd_narrowing_end(struct amd_iommu *iommu, unsigned long flags)
{
	struct amd_unit *unit = amd_unit(iommu);

	unit->nr_window = 0;
	unit->overwritten = false;
	amd_count_unhealthy(iommu, -1);
	atomic_set_release(&unit->narrowing, 0);
	local_irq_restore(flags);
}

/**
 * amd_quarantine_narrow() - an invalidation is held back: find out whether it may
 * be sent
 * @iommu: the IOMMU
 *
 * Context: any in which iommu->lock is not held. May wait for the hardware.
 */
void amd_quarantine_narrow(struct amd_iommu *iommu)
{
	unsigned long flags;

	guard(rcu)();
	if (!amd_narrowing_begin(iommu, &flags))
		return;
	amd_ask_all(iommu);
	amd_narrowing_end(iommu, flags);
}

/* Whoever may have been asked, but who sleeps: it need not answer any more */
static void amd_suspect_all(struct amd_iommu *iommu)
{
	struct amd_dev *adev;
	unsigned long key;

	xa_for_each_range(&amd_devs, key, adev, amd_key(iommu, 0),
			  amd_key(iommu, 0xffff))
		if (iommu_quarantine_is_awake(to_pci_dev(adev->dev)))
			amd_suspect(adev);
}

/* A wait has completed, but too late to be an answer. RCU read section. */
static void amd_verify_window(struct amd_iommu *iommu, u64 to)
{
	struct amd_unit *unit = amd_unit(iommu);
	unsigned long flags;
	u64 newest, from;

	amd_fence_all(iommu);
	while (!amd_narrowing_begin(iommu, &flags)) {
		if (READ_ONCE(unit->lost)) {
			amd_declare_lost(iommu);
			return;
		}
	}
	/* Who narrowed while this CPU waited may have asked for it as well */
	if ((s64)(unit->verified - to) < 0 || READ_ONCE(unit->missed)) {
		/* Each wait takes an entry: none in the buffer is older */
		from = amd_slow_from(iommu, to);
		/* Else who was asked before it nobody knows any more */
		if (!amd_take_window(iommu, from - CMD_BUFFER_ENTRIES, from, &newest)) {
			unit->overwritten = true;
			amd_suspect_all(iommu);
		}
		if (amd_ask_all(iommu))
			unit->verified = newest;
	}
	amd_narrowing_end(iommu, flags);
}

/*
 * The IOMMU is lost. What is left for those that were asked needs no buffer, and
 * is the operator's choice. The IOMMU's own TLB was not heard of either, so
 * memory is not protected whatever that does.
 */
static void amd_give_up(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);
	unsigned long key, flags;
	struct amd_dev *adev;
	unsigned int accused;
	u64 newest, sem;

	amd_declare_lost(iommu);
	/* Who narrows meets lost as well, and ends */
	while (!amd_narrowing_begin(iommu, &flags))
		cpu_relax();
	/* The buffer stands still: what was not completed was not answered */
	sem = READ_ONCE(*iommu->cmd_sem);
	amd_take_window(iommu, sem, sem, &newest);
	xa_for_each_range(&amd_devs, key, adev, amd_key(iommu, 0),
			  amd_key(iommu, 0xffff)) {
		if (atomic_read(&adev->state) == AMD_HEALTHY || !amd_cut_off(adev))
			continue;
		scoped_guard(raw_spinlock, &unit->log_lock) {
			amd_accuse(adev, IOMMU_BROKEN_NO_ANSWER, 0, 0);
			accused = adev->accused;
		}
		/* For the day that the IOMMU looks at its tables again */
		amd_mask(adev);
		amd_fenced(adev, accused);
	}
	amd_narrowing_end(iommu, flags);
}

/*
 * An IOMMU that was given up has completed a wait, and so all that was queued
 * before. Who is fenced is fenced once more, as that may have been in memory
 * alone; from then on it is one like any other. Unless commands were dropped for
 * want of room: what it was to forget nobody knows any more.
 */
static void amd_back_again(struct amd_iommu *iommu)
{
	struct amd_unit *unit = amd_unit(iommu);
	struct amd_dev *adev;
	unsigned long key;

	if (READ_ONCE(unit->dropped))
		return;
	xa_for_each_range(&amd_devs, key, adev, amd_key(iommu, 0),
			  amd_key(iommu, 0xffff))
		atomic_cmpxchg(&adev->state, AMD_FENCED, AMD_FENCING);
	if (xchg(&unit->lost, false)) {
		amd_count_unhealthy(iommu, -1);
		pr_warn("an IOMMU that was given up answers again\n");
	}
}

/**
 * __amd_quarantine_settle() - what has to be true before a flush returns
 * @iommu: the IOMMU
 * @data: what the flush's COMPLETION_WAIT stores
 * @polls: microseconds that the driver has waited; LOOP_TIMEOUT: in vain
 *
 * Context: the caller's: perhaps irqs off, perhaps domain->lock, dte_lock or raw
 * locks held; never iommu->lock. May wait for the hardware.
 * Return: @polls, less if the wait completed after all, LOOP_TIMEOUT if it is
 * given up.
 */
int __amd_quarantine_settle(struct amd_iommu *iommu, u64 data, int polls)
{
	struct amd_unit *unit = amd_unit(iommu);
	unsigned int events = READ_ONCE(unit->events);
	bool slow = polls >= AMD_QUARANTINE_ANSWER_POLLS;

	/*
	 * Without a device that has ATS there is nothing to protect from. Nor is any
	 * asked while the IOMMU is set up after the machine slept, and the clock, by
	 * which all bounds here are measured, stands still.
	 */
	if (!iommu_quarantine_enabled() || !READ_ONCE(unit->window) ||
	    timekeeping_suspended)
		return polls;

	guard(rcu)();
	if (slow)
		amd_slow_begin(iommu, data);
	if (polls == LOOP_TIMEOUT) {
		if (amd_wait(iommu, data)) {
			amd_give_up(iommu);
			amd_slow_end(iommu);
			return LOOP_TIMEOUT;
		}
		amd_wait_for_event(iommu, events);
	}
	if (unlikely(READ_ONCE(unit->lost)))
		amd_back_again(iommu);
	amd_read_log(iommu);
	amd_fence_all(iommu);
	/*
	 * What was queued later may be short, and have expired with a slow one.
	 * What was missed while the IOMMU was lost is caught up with.
	 */
	if (slow || atomic_read(&unit->slow) ||
	    (READ_ONCE(unit->missed) && !READ_ONCE(unit->lost)))
		amd_verify_window(iommu, data);
	if (slow)
		amd_slow_end(iommu);
	return 0;
}

/**
 * amd_quarantine_event() - the irq thread takes an event out of the log
 * @iommu: the IOMMU
 * @event: the entry, complete, not emptied yet
 *
 * The driver empties the entries that it has taken, but those of page faults it
 * leaves as they are, so that they would look new once the log has wrapped. It
 * has read all that it needs of them by now: they are emptied here.
 *
 * Context: process.
 */
void amd_quarantine_event(struct amd_iommu *iommu, void *event)
{
	u32 size = amd_iommu_evtlog_size, slot = (u8 *)event - iommu->evt_buf;
	struct amd_unit *unit = amd_unit(iommu);
	u64 *entry = event;

	guard(rcu)();
	scoped_guard(raw_spinlock_irqsave, &unit->log_lock) {
		/* Behind us it is known; ahead of us is one never written */
		if ((slot - unit->taken) % size >=
		    (unit->seen - unit->taken) % size) {
			unit->seen = slot;
			amd_take_event(iommu, READ_ONCE(entry[0]),
				       READ_ONCE(entry[1]));
			amd_advance(iommu);
			amd_update_next_event(iommu);
		}
		unit->taken = (slot + EVTLOG_ENTRY_SIZE) % size;
		if (entry[0] >> 60 == EVENT_TYPE_IO_FAULT && !amd_iommu_snp_en) {
			/* Pairs with smp_rmb() in amd_quarantine_settle() */
			smp_wmb();
			memset(entry, 0, EVTLOG_ENTRY_SIZE);
		}
	}
	amd_fence_all(iommu);
}

/**
 * amd_quarantine_muted() - is an INVALID_DEVICE_REQUEST to be passed over?
 * @iommu: the IOMMU
 * @devid: who made it
 *
 * Hardware has no switch for these. A fenced device that goes on writing makes
 * them at full rate.
 *
 * Context: process.
 * Return: true if the device is fenced.
 */
bool amd_quarantine_muted(struct amd_iommu *iommu, u16 devid)
{
	struct amd_dev *adev;

	guard(rcu)();
	adev = amd_find(iommu, devid);
	return adev && amd_is_fenced(adev);
}

/**
 * amd_quarantine_refuses_ppr() - is a page request to be answered with a failure?
 * @iommu: the IOMMU
 * @devid: who made it
 *
 * Nobody brings in pages for a device that is to forget what it has. And where one
 * is blocked, by a quarantine or a reset, the core keeps its PASIDs, but the driver
 * has taken it from its queue of page faults, which the core takes for a bug.
 * Requests from before may be in the log still, or the device may not care that
 * its PRI is off. The answer is a command that nobody waits for.
 *
 * Context: process.
 * Return: true if the device is fenced, or blocked.
 */
bool amd_quarantine_refuses_ppr(struct amd_iommu *iommu, u16 devid)
{
	struct amd_dev *adev;

	guard(rcu)();
	adev = amd_find(iommu, devid);
	return adev && (amd_is_fenced(adev) ||
			!READ_ONCE(adev->dev_data->domain));
}

/* ---- lifetime ---- */

static int amd_add_sid(struct pci_dev *pdev, u16 sid, void *data)
{
	struct amd_dev *adev = data;
	unsigned int i;

	for (i = 0; i < adev->nr_sids; i++)
		if (adev->sids[i] == sid)
			return 0;
	if (adev->nr_sids == AMD_MAX_SIDS)
		return -ENOSPC;
	adev->nr_sids++;
	adev->sids[adev->nr_sids - 1] = sid;
	return 0;
}

static int amd_probe(struct amd_iommu *iommu, struct pci_dev *pdev)
{
	struct amd_unit *unit = amd_unit(iommu);
	struct iommu_cmd *window;
	struct amd_dev *adev;
	unsigned int i;
	int ret;

	/* Once for each IOMMU, which stays; probes are serialised */
	if (!unit->window) {
		window = kcalloc(CMD_BUFFER_ENTRIES, sizeof(*window), GFP_KERNEL);
		if (!window)
			return -ENOMEM;
		WRITE_ONCE(unit->window, window);
	}
	adev = kzalloc(struct_size(adev, sids, AMD_MAX_SIDS), GFP_KERNEL);
	if (!adev)
		return -ENOMEM;
	adev->dev = &pdev->dev;
	adev->dev_data = dev_iommu_priv_get(&pdev->dev);
	adev->iommu = iommu;
	raw_spin_lock_init(&adev->lock);
	xa_init(&adev->pasids);

	/* The driver copies the entry to all of these */
	ret = amd_add_sid(pdev, adev->dev_data->devid, adev) ?:
		amd_add_sid(pdev, iommu->pci_seg->alias_table[adev->sids[0]],
			    adev) ?:
		pci_for_each_dma_alias(pdev, amd_add_sid, adev);

	for (i = 0; !ret && i < adev->nr_sids; i++)
		ret = xa_insert(&amd_devs, amd_key(iommu, adev->sids[i]), adev,
				GFP_KERNEL);
	if (!ret && iommu_quarantine_condemned(&pdev->dev)) {
		atomic_set(&adev->state, AMD_FENCED);
		amd_count_unhealthy(iommu, 1);
	}
	if (!ret)
		return 0;

	/* Of the ids only those are in the index that are ours */
	for (i = 0; i < adev->nr_sids; i++)
		xa_cmpxchg(&amd_devs, amd_key(iommu, adev->sids[i]), adev, NULL,
			   GFP_KERNEL);
	kfree_rcu(adev, rcu);
	return ret;
}

/**
 * amd_quarantine_probe() - the driver takes on a device
 * @iommu: its IOMMU
 * @dev: the device
 *
 * A device for which there is no memory, or of whose DMA aliases another one
 * has got hold, could not be fenced: it is not given ATS.
 *
 * Context: process; before the device is attached for the first time.
 */
void amd_quarantine_probe(struct amd_iommu *iommu, struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	u32 ats = AMD_IOMMU_DEVICE_FLAG_ATS_SUP | AMD_IOMMU_DEVICE_FLAG_PRI_SUP;
	int ret;

	if (!dev_is_pci(dev) || !(dev_data->flags & ats) ||
	    !iommu_quarantine_reports())
		return;
	ret = amd_probe(iommu, to_pci_dev(dev));
	if (!ret || !iommu_quarantine_enabled())
		return;
	dev_warn(dev, "could not be fenced, so it gets no ATS: %d\n", ret);
	dev_data->flags &= ~ats;
}

/**
 * amd_quarantine_release() - the driver lets a device go
 * @dev: the device
 *
 * Context: process; the device is attached to nothing any more.
 */
void amd_quarantine_release(struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_iommu *iommu = get_amd_iommu_from_dev_data(dev_data);
	struct amd_dev *adev = amd_of(dev_data);
	unsigned int i;

	if (!adev)
		return;
	for (i = 0; i < adev->nr_sids; i++)
		xa_erase(&amd_devs, amd_key(iommu, adev->sids[i]));
	/* Fences and reports run in RCU read sections */
	synchronize_rcu();
	if (atomic_read(&adev->state) != AMD_HEALTHY)
		amd_count_unhealthy(iommu, -1);
	xa_destroy(&adev->pasids);
	kfree(adev);
}

/* ---- PASIDs ---- */

/**
 * amd_quarantine_pasid_taken() - does a PASID belong to another domain?
 * @old: what the core says it is attached to
 *
 * The driver replaces nothing. But who gets its PASIDs back after a reset comes
 * from the blocking domain, where there is nothing to be replaced.
 *
 * Context: any.
 * Return: true if it does.
 */
bool amd_quarantine_pasid_taken(struct iommu_domain *old)
{
	return old && old->type != IOMMU_DOMAIN_BLOCKED;
}

/**
 * amd_quarantine_set_gcr3() - a PASID is attached
 * @dev_data: the device
 * @pasid: the PASID
 * @gcr3: its tables
 *
 * Context: group->mutex and the domain's lock held.
 * Return: what amd_iommu_set_gcr3() returns, which it stands for, or -ENOMEM.
 */
int amd_quarantine_set_gcr3(struct iommu_dev_data *dev_data, ioasid_t pasid,
			    unsigned long gcr3)
{
	struct amd_dev *adev;
	int ret = 0;

	/* Before it can be used, so that whoever asks the device knows of it */
	scoped_guard(rcu) {
		adev = amd_of(dev_data);
		if (adev)
			ret = xa_err(xa_store(&adev->pasids, pasid,
					      xa_mk_value(1), GFP_ATOMIC));
	}
	if (ret)
		return ret;
	ret = amd_iommu_set_gcr3(dev_data, pasid, gcr3);
	if (ret && adev)
		xa_erase(&adev->pasids, pasid);
	return ret;
}

/**
 * amd_quarantine_clear_gcr3() - a PASID is detached
 * @dev_data: the device
 * @pasid: the PASID
 *
 * Before a reset, and for a quarantine, the core blocks the device itself first,
 * and so the driver has freed the table in which it would clear the entry. What is
 * left is in the IOMMU's TLB, under a DomainID that may be given out again.
 *
 * Context: group->mutex and the domain's lock held. May wait for the hardware.
 */
void amd_quarantine_clear_gcr3(struct iommu_dev_data *dev_data, ioasid_t pasid)
{
	struct amd_dev *adev;

	if (dev_data->gcr3_info.gcr3_tbl) {
		amd_iommu_clear_gcr3(dev_data, pasid);
	} else {
		amd_iommu_dev_flush_pasid_pages(dev_data, pasid, 0, U64_MAX);
		dev_data->gcr3_info.pasid_cnt--;
	}

	guard(rcu)();
	adev = amd_of(dev_data);
	if (adev)
		xa_erase(&adev->pasids, pasid);
}

#ifdef IQ_HAVE_AMD_NESTED
/**
 * amd_quarantine_nest() - a guest's tables are put on top of the host's
 * @ndom: the domain of the guest's
 * @dev: the device
 * @old: what the core says it is attached to
 *
 * The driver expects the device to be attached to the host's domain, as its attach
 * of the guest's only writes the entry: it neither turns ATS on nor has the unmaps
 * of the host's reach the device. The core's re-attach after a reset, and after a
 * quarantine, comes from the blocking domain, where that has been undone: it is
 * done again. A device that never was attached to the host's stays as it is.
 *
 * Context: process, group->mutex held, dev_data->mutex not.
 * Return: 0, or what the attach to the host's failed with.
 */
int amd_quarantine_nest(struct nested_domain *ndom, struct device *dev,
			struct iommu_domain *old)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct protection_domain *parent = ndom->viommu->parent;
	struct iommu_domain *domain = &parent->domain;
	bool again = false;
	struct amd_dev *adev;

	scoped_guard(rcu) {
		adev = amd_of(dev_data);
		if (adev && dev_data->domain)
			adev->parent = dev_data->domain;
		else if (adev)
			again = adev->parent == parent;
	}
	return again ? domain->ops->attach_dev(domain, dev, old) : 0;
}
#endif

/* ---- recovery ---- */

/**
 * amd_quarantine_reset_device_done() - iommu_ops::reset_device_done of AMD
 * @dev: a device that was proven to have been reset
 *
 * Lets the driver give the ATS permission back, which the re-attach does. The
 * device stays a suspect, whose first invalidation goes alone and has to be
 * answered.
 *
 * Context: process, group->mutex held, before the re-attach.
 */
void amd_quarantine_reset_device_done(struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_dev *adev;

	guard(rcu)();
	adev = amd_of(dev_data);
	if (!adev)
		return;
	/*
	 * What was accused before is lifted here; what comes later is new: an
	 * accusation and its epoch are one with regard to this. And it is about
	 * what was queued later: the buffer is a FIFO, the attach to the blocking
	 * domain before the reset has waited for it, and that wait has read what
	 * was logged by then. An event that comes later than the reset took is
	 * not known to exist.
	 */
	guard(raw_spinlock_irqsave)(&amd_unit(adev->iommu)->log_lock);
	if (amd_is_fenced(adev))
		atomic_set(&adev->state, AMD_SUSPECT);
	WRITE_ONCE(adev->cut_off, false);
}

/* struct iommu_quarantine_backend::verify. Context: process, group->mutex held. */
static int amd_quarantine_verify(struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_iommu *iommu = get_amd_iommu_from_dev_data(dev_data);
	struct amd_dev *adev;
	int state;

	/* Without a fence there is nobody to hold back */
	if (!iommu_quarantine_enabled())
		return 0;

	guard(rcu)();
	adev = amd_of(dev_data);
	if (!adev)
		return 0;
	/* It may be here by the administrator's request, never having failed */
	amd_suspect(adev);
	while ((state = atomic_read(&adev->state)) != AMD_HEALTHY &&
	       state < AMD_FENCING && !READ_ONCE(amd_unit(iommu)->lost))
		amd_quarantine_narrow(iommu);
	return state == AMD_HEALTHY ? 0 : -ETIMEDOUT;
}

/* struct iommu_quarantine_backend::pretend. Context: process. */
static int __maybe_unused amd_quarantine_pretend(struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_iommu *iommu = get_amd_iommu_from_dev_data(dev_data);
	struct amd_dev *adev;

	if (!iommu_quarantine_enabled())
		return -EOPNOTSUPP;

	guard(rcu)();
	adev = amd_of(dev_data);
	if (!adev)
		return -ENODEV;
	scoped_guard(raw_spinlock_irqsave, &amd_unit(iommu)->log_lock) {
		amd_accuse(adev, IOMMU_BROKEN_ATS_TIMEOUT, 0, 0);
		amd_update_next_event(iommu);
	}
	amd_fence_all(iommu);
	return 0;
}

static struct iommu_quarantine_backend amd_quarantine_backend = {
	.name = "amd-iommu",
	.ops = &amd_iommu_ops,
	.verify = amd_quarantine_verify,
#ifdef CONFIG_IOMMU_QUARANTINE_FAULT
	.pretend = amd_quarantine_pretend,
#endif
};

/* Runs before amd_iommu_init(), which is a rootfs initcall */
static int __init amd_quarantine_init(void)
{
	iommu_quarantine_backend_register(&amd_quarantine_backend);
	return 0;
}

subsys_initcall(amd_quarantine_init);
