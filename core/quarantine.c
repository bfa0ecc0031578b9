// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarantine of PCIe devices that stop answering ATS invalidations: the part
 * that all IOMMU drivers share.
 *
 * A report may come from a hard interrupt, with interrupts off and with any
 * raw lock held. So it changes one word and raises an irq_work; all the rest
 * happens in a work item, which blocks the device by the bracket that the PCI
 * core opens around a reset, pci_dev_reset_iommu_prepare(), and leaves it
 * open. A reset that is proven (reset.c) closes it.
 *
 *   HEALTHY -> REPORTED -> QUARANTINED -> RECOVERING -> HEALTHY
 *                 |   \________________/       |
 *                 v    (reset before the work) v
 *               FAILED                      REPORTED (broken again)
 *
 * and RELEASED from each, which is final.
 *
 * The state lives in a table of our own, by PCI address: no structure of the
 * kernel changes its layout. A released state stays there until the next device
 * of that address takes its place, since a removal is no reset: what a broken
 * device has cached survives "remove" and "rescan", and so does its quarantine.
 */

#define dev_fmt(fmt) "iommu-quarantine: " fmt

#include <kunit/visibility.h>
#include <linux/device.h>
#include <linux/init.h>
#include <linux/iommu.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/xarray.h>

#include "../../iommu-priv.h"
#include "quarantine.h"

#define CREATE_TRACE_POINTS
#include <trace/events/iommu_quarantine.h>

static DEFINE_XARRAY(quarantines);
static bool quarantine_early;	/* somebody was reported who had no state yet */

/* Of our own: a driver's reclaim may wait for the device to be blocked */
static struct workqueue_struct *quarantine_wq;

static BLOCKING_NOTIFIER_HEAD(quarantine_notifiers);

static DEFINE_MUTEX(backends_lock);
static LIST_HEAD(backends);

/* Tests try what the administrator may ask for */
#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_KUNIT_TEST)
#define __option
#else
#define __option	__ro_after_init
#endif

static enum quarantine_policy policy __option = Q_POLICY_QUARANTINE;
static enum iommu_last_resort last_resort __option = IOMMU_LAST_RESORT_PANIC;

static const char * const policy_names[] = {
	[Q_POLICY_OFF]		= "off",
	[Q_POLICY_REPORT]	= "report",
	[Q_POLICY_QUARANTINE]	= "quarantine",
	[Q_POLICY_PANIC]	= "panic",
};

static const char * const last_resort_names[] = {
	[IOMMU_LAST_RESORT_NONE]	= "none",
	[IOMMU_LAST_RESORT_BUSMASTER]	= "busmaster",
	[IOMMU_LAST_RESORT_PANIC]	= "panic",
};

/* iommu_quarantine=off|report|quarantine|panic[,last_resort=none|busmaster|panic] */
static int __init iommu_quarantine_setup(char *str)
{
	static const char key[] __initconst = "last_resort=";
	char *word;
	int i;

	while ((word = strsep(&str, ",")) != NULL) {
		if (!strncmp(word, key, sizeof(key) - 1)) {
			i = match_string(last_resort_names,
					 ARRAY_SIZE(last_resort_names),
					 word + sizeof(key) - 1);
			if (i >= 0) {
				last_resort = i;
				continue;
			}
		} else {
			i = match_string(policy_names,
					 ARRAY_SIZE(policy_names), word);
			if (i >= 0) {
				policy = i;
				continue;
			}
		}
		pr_err("iommu_quarantine: '%s' is not an option; known: off report quarantine panic last_resort=none|busmaster|panic\n",
		       word);
	}
	return 0;
}
early_param("iommu_quarantine", iommu_quarantine_setup);

/**
 * iommu_quarantine_enabled() - may a backend fence devices?
 *
 * Context: any.
 * Return: true unless the administrator asked for "off" or "report".
 */
bool iommu_quarantine_enabled(void)
{
	return policy >= Q_POLICY_QUARANTINE;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_enabled);

/**
 * iommu_quarantine_reports() - is a backend to report devices at all?
 *
 * Context: any.
 * Return: true unless the administrator asked for "off".
 */
bool iommu_quarantine_reports(void)
{
	return policy != Q_POLICY_OFF;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_reports);

