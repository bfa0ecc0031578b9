// SPDX-License-Identifier: GPL-2.0-only
/* What backends have in common while they wait for hardware, or in vain. */

#define pr_fmt(fmt) "iommu-quarantine: " fmt

#include <kunit/visibility.h>
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/iommu-quarantine.h>
#include <linux/nmi.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/timekeeping.h>

#include "quarantine.h"

static atomic64_t counters[IOMMU_QUARANTINE_COUNTERS];

/**
 * iommu_quarantine_count() - count something for debugfs
 * @counter: what
 *
 * Context: any.
 */
void iommu_quarantine_count(enum iommu_quarantine_counter counter)
{
	atomic64_inc(&counters[counter]);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_count);

u64 quarantine_counter(enum iommu_quarantine_counter counter)
{
	return atomic64_read(&counters[counter]);
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_counter);

/* Far below the shortest period of a watchdog, far above a round of a wait */
#define TELL_ALL_NS	(250ULL * NSEC_PER_MSEC)

/* Other CPUs may stand with irqs off at a lock that the waiting one holds */
static void tell_all_watchdogs(void)
{
	static atomic64_t told = ATOMIC64_INIT(0);
	s64 now = ktime_get_mono_fast_ns(), last = atomic64_read(&told);
	int __maybe_unused cpu;

	if (now - last < (s64)TELL_ALL_NS ||
	    !atomic64_try_cmpxchg(&told, &last, now))
		return;
	touch_all_softlockup_watchdogs();
#ifdef CONFIG_HARDLOCKUP_DETECTOR_COUNTS_HRTIMER
	for_each_online_cpu(cpu)
		watchdog_hardlockup_touch_cpu(cpu);
#endif
}

/**
 * iommu_quarantine_wait_for_hardware() - one round of a long, bounded wait
 *
 * Tells the watchdogs that this CPU stands with irqs off because the hardware
 * has not answered yet, and others behind it, and that this will end.
 *
 * Context: any.
 */
void iommu_quarantine_wait_for_hardware(void)
{
	touch_nmi_watchdog();
	tell_all_watchdogs();
	rcu_cpu_stall_reset();
}
EXPORT_SYMBOL_GPL(iommu_quarantine_wait_for_hardware);

/**
 * iommu_quarantine_wait_bound() - how long to wait for the hardware's word
 * @vendor_ns: the bound that the vendor's specification asks for, in ns
 *
 * Context: any.
 * Return: @vendor_ns, or what a test has set in debugfs instead, in ns.
 */
u64 iommu_quarantine_wait_bound(u64 vendor_ns)
{
	return quarantine_debug_wait_bound() ?: vendor_ns;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_wait_bound);

/**
 * iommu_quarantine_wait_is_news() - is a line in the log due about a long wait?
 * @said: when the last one was printed about this IOMMU, in ns of the monotonic clock;
 *	0 at first
 * @waited: for how long the hardware has not said a word, in ns
 * @bound: for how long it may, in ns
 *
 * One each eighth of @bound, but not more than one each ms, whoever waits. The backend
 * prints it: it knows what its hardware should be doing.
 *
 * Context: any.
 * Return: true if the caller is to print it.
 */
bool iommu_quarantine_wait_is_news(atomic64_t *said, u64 waited, u64 bound)
{
	s64 now, last, due = max(bound / 8, NSEC_PER_MSEC);

	if ((s64)waited < due)
		return false;
	now = ktime_get_mono_fast_ns();
	last = atomic64_read(said);
	return (!last || now - last >= due) &&
	       atomic64_try_cmpxchg(said, &last, now);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_wait_is_news);

/* The first port above the device is where it is cut off; with none, the device itself */
static struct pci_dev *cut_off_port(struct pci_dev *pdev)
{
	return pci_upstream_bridge(pdev) ?: pdev;
}

/* The Command register of ports that are turned off and on here */
static DEFINE_RAW_SPINLOCK(cut_off_lock);
static unsigned int cut_offs;

