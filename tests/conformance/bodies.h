/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The conformance suite: what has to be true with every backend. Written once;
 * each backend's test includes it, and cases.h into the array of each suite.
 *
 * A body makes a function stop answering and uses the kernel's own interfaces:
 * what notices, fences and filters is the backend's real code. Whether the
 * device is shut out is what the hardware of the fixture says, from what it has
 * cached.
 */
#ifndef __IQ_CONFORMANCE_BODIES_H
#define __IQ_CONFORMANCE_BODIES_H

#include <kunit/device.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/iommu-quarantine.h>
#include <linux/kthread.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/sched/isolation.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <trace/events/iommu_quarantine.h>
#include <trace/events/printk.h>

#include "compat.h"
#include "fixture.h"

static struct iq_dev *iq_the(struct kunit *test, enum iq_which which)
{
	struct iq_fixture *fx = test->priv;

	return &fx->dev[which];
}

static struct iq_told *iq_told(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;

	return &fx->told;
}

static void iq_expect_state(struct kunit *test, struct iq_dev *d,
			    const char *state)
{
	KUNIT_EXPECT_STREQ(test, iq_state(d), state);
}

static void iq_await_state(struct kunit *test, struct iq_dev *d,
			   const char *state)
{
	KUNIT_ASSERT_TRUE_MSG(test, iq_wait_state(d, state),
			      "is '%s', not '%s'", iq_state(d), state);
}

/* Lines of the kernel's log in which something is said */
struct iq_lines {
	const char *what;
	atomic_t count;
};

static void iq_line(void *data, const char *text, size_t len)
{
	struct iq_lines *lines = data;

	if (strnstr(text, lines->what, len))
		atomic_inc(&lines->count);
}

static void iq_listen_to_log(struct kunit *test, struct iq_lines *lines)
{
	KUNIT_ASSERT_EQ(test, register_trace_console(iq_line, lines), 0);
}

static int iq_lines(struct iq_lines *lines)
{
	unregister_trace_console(iq_line, lines);
	tracepoint_synchronize_unregister();
	return atomic_read(&lines->count);
}

/* So many CPUs stand in a fence that iq_hold_fences() holds */
static void iq_await_held_fences(struct kunit *test, int fences)
{
	int i;

	for (i = 0; i < 5000 && iq_hold_fences(-1) < fences; i++)
		usleep_range(500, 1000);
	KUNIT_EXPECT_EQ(test, iq_hold_fences(-1), fences);
}

/* The device stops answering, and an unmap finds out */
static void iq_break(struct kunit *test, struct iq_dev *d)
{
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	/* C1: when an unmap returns the memory may be used by others */
	KUNIT_EXPECT_FALSE_MSG(test, iq_may_translate(d),
			       "the unmap returned, the device can still use what it has cached");
	WRITE_ONCE(d->fenced, true);
}

static void iq_break_and_wait(struct kunit *test, struct iq_dev *d)
{
	iq_break(test, d);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
}

static void iq_recover(struct kunit *test, struct iq_dev *d)
{
	WRITE_ONCE(d->fenced, false);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_await_state(test, d, "healthy");
	iq_settle(d);
}

/* It is in service: asked, answering, with ATS */
static void iq_expect_in_service(struct kunit *test, struct iq_dev *d)
{
	int asked = atomic_read(&d->asked), answered = atomic_read(&d->answered);

	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	iq_expect_state(test, d, "healthy");
	KUNIT_EXPECT_TRUE_MSG(test, iq_ats_on(d), "ATS is off");
	KUNIT_EXPECT_TRUE_MSG(test, iq_may_translate(d), "it may not use ATS");
	KUNIT_EXPECT_GT_MSG(test, atomic_read(&d->asked), asked,
			    "it is not sent invalidations");
	KUNIT_EXPECT_GT(test, atomic_read(&d->answered), answered);
}

static void iq_expect_shut_out(struct kunit *test, struct iq_dev *d)
{
	int asked = atomic_read(&d->asked);

	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&d->asked), asked,
			    "it is sent invalidations");
}

/* ---- in service ---- */

static void iq_body_answered(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_expect_in_service(test, d);
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "none");
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 0);
}

/* ---- reports ---- */

static void iq_body_fence_before_return(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i;

	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_ASSERT_TRUE(test, iq_may_translate(d));
	iq_break(test, d);
	KUNIT_EXPECT_GT(test, atomic_read(&d->asked), 0);
	/* Not for an instant afterwards: the fixture counts violations */
	for (i = 0; i < 10; i++)
		iq_expect_shut_out(test, d);
}

static void iq_body_report(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iommu_domain *domain = iommu_get_domain_for_dev(iq_device(d));

	iq_break_and_wait(test, d);
	KUNIT_EXPECT_TRUE(test, iq_wait_ats_off(d));
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
	/* Its domain is kept for it */
	KUNIT_EXPECT_PTR_EQ(test, iommu_get_domain_for_dev(iq_device(d)),
			    domain);
	iq_expect_shut_out(test, d);
}

static void iq_body_double_report(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break(test, d);
	iommu_report_device_broken(iq_device(d));
	iq_await_state(test, d, "quarantined");
	iommu_report_device_broken(iq_device(d));
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->quarantined), 1);
}

static void iq_body_storm(struct kunit *test)
{
	struct iq_lines lines = { .what = "iommu-quarantine: broken (" };
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i, asked;

	iq_listen_to_log(test, &lines);
	iq_watch_uevents(d, true);
	iq_break(test, d);
	asked = atomic_read(&d->asked);
	for (i = 0; i < 100; i++) {
		KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
		iommu_report_device_broken(iq_device(d));
	}
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	iq_watch_uevents(d, false);
	/* C3, C9 */
	KUNIT_EXPECT_EQ(test, iq_lines(&lines), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->uevents), 2);
}

static bool iq_report_in_irq(void *data)
{
	iommu_report_device_broken(iq_device(data));
	return true;
}

static void iq_body_report_hard_irq(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	kunit_run_irq_test(test, iq_report_in_irq, 100, d);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 1);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "unknown");
}

/* The scheduler's, which who queues work takes as well: lockdep would say so */
static void iq_body_report_raw_lock(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	unsigned long flags;

	raw_spin_lock_irqsave(&current->pi_lock, flags);
	iommu_report_device_broken(iq_device(d));
	raw_spin_unlock_irqrestore(&current->pi_lock, flags);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
}

static void iq_body_timeout_irqs_off(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	unsigned long flags;

	KUNIT_ASSERT_EQ(test, iq_map(d, SZ_2M), 0);
	WRITE_ONCE(d->mute, true);
	local_irq_save(flags);
	iq_unmap(d, SZ_2M);
	local_irq_restore(flags);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
}

static void iq_body_stale_report(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iommu_broken_evidence stale = {
		.cause = IOMMU_BROKEN_ATS_TIMEOUT,
		.epoch = iommu_quarantine_epoch(iq_device(d)),
	};

	iq_break_and_wait(test, d);
	iq_recover(test, d);
	KUNIT_EXPECT_NE(test, iommu_quarantine_epoch(iq_device(d)), stale.epoch);
	iommu_quarantine_report(iq_device(d), &stale);
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_expect_in_service(test, d);
}

static void iq_body_attach_refused(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_domain *domain;

	domain = iommu_paging_domain_alloc(iq_device(d));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, iommu_attach_device(domain, iq_device(d)), -EBUSY);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, iommu_attach_device(domain, iq_device(d)), 0);
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
	iommu_detach_device(domain, iq_device(d));
	iommu_domain_free(domain);
}