/**
 * iommu_quarantine_is_awake() - is a device in D0, as far as the PCI core knows?
 * @pdev: the device
 *
 * Before a driver has enabled it, nobody knows, but it answers.
 *
 * Context: any.
 * Return: false if it was set to D1, D2 or D3.
 */
bool iommu_quarantine_is_awake(struct pci_dev *pdev)
{
	return pdev->current_state == PCI_D0 ||
	       pdev->current_state == PCI_UNKNOWN;
}

/**
 * iommu_quarantine_may_ask() - can a device answer an invalidation that it is not owed?
 * @dev: a PCI device
 *
 * One that was pulled out cannot, nor one behind a link that is down until the recovery
 * from an error is over, which resets it. Where that failed the PCI core calls the link
 * frozen for good, but the device may be in service again. One that sleeps need not: in
 * D1 to D3 a function may initiate no requests but PME messages (PCIe Base
 * Specification, 5.3.1 [unverified]). That its configuration space reads as all ones is
 * no reason: it may be back before the next attach, with all that it holds.
 *
 * Context: any.
 * Return: false for these, and where no device is fenced.
 */
bool iommu_quarantine_may_ask(struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);
	/* A virtual function may sit on a bus where nobody is told of its link */
	struct pci_dev *pf = pci_physfn(pdev);
	struct quarantine *q;

	if (!iommu_quarantine_enabled() || pci_dev_is_disconnected(pf) ||
	    !iommu_quarantine_is_awake(pdev))
		return false;
	guard(rcu)();
	q = quarantine_find(dev);
	return !pci_channel_offline(pf) || (q && !READ_ONCE(q->in_recovery));
}
EXPORT_SYMBOL_GPL(iommu_quarantine_may_ask);

/**
 * iommu_quarantine_last_resort() - what to do if the IOMMU itself is silent
 *
 * Context: any.
 * Return: the operator's choice, by default %IOMMU_LAST_RESORT_PANIC.
 */
enum iommu_last_resort iommu_quarantine_last_resort(void)
{
	return last_resort;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_last_resort);

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_KUNIT_TEST)
/**
 * quarantine_kunit_options() - as if the machine was booted with them
 * @new: the options from now on
 *
 * Context: process; nothing else of the quarantine is at work.
 * Return: what they were before.
 */
struct quarantine_options quarantine_kunit_options(struct quarantine_options new)
{
	struct quarantine_options old = { policy, last_resort };

	policy = new.policy;
	last_resort = new.last_resort;
	WRITE_ONCE(quarantine_early, false);
	return old;
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_options);
#endif

const char *quarantine_cause_name(enum iommu_broken_cause cause)
{
	static const char * const names[] = {
		[IOMMU_BROKEN_UNKNOWN]		= "unknown",
		[IOMMU_BROKEN_ATS_TIMEOUT]	= "ats-invalidation-timeout",
		[IOMMU_BROKEN_ATS_NARROWED]	=
			"ats-invalidation-timeout-narrowed",
		[IOMMU_BROKEN_NO_ANSWER]	= "iommu-no-answer",
		[IOMMU_BROKEN_ADMIN]		= "admin",
	};

	return cause < ARRAY_SIZE(names) ? names[cause] : "unknown";
}

static unsigned long quarantine_key(struct pci_dev *pdev)
{
	return (unsigned long)pci_domain_nr(pdev->bus) << 16 | pci_dev_id(pdev);
}

/* Of @dev or of what had its address before. RCU read section or the like. */
static struct quarantine *quarantine_at(struct device *dev)
{
	if (!dev_is_pci(dev))
		return NULL;
	return xa_load(&quarantines, quarantine_key(to_pci_dev(dev)));
}

/*
 * Context: RCU read section, or a caller that keeps the device from being
 * released. The table may already hold the next device of the same address.
 */
struct quarantine *quarantine_find(struct device *dev)
{
	struct quarantine *q = quarantine_at(dev);

	return q && q->dev == dev && quarantine_state(q) != Q_RELEASED ?
		q : NULL;
}

struct quarantine *quarantine_get(struct device *dev)
{
	struct quarantine *q;

	guard(rcu)();
	q = quarantine_find(dev);
	return q && refcount_inc_not_zero(&q->ref) ? q : NULL;
}