/* cut_off_lock held. Returns false if the port does not answer. */
static bool port_set_master(struct pci_dev *port, bool on)
{
	u16 command;

	lockdep_assert_held(&cut_off_lock);
	if (pci_read_config_word(port, PCI_COMMAND, &command) ||
	    PCI_POSSIBLE_ERROR(command))
		return false;
	command &= ~PCI_COMMAND_MASTER;
	if (on)
		command |= PCI_COMMAND_MASTER;
	return !pci_write_config_word(port, PCI_COMMAND, command);
}

/**
 * iommu_quarantine_cut_off() - the last resort for one device
 * @pdev: the device, kept by the caller from being freed
 *
 * If the operator wants it, no DMA passes the port above the device any more,
 * whatever the IOMMU does, until the device has recovered.
 *
 * Context: any in which configuration space can be accessed; irqs may be off.
 * Return: true if bus mastering of the port is off.
 */
bool iommu_quarantine_cut_off(struct pci_dev *pdev)
{
	struct pci_dev *port = cut_off_port(pdev);
	struct quarantine *q;

	if (iommu_quarantine_last_resort() != IOMMU_LAST_RESORT_BUSMASTER)
		return false;
	scoped_guard(raw_spinlock_irqsave, &cut_off_lock) {
		if (!port_set_master(port, false))
			return false;
		cut_offs++;
		guard(rcu)();
		q = quarantine_find(&pdev->dev);
		if (q)
			WRITE_ONCE(q->cut_off, true);
	}
	pci_emerg(port, "iommu-quarantine: bus mastering turned off, neither %s nor its IOMMU answered\n",
		  pci_name(pdev));
	return true;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_cut_off);

/* Is anybody below @port cut off? */
static bool cut_off_below(struct pci_dev *port)
{
	struct quarantine *q;
	unsigned long key;
	bool found = false;

	for (key = 0; !found && (q = quarantine_next(&key)); key++) {
		scoped_guard(rcu)
			found = READ_ONCE(q->cut_off) &&
				quarantine_state(q) != Q_RELEASED &&
				cut_off_port(to_pci_dev(q->dev)) == port;
		quarantine_put(q);
	}
	return found;
}

/*
 * Says nothing itself: a console may flush, find its IOMMU silent and have somebody cut
 * off, which takes the lock.
 */
static bool port_reopen(struct pci_dev *port, unsigned int seen)
{
	guard(raw_spinlock_irqsave)(&cut_off_lock);
	return seen == cut_offs && port_set_master(port, true);
}

/**
 * quarantine_reopen() - a device that may have been cut off has recovered
 * @q: its state
 *
 * The port forwards again, unless somebody below it is cut off still. What has no port
 * is the business of its driver, as after any reset. Where the one that is cut off
 * still is removed instead, nobody knows what it does: the port stays closed.
 *
 * Context: process, group->mutex held.
 */
void quarantine_reopen(struct quarantine *q)
{
	struct pci_dev *port = cut_off_port(to_pci_dev(q->dev));
	unsigned int seen;

	if (!q->reopen)
		return;
	q->reopen = false;
	if (port == to_pci_dev(q->dev))
		return;
	do {
		seen = READ_ONCE(cut_offs);
		if (cut_off_below(port))
			return;
		if (port_reopen(port, seen))
			pci_info(port, "iommu-quarantine: bus mastering turned on again\n");
	} while (seen != READ_ONCE(cut_offs));
}

/**
 * iommu_quarantine_unprotected() - a flush returns without protection
 * @iommu: name of the IOMMU that does not answer
 *
 * The bound is over and the operator allows no last resort, or it does not
 * help. Said once by a message and a taint, and counted.
 *
 * Context: any.
 */
void iommu_quarantine_unprotected(const char *iommu)
{
	static atomic_t said = ATOMIC_INIT(0);

	iommu_quarantine_count(IOMMU_QUARANTINE_LOST);
	if (atomic_xchg(&said, 1))
		return;
	pr_emerg("memory is no longer protected from DMA below %s\n", iommu);
	add_taint(TAINT_MACHINE_CHECK, LOCKDEP_STILL_OK);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_unprotected);