/* An attach after the fence and before the work: EATS and the like stay off */
static void iq_body_attach_fenced(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_domain *domain;
	int ret;

	domain = iommu_paging_domain_alloc(iq_device(d));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	iq_break(test, d);
	ret = iommu_attach_device(domain, iq_device(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_recover(test, d);
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
	if (!ret)
		iommu_detach_device(domain, iq_device(d));
	iommu_domain_free(domain);
}

/*
 * It stopped answering, what asked it has returned, and the work is held, lest its
 * blocking attach cover up for a fence that is not there.
 */
static void iq_expect_caught(struct kunit *test, struct iq_dev *d)
{
	KUNIT_EXPECT_FALSE_MSG(test, iq_may_translate(d),
			       "it is over, the device can still use what it has cached");
	WRITE_ONCE(d->fenced, true);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
}

/* All of a domain is flushed at once, where nobody may sleep: lazy mode's timer */
static void iq_body_flush_all(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_domain *domain = iommu_get_domain_for_dev(iq_device(d));
	int asked = atomic_read(&d->asked);

	KUNIT_ASSERT_NOT_NULL(test, domain);
	iq_hold_work(true);
	WRITE_ONCE(d->mute, true);
	local_bh_disable();
	iommu_flush_iotlb_all(domain);
	local_bh_enable();
	KUNIT_EXPECT_GT(test, atomic_read(&d->asked), asked);
	iq_expect_caught(test, d);
	iq_recover(test, d);
}

/* @gone: so does its configuration space */
static void iq_leave(struct kunit *test, bool gone)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_group *group = iommu_group_get(iq_device(d));

	KUNIT_ASSERT_NOT_NULL(test, group);
	WRITE_ONCE(d->mute, true);
	WRITE_ONCE(d->gone, gone);
	KUNIT_EXPECT_EQ(test, iommu_group_claim_dma_owner(group, test), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iommu_group_release_dma_owner(group);
	WRITE_ONCE(d->gone, false);
	iq_expect_shut_out(test, d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
	iommu_group_put(group);
}

/*
 * It stops answering, and then its domain is taken from it, as VFIO does: what it
 * holds is asked back before ATS goes off, and is no good when the domain comes back
 */
static void iq_body_leaves(struct kunit *test)
{
	iq_leave(test, false);
}

/* The same, and its configuration space reads as all ones: it may be back */
static void iq_body_leaves_unseen(struct kunit *test)
{
	iq_leave(test, true);
}

/*
 * Its link is down until an error is dealt with: that it does not answer is no fault of
 * its own. For suites of drivers that would not ask it either. A recovery that has
 * failed leaves it frozen, but it may be back in service: it is asked as ever.
 */
static void __maybe_unused iq_leaves_frozen(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_group *group = iommu_group_get(iq_device(d));
	struct pci_dev *port = iq_port(test, false);
	int asked = atomic_read(&d->asked);

	KUNIT_ASSERT_NOT_NULL(test, group);
	iommu_quarantine_recovery_begin(port);
	d->pdev->error_state = pci_channel_io_frozen;
	WRITE_ONCE(d->gone, true);
	KUNIT_EXPECT_EQ(test, iommu_group_claim_dma_owner(group, test), 0);
	WRITE_ONCE(d->gone, false);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	iommu_quarantine_recovery_end(port);
	iq_expect_state(test, d, "healthy");
	iommu_group_release_dma_owner(group);
	iq_expect_in_service(test, d);

	WRITE_ONCE(d->mute, true);
	KUNIT_EXPECT_EQ(test, iommu_group_claim_dma_owner(group, test), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
	iommu_group_release_dma_owner(group);
	d->pdev->error_state = pci_channel_io_normal;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
	iommu_group_put(group);
}

/* ---- resets ---- */

static void iq_body_recover(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int asked;

	iq_break_and_wait(test, d);
	asked = atomic_read(&d->asked);
	iq_recover(test, d);
	KUNIT_EXPECT_GT_MSG(test, atomic_read(&d->asked), asked,
			    "recovered without having been asked");
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 1);
	KUNIT_EXPECT_EQ(test, iq_told(test)->epoch, 1);
	iq_expect_in_service(test, d);
}

static void iq_body_twice(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i;

	for (i = 1; i <= 3; i++) {
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
		KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), i);
		KUNIT_EXPECT_EQ(test, iq_told(test)->epoch, i - 1);
		iq_recover(test, d);
		KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), i);
	}
	iq_expect_in_service(test, d);
}

struct iq_listener {
	struct notifier_block nb;
	struct device *dev;
	unsigned long hold;		/* BIT() of an event: the work, at the next one */
	unsigned long patience;		/* not longer, in jiffies; 0 is for ever */
	struct completion held, go;
	bool let_go;			/* in time */
	unsigned int n;
	unsigned long said[8];
};

static int iq_listen(struct notifier_block *nb, unsigned long event, void *dev)
{
	struct iq_listener *l = container_of(nb, struct iq_listener, nb);

	if (dev != l->dev)
		return NOTIFY_DONE;
	if (l->n < ARRAY_SIZE(l->said)) {
		l->said[l->n] = event;
		WRITE_ONCE(l->n, l->n + 1);
	}
	if (l->hold & BIT(event)) {
		l->hold = 0;
		complete(&l->held);
		l->let_go = wait_for_completion_timeout(&l->go, l->patience ?:
							MAX_SCHEDULE_TIMEOUT);
	}
	return NOTIFY_OK;
}

static void iq_listen_no_more(void *listener)
{
	struct iq_listener *l = listener;

	complete_all(&l->go);
	iommu_quarantine_unregister_notifier(&l->nb);
}

/* Until the test ends. The work is held when it tells of @event for the first time. */
static struct iq_listener *iq_listen_and_hold(struct kunit *test, struct iq_dev *d,
					      enum iommu_quarantine_event event)
{
	struct iq_listener *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, l);
	l->nb.notifier_call = iq_listen;
	l->dev = iq_device(d);
	l->hold = BIT(event);
	init_completion(&l->held);
	init_completion(&l->go);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_register_notifier(&l->nb), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, iq_listen_no_more, l), 0);
	return l;
}

/* Whoever listens is told the truth last, however late he is told */
static void iq_body_told_in_order(struct kunit *test)
{
	static const unsigned long said[] = {
		IOMMU_QUARANTINE_EVENT_BROKEN,
		IOMMU_QUARANTINE_EVENT_QUARANTINED,
		IOMMU_QUARANTINE_EVENT_RECOVERED,
		/* Told late: broken, recovered, and broken once more */
		IOMMU_QUARANTINE_EVENT_RECOVERED,
		IOMMU_QUARANTINE_EVENT_BROKEN,
		IOMMU_QUARANTINE_EVENT_QUARANTINED,
	};
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iq_listener *l = iq_listen_and_hold(test, d, IOMMU_QUARANTINE_EVENT_RECOVERED);
	int i;

	iq_break_and_wait(test, d);
	WRITE_ONCE(d->fenced, false);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&l->held, 10 * HZ));
	for (i = 0; i < 2; i++) {
		iq_break(test, d);
		iq_expect_state(test, d, "reported");
		if (!i) {
			WRITE_ONCE(d->fenced, false);
			KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
			iq_expect_state(test, d, "healthy");
		}
	}
	complete_all(&l->go);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_ASSERT_EQ(test, l->n, ARRAY_SIZE(said));
	for (i = 0; i < ARRAY_SIZE(said); i++)
		KUNIT_EXPECT_EQ_MSG(test, l->said[i], said[i], "event %d", i);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* Between a report's change of the state and what the work is to tell of it */
static void iq_late_report(void *data, struct device *dev, const char *vendor,
			   const struct iommu_broken_evidence *evidence,
			   unsigned int count)
{
	struct iq_listener *l = data;
	int i;

	if (dev != l->dev || count != 2)
		return;
	complete_all(&l->go);
	/* With one CPU the work can only come later */
	for (i = 0; i < 1000 && num_online_cpus() > 1; i++) {
		if (READ_ONCE(l->n) > 1)
			break;
		mdelay(1);
	}
}

/* A report takes its time, and the work of the one before meets it halfway */
static void iq_body_told_late(struct kunit *test)
{
	static const unsigned long said[] = {
		IOMMU_QUARANTINE_EVENT_BROKEN,
		IOMMU_QUARANTINE_EVENT_RECOVERED,
		IOMMU_QUARANTINE_EVENT_BROKEN,
		IOMMU_QUARANTINE_EVENT_QUARANTINED,
	};
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iq_listener late = {
		.nb.notifier_call = iq_listen,
		.hold = BIT(IOMMU_QUARANTINE_EVENT_BROKEN),
	};
	int i;

	late.dev = iq_device(d);
	init_completion(&late.held);
	init_completion(&late.go);
	KUNIT_ASSERT_EQ(test, register_trace_iommu_device_broken(iq_late_report, &late), 0);
	iommu_quarantine_register_notifier(&late.nb);
	/* Nothing that ends the test before they are gone: it is on this stack */
	iommu_report_device_broken(iq_device(d));
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&late.held, 10 * HZ));
	KUNIT_EXPECT_EQ(test, iq_reset(d), 0);
	iq_expect_state(test, d, "healthy");
	iommu_report_device_broken(iq_device(d));
	complete_all(&late.go);
	KUNIT_EXPECT_TRUE(test, iq_wait_state(d, "quarantined"));
	iq_settle(d);
	iommu_quarantine_unregister_notifier(&late.nb);
	unregister_trace_iommu_device_broken(iq_late_report, &late);
	tracepoint_synchronize_unregister();

	KUNIT_ASSERT_EQ(test, late.n, ARRAY_SIZE(said));
	for (i = 0; i < ARRAY_SIZE(said); i++)
		KUNIT_EXPECT_EQ_MSG(test, late.said[i], said[i], "event %d", i);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

static void iq_body_done_without_report(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->flrs), 1);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
	iq_expect_in_service(test, d);
}

static void iq_body_probe(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	/* A probe does not suspend a device that is in service ... */
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, true), 0);
	iq_expect_in_service(test, d);
	iommu_quarantine_reset_done(d->pdev, true, 0);
	iq_expect_in_service(test, d);

	/* ... and brings none back */
	iq_break_and_wait(test, d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, true), 0);
	iommu_quarantine_reset_done(d->pdev, true, 0);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
}

static void iq_do_flr(struct iq_dev *d)
{
	pcie_capability_set_word(d->pdev, PCI_EXP_DEVCTL,
				 PCI_EXP_DEVCTL_BCR_FLR);
}

static void iq_body_failed_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iq_do_flr(d);
	iommu_quarantine_reset_done(d->pdev, false, -ENOTTY);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* An inner reset fails, the outer one says that all is well */
static void iq_body_nested_failure(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iq_do_flr(d);
	iommu_quarantine_reset_done(d->pdev, false, -EIO);
	iommu_quarantine_reset_done(d->pdev, false, 0);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	iq_recover(test, d);
}

static void iq_body_idle_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	d->flr_idle = true;
	iq_reset(d);
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->flrs), 1);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	d->flr_idle = false;
	iq_recover(test, d);
}

/*
 * And one that comes before the work, of a function that nobody drives: the blocking
 * turns ATS off, where the driver does so, and that must not look like a reset. Two
 * lines of reset.c see to it, so no mutant of one is enough: red on AMD without both.
 */