/* The first state whose key is not below @key; to be put. Any context. */
struct quarantine *quarantine_next(unsigned long *key)
{
	struct quarantine *q;

	guard(rcu)();
	xa_for_each_start(&quarantines, *key, q, *key)
		if (quarantine_state(q) != Q_RELEASED &&
		    refcount_inc_not_zero(&q->ref))
			return q;
	return NULL;
}

/* Change the state, not the epoch. Returns false if the state is not @from. */
static bool quarantine_move(struct quarantine *q, enum quarantine_state from,
			    enum quarantine_state to)
{
	int old = atomic_read(&q->word);

	do {
		if (quarantine_state_of(old) != from)
			return false;
	} while (!atomic_try_cmpxchg(&q->word, &old, old - from + to));
	return true;
}

void quarantine_put(struct quarantine *q)
{
	if (refcount_dec_and_test(&q->ref))
		kfree_rcu(q, rcu);
}

static void quarantine_tell(struct quarantine *q,
			    enum iommu_quarantine_event event)
{
	static const char * const names[] = {
		[IOMMU_QUARANTINE_EVENT_BROKEN]		= "broken",
		[IOMMU_QUARANTINE_EVENT_QUARANTINED]	= "quarantined",
		[IOMMU_QUARANTINE_EVENT_FAILED]		= "failed",
		[IOMMU_QUARANTINE_EVENT_RECOVERED]	= "recovered",
	};
	char buf[48];
	char *env[2] = { buf };
	int ret;

	snprintf(buf, sizeof(buf), "IOMMU_QUARANTINE=%s", names[event]);
	ret = kobject_uevent_env(&q->dev->kobj, KOBJ_CHANGE, env);
	if (ret)
		dev_warn_ratelimited(q->dev, "uevent '%s' not sent: %d\n",
				     names[event], ret);
	blocking_notifier_call_chain(&quarantine_notifiers, event, q->dev);
}

/* Of one epoch there is one breakage at most: it ends with a lift. Never 0. */
static u32 quarantine_breakage(struct quarantine *q)
{
	return quarantine_epoch_of(atomic_read(&q->word)) + 1;
}

/* The word while nothing has become yet of the breakage that was told last */
static int quarantine_told(struct quarantine *q)
{
	return (q->told - 1) << Q_STATE_BITS | Q_REPORTED;
}

/* The work's: of a later breakage nobody has been told */
static bool quarantine_move_told(struct quarantine *q, enum quarantine_state to)
{
	int old = quarantine_told(q);

	return atomic_try_cmpxchg(&q->word, &old, old - Q_REPORTED + to);
}

/*
 * Block RID and PASIDs, and keep the bracket open. Runs without the device
 * lock: a driver's remove() may hold it while its own unmaps time out.
 */
static void quarantine_block(struct quarantine *q)
{
	struct pci_dev *pdev = to_pci_dev(q->dev);
	int ret;

	/* Pairs with READ_ONCE() in iommu_quarantine_stale(), same task */
	WRITE_ONCE(q->blocker, current);
	ret = quarantine_prepare(q, pdev);
	WRITE_ONCE(q->blocker, NULL);
	if (ret == -ECANCELED)
		return;

	if (!ret) {
		if (quarantine_move_told(q, Q_QUARANTINED))
			set_bit(IOMMU_QUARANTINE_EVENT_QUARANTINED, &q->events);
		iommu_quarantine_ats_off(q->dev);
	} else if (quarantine_move_told(q, Q_FAILED)) {
		set_bit(IOMMU_QUARANTINE_EVENT_FAILED, &q->events);
	}
	trace_iommu_device_quarantined(q->dev, q->backend->name, ret);
}

/* Whoever makes requests in the name of a broken device is blocked with it */
static int quarantine_tell_alias(struct device *dev, void *data)
{
	struct quarantine *q = data;

	if (dev != q->dev && dev_is_pci(dev) &&
	    pci_devs_are_dma_aliases(to_pci_dev(dev), to_pci_dev(q->dev)))
		dev_warn(dev, "shares a Requester ID with %s, which is broken: its DMA stops as well\n",
			 dev_name(q->dev));
	return 0;
}

static void quarantine_tell_aliases(struct quarantine *q)
{
	struct iommu_group *group = iommu_group_get(q->dev);

	if (!group)
		return;
	iommu_group_for_each_dev(group, q, quarantine_tell_alias);
	iommu_group_put(group);
}

static void quarantine_tell_recovered(struct quarantine *q)
{
	if (!test_and_clear_bit(IOMMU_QUARANTINE_EVENT_RECOVERED, &q->events))
		return;
	/* Broken again, which was told before this could be */
	if (q->told == quarantine_breakage(q))
		return;
	dev_info(q->dev, "recovered by a reset\n");
	quarantine_tell(q, IOMMU_QUARANTINE_EVENT_RECOVERED);
}

static void quarantine_work(struct work_struct *work)
{
	struct quarantine *q = container_of(work, struct quarantine, work);
	u32 broken;

	quarantine_debug_hold_work(q);

	/* Pairs with smp_store_release() in iommu_quarantine_report() */
	broken = smp_load_acquire(&q->broken);
	/* If it has not been told yet, the breakage to be told came after it */
	if (broken == quarantine_breakage(q))
		quarantine_tell_recovered(q);

	if (broken != q->told) {
		WRITE_ONCE(q->told, broken);
		if (__ratelimit(&q->lines))
			dev_err(q->dev,
				"broken (%s, %s, hw 0x%llx 0x%llx), %s\n",
				quarantine_cause_name(q->evidence.cause),
				q->backend->name, q->evidence.hw[0],
				q->evidence.hw[1],
				iommu_quarantine_enabled() ?
					"quarantined until it is reset" :
					"only reported as iommu_quarantine=report says");
		if (iommu_quarantine_enabled())
			quarantine_tell_aliases(q);
		quarantine_tell(q, IOMMU_QUARANTINE_EVENT_BROKEN);
	}

	/* Of one that its reporter has yet to publish he tells the work again */
	if (iommu_quarantine_enabled() &&
	    atomic_read(&q->word) == quarantine_told(q))
		quarantine_block(q);

	if (test_and_clear_bit(IOMMU_QUARANTINE_EVENT_QUARANTINED, &q->events))
		quarantine_tell(q, IOMMU_QUARANTINE_EVENT_QUARANTINED);
	if (test_and_clear_bit(IOMMU_QUARANTINE_EVENT_FAILED, &q->events)) {
		dev_err(q->dev, "cannot be blocked; it stays fenced\n");
		quarantine_tell(q, IOMMU_QUARANTINE_EVENT_FAILED);
	}
	quarantine_tell_recovered(q);
}

/* Context: hard irq. */
static void quarantine_irq_work(struct irq_work *work)
{
	struct quarantine *q = container_of(work, struct quarantine, irq_work);

	queue_work(quarantine_wq, &q->work);
}

/*
 * The state that a report is for. There is none yet, or only that of what was removed,
 * if a driver reports a device by its first attach: then iommu_quarantine_probed() asks
 * it again.
 */
static struct quarantine *quarantine_reported(struct device *dev)
{
	struct quarantine *q = quarantine_find(dev);

	if (q || !dev_is_pci(dev) || !pci_ats_supported(to_pci_dev(dev)))
		return q;
	WRITE_ONCE(quarantine_early, true);
	/* Either the state is seen here or the flag there */
	smp_mb();
	q = quarantine_at(dev);
	return q && q->dev == dev ? q : NULL;
}

/**
 * iommu_quarantine_report() - report a broken device, with evidence
 * @dev: the device; must be kept from being freed by the caller, for example
 *	by an RCU read section that its release waits for
 * @evidence: what the backend knows; copied
 *
 * The first report since the last recovery counts, the others only look at one
 * word. A report whose epoch is older than the last proven reset is dropped:
 * that reset has already dealt with it.
 *
 * Context: any but NMI: hard irq, irqs off, raw spinlocks held. Takes no lock.
 */