static void iq_body_idle_reset_before_work(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	iq_hold_work(true);
	iq_break(test, d);
	KUNIT_EXPECT_TRUE(test, iq_ats_on(d));
	/* Without what pci_reset_function() writes into Command before */
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iommu_quarantine_reset_done(d->pdev, false, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->flrs), 0);
	iq_expect_shut_out(test, d);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

static void iq_body_gone_after_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iq_do_flr(d);
	d->gone = true;
	iommu_quarantine_reset_done(d->pdev, false, 0);
	d->gone = false;
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
}

static void iq_body_recover_mute(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	d->flr_mute = true;
	WRITE_ONCE(d->fenced, false);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
	KUNIT_EXPECT_EQ(test, iq_count(d), 2);
	iq_expect_shut_out(test, d);
	d->flr_mute = false;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

static void iq_body_report_before_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	/* The work may or may not have run: that reset deals with it */
	iq_break(test, d);
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_expect_in_service(test, d);
}

/* Nobody knew: what prepare() blocks it by finds out, under group->mutex */
static void iq_body_report_inside_prepare(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	pci_save_state(d->pdev);
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_settle(d);
	iq_expect_state(test, d, "resetting");
	WRITE_ONCE(d->fenced, false);
	iq_do_flr(d);
	iommu_quarantine_reset_done(d->pdev, false, 0);
	pci_restore_state(d->pdev);
	iq_await_state(test, d, "healthy");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 1);
	iq_expect_in_service(test, d);
}

static void iq_body_report_inside_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iommu_report_device_broken(iq_device(d));
	iq_expect_state(test, d, "resetting");
	iq_settle(d);
	iq_do_flr(d);
	iommu_quarantine_reset_done(d->pdev, false, 0);
	iq_await_state(test, d, "healthy");
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 1);
}

/* Broken while it is being reset, and that reset did nothing */
static void iq_body_report_inside_idle_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iommu_report_device_broken(iq_device(d));
	iq_settle(d);
	iommu_quarantine_reset_done(d->pdev, false, 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_TRUE(test, iq_wait_ats_off(d));
	iq_expect_shut_out(test, d);
}

static void iq_body_report_after_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_EQ(test, iq_told(test)->epoch, 1);
	iq_expect_shut_out(test, d);
}

/*
 * A device that answers nothing when the bracket opens cannot be marked: what
 * the kernel has turned on counts. If that is nothing there is no proof.
 */
static void iq_body_gone_before_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i;

	iq_break_and_wait(test, d);
	for (i = 0; i < 2; i++) {
		if (i)
			pci_set_master(d->pdev);
		d->gone = true;
		KUNIT_EXPECT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
		d->gone = false;
		iq_do_flr(d);
		if (i)
			WRITE_ONCE(d->fenced, false);
		iommu_quarantine_reset_done(d->pdev, false, 0);
		iq_await_state(test, d, i ? "healthy" : "quarantined");
	}
	iq_settle(d);
	iq_expect_in_service(test, d);
}

/* Interrupt Disable proves nothing where it is hardwired: MSI-X is masked */
static void iq_body_proof_msix(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	d->no_intx = true;
	iq_break_and_wait(test, d);
	d->flr_idle = true;
	iq_reset(d);
	iq_settle(d);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	d->flr_idle = false;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* Its power was cut: it is as new, and answers */
static void iq_power_cycle(struct iq_dev *d)
{
	iq_power_on(d);
	WRITE_ONCE(d->mute, false);
	WRITE_ONCE(d->fenced, false);
}

/* To a low-power state and back, which may reset it */
static void iq_body_power(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);

	/* No bracket for one that is in service */
	iommu_quarantine_power_down(o->pdev, false);
	iq_expect_in_service(test, o);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(o->pdev, false, 0), 0);

	iq_break_and_wait(test, d);
	iommu_quarantine_power_down(d->pdev, true);
	iq_expect_state(test, d, "quarantined");
	iommu_quarantine_power_down(d->pdev, false);
	/* D3cold after D3hot */
	iommu_quarantine_power_down(d->pdev, false);
	iq_expect_state(test, d, "resetting");
	iq_do_flr(d);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, -EIO), -EIO);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, true, 0), 0);
	iq_expect_state(test, d, "resetting");
	iq_expect_shut_out(test, d);
	WRITE_ONCE(d->fenced, false);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, 0), 0);
	iq_settle(d);
	iq_expect_in_service(test, d);
}

/* D3cold: its power is cut, and it comes back as new, if it comes back at all */
static void iq_body_power_cut(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	iommu_quarantine_power_down(d->pdev, false);
	iq_expect_state(test, d, "resetting");
	WRITE_ONCE(d->gone, true);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, 0), 0);
	iq_settle(d);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);

	/* It is there all the same, as it was, and goes to sleep once more */
	WRITE_ONCE(d->gone, false);
	iommu_quarantine_power_down(d->pdev, false);
	iq_power_cycle(d);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, 0), 0);
	iq_settle(d);
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
}

/* As the PCI core does it, which saves and restores its state */
static void iq_fall_asleep(struct iq_dev *d, bool cold)
{
	if (d->pdev->current_state != PCI_D3hot)
		pci_save_state(d->pdev);
	iommu_quarantine_power_down(d->pdev, false);
	d->pdev->current_state = cold ? PCI_D3cold : PCI_D3hot;
	WRITE_ONCE(d->gone, cold);
}

static void iq_wake_up(struct iq_dev *d)
{
	WRITE_ONCE(d->gone, false);
	d->pdev->current_state = PCI_D0;
	pci_restore_state(d->pdev);
}

/* In service when it goes to sleep, and found dead there: woken up by a reset, or not */
static void iq_body_power_asleep(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	int i;

	for (i = 0; i < 4; i++) {
		bool cold = i & 1, forgets = i & 2;

		pci_set_master(d->pdev);
		/* Once more, from D3hot: what it was in D0 counts */
		iq_fall_asleep(d, false);
		iq_fall_asleep(d, cold);
		iq_break_and_wait(test, d);
		/* Nor does that it goes deeper, or that it does not wake up */
		iommu_quarantine_power_down(d->pdev, false);
		iq_expect_state(test, d, "quarantined");
		KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, -EIO),
				-EIO);
		iommu_quarantine_restoring(d->pdev);
		iq_expect_state(test, d, "quarantined");
		iq_expect_shut_out(test, d);
		if (forgets)
			iq_power_cycle(d);
		iq_wake_up(d);
		iq_await_state(test, d, forgets ? "healthy" : "quarantined");
		iq_settle(d);
		if (!forgets)
			iq_recover(test, d);
		iq_expect_in_service(test, d);
	}
}

/* The same, and it wakes up before the work has come to block it */
static void iq_body_power_asleep_before_work(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	pci_set_master(d->pdev);
	iq_fall_asleep(d, true);
	iq_hold_work(true);
	iq_break(test, d);
	iq_power_cycle(d);
	iq_wake_up(d);
	iq_expect_state(test, d, "healthy");
	iq_hold_work(false);
	iq_settle(d);
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 1);
}

/*
 * What it was before it went to sleep counts for the next wake-up alone, and that only
 * if nobody could write into it meanwhile: Command may be empty without a reset.
 */
static void iq_body_power_asleep_stale(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct pci_dev *port = iq_port(test, false);
	int i;

	for (i = 0; i < 5; i++) {
		pci_write_config_word(d->pdev, PCI_COMMAND, 0);
		pci_set_master(d->pdev);
		iq_fall_asleep(d, false);
		if (i == 0)
			KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, true, 0), 0);
		if (i == 1)
			iq_wake_up(d);
		d->pdev->current_state = PCI_D0;
		iq_break_and_wait(test, d);
		/* Whoever lets it go finds no fault with it */
		WRITE_ONCE(d->mute, false);
		pci_write_config_word(d->pdev, PCI_COMMAND, 0);
		if (i == 2) {
			KUNIT_EXPECT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
			iommu_quarantine_reset_done(d->pdev, false, 0);
		}
		if (i == 3) {
			iommu_quarantine_bus_prepare(port);
			KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
		}
		if (i == 4) {
			iommu_quarantine_power_down(d->pdev, false);
			KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, 0), 0);
		}
		/* What marked it before that reset is gone as well */
		pci_write_config_word(d->pdev, PCI_COMMAND, 0);
		iommu_quarantine_restoring(d->pdev);
		iq_settle(d);
		iq_expect_state(test, d, "quarantined");
		iq_expect_shut_out(test, d);
		iq_recover(test, d);
	}
	iq_expect_in_service(test, d);
}

#define IQ_PM_CAP	0x60

/* As VFIO lets a user do it: in D3hot configuration space can be written */
static void iq_forge(struct iq_dev *d, bool reset)
{
	d->pdev->pm_cap = IQ_PM_CAP;
	d->cfg[IQ_PM_CAP + PCI_PM_CTRL] = (__force u8)PCI_D3hot;
	if (reset)
		iq_power_cycle(d);
	pci_write_config_word(d->pdev, PCI_COMMAND, 0);
	iommu_quarantine_power_wake(d->pdev, true);
	iommu_quarantine_power_wake(d->pdev, false);
	d->cfg[IQ_PM_CAP + PCI_PM_CTRL] = 0;
	d->pdev->pm_cap = 0;
}

/*
 * What was cleared in a device while it slept is no reset, be it broken before or found
 * dead in its sleep. One whose power was cut says itself that it sleeps no more.
 */