void iommu_quarantine_report(struct device *dev,
			     const struct iommu_broken_evidence *evidence)
{
	enum quarantine_state state;
	struct quarantine *q;
	int old;

	if (policy == Q_POLICY_OFF)
		return;

	guard(rcu)();
	q = quarantine_reported(dev);
	if (!q) {
		dev_err_ratelimited(dev, "reported as broken, but %s\n",
				    dev_is_pci(dev) && pci_ats_supported(to_pci_dev(dev)) ?
				    "there is no quarantine for it yet" :
				    "it cannot be quarantined: not a PCI device with ATS");
		return;
	}

	old = atomic_read(&q->word);
	do {
		if (evidence->epoch != quarantine_epoch_of(old))
			return;
		state = quarantine_state_of(old);
		/* Its IOMMU driver is still at work on the release */
		if (state == Q_RELEASED && !xchg(&q->condemned, true))
			q->evidence = *evidence;
		if (state != Q_HEALTHY && state != Q_RECOVERING)
			return;
	} while (!atomic_try_cmpxchg(&q->word, &old, old - state + Q_REPORTED));

	q->evidence = *evidence;
	trace_iommu_device_broken(dev, q->backend->name, evidence,
				  atomic_inc_return(&q->count));
	if (policy == Q_POLICY_PANIC)
		panic("iommu-quarantine: %s is broken (%s) and iommu_quarantine=panic",
		      dev_name(dev), quarantine_cause_name(evidence->cause));

	/* The work may be running: it sees the evidence if it sees this */
	smp_store_release(&q->broken, evidence->epoch + 1);
	irq_work_queue(&q->irq_work);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_report);

/**
 * iommu_quarantine_fenced() - say that a device is fenced, and report it
 * @dev: as for iommu_quarantine_report()
 * @evidence: as for iommu_quarantine_report()
 *
 * What a backend ends each fence with, once: from here on the device can use no
 * translation that it holds, and the flush may return.
 *
 * Context: as iommu_quarantine_report().
 */
void iommu_quarantine_fenced(struct device *dev,
			     const struct iommu_broken_evidence *evidence)
{
	iommu_quarantine_count(IOMMU_QUARANTINE_FENCES);
	trace_iommu_device_fenced(dev, evidence);
	iommu_quarantine_report(dev, evidence);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_fenced);

/**
 * iommu_report_device_broken() - report a device that is beyond the driver
 * @dev: the device; must be kept from being freed by the caller
 *
 * Puts the device into quarantine soon after: its RID and PASIDs are attached
 * to the blocking domain, group->domain is retained, new attachments get
 * -EBUSY. A reset that really happened brings it back. Devices that cannot be
 * quarantined, because they are not PCI or have no ATS, get a message.
 *
 * Context: any but NMI: hard irq, irqs off, raw spinlocks held. Takes no lock.
 * The caller sees to it that the device can no longer use the memory that it
 * is about to free; this function does not wait for anything.
 */
void iommu_report_device_broken(struct device *dev)
{
	struct iommu_broken_evidence evidence = {
		.cause = IOMMU_BROKEN_UNKNOWN,
		.epoch = iommu_quarantine_epoch(dev),
	};

	iommu_quarantine_report(dev, &evidence);
}
EXPORT_SYMBOL_GPL(iommu_report_device_broken);

/**
 * iommu_quarantine_epoch() - number of proven resets of a device
 * @dev: the device; must be kept from being freed by the caller
 *
 * Context: any.
 * Return: the epoch, to be given back in struct iommu_broken_evidence; 0 for a
 * device that cannot be quarantined.
 */
u32 iommu_quarantine_epoch(struct device *dev)
{
	struct quarantine *q;

	/* That of a state that was released, too: its driver is still at work on it */
	guard(rcu)();
	q = quarantine_at(dev);
	return q && q->dev == dev ? quarantine_epoch_of(atomic_read(&q->word)) : 0;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_epoch);

/**
 * iommu_quarantine_stale() - is the work about to block a healthy device?
 * @dev: the device that pci_dev_reset_iommu_prepare() is called for
 *
 * Called by pci_dev_reset_iommu_prepare(). Between the report and the work a
 * reset may have lifted the quarantine; then the work must not block the
 * device again. Decided here, under the mutex that the lift holds as well.
 *
 * Context: process, group->mutex held.
 * Return: true if the caller is the work and is to leave with -ECANCELED.
 */
bool iommu_quarantine_stale(struct device *dev)
{
	struct quarantine *q = quarantine_find(dev);

	if (!q || READ_ONCE(q->blocker) != current)
		return false;
	if (atomic_read(&q->word) != quarantine_told(q))
		return true;
	q->held = true;
	return false;
}

/**
 * iommu_quarantine_lift() - take a device out of quarantine after a reset
 * @dev: the device that pci_dev_reset_iommu_done() is called for
 * @reset_depth: open brackets before this one is closed
 *
 * Called by pci_dev_reset_iommu_done() before it looks at the depth: the
 * quarantine holds one of the brackets, so that an ordinary reset never
 * reaches the re-attach. Tells the IOMMU driver before the re-attach that the
 * device was reset.
 *
 * Context: process, group->mutex held.
 * Return: true if the quarantine's own bracket is closed by this.
 */
bool iommu_quarantine_lift(struct device *dev, unsigned int reset_depth)
{
	struct quarantine *q = quarantine_find(dev);
	enum quarantine_state state;
	const struct iommu_ops *ops;
	int old, lifted;
	bool held;

	if (!q || !q->proven)
		return false;
	q->proven = false;

	/* From here on a report of what was noticed before is out of date */
	old = atomic_read(&q->word);
	do {
		state = quarantine_state_of(old);
		if (state == Q_RELEASED)
			return false;
		lifted = old + BIT(Q_STATE_BITS);
		if (state != Q_HEALTHY)
			lifted += Q_RECOVERING - state;
	} while (!atomic_try_cmpxchg(&q->word, &old, lifted));

	/* Backends forget it now: who is cut off from here on is so anew */
	if (xchg(&q->cut_off, false))
		q->reopen = true;
	ops = dev_iommu_ops(dev);
	if (ops->reset_device_done)
		ops->reset_device_done(dev);

	held = q->held;
	q->held = false;
	return held && reset_depth > 1;
}

/**
 * iommu_quarantine_reattached() - a reset device is in its domains again
 * @dev: the device
 *
 * Called at the end of pci_dev_reset_iommu_done(). The recovery is announced
 * when the device has answered an invalidation; if it does not, it is reported
 * again, here if the backend had nobody to accuse, and the announcement does
 * not happen.
 *
 * Context: process, group->mutex held. May wait for the hardware.
 */
void iommu_quarantine_reattached(struct device *dev)
{
	struct quarantine *q = quarantine_find(dev);
	struct iommu_broken_evidence evidence = {
		.cause = IOMMU_BROKEN_NO_ANSWER,
		.epoch = iommu_quarantine_epoch(dev),
	};

	if (!q || quarantine_state(q) != Q_RECOVERING)
		return;
	if (q->backend->verify && q->backend->verify(dev)) {
		iommu_quarantine_report(dev, &evidence);
		return;
	}
	if (!quarantine_move(q, Q_RECOVERING, Q_HEALTHY))
		return;
	quarantine_reopen(q);
	trace_iommu_device_recovered(dev, q->backend->name,
				     iommu_quarantine_epoch(dev));
	set_bit(IOMMU_QUARANTINE_EVENT_RECOVERED, &q->events);
	queue_work(quarantine_wq, &q->work);
}

/**
 * iommu_quarantine_left_group() - a device leaves its group
 * @dev: the device, released by iommu_quarantine_release() already
 * @blocked: it is attached to the blocking domain
 *
 * Context: process, group->mutex held.
 */
void iommu_quarantine_left_group(struct device *dev, bool blocked)
{
	struct quarantine *q;

	guard(rcu)();
	q = quarantine_at(dev);
	if (q && q->dev == dev)
		q->left_blocked = blocked;
}

/**
 * iommu_quarantine_was_blocked() - did a device leave its group blocked?
 * @dev: the device
 *
 * Context: process, group->mutex held.
 * Return: true if it is attached to the blocking domain.
 */
bool iommu_quarantine_was_blocked(struct device *dev)
{
	struct quarantine *q;

	guard(rcu)();
	q = quarantine_at(dev);
	return q && q->dev == dev && q->left_blocked;
}

/**
 * iommu_quarantine_register_notifier() - be told what becomes of devices
 * @nb: called with an enum iommu_quarantine_event and the struct device that it
 *	is about, from the work that blocks it. It must not wait for the lock of
 *	a device: a driver's remove() may hold it while its own unmaps time out.
 *
 * Context: process.
 * Return: 0 or a negative error.
 */