static void iq_body_power_forged(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	int i;

	for (i = 0; i < 4; i++) {
		bool asleep = i & 1, reset = i & 2;

		pci_set_master(d->pdev);
		if (!asleep)
			iq_break_and_wait(test, d);
		iq_fall_asleep(d, false);
		if (asleep)
			iq_break_and_wait(test, d);
		iq_forge(d, reset);
		WRITE_ONCE(d->mute, false);
		if (reset)
			WRITE_ONCE(d->fenced, false);
		d->pdev->current_state = PCI_D0;
		KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, 0), 0);
		iq_await_state(test, d, reset ? "healthy" : "quarantined");
		iq_settle(d);
		if (!reset) {
			iq_expect_shut_out(test, d);
			iq_recover(test, d);
		}
		pci_restore_state(d->pdev);
		iq_expect_in_service(test, d);
	}
}

/*
 * It never went to sleep, so nobody wakes it up; later the PCI core writes into Command
 * before a reset, which then does nothing.
 */
static void iq_body_power_refused(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct pci_dev *port = iq_port(test, false);
	int i;

	for (i = 0; i < 2; i++) {
		/* Nothing but this bit, which the PCI core clears */
		pci_write_config_word(d->pdev, PCI_COMMAND, 0);
		pci_set_master(d->pdev);
		iq_break_and_wait(test, d);
		iommu_quarantine_power_down(d->pdev, false);
		iq_expect_state(test, d, "resetting");
		WRITE_ONCE(d->mute, false);
		pci_write_config_word(d->pdev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
		if (i) {
			iommu_quarantine_bus_prepare(port);
			KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
		} else {
			KUNIT_EXPECT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
			iommu_quarantine_reset_done(d->pdev, false, 0);
		}
		iq_settle(d);
		iq_expect_state(test, d, "quarantined");
		iq_expect_shut_out(test, d);
		iq_recover(test, d);
		iq_expect_in_service(test, d);
	}
}

/*
 * An image of the memory is made: the machine goes on as it was, or it is off and on
 * again. Then firmware and another kernel have had the device, perhaps one of its
 * drivers too, and what that leaves is no proof: it may be what was there before.
 */
static void iq_body_freeze(struct kunit *test)
{
	static const u16 decodes = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	static const u16 found[] = {
		decodes | PCI_COMMAND_INTX_DISABLE,
		decodes | PCI_COMMAND_MASTER,
		decodes,
	};
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	int i;

	pci_save_state(o->pdev);
	iommu_quarantine_freeze(o->pdev);
	iq_expect_in_service(test, o);
	pci_restore_state(o->pdev);
	iq_expect_in_service(test, o);

	iq_break_and_wait(test, d);
	for (i = -1; i < (int)ARRAY_SIZE(found); i++) {
		bool proven = i >= 0 && found[i] == decodes;

		pci_write_config_word(d->pdev, PCI_COMMAND, decodes);
		pci_save_state(d->pdev);
		iommu_quarantine_freeze(d->pdev);
		iq_expect_state(test, d, "resetting");
		iq_expect_shut_out(test, d);
		if (i >= 0) {
			iq_power_cycle(d);
			pci_write_config_word(d->pdev, PCI_COMMAND, found[i]);
		}
		pci_restore_state(d->pdev);
		iq_await_state(test, d, proven ? "healthy" : "quarantined");
		iq_settle(d);
		if (proven)
			iq_expect_in_service(test, d);
		else
			iq_expect_shut_out(test, d);
	}
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
}

/* The same, but that it was in service then, and is found dead before it is thawed */
static void iq_body_freeze_asleep(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i;

	for (i = 0; i < 2; i++) {
		pci_intx(d->pdev, false);
		pci_save_state(d->pdev);
		iommu_quarantine_freeze(d->pdev);
		d->pdev->current_state = PCI_UNKNOWN;
		iq_break_and_wait(test, d);
		if (i) {
			iq_power_cycle(d);
			pci_write_config_word(d->pdev, PCI_COMMAND, PCI_COMMAND_MEMORY);
		}
		pci_restore_state(d->pdev);
		iq_await_state(test, d, i ? "healthy" : "quarantined");
		iq_settle(d);
		if (!i)
			iq_recover(test, d);
		iq_expect_in_service(test, d);
	}
}

/* ---- resets of buses ---- */

static void iq_body_bus_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, false);
	int i, asked;

	iq_break_and_wait(test, d);
	iommu_quarantine_bus_prepare(port);
	for (i = 0; i < IQ_DEVS; i++) {
		asked = atomic_read(&iq_the(test, i)->asked);
		iq_expect_state(test, iq_the(test, i), "resetting");
		KUNIT_EXPECT_EQ(test, iq_flush(iq_the(test, i)), 0);
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&iq_the(test, i)->asked),
				    asked, "it is asked while the bus is down");
	}
	iq_do_flr(d);
	WRITE_ONCE(d->fenced, false);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 1);
	for (i = 0; i < IQ_DEVS; i++)
		iq_expect_in_service(test, iq_the(test, i));
}

static void iq_body_bus_reset_fails(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, false);

	iq_break_and_wait(test, d);
	iommu_quarantine_bus_prepare(port);
	iq_do_flr(d);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, -ENOTTY), -ENOTTY);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	iq_expect_in_service(test, iq_the(test, IQ_OTHER));
	iq_recover(test, d);
}

/* Far below the port a device is looked at when it is restored */
static void iq_body_bus_restoring(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, true);
	int i;

	iq_break_and_wait(test, d);
	/* Nobody restores it after the first one: the second one sees to it */
	for (i = 0; i < 2; i++) {
		iommu_quarantine_bus_prepare(port);
		KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
		iq_expect_state(test, d, "resetting");
	}
	iq_do_flr(d);
	iq_port_gone(test);
	WRITE_ONCE(d->fenced, false);
	for (i = 0; i < IQ_DEVS; i++)
		iommu_quarantine_restoring(iq_the(test, i)->pdev);
	iq_await_state(test, d, "healthy");
	for (i = 0; i < IQ_DEVS; i++)
		iq_expect_in_service(test, iq_the(test, i));
}

/* A driver is told of the reset, enables its device, and restores it only then */
static void iq_body_bus_slot_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, true);
	int i;

	iq_break_and_wait(test, d);
	pci_set_master(d->pdev);
	iommu_quarantine_bus_prepare(port);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
	/* What is above it cannot be passed yet */
	d->gone = true;
	iommu_quarantine_slot_reset(d->pdev);
	iq_expect_state(test, d, "resetting");
	d->gone = false;
	iq_do_flr(d);
	WRITE_ONCE(d->fenced, false);
	iommu_quarantine_slot_reset(d->pdev);
	pci_write_config_word(d->pdev, PCI_COMMAND,
			      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	iommu_quarantine_restoring(d->pdev);
	iq_await_state(test, d, "healthy");
	iommu_quarantine_recovery_end(port);
	iq_port_gone(test);
	for (i = 0; i < IQ_DEVS; i++)
		iq_expect_in_service(test, iq_the(test, i));
}

/* ... and at the end of the recovery at the latest */
static void iq_body_bus_recovery_end(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, true);
	int i;

	iq_break_and_wait(test, d);
	iommu_quarantine_bus_prepare(port);
	iommu_quarantine_bus_done(port, 0);
	iq_do_flr(d);
	WRITE_ONCE(d->fenced, false);
	iommu_quarantine_recovery_end(port);
	iq_port_gone(test);
	for (i = 0; i < IQ_DEVS; i++)
		iq_expect_in_service(test, iq_the(test, i));
}

/*
 * DPC: the link is down already when the drivers are told. One gives its device up,
 * which gets lost, and is accused meanwhile: the reset is one all the same. The next
 * reset, and the next recovery, know nothing of that.
 */
static void iq_body_bus_recovery_begin(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, false);
	int i;

	for (i = 0; i < 4; i++) {
		if (i < 2)
			pci_set_master(d->pdev);
		WRITE_ONCE(d->gone, true);
		if (i != 2)
			iommu_quarantine_recovery_begin(port);
		pci_clear_master(d->pdev);
		iq_break_and_wait(test, d);
		iommu_quarantine_bus_prepare(port);
		iq_expect_state(test, d, "resetting");
		WRITE_ONCE(d->gone, false);
		/* Not if it was not reset, or if nothing was set in it */
		if (i)
			iq_power_cycle(d);
		KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
		iommu_quarantine_recovery_end(port);
		iq_settle(d);
		iq_expect_state(test, d, i == 1 ? "healthy" : "quarantined");
		if (i == 1)
			iq_expect_in_service(test, d);
		else
			iq_recover(test, d);
	}
}

/* A function level reset after a reset of the bus from which nobody restored */
static void iq_body_bus_then_flr(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, true);
	int i;

	iq_break_and_wait(test, d);
	iommu_quarantine_bus_prepare(port);
	iommu_quarantine_bus_done(port, 0);
	iq_port_gone(test);
	iq_recover(test, d);
	for (i = 0; i < IQ_DEVS; i++) {
		iommu_quarantine_restoring(iq_the(test, i)->pdev);
		iq_expect_in_service(test, iq_the(test, i));
	}
}

/* ---- physical and virtual functions ---- */

static void iq_make_vf(struct iq_dev *vf, struct iq_dev *pf, bool yes)
{
	vf->pdev->is_virtfn = yes;
	vf->pdev->physfn = yes ? pf->pdev : NULL;
	vf->virtual = yes;
	pf->pdev->is_physfn = yes;
}

/* A reset of @of begins; @vf is a function of @pf until it ends */
static void iq_reset_begins(struct kunit *test, struct iq_dev *of,
			    struct iq_dev *vf, struct iq_dev *pf)
{
	iq_make_vf(vf, pf, true);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_reset_prepare(of->pdev, false), 0);
}