int iommu_quarantine_register_notifier(struct notifier_block *nb)
{
	return blocking_notifier_chain_register(&quarantine_notifiers, nb);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_register_notifier);

/**
 * iommu_quarantine_unregister_notifier() - the reverse
 * @nb: is not being called any more when this returns
 *
 * Context: process.
 * Return: 0 or a negative error.
 */
int iommu_quarantine_unregister_notifier(struct notifier_block *nb)
{
	return blocking_notifier_chain_unregister(&quarantine_notifiers, nb);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_unregister_notifier);

static struct iommu_quarantine_backend *
backend_find(const struct iommu_ops *ops)
{
	struct iommu_quarantine_backend *backend;

	guard(mutex)(&backends_lock);
	list_for_each_entry(backend, &backends, node)
		if (backend->ops == ops)
			return backend;
	return NULL;
}

/**
 * iommu_quarantine_backend_register() - make a driver's devices quarantinable
 * @backend: stays in use until it is unregistered
 *
 * Context: process; before the driver probes its first device.
 */
void iommu_quarantine_backend_register(struct iommu_quarantine_backend *backend)
{
	guard(mutex)(&backends_lock);
	list_add_tail(&backend->node, &backends);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_backend_register);

/**
 * iommu_quarantine_backend_unregister() - the reverse
 * @backend: no device of it may be left
 *
 * Context: process.
 */
void iommu_quarantine_backend_unregister(struct iommu_quarantine_backend *backend)
{
	guard(mutex)(&backends_lock);
	list_del(&backend->node);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_backend_unregister);

/**
 * iommu_quarantine_condemned() - did a device come back as broken as it left?
 * @dev: the device that is being probed
 *
 * For backends, before they give the device any permission: such a device
 * starts as fenced. The core puts it into quarantine when the probe is over.
 *
 * Context: process, under iommu_probe_device_lock.
 * Return: true if a broken device was removed from this address and what is
 * there now was not reset since.
 */
bool iommu_quarantine_condemned(struct device *dev)
{
	struct quarantine *q = quarantine_at(dev);

	if (!iommu_quarantine_enabled() || !q ||
	    quarantine_state(q) != Q_RELEASED || !READ_ONCE(q->condemned))
		return false;
	/* Decided once: the driver may turn ATS on before we are asked again */
	if (quarantine_proof_holds(to_pci_dev(dev), &q->proof))
		WRITE_ONCE(q->condemned, false);
	return q->condemned;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_condemned);

/**
 * iommu_quarantine_probe() - the IOMMU has taken on a device
 * @dev: the device
 *
 * A device that was broken when it was removed and was not reset since goes
 * back into quarantine.
 *
 * Without memory the device stays without a quarantine; its driver's fence
 * works all the same, and a report says so.
 *
 * Context: process, under iommu_probe_device_lock.
 */