/* ... says @rc, and resets @vf if it @happens */
static void iq_reset_ends(struct iq_dev *of, struct iq_dev *vf,
			  struct iq_dev *pf, bool happens, int rc)
{
	if (happens)
		iq_do_flr(vf);
	if (happens && !rc)
		WRITE_ONCE(vf->fenced, false);
	iommu_quarantine_reset_done(of->pdev, false, rc);
	if (of == pf)
		iommu_quarantine_restored(pf->pdev);
	iq_make_vf(vf, pf, false);
}

static void iq_expect_held(struct kunit *test, struct iq_dev *d)
{
	int asked = atomic_read(&d->asked);

	iq_expect_state(test, d, "resetting");
	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&d->asked), asked,
			    "it is asked while it is not there");
}

/*
 * The reset of a physical function is one of its virtual functions too, but
 * until VF Enable is restored there is none that could answer.
 */
static void iq_body_pf_reset(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);
	int broken;

	for (broken = 0; broken < 2; broken++) {
		if (broken)
			iq_break_and_wait(test, vf);
		iq_reset_begins(test, pf, vf, pf);
		iq_expect_held(test, vf);
		iq_do_flr(vf);
		iommu_quarantine_reset_done(pf->pdev, false, 0);
		iq_expect_held(test, vf);
		WRITE_ONCE(vf->fenced, false);
		iommu_quarantine_restored(pf->pdev);
		iq_make_vf(vf, pf, false);
		iq_await_state(test, vf, "healthy");
		iq_settle(vf);
		KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), broken);
		iq_expect_in_service(test, vf);
		iq_expect_in_service(test, pf);
	}
}

/* One that failed, or that did not reach them, lifts nobody */
static void iq_body_pf_reset_fails(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);
	int rc;

	iq_break_and_wait(test, vf);
	for (rc = -ENOTTY; rc <= 0; rc -= -ENOTTY) {
		iq_reset_begins(test, pf, vf, pf);
		iq_reset_ends(pf, vf, pf, rc, rc);
		iq_expect_state(test, vf, "quarantined");
		iq_expect_shut_out(test, vf);
		iq_expect_in_service(test, pf);
	}
	iq_recover(test, vf);
}

/* Nor one that does not begin, since the physical function cannot be blocked */
static void iq_body_pf_unblocked(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);

	iq_break_and_wait(test, vf);
	iq_make_vf(vf, pf, true);
	iq_blocking_fails(pf, true);
	KUNIT_EXPECT_LT(test, iommu_quarantine_reset_prepare(pf->pdev, false), 0);
	iq_blocking_fails(pf, false);
	iommu_quarantine_restored(pf->pdev);
	iq_make_vf(vf, pf, false);
	iq_expect_state(test, vf, "quarantined");
	iq_expect_shut_out(test, vf);
	iq_expect_in_service(test, pf);
	iq_recover(test, vf);
}

/* Nor is there one after a reset of the bus, until the physical one is restored */
static void iq_body_vf_bus_reset(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);
	struct pci_dev *port = iq_port(test, false);

	iq_break_and_wait(test, vf);
	iq_make_vf(vf, pf, true);
	iommu_quarantine_bus_prepare(port);
	iq_do_flr(vf);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
	iq_expect_held(test, vf);
	WRITE_ONCE(vf->fenced, false);
	iommu_quarantine_restored(pf->pdev);
	iq_make_vf(vf, pf, false);
	iq_await_state(test, vf, "healthy");
	iq_expect_in_service(test, vf);
	iq_expect_in_service(test, pf);
}

/*
 * D3 of a physical function is one of its virtual functions: nothing is sent to them,
 * and if it forgets what it knew on the way back so do they. Until VF Enable is
 * restored there is none. @forgets: that, or all is as it was.
 */
static void iq_sleep_with_pf(struct kunit *test, bool broken, bool forgets)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);

	pci_set_master(vf->pdev);
	if (broken)
		iq_break_and_wait(test, vf);
	iq_make_vf(vf, pf, true);
	iommu_quarantine_power_down(pf->pdev, true);
	iq_expect_state(test, vf, broken ? "quarantined" : "healthy");
	iommu_quarantine_power_down(pf->pdev, false);
	/* D3cold after D3hot */
	iommu_quarantine_power_down(pf->pdev, false);
	iq_expect_held(test, vf);
	if (forgets) {
		iq_do_flr(vf);
		WRITE_ONCE(vf->gone, true);
	}
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(pf->pdev, false, -EIO), -EIO);
	iq_expect_held(test, vf);
	if (forgets) {
		/* Resumed beside its physical function, and before it */
		iommu_quarantine_restoring(vf->pdev);
		iq_expect_held(test, vf);
		WRITE_ONCE(vf->fenced, false);
	}
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(pf->pdev, false, 0), 0);
	if (forgets) {
		iq_expect_held(test, vf);
		WRITE_ONCE(vf->gone, false);
		iommu_quarantine_restored(pf->pdev);
	}
	iq_make_vf(vf, pf, false);
	iq_await_state(test, vf, broken && !forgets ? "quarantined" : "healthy");
	iq_settle(vf);
	KUNIT_EXPECT_EQ(test, iq_count(vf), broken);
	iq_expect_in_service(test, pf);
	if (broken && !forgets)
		iq_expect_shut_out(test, vf);
	else
		iq_expect_in_service(test, vf);
}

static void iq_body_pf_sleeps(struct kunit *test)
{
	iq_sleep_with_pf(test, false, true);
}

/* One that cannot be held back meanwhile is left where it is */
static void iq_body_pf_sleeps_unblocked(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);

	iq_make_vf(vf, pf, true);
	iq_blocking_fails(vf, true);
	iommu_quarantine_power_down(pf->pdev, false);
	iq_blocking_fails(vf, false);
	iq_expect_state(test, vf, "healthy");
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(pf->pdev, false, 0), 0);
	iq_make_vf(vf, pf, false);
	iq_expect_in_service(test, vf);
	iq_expect_in_service(test, pf);
}

static void iq_body_pf_sleeps_lightly(struct kunit *test)
{
	iq_sleep_with_pf(test, false, false);
}

static void iq_body_pf_sleeps_vf_broken(struct kunit *test)
{
	iq_sleep_with_pf(test, true, true);
}

static void iq_body_pf_sleeps_lightly_vf_broken(struct kunit *test)
{
	iq_sleep_with_pf(test, true, false);
}

/* By its own reset, which has to be proven, one virtual function alone is lifted */
static void iq_body_vf_own_reset(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);
	int happens;

	iq_break_and_wait(test, vf);
	for (happens = 0; happens < 2; happens++) {
		iq_reset_begins(test, vf, vf, pf);
		iq_expect_in_service(test, pf);
		iq_reset_ends(vf, vf, pf, happens, 0);
		iq_await_state(test, vf, happens ? "healthy" : "quarantined");
	}
	iq_settle(vf);
	iq_expect_in_service(test, vf);
	iq_expect_in_service(test, pf);
}

/* And that of a virtual function is not one of the physical one */
static void iq_body_vf_reset(struct kunit *test)
{
	struct iq_dev *pf = iq_the(test, IQ_BROKEN);
	struct iq_dev *vf = iq_the(test, IQ_OTHER);

	iq_break_and_wait(test, pf);
	iq_reset_begins(test, vf, vf, pf);
	iq_reset_ends(vf, vf, pf, true, 0);
	iq_expect_state(test, pf, "quarantined");
	iq_expect_in_service(test, vf);
	iq_recover(test, pf);
}

/*
 * One cannot be blocked: the reset happens all the same, while it is not held
 * back, and proves nothing of it.
 */
static void iq_body_bus_unblocked(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct pci_dev *port = iq_port(test, false);

	iq_blocking_fails(d, true);
	iq_break(test, d);
	iq_await_state(test, d, "failed");
	iq_settle(d);
	iommu_quarantine_bus_prepare(port);
	iq_expect_state(test, d, "failed");
	iq_expect_shut_out(test, d);
	iq_expect_held(test, o);
	iq_do_flr(d);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
	iq_expect_state(test, d, "failed");

	/* The same on the way to D3 */
	iommu_quarantine_power_down(d->pdev, false);
	iq_expect_state(test, d, "failed");
	iq_do_flr(d);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_power_up(d->pdev, false, 0), 0);
	iq_expect_state(test, d, "failed");
	iq_expect_shut_out(test, d);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);

	iq_blocking_fails(d, false);
	iq_recover(test, d);
	iq_expect_in_service(test, d);

	/* Nor is one held back that is in service */
	iq_blocking_fails(o, true);
	iommu_quarantine_bus_prepare(port);
	iq_expect_in_service(test, o);
	iq_expect_held(test, d);
	iq_blocking_fails(o, false);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
	iq_expect_in_service(test, d);
	iq_expect_in_service(test, o);
}

/* A reset below another port is nobody's here, nor the end of a recovery */
static void iq_body_bus_elsewhere(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, false);
	struct pci_bus *ours = port->subordinate, *elsewhere;
	int i;

	elsewhere = kunit_kzalloc(test, sizeof(*elsewhere), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, elsewhere);
	iq_break_and_wait(test, d);
	for (i = 0; i < 2; i++) {
		/* One with something else below it, and one with nothing */
		port->subordinate = i ? NULL : elsewhere;
		iommu_quarantine_bus_prepare(port);
		iq_expect_state(test, d, "quarantined");
		iq_expect_in_service(test, iq_the(test, IQ_OTHER));
		iq_do_flr(d);
		KUNIT_EXPECT_EQ(test, iommu_quarantine_bus_done(port, 0), 0);
		iommu_quarantine_recovery_end(port);
		iq_expect_state(test, d, "quarantined");
	}
	/* No bracket was left open by a reset */
	port->subordinate = ours;
	iommu_quarantine_recovery_end(port);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	iq_expect_in_service(test, iq_the(test, IQ_OTHER));
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
}

/* ---- an IOMMU that says nothing any more ---- */

/*
 * A reset while the IOMMU is @silent: who was not asked has not answered, so he is
 * not announced as recovered, but goes back to where he was.
 */
static void __maybe_unused iq_silent_reset(struct kunit *test, struct iq_dev *d,
					   bool *silent)
{
	int i;

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	/* The backend knows of no fault of it */
	KUNIT_ASSERT_EQ(test, iq_store(d, "quarantine", "1"), 1);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	WRITE_ONCE(*silent, true);
	KUNIT_EXPECT_EQ(test, iq_reset(d), 0);
	/* Each command of the work may cost the driver's own second */
	for (i = 0; i < 10 && !iq_wait_state(d, "quarantined"); i++)
		;
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "iommu-no-answer");
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
}

/*
 * The last resort is the operator's choice: with bus mastering off no DMA gets
 * past the port. Here the function sits at a root bus: it is turned off itself.
 */
static void __maybe_unused iq_expect_last_resort(struct kunit *test,
						 struct iq_dev *d, bool cut_off)
{
	u16 command;
	int i;

	pci_read_config_word(d->pdev, PCI_COMMAND, &command);
	KUNIT_EXPECT_EQ(test, !(command & PCI_COMMAND_MASTER), cut_off);
	KUNIT_EXPECT_GT_MSG(test, iq_lost(test), 0, "a silent return");
	if (!cut_off)
		return;
	/* Each command of the work may cost the driver's own second */
	for (i = 0; i < 5 && !iq_wait_state(d, "quarantined"); i++)
		;
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "iommu-no-answer");
}

/* Nobody is cut off unless the operator wants it, and it is seen to be done */
static void iq_body_cut_off(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	u16 command;

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	KUNIT_EXPECT_FALSE(test, iommu_quarantine_cut_off(d->pdev));
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	d->gone = true;
	KUNIT_EXPECT_FALSE(test, iommu_quarantine_cut_off(d->pdev));
	d->gone = false;
	pci_read_config_word(d->pdev, PCI_COMMAND, &command);
	KUNIT_EXPECT_TRUE(test, command & PCI_COMMAND_MASTER);
	KUNIT_EXPECT_TRUE(test, iommu_quarantine_cut_off(d->pdev));
	pci_read_config_word(d->pdev, PCI_COMMAND, &command);
	KUNIT_EXPECT_FALSE(test, command & PCI_COMMAND_MASTER);
}

/*
 * It comes back to a domain without ATS: recovered without having been asked, and
 * asked once it has ATS. Where @identity is one.
 */
static void __maybe_unused iq_back_without_ats(struct kunit *test,
					       struct iommu_domain *identity)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	const struct iommu_ops *owner = identity->owner;
	int asked;

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	/* Not every kernel takes a static domain that does not say whose it is */
	identity->owner = iq_device(d)->iommu->iommu_dev->ops;
	/* Between the fence and the work an attach is not refused */
	iq_hold_work(true);
	iq_break(test, d);
	KUNIT_EXPECT_EQ(test, iommu_attach_device(identity, iq_device(d)), 0);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	asked = atomic_read(&d->asked);
	iq_recover(test, d);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 1);
	iommu_detach_device(identity, iq_device(d));
	identity->owner = owner;
	iq_expect_in_service(test, d);
}

/* ---- what the administrator asked for at boot ---- */

/*
 * As the driver does without the quarantine, which need not keep its lock rules:
 * VT-d takes a spinlock under the raw lock of its queue.
 */
static int iq_flush_as_ever(struct iq_dev *d)
{
	int ret;

	lockdep_off();
	ret = iq_flush(d);
	lockdep_on();
	return ret;
}

static void iq_let_driver_look(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;

	if (fx->vendor->irq)
		fx->vendor->irq(fx);
}

/* Told, and nothing else is done */
static void iq_body_report_only(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	int i;

	iq_policy(Q_POLICY_REPORT);
	d->mute_times = 1;
	KUNIT_ASSERT_EQ(test, iq_flush_as_ever(d), 0);
	/* The interrupt comes when the hardware says it, perhaps after the flush */
	for (i = 0; i < 5000 && !strcmp(iq_state(d), "healthy"); i++) {
		iq_let_driver_look(test);
		usleep_range(500, 1000);
	}
	iq_await_state(test, d, "reported");
	iq_settle(d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->quarantined), 0);
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
	KUNIT_EXPECT_EQ(test, iq_store(d, "quarantine", "1"), -EOPNOTSUPP);
	/* Nobody is held back, be it for D3 or by what a tester asks for */
	iommu_quarantine_power_down(d->pdev, false);
	iq_expect_state(test, d, "reported");
	if (IS_ENABLED(CONFIG_IOMMU_QUARANTINE_FAULT))
		KUNIT_EXPECT_EQ(test, iq_pretend(d, pci_name(d->pdev), 1),
				-EOPNOTSUPP);
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_expect_in_service(test, d);
}

/* What the quarantine knows nothing of goes on as ever */
static void iq_body_no_state(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_broken_evidence evidence = {};
	struct device *dev;
	int asked;

	dev = kunit_device_register(test, "iq-no-pci");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	KUNIT_EXPECT_EQ(test, iommu_quarantine_epoch(dev), 0);
	iommu_report_device_broken(dev);

	iq_policy(Q_POLICY_OFF);
	iq_unplug(d);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	KUNIT_EXPECT_STREQ(test, iq_state(d), "none");
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "none");
	KUNIT_EXPECT_LT(test, iq_count(d), 0);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	asked = atomic_read(&d->asked);
	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&d->asked), asked);
	iommu_quarantine_restoring(d->pdev);
	iq_policy(Q_POLICY_QUARANTINE);
	iommu_quarantine_power_down(d->pdev, false);
	iommu_quarantine_report(iq_device(d), &evidence);
	iq_policy(Q_POLICY_OFF);
	iommu_quarantine_bus_prepare(iq_port(test, false));
	iommu_quarantine_bus_done(iq_port(test, false), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 0);
}

static void iq_body_off(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);

	iq_policy(Q_POLICY_OFF);
	d->mute_times = 1;
	KUNIT_ASSERT_EQ(test, iq_flush_as_ever(d), 0);
	iq_let_driver_look(test);
	iommu_report_device_broken(iq_device(d));
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	iq_expect_in_service(test, d);
	/* A reset is what it is without us: it blocks nobody if the bracket is ours */
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	if (QUARANTINE_OWN_BRACKET)
		KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
	iommu_quarantine_reset_done(d->pdev, false, 0);
	iq_expect_in_service(test, d);
}

/* R8: who uses the same Requester ID is told, whatever else there is in the group */
static void iq_body_alias(struct kunit *test)
{
	struct iq_lines lines = { .what = "shares a Requester ID with" };
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	unsigned long *mask = bitmap_zalloc(1U << 8, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mask);
	__set_bit(iq_the(test, IQ_SIBLING)->devfn, mask);
	/* Freed with the function */
	d->pdev->dma_alias_mask = mask;
	iq_listen_to_log(test, &lines);
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, iq_lines(&lines), 1);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* And what cannot be quarantined at all is at least heard of */
static void iq_body_not_pci(struct kunit *test)
{
	struct iq_lines lines = { .what = "it cannot be quarantined" };
	struct device *dev = kunit_device_register(test, "iq-not-pci");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	iq_listen_to_log(test, &lines);
	iommu_report_device_broken(dev);
	KUNIT_EXPECT_EQ(test, iq_lines(&lines), 1);
}

/*
 * Of two devices the backend knows the second one only, and takes what is asked
 * of the first one for neither: that one has no ATS, so it has nothing to be lifted
 * or proven, and nothing can be pretended of it.
 */
static void __maybe_unused iq_expect_not_lifted(struct kunit *test,
						struct iq_dev *d,
						struct iq_dev *fenced)
{
	iq_expect_shut_out(test, fenced);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_expect_state(test, fenced, "quarantined");
	iq_expect_shut_out(test, fenced);
	if (IS_ENABLED(CONFIG_IOMMU_QUARANTINE_FAULT))
		KUNIT_EXPECT_EQ(test, iq_pretend(d, pci_name(d->pdev), 1),
				-ENODEV);
	/* The administrator may quarantine it as well as any other one */
	KUNIT_EXPECT_EQ(test, iq_store(d, "quarantine", "1"), 1);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_await_state(test, d, "healthy");
	iq_settle(d);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_expect_state(test, fenced, "quarantined");
	iq_expect_shut_out(test, fenced);
}

/* ---- removal ---- */

static int iq_flush_thread(void *data)
{
	struct completion *done = data;

	iq_flush(container_of(done, struct iq_dev, flushed));
	complete(done);
	return 0;
}

/* On another CPU than this one, which the caller does not leave */
static struct task_struct * __maybe_unused iq_flush_beside(struct iq_dev *d)
{
	struct task_struct *task;

	init_completion(&d->flushed);
	task = kthread_create(iq_flush_thread, &d->flushed, "iq-flush");
	if (IS_ERR(task))
		return task;
	kthread_bind(task, cpumask_any_but(housekeeping_cpumask(HK_TYPE_DOMAIN),
					   smp_processor_id()));
	wake_up_process(task);
	return task;
}