void iommu_quarantine_probe(struct device *dev)
{
	struct iommu_quarantine_backend *backend;
	struct quarantine *q, *before;
	bool condemned;
	int ret;

	if (policy == Q_POLICY_OFF || !dev_is_pci(dev) ||
	    !pci_ats_supported(to_pci_dev(dev)))
		return;
	backend = backend_find(dev_iommu_ops(dev));
	if (!backend)
		return;

	q = quarantine_wq ? kzalloc_obj(*q) : NULL;
	if (!q)
		goto err_warn;
	q->dev = dev;
	q->backend = backend;
	q->key = quarantine_key(to_pci_dev(dev));
	refcount_set(&q->ref, 1);
	spin_lock_init(&q->lock);
	mutex_init(&q->busy);
	ratelimit_state_init(&q->lines, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	init_irq_work(&q->irq_work, quarantine_irq_work);
	INIT_WORK(&q->work, quarantine_work);

	condemned = iommu_quarantine_condemned(dev);
	before = quarantine_at(dev);
	if (before && quarantine_state(before) != Q_RELEASED)
		goto err_free;
	if (condemned) {
		q->evidence = before->evidence;
		atomic_set(&q->count, 1);
		atomic_set(&q->word, Q_REPORTED);
		q->broken = quarantine_breakage(q);
	}
	if (xa_err(xa_store(&quarantines, q->key, q, GFP_KERNEL)))
		goto err_free;
	if (before)
		quarantine_put(before);
	ret = sysfs_create_group(&dev->kobj, &iommu_quarantine_group);
	if (ret)
		dev_warn(dev, "no sysfs files: %d\n", ret);
	else
		q->has_sysfs = true;
	return;

err_free:
	kfree(q);
err_warn:
	dev_warn(dev, "no state for the quarantine, it can only be fenced\n");
}

/* For each device of the group, under group->mutex: is it the one, does it answer? */
static int quarantine_ask(struct device *dev, void *data)
{
	struct quarantine *q = data;
	struct iommu_broken_evidence evidence = {
		.cause = IOMMU_BROKEN_NO_ANSWER,
		.epoch = iommu_quarantine_epoch(dev),
	};

	/* An open bracket deals with it, and what it is in may not be asked */
	if (dev == q->dev && !READ_ONCE(q->in_reset) && q->backend->verify &&
	    q->backend->verify(dev))
		iommu_quarantine_report(dev, &evidence);
	return 0;
}

/**
 * iommu_quarantine_probed() - the IOMMU driver is ready with a device
 * @dev: the device
 *
 * Not before: some drivers turn ATS on last.
 *
 * A driver may have reported a device by its first attach, when there was no
 * state yet: whoever is probed since such a report is asked.
 *
 * Context: process, no lock of the IOMMU held. May wait for the hardware.
 */
void iommu_quarantine_probed(struct device *dev)
{
	struct quarantine *q = quarantine_get(dev);
	struct iommu_group *group;

	if (!q)
		return;
	/* The state first, see quarantine_reported() */
	smp_mb();
	if (quarantine_state(q) == Q_REPORTED &&
	    READ_ONCE(q->broken) != READ_ONCE(q->told)) {
		dev_warn(dev, "was removed while it was broken and has not been reset since\n");
		queue_work(quarantine_wq, &q->work);
	} else if (READ_ONCE(quarantine_early)) {
		group = iommu_group_get(dev);
		if (group)
			iommu_group_for_each_dev(group, q, quarantine_ask);
		iommu_group_put(group);
	}
	quarantine_put(q);
}

/* Returns what it was. The epoch stays: the driver may still report. */
static enum quarantine_state quarantine_release(struct quarantine *q)
{
	int old = atomic_read(&q->word);
	enum quarantine_state state;

	do {
		state = quarantine_state_of(old);
	} while (!atomic_try_cmpxchg(&q->word, &old, old - state + Q_RELEASED));
	return state;
}

/**
 * iommu_quarantine_release() - the IOMMU is about to let a device go
 * @dev: the device
 *
 * New reports are stopped first, then what they started is cancelled and
 * waited for. This order is the only one that neither frees what is in use nor
 * deadlocks, as the work takes group->mutex, which must not be held here. The
 * state stays in the table: the driver may still notice a timeout while it
 * tears the device down, and the next probe has to know of it.
 *
 * Context: process, without group->mutex.
 */
void iommu_quarantine_release(struct device *dev)
{
	struct quarantine *q = quarantine_get(dev);
	struct quarantine_proof proof;

	if (!q)
		return;

	if (q->has_sysfs)
		sysfs_remove_group(&dev->kobj, &iommu_quarantine_group);
	quarantine_proof_leave(to_pci_dev(dev), &proof);
	scoped_guard(spinlock, &q->lock)
		q->proof = proof;
	if (quarantine_release(q) != Q_HEALTHY)
		WRITE_ONCE(q->condemned, true);
	quarantine_debug_release();
	/* A reporter that still saw another state has raised its irq_work */
	synchronize_rcu();
	irq_work_sync(&q->irq_work);
	disable_work_sync(&q->work);
	/* A reset of the bus that still saw another state is in its bracket */
	mutex_lock(&q->busy);
	mutex_unlock(&q->busy);
	quarantine_put(q);
}

/* Before any driver probes its first device */
static int __init quarantine_init(void)
{
	quarantine_wq = alloc_workqueue("iommu-quarantine",
					WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return quarantine_wq ? 0 : -ENOMEM;
}
core_initcall(quarantine_init);