/*
 * The fence stands on one CPU: whoever flushes for another device goes on (C4),
 * and the flush that met the timeout does not return. For suites of drivers:
 * it needs two CPUs.
 */
static void __maybe_unused iq_held_fence(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct task_struct *task;
	int i;

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	WRITE_ONCE(d->mute, true);
	migrate_disable();
	iq_hold_fences(1);
	task = iq_flush_beside(d);
	iq_await_held_fences(test, 1);
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	KUNIT_EXPECT_FALSE(test, completion_done(&d->flushed));
	for (i = 0; i < 3; i++)
		iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	iq_hold_fences(0);
	migrate_enable();
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&d->flushed, 30 * HZ), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_recover(test, d);
}

static void iq_expect_sibling(struct kunit *test)
{
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	struct iommu_group *group = iommu_group_get(iq_device(s));
	struct iommu_domain *domain;

	KUNIT_ASSERT_NOT_NULL(test, group);
	iq_expect_in_service(test, s);
	/* Nobody who has left keeps the group from being attached */
	domain = iommu_paging_domain_alloc(iq_device(s));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	KUNIT_EXPECT_EQ(test, iommu_attach_group(domain, group), 0);
	iommu_detach_group(domain, group);
	iommu_domain_free(domain);
	iommu_group_put(group);
	iq_expect_in_service(test, s);
}

static void iq_body_release_healthy(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_unplug(d);
	iq_expect_sibling(test);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	iq_expect_in_service(test, d);
}

/* What comes back is what left */
static void iq_expect_condemned(struct kunit *test, struct iq_dev *d)
{
	/* From the first entry on, not just when the work has got there */
	iq_hold_work(true);
	KUNIT_EXPECT_EQ(test, iq_plug(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_hold_work(false);
	KUNIT_ASSERT_NOT_NULL(test, d->pdev);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

static void iq_body_release_reported(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break(test, d);
	iq_unplug(d);
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

static void iq_body_release_quarantined(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	iq_unplug(d);
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

static void iq_body_release_failed(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_blocking_fails(d, true);
	iq_break(test, d);
	iq_await_state(test, d, "failed");
	iq_settle(d);
	iq_blocking_fails(d, false);
	iq_unplug(d);
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

static void iq_body_release_resetting(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iq_expect_state(test, d, "resetting");
	iq_unplug(d);
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

static void iq_body_release_recovered(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	iq_recover(test, d);
	iq_unplug(d);
	iq_expect_sibling(test);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	iq_expect_in_service(test, d);
}

static void iq_body_release_in_bus_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct pci_dev *port = iq_port(test, false);

	iq_break_and_wait(test, d);
	iommu_quarantine_bus_prepare(port);
	iq_unplug(d);
	iommu_quarantine_bus_done(port, 0);
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

/* It answers nothing when it is removed: what it was is assumed */
static void iq_body_release_gone(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	pci_set_master(d->pdev);
	d->gone = true;
	iq_unplug(d);
	d->gone = false;
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

/* The work stands between the report and the blocking domain */
static void iq_body_release_held(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i, k;

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	for (i = 0; i < 2; i++) {
		iq_hold_work(true);
		iq_break(test, d);
		for (k = 0; k < 5000 && !iq_hold_work(true); k++)
			usleep_range(500, 1000);
		KUNIT_EXPECT_EQ(test, iq_hold_work(true), 1);
		iq_expect_state(test, d, "reported");
		iq_expect_shut_out(test, d);
		if (i)
			break;
		iq_hold_work(false);
		iq_await_state(test, d, "quarantined");
		iq_settle(d);
		iq_recover(test, d);
	}
	iq_unplug(d);
	iq_hold_work(false);
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

/*
 * The work is past where iq_hold_work() lets go of it for a release: it stands in what
 * somebody does who is told of the device
 */
static void iq_body_release_told(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_listener *l = iq_listen_and_hold(test, d, IOMMU_QUARANTINE_EVENT_BROKEN);

	/* Nobody lets go of it before but who does not wait for it */
	l->patience = HZ / 2;
	iq_break(test, d);
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&l->held, 10 * HZ));
	iq_unplug(d);
	kunit_release_action(test, iq_listen_no_more, l);
	KUNIT_EXPECT_FALSE_MSG(test, l->let_go, "it was gone before the work was over");
	iq_expect_sibling(test);
	iq_expect_condemned(test, d);
}

/* Power was cycled while it was out: a new device as far as anybody can tell */
static void iq_body_replaced(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_break_and_wait(test, d);
	iq_do_flr(d);
	WRITE_ONCE(d->fenced, false);
	iq_unplug(d);
	/* Removal has marked it once more; the new one knows nothing of that */
	d->cfg[PCI_COMMAND] = 0;
	d->cfg[PCI_COMMAND + 1] = 0;
	d->mute = false;
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	iq_expect_in_service(test, d);
}

/*
 * It never answers, from the very first: a driver that asks it by its first attach
 * reports it when there is no state yet
 */
static void iq_body_dead_on_arrival(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	/* At another address of memory, or the old one's state would take the report */
	struct pci_dev *old = pci_dev_get(d->pdev);
	int ret;

	iq_unplug(d);
	WRITE_ONCE(d->mute, true);
	ret = iq_plug(d);
	pci_dev_put(old);
	KUNIT_ASSERT_EQ(test, ret, 0);
	/* The driver did not ask, or had an answer as ATS was still off */
	if (iq_may_translate(d))
		iq_flush(d);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* It was broken once and came back, and died when it was taken out */
static void iq_body_dies_as_it_leaves(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);

	iq_break_and_wait(test, d);
	iq_recover(test, d);
	WRITE_ONCE(d->mute, true);
	iq_unplug(d);
	/* Whoever asks it now is answered: but it has not been reset */
	WRITE_ONCE(d->mute, false);
	iq_expect_condemned(test, d);
}

/* ---- the blocking domain cannot be attached ---- */

static void iq_body_blocking_fails(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	iq_watch_uevents(d, true);
	iq_blocking_fails(d, true);
	iq_break(test, d);
	iq_await_state(test, d, "failed");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_told(test)->error, -ENOMEM);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->uevent_failed), 1);
	/* It stays fenced */
	iq_expect_shut_out(test, d);
	iq_blocking_fails(d, false);
	iq_recover(test, d);
	iq_watch_uevents(d, false);
	iq_expect_in_service(test, d);
}

/* ATS cannot be turned off: blocked all the same, and a reset brings it back */
static void iq_body_ats_stays_on(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	KUNIT_ASSERT_EQ(test, iommu_quarantine_reset_prepare(d->pdev, false), 0);
	iommu_report_device_broken(iq_device(d));
	iq_settle(d);
	iq_blocking_fails(d, true);
	iommu_quarantine_reset_done(d->pdev, false, 0);
	iq_blocking_fails(d, false);
	iq_await_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	KUNIT_EXPECT_EQ(test, iq_told(test)->error, 0);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* ---- neighbours ---- */

static void iq_body_sibling(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);

	iq_break_and_wait(test, d);
	iq_expect_in_service(test, s);
	KUNIT_EXPECT_EQ(test, iq_count(s), 0);
	iq_recover(test, d);
	iq_expect_in_service(test, s);
}

/* C4: the flush that met the timeout had the sibling's invalidation in it */
static void iq_body_sibling_not_lost(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	int answered = atomic_read(&s->answered);

	iq_break(test, d);
	KUNIT_EXPECT_GT(test, atomic_read(&s->answered), answered);
	KUNIT_EXPECT_TRUE(test, iq_may_translate(s));
	iq_expect_state(test, s, "healthy");
}

static void iq_body_neighbour(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	int i;

	iq_break(test, d);
	for (i = 0; i < 10; i++)
		iq_expect_in_service(test, o);
	iq_await_state(test, d, "quarantined");
	iq_expect_in_service(test, o);
	KUNIT_EXPECT_EQ(test, iq_count(o), 0);
}

static void iq_body_two_broken(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);

	iq_break(test, d);
	iq_break(test, o);
	iq_await_state(test, d, "quarantined");
	iq_await_state(test, o, "quarantined");
	iq_expect_in_service(test, iq_the(test, IQ_SIBLING));
	iq_recover(test, o);
	iq_expect_state(test, d, "quarantined");
	iq_expect_shut_out(test, d);
	iq_expect_in_service(test, o);
}

static struct iommu_domain *iq_domain_for_pasids(struct kunit *test,
						 struct iq_dev *d)
{
	struct iommu_domain *domain;

	domain = iommu_paging_domain_alloc_flags(iq_device(d),
						 IOMMU_HWPT_ALLOC_PASID);
	if (IS_ERR(domain))
		domain = iommu_paging_domain_alloc(iq_device(d));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	return domain;
}

static void iq_break_with_pasid(struct kunit *test, struct iq_dev *d, u32 pasid)
{
	struct iq_fixture *fx = test->priv;

	KUNIT_EXPECT_TRUE(test, fx->vendor->pasid_allows(d, pasid));
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_FALSE(test, fx->vendor->pasid_allows(d, pasid));
	iq_recover(test, d);
	KUNIT_EXPECT_TRUE(test, fx->vendor->pasid_allows(d, pasid));
}

/* The test's own process, beside a domain of the function itself */
static struct iommu_sva *iq_bind(struct kunit *test, struct iq_dev *d)
{
	struct iommu_sva *bond;

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	bond = iommu_sva_bind_device(iq_device(d), current->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bond);
	return bond;
}

static void iq_break_with_process(struct kunit *test, struct iq_dev *d)
{
	struct iommu_domain *domain;
	struct iommu_sva *bond;

	KUNIT_ASSERT_EQ(test, iq_plug_pasids(d), 0);
	domain = iq_domain_for_pasids(test, d);
	KUNIT_ASSERT_EQ(test, iommu_attach_device(domain, iq_device(d)), 0);
	bond = iq_bind(test, d);
	iq_break_with_pasid(test, d, iommu_sva_get_pasid(bond));
	iommu_sva_unbind_device(bond);
	iq_expect_in_service(test, d);
	iommu_detach_device(domain, iq_device(d));
	iommu_domain_free(domain);
}

/* C6 */
static void iq_body_pasid(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_domain *domain;
	const u32 pasid = 3;

	if (!fx->vendor->pasid_allows)
		kunit_skip(test, "this instance's hardware has no PASIDs");
	if (fx->vendor->sva) {
		if (IQ_NO_SVA)
			kunit_skip(test, "this kernel has no SVA on x86");
		iq_break_with_process(test, d);
		return;
	}
	domain = iq_domain_for_pasids(test, d);
	KUNIT_ASSERT_EQ(test, iommu_attach_device_pasid(domain, iq_device(d),
							pasid, NULL), 0);
	iq_break_with_pasid(test, d, pasid);
	iommu_detach_device_pasid(domain, iq_device(d), pasid);
	iommu_domain_free(domain);
	iq_expect_in_service(test, d);
}

/* It stops answering, and then one of its PASIDs is taken from it */
static void iq_body_pasid_leaves(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_domain *domain = NULL;
	struct iommu_sva *bond = NULL;
	const u32 pasid = 3;

	if (!fx->vendor->pasid_allows)
		kunit_skip(test, "this instance's hardware has no PASIDs");
	if (fx->vendor->sva) {
		if (IQ_NO_SVA)
			kunit_skip(test, "this kernel has no SVA on x86");
		KUNIT_ASSERT_EQ(test, iq_plug_pasids(d), 0);
		bond = iq_bind(test, d);
	} else {
		domain = iq_domain_for_pasids(test, d);
		KUNIT_ASSERT_EQ(test, iommu_attach_device_pasid(domain, iq_device(d),
								pasid, NULL), 0);
	}
	iq_hold_work(true);
	WRITE_ONCE(d->mute, true);
	if (bond)
		iommu_sva_unbind_device(bond);
	else
		iommu_detach_device_pasid(domain, iq_device(d), pasid);
	iq_expect_caught(test, d);
	iq_recover(test, d);
	if (domain)
		iommu_domain_free(domain);
}

/* A page of the test's own process */
static unsigned long iq_touch(struct kunit *test)
{
	unsigned long addr;

	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_EQ(test, put_user(1, (int __user *)addr), 0);
	return addr;
}

/*
 * C1, C6, and all domains of the device: a process that is bound to it unmaps a
 * page, and it does not answer.
 */
static void iq_body_process(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_sva *bond;
	unsigned long addr;
	int asked;
	u32 pasid;

	if (!fx->vendor->processes)
		kunit_skip(test, "this instance's IOMMU walks no process's tables");
	if (IQ_NO_SVA)
		kunit_skip(test, "this kernel has no SVA on x86");
	fx->vendor->processes(fx);
	if (fx->vendor->sva)
		KUNIT_ASSERT_EQ(test, iq_plug_pasids(d), 0);
	bond = iq_bind(test, d);
	pasid = iommu_sva_get_pasid(bond);
	KUNIT_EXPECT_TRUE(test, fx->vendor->pasid_allows(d, pasid));
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));

	addr = iq_touch(test);
	iq_hold_work(true);
	WRITE_ONCE(d->mute, true);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
	iq_expect_caught(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "ats-invalidation-timeout");
	KUNIT_EXPECT_FALSE(test, fx->vendor->pasid_allows(d, pasid));

	/* Meanwhile the process goes on, and nobody is asked */
	asked = atomic_read(&d->asked);
	addr = iq_touch(test);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);

	iq_recover(test, d);
	KUNIT_EXPECT_TRUE(test, fx->vendor->pasid_allows(d, pasid));
	KUNIT_EXPECT_TRUE(test, iq_ats_on(d));
	asked = atomic_read(&d->asked);
	addr = iq_touch(test);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&d->asked), asked);
	iq_expect_state(test, d, "healthy");
	iommu_sva_unbind_device(bond);
	KUNIT_EXPECT_FALSE(test, fx->vendor->pasid_allows(d, pasid));
}

/* ---- the fault attribute ---- */

static void iq_body_pretended(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	const char *name = pci_name(d->pdev);

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_FAULT))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_FAULT");
	/* Off unless it is asked for */
	KUNIT_EXPECT_EQ(test, iq_pretend(d, name, 0), -EAGAIN);
	KUNIT_EXPECT_EQ(test, iq_pretend(d, "nobody", 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, iq_pretend(d, "ffff:ff:1f.7", 1), -ENODEV);
	KUNIT_EXPECT_EQ(test, iq_pretend(d, "a name longer than that of any device", 1),
			-EINVAL);
	iq_expect_in_service(test, d);
	KUNIT_ASSERT_EQ(test, iq_pretend(d, name, 1), strlen(name));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
	iq_expect_shut_out(test, d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* ---- what is told ---- */

struct iq_notified {
	struct notifier_block nb;
	struct device *dev;
	unsigned int events[IOMMU_QUARANTINE_EVENT_RECOVERED + 1];
};

static int iq_notify(struct notifier_block *nb, unsigned long event, void *dev)
{
	struct iq_notified *notified = container_of(nb, struct iq_notified, nb);

	if (dev == notified->dev)
		notified->events[event]++;
	return NOTIFY_OK;
}

static void iq_body_notifications(struct kunit *test)
{
	struct iq_notified notified = { .nb.notifier_call = iq_notify };
	struct iq_fixture *fx = test->priv;
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_told *told = iq_told(test);

	notified.dev = iq_device(d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_register_notifier(&notified.nb), 0);
	iq_watch_uevents(d, true);
	iq_break(test, d);
	KUNIT_EXPECT_TRUE(test, iq_wait_state(d, "quarantined"));
	iq_settle(d);
	KUNIT_EXPECT_STREQ(test, told->device, pci_name(d->pdev));
	KUNIT_EXPECT_STREQ(test, told->vendor, fx->vendor->name);
	KUNIT_EXPECT_EQ(test, told->cause, IOMMU_BROKEN_ATS_TIMEOUT);
	KUNIT_EXPECT_NE_MSG(test, told->hw[0] | told->hw[1], 0,
			    "no evidence of the hardware");
	KUNIT_EXPECT_EQ(test, told->error, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->fenced), 1);
	KUNIT_EXPECT_EQ(test, told->fenced_first, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->broken), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->quarantined), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->uevent_broken), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->uevent_quarantined), 1);
	WRITE_ONCE(d->fenced, false);
	KUNIT_EXPECT_EQ(test, iq_reset(d), 0);
	iq_settle(d);
	iq_watch_uevents(d, false);
	/* Before anything that ends the test: it is on this stack */
	KUNIT_EXPECT_EQ(test, iommu_quarantine_unregister_notifier(&notified.nb), 0);
	KUNIT_EXPECT_EQ(test, notified.events[IOMMU_QUARANTINE_EVENT_BROKEN], 1);
	KUNIT_EXPECT_EQ(test, notified.events[IOMMU_QUARANTINE_EVENT_QUARANTINED], 1);
	KUNIT_EXPECT_EQ(test, notified.events[IOMMU_QUARANTINE_EVENT_RECOVERED], 1);
	KUNIT_EXPECT_EQ(test, notified.events[IOMMU_QUARANTINE_EVENT_FAILED], 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->recovered), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->uevent_recovered), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&told->uevents), 3);
}

/* No uevent can be sent: the kernel's own listeners are told all the same */
static void iq_body_uevent_fails(struct kunit *test)
{
	struct iq_notified notified = { .nb.notifier_call = iq_notify };
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	notified.dev = iq_device(d);
	KUNIT_ASSERT_EQ(test, iommu_quarantine_register_notifier(&notified.nb), 0);
	iq_told(test)->uevent_error = -ENOMEM;
	iq_watch_uevents(d, true);
	iq_break(test, d);
	KUNIT_EXPECT_TRUE(test, iq_wait_state(d, "quarantined"));
	iq_settle(d);
	iq_watch_uevents(d, false);
	/* Before anything that ends the test: it is on this stack */
	KUNIT_EXPECT_EQ(test, iommu_quarantine_unregister_notifier(&notified.nb), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->uevents), 2);
	KUNIT_EXPECT_EQ(test, notified.events[IOMMU_QUARANTINE_EVENT_BROKEN], 1);
	KUNIT_EXPECT_EQ(test, notified.events[IOMMU_QUARANTINE_EVENT_QUARANTINED], 1);
	iq_expect_shut_out(test, d);
	iq_recover(test, d);
}

static void iq_body_admin(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);

	KUNIT_EXPECT_EQ(test, iq_store(d, "quarantine", "0"), -EINVAL);
	KUNIT_EXPECT_EQ(test, iq_store(d, "quarantine", "what"), -EINVAL);
	iq_expect_state(test, d, "healthy");
	KUNIT_EXPECT_EQ(test, iq_store(d, "quarantine", "1"), 1);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "admin");
	KUNIT_EXPECT_TRUE(test, iq_wait_ats_off(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

#endif /* __IQ_CONFORMANCE_BODIES_H */
