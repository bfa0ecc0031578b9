// SPDX-License-Identifier: GPL-2.0-only
/*
 * The scenarios. Each says which contract of the design it holds, and with
 * what it was seen red: "plain" is the ungrafted kernel, the other names are
 * mutants of run.py. Gates are counts; times are notes.
 *
 * CPU 0 is init's own. What may never return runs in a job on another CPU.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* PCIE_RESET_READY_POLL_MS is 60 s; the last of its doubling steps may overshoot. */
#define LONG_RESET_MS	150000

#define DRIVER	"/sys/bus/pci/drivers/iqtest/"

#define REUSED	(IQ_F_REUSE | IQ_F_DOORBELL)

static unsigned int base_a, base_b;	/* broken_count before the scenario */

static void begin(void)
{
	base_a = broken_count(&dev_a);
	base_b = broken_count(&dev_b);
}

static void needs_graft(void)
{
	if (!grafted)
		skip("an interface that only the grafted kernel has");
}

static void needs_hold(const char *path)
{
	/* The ungrafted kernel has no such point and fails without it. */
	if (grafted && !exists(path))
		skip("CONFIG_IOMMU_QUARANTINE_DEBUG is off");
}

/*
 * C3: SMMUv3 names nobody, so of two devices in one domain the dead one is asked
 * once more, alone. Those of one group have one domain.
 */
static unsigned int asked_again(struct device *d)
{
	return opt.vendor == ARM && (d == &dev_c || d == &dev_d);
}

/* C1: what holds right after a flush that met a dead device returned. */
static void check_harmless(struct device *d, const struct iq_unmap *u)
{
	check_eq(u->bad_pages, 0, "reused-pages-damaged");
	check_eq(u->stale_ok, 0, "stale-writes-before-return");
	check_eq(ctl_read(d, CTL_STALE_OK), 0, "stale-writes-through");
	check_ge(ctl_read(d, CTL_STALE_BLOCKED), 1, "stale-writes-blocked");
}

/* C3 with it: nobody asked the device again. */
static void check_fenced(struct device *d, const struct iq_unmap *u)
{
	check_harmless(d, u);
	check_eq(ctl_read(d, CTL_INV_QUEUED_AFTER), asked_again(d), "invalidations-after-timeout");
}

static bool healthy_io(struct device *d)
{
	u32 page = map_with_ats(d, 1);
	struct iq_unmap u = unmap(CPU_CULPRIT, page, 1, IQ_F_REUSE);

	return check_eq(ep_read(d, EP_ATC_ENTRIES), 0, "atc-empty-after-unmap") &&
	       check_eq(u.bad_pages, 0, "healthy-page-intact");
}

/* C6, C9, C4: the worker has done its part, once, and to nobody else. */
static void check_quarantined(struct device *d, unsigned int base, unsigned int times)
{
	require(wait_state(d, "quarantined", opt.limit_ms), "quarantined", "%s", d->bdf);
	check_eq(broken_count(d) - base, times, "broken-count");
	check(!ats_enabled(d), "ats-off", "of %s in its config space", d->bdf);
}

static void check_innocent(struct device *d, unsigned int base)
{
	check(state_is(d, "healthy"), "neighbour-healthy", "%s", d->bdf);
	check_eq(broken_count(d) - base, 0, "neighbour-broken-count");
	healthy_io(d);
}

static void check_neighbour_writes(u32 page, u32 pattern)
{
	check(ep_cmd(&dev_b, EP_WRITE, page, pattern) & EP_ST_OK, "neighbour-writes", "%s",
	      dev_b.bdf);
	check_eq(damaged(page, 1, pattern), 0, "neighbour-wrote");
}

static void check_recovered(struct device *d)
{
	require(wait_state(d, "healthy", opt.limit_ms), "recovered", "%s", d->bdf);
	check(ats_enabled(d), "ats-on-again", "of %s in its config space", d->bdf);
	healthy_io(d);
}

/* What AMD's driver says of each wait that it gives up */
#define COMPLETION_WAIT	"Completion-Wait loop timed out"

static u32 break_and_unmap(struct device *d, unsigned int mode, unsigned int flags)
{
	u32 page = map_with_ats(d, 1);
	unsigned int said;
	struct iq_unmap u;

	wedge(d, mode);
	said = kmsg_count(COMPLETION_WAIT);
	u = unmap(CPU_CULPRIT, page, 1, REUSED | flags);
	check_fenced(d, &u);
	check_eq(u.timeouts, 1 + asked_again(d), "timeouts-at-return");
	check_le(kmsg_count(COMPLETION_WAIT) - said, 1, "completion-wait-lines");
	return page;
}

#define PASID	1
#define NO_PASIDS	(opt.vendor == AMD ? "QEMU's amd-iommu has no PASIDs" : \
					     "no PASIDs in legacy mode")

/* False in VT-d's legacy mode, where one can be attached to no effect. */
static bool with_pasid(struct device *d, u32 pasid)
{
	int ret;

	if (!opt.pasids)
		return false;
	ret = attach_pasid(d, pasid);
	require(!ret, "pasid-attached", "%s PASID %u: %s", d->bdf, pasid, strerror(-ret));
	return true;
}

static u32 map_pasid_with_ats(struct device *d, u32 pasid)
{
	u32 page = map_pasid_page(d, pasid), st;

	st = ep_cmd(d, EP_FETCH, page, 0);
	if (st & EP_ST_OK)
		st = ep_cmd(d, EP_WRITE, page, 0xa5);
	require(st != ~0u && st & EP_ST_OK && !damaged(page, 1, 0xa5), "pasid-io",
		"status %#x after a write of %s with PASID %u", st, d->bdf, pasid);
	return page;
}

/* ---- controls: pass on every kernel, or the harness itself is broken ---- */

/* No fault: mapping, ATS, unmap, an attach and an FLR of a healthy device. */
static void s_healthy(void)
{
	begin();
	healthy_io(&dev_a);
	healthy_io(&dev_b);
	check_eq((u64)-attach(&dev_a), 0, "attach");
	check_eq((u64)-detach(&dev_a), 0, "detach");
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_ge(ctl_read(&dev_a, CTL_RESETS), 1, "resets-seen");
	healthy_io(&dev_a);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 0, "timeouts");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes");
	if (grafted)
		check_eq(broken_count(&dev_a) - base_a, 0, "broken-count");
}

/* The neighbour thread itself counts right when nothing is broken. */
static void s_healthy_neighbour(void)
{
	struct iq_neighbour n;

	neighbour_start(&dev_b, IQ_N_UNMAP, CPU_NEIGHBOUR);
	for (int i = 0; i < 20; i++)
		healthy_io(&dev_a);
	n = neighbour_stop(&dev_b);
	check_ge(n.completed, 5, "neighbour-completed");
	check_eq(n.errors, 0, "neighbour-errors");
	check_eq(n.stale, 0, "neighbour-stale");
	check_eq(n.stalls, 0, "neighbour-stalls");
}

/* ---- fence and quarantine ---- */

/*
 * C1, C3, C6: strict unmap of a page that the dead device has in its ATC. The
 * page is somebody else's the moment the unmap returned, and only then the
 * device writes. Red: plain (never returns), no-context-flush,
 * fence-after-return.
 */
static void s_wedge_unmap(void)
{
	u32 page, fresh;

	begin();
	/* The work would cover up for a fence that comes too late. */
	if (exists(HOLD_WORK))
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	page = break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	if (exists(HOLD_WORK))
		require(!write_file(HOLD_WORK, "0"), "work-released", HOLD_WORK);
	check_quarantined(&dev_a, base_a, 1);
	ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_eq(damaged(page, 1, 0), 0, "page-intact-later");

	/* Neither a new translation nor plain DMA gets through. */
	fresh = map_pages(&dev_a, 1);
	check(!(ep_cmd(&dev_a, EP_FETCH, fresh, 0) & EP_ST_OK), "fetch-refused", "of a new page");
	check(!(ep_cmd(&dev_a, EP_WRITE_UNTRANSLATED, fresh, 0xbad) & EP_ST_OK),
	      "dma-refused", "untranslated");
	check(damaged(fresh, 1, 0xbad) == 1, "dma-not-arrived", "the page is not full of it");
	unmap(CPU_CULPRIT, fresh, 1, REUSED);

	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-in-the-end");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq(ctl_read(&dev_a, CTL_INV_QUEUED_AFTER), 0, "invalidations-after-quarantine");
	check_innocent(&dev_b, base_b);
}

/* C2: the same from a caller with irqs off. Red: plain. */
static void s_wedge_irqs_off(void)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, IQ_F_IRQS_OFF);
	check_quarantined(&dev_a, base_a, 1);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
}

/*
 * C1, C9: the device writes all the time, not only at the doorbell. Until the
 * hardware has spoken it may: the page is not reused yet. Red: plain,
 * no-context-flush.
 */
static void s_wedge_writing(void)
{
	u32 page, was_ok, was_blocked;
	struct iq_unmap u;

	begin();
	page = map_with_ats(&dev_a, 1);
	ep_write(&dev_a, EP_PERIOD_MS, 2);
	ep_cmd(&dev_a, EP_START, page, 0xdeadd0a);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, page, 1, IQ_F_REUSE);
	was_ok = ctl_read(&dev_a, CTL_STALE_OK);
	was_blocked = ctl_read(&dev_a, CTL_STALE_BLOCKED);
	check_eq(u.stale_ok, was_ok, "stale-writes-after-return");
	check_eq(u.bad_pages, 0, "reused-pages-damaged");
	check_quarantined(&dev_a, base_a, 1);
	/* It goes on writing, in vain. */
	for (int i = 0; i < 20; i++)
		ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_ge(ctl_read(&dev_a, CTL_STALE_BLOCKED), was_blocked + 20, "still-blocked");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), was_ok, "stale-writes-later");
	check_eq(damaged(page, 1, 0), 0, "page-intact-later");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
}

/* C3, C9: a thousand mappings cost what one costs. Red: plain. */
static void s_many(void)
{
	u32 first;
	struct iq_unmap u;

	begin();
	first = map_with_ats(&dev_a, 1000);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, first, 1000, REUSED);
	check_fenced(&dev_a, &u);
	check_eq(u.timeouts, 1, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
	note("inv_wedged", ctl_read(&dev_a, CTL_INV_WEDGED));
	note("longest_unmap_us", u.max_ns / 1000);
}

/*
 * C1, C3: four CPUs flush the dead device at once; what three of them had
 * queued is made harmless while the queue stands still. With PASIDs these are
 * four domains; without, VT-d's cache_lock lets them in one by one.
 * Red: plain, no-scrub (with PASIDs).
 */
static void s_four_cpus(void)
{
	/* The ungrafted kernel never gives a CPU back: leave init its own. */
	unsigned int from = grafted ? CPU_INIT : CPU_CULPRIT;
	struct job *job[4];
	u32 page[4];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 4)
		skip("needs four CPUs");
	begin();
	for (u32 i = 0; i < 4; i++)
		page[i] = i && with_pasid(&dev_a, i) ? map_pasid_with_ats(&dev_a, i) :
							  map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	/* The first timeout lasts long enough for all of them to queue. */
	for (int i = 3; i >= (int)from; i--)
		job[i] = unmap_prepare(i, page[i], 1, REUSED);
	for (int i = 3; i >= (int)from; i--)
		job_go(job[i]);
	for (unsigned int i = from; i < 4; i++) {
		struct iq_unmap u = unmap_wait(job[i]);

		check_harmless(&dev_a, &u);
	}
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq(ctl_read(&dev_a, CTL_INV_QUEUED_AFTER), 0, "invalidations-after-timeout");
	for (unsigned int i = from; i < 4; i++)
		check_eq(damaged(page[i], 1, 0), 0, "pages-intact");
	check_quarantined(&dev_a, base_a, 1);
	note("inv_wedged", ctl_read(&dev_a, CTL_INV_WEDGED));
}

/* One timeout per device, and both go. Red: plain. */
static void s_both(void)
{
	struct iq_unmap u;
	struct job *ja, *jb;
	u32 pa, pb;

	begin();
	pa = map_with_ats(&dev_a, 1);
	pb = map_with_ats(&dev_b, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	wedge(&dev_b, WEDGE_UNTIL_RESET);
	ja = unmap_prepare(CPU_CULPRIT, pa, 1, REUSED);
	jb = unmap_prepare(CPU_SECOND, pb, 1, REUSED);
	job_go(ja);
	job_go(jb);
	u = unmap_wait(ja);
	check_fenced(&dev_a, &u);
	u = unmap_wait(jb);
	check_fenced(&dev_b, &u);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 2, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
	check_quarantined(&dev_b, base_b, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr-a");
	check_eq((u64)-flr(&dev_b), 0, "flr-b");
	check_recovered(&dev_a);
	check_recovered(&dev_b);
}

/*
 * The device is gone from the bus: config space and BAR read all ones, and it
 * writes nothing. Then the link comes back, and with it what the device
 * remembers. The ungrafted kernel has given the flush up and reused the page.
 * Red: plain (pages-intact), no-context-flush.
 */
static void s_vanished(void)
{
	struct iq_unmap u;
	u32 page;

	begin();
	page = map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_VANISHED);
	u = unmap(CPU_CULPRIT, page, 1, IQ_F_REUSE);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_eq(damaged(page, 1, 0), 0, "pages-intact");
	check_fenced(&dev_a, &u);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	require(wait_state(&dev_a, "quarantined", opt.limit_ms), "quarantined", "%s", dev_a.bdf);
	check_innocent(&dev_b, base_b);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/* ---- attribution ---- */

static void old_hardware(unsigned int flags)
{
	struct iq_neighbour n;
	u32 page;
	struct iq_unmap u;

	begin();
	page = map_with_ats(&dev_a, 1);
	neighbour_start(&dev_b, IQ_N_UNMAP, CPU_NEIGHBOUR);
	ctl_write(&dev_a, CTL_FLAGS, flags);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, page, 1, REUSED);
	check_eq(u.bad_pages, 0, "reused-pages-damaged");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_quarantined(&dev_a, base_a, 1);
	n = neighbour_stop(&dev_b);
	check_eq(n.errors, 0, "neighbour-errors");
	check_eq(n.stale, 0, "neighbour-stale");
	/*
	 * C3 without a name: 1 + the dead devices in the window + what other
	 * CPUs had queued for the device, here 1 + 1 + 0.
	 */
	check_le(ctl_read(&dev_a, CTL_TIMEOUTS), 2, "timeouts");
	note("timeouts", ctl_read(&dev_a, CTL_TIMEOUTS));
	ctl_write(&dev_a, CTL_FLAGS, 0);
	check_innocent(&dev_b, base_b);
}

/* C5: source id 0 names nobody; only the culprit goes. Red: plain. */
static void s_old_hardware(void)
{
	old_hardware(CTL_ITESID_ZERO);
}

/* C5: all ones is a dead read, not a name. Red: plain (reused-pages-damaged). */
static void s_dead_read(void)
{
	if (opt.vendor != INTEL)
		skip("only VT-d names the device in a register");
	old_hardware(CTL_ITESID_ONES);
}

/*
 * C1: hardware that takes its time. The driver of AMD gives up after 100 ms, that
 * of SMMUv3 after 1 s. Red: plain.
 */
static void s_slow_hardware(void)
{
	begin();
	ctl_write(&dev_a, CTL_TIMEOUT_MS, 5000);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
}

/* ---- AMD: what the event and the completion wait may do to each other ---- */

static void amd_variant(unsigned int flags, unsigned int timeout_ms)
{
	begin();
	ctl_write(&dev_a, CTL_TIMEOUT_MS, timeout_ms);
	ctl_write(&dev_a, CTL_FLAGS, flags);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	ctl_write(&dev_a, CTL_FLAGS, 0);
	check_innocent(&dev_b, base_b);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/* C1: the event is in the log before the wait is even fetched. Red: plain. */
static void s_amd_event_before(void)
{
	amd_variant(0, 1);
}

/* C1: the wait completes first, the event comes later. Red: plain. */
static void s_amd_event_after(void)
{
	amd_variant(CTL_AMD_EVENT_LATE, 1000);
}

/* C1, C3: the command buffer stops at the event. Red: plain. */
static void s_amd_halt(void)
{
	amd_variant(CTL_AMD_HALT, opt.hw_timeout_ms);
}

/* C1, C3: the event takes the wait with it, which never completes. Red: plain. */
static void s_amd_drop_wait(void)
{
	amd_variant(CTL_AMD_DROP_WAIT, opt.hw_timeout_ms);
}

/*
 * C9: page after page is unmapped, and the driver's own complaint comes once at
 * most. Red: plain.
 */
static void s_amd_lines(void)
{
	unsigned int said;
	struct iq_unmap u;
	u32 first;

	begin();
	/* Time enough for the driver to give up wait after wait */
	ctl_write(&dev_a, CTL_TIMEOUT_MS, 2000);
	first = map_with_ats(&dev_a, 2);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	said = kmsg_count(COMPLETION_WAIT);
	u = unmap(CPU_CULPRIT, first, 2, REUSED);
	check_le(kmsg_count(COMPLETION_WAIT) - said, 1, "completion-wait-lines");
	check_fenced(&dev_a, &u);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check_le(kmsg_count(COMPLETION_WAIT) - said, 1, "completion-wait-lines-later");
}

/* What the driver says when it goes on logging, the log having been full */
#define LOG_RESTARTING	"Event log restarting"

static bool log_flooded(void *d)
{
	return ctl_read(d, CTL_STALE_BLOCKED) >= 600;
}

/*
 * F_TRANSLATION events that the driver has told of a device: in words, or, as Linux
 * 6.12 does, as the record's first word (SMMUv3 specification, 7.3.12).
 */
static unsigned int smmu_events(struct device *d)
{
	char text[48];
	unsigned int told;

	snprintf(text, sizeof(text), "client: %s", d->bdf);
	told = kmsg_count(text);
	snprintf(text, sizeof(text), "0x%08x%08x", d->rid, 0x10);
	return told + kmsg_count(text);
}

/*
 * C4, C9: a fenced device writes at full rate, and each write is an event, so
 * that the log overflows again and again. Its neighbour breaks meanwhile; whether
 * its event got lost or not, it is found. Red: plain.
 */
static void s_amd_overflow(void)
{
	unsigned int full;
	struct iq_unmap u;
	u32 first, page;

	needs_hold(HOLD_WORK);
	begin();
	full = kmsg_count(LOG_RESTARTING);
	page = map_with_ats(&dev_a, 1);
	first = map_with_ats(&dev_b, 600);
	for (u32 i = 0; i < 600; i++)
		ep_cmd(&dev_b, EP_FETCH, first + i, 0);
	wedge(&dev_b, WEDGE_UNTIL_RESET);
	/* The work would turn its ATS off: it writes because it is held. */
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	u = unmap(CPU_CULPRIT, first, 1, REUSED);
	check_fenced(&dev_b, &u);
	ep_write(&dev_b, EP_PERIOD_MS, 2);
	ep_cmd(&dev_b, EP_START, first, 0xbad);
	check(wait_for(log_flooded, &dev_b, 10000), "log-was-flooded", "%u writes blocked",
	      ctl_read(&dev_b, CTL_STALE_BLOCKED));
	check_ge(kmsg_count(LOG_RESTARTING) - full, 1, "log-was-full");
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, page, 1, REUSED);
	check_eq(u.bad_pages, 0, "reused-pages-damaged");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_ge(ctl_read(&dev_a, CTL_STALE_BLOCKED), 1, "stale-writes-blocked");
	ep_cmd(&dev_b, EP_STOP, 0, 0);
	/* B's, A's, and if that event was lost A is asked alone, thrice at most. */
	check_le(ctl_read(&dev_a, CTL_TIMEOUTS), 1 + 1 + 3, "timeouts");
	note("timeouts", ctl_read(&dev_a, CTL_TIMEOUTS));
	require(!write_file(HOLD_WORK, "0"), "work-released", HOLD_WORK);
	check_quarantined(&dev_a, base_a, 1);
	check_quarantined(&dev_b, base_b, 1);
}

/* ---- the neighbour ---- */

/* @again: so many of its invalidations at least are run twice */
static void neighbour(unsigned int flags, unsigned int stalls, unsigned int again)
{
	struct iq_neighbour before, after, n;
	u32 page, inv;

	begin();
	page = map_with_ats(&dev_a, 1);
	neighbour_start(&dev_b, flags, CPU_NEIGHBOUR);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	before = neighbour_read(&dev_b);
	unmap(CPU_CULPRIT, page, 1, REUSED);
	after = neighbour_read(&dev_b);
	check_quarantined(&dev_a, base_a, 1);
	n = neighbour_stop(&dev_b);
	inv = ctl_read(&dev_b, CTL_INV_TOTAL);

	note("neighbour_during_timeout", after.completed - before.completed);
	note("neighbour_max_us", n.max_ns / 1000);
	check_eq(n.errors, 0, "neighbour-errors");
	check_eq(n.stale, 0, "neighbour-stale");
	check_le(n.stalls, stalls, "neighbour-stalls");
	check_ge(inv, n.unmaps + again, "neighbour-invalidations");
	if (!(flags & IQ_N_UNMAP))
		check_ge(after.completed - before.completed, 10, "neighbour-never-stalls");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_innocent(&dev_b, base_b);
}

/*
 * C4: a neighbour that unmaps all along stalls for one timeout at most and
 * loses no invalidation. Red: plain, fenced-is-asked.
 */
static void s_neighbour_unmaps(void)
{
	neighbour(IQ_N_UNMAP, 1, 0);
}

/*
 * The same where the hardware fetches on behind a wait that hangs: then VT-d's timeout
 * aborts the neighbour's waits as well, and what they stood for is run again. Red: plain,
 * no-rerun.
 */
static void s_neighbour_ahead(void)
{
	ctl_write(&dev_a, CTL_FLAGS, CTL_AHEAD);
	neighbour(IQ_N_UNMAP, 1, opt.vendor == INTEL);
}

/* C4: one that unmaps nothing never stalls. Red: plain (unmap-returned). */
static void s_neighbour_quiet(void)
{
	neighbour(0, 0, 0);
}

/*
 * C3, C4: both devices live in one domain, so that each flush of it asks both.
 * With the work held the dead one stays in it, fenced: what is not asked must
 * not make the flush start again, and the healthy one is asked every time.
 * Red: plain.
 */
static void s_shared_domain(void)
{
	/* C3: SMMUv3 names nobody, so the dead one is asked once more, alone. */
	unsigned int asked = opt.vendor == ARM;
	u32 page[2], inv;

	needs_hold(HOLD_WORK);
	begin();
	check_eq((u64)-attach(&dev_b), 0, "attach");
	check_eq((u64)-attach_peers(&dev_a, &dev_b), 0, "attach-to-peers");
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	for (int i = 0; i < 2; i++) {
		page[i] = map_private_pages(&dev_b, 1);
		ep_cmd(&dev_a, EP_FETCH, page[i], 0);
		ep_cmd(&dev_b, EP_FETCH, page[i], 0);
	}
	check_eq(ep_read(&dev_a, EP_ATC_ENTRIES), 2, "dead-one-has-fetched");
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	inv = ctl_read(&dev_b, CTL_INV_TOTAL);
	for (int i = 0; i < 2; i++) {
		struct iq_unmap u = unmap(CPU_CULPRIT, page[i], 1, REUSED);

		ctl_write(&dev_a, CTL_DOORBELL, 1);
		check_eq(u.bad_pages, 0, "reused-pages-damaged");
		check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
		check_ge(ctl_read(&dev_a, CTL_STALE_BLOCKED), 1, "stale-writes-blocked");
		check_le(ctl_read(&dev_a, CTL_INV_QUEUED_AFTER), asked,
			 "invalidations-after-timeout");
		/* Or asked for everything, when it had to be exonerated. */
		check_le(ep_read(&dev_b, EP_ATC_ENTRIES), 1 - i, "neighbour-was-asked");
	}
	check_ge(ctl_read(&dev_b, CTL_INV_TOTAL), inv + 2, "neighbour-invalidations");
	check_le(ctl_read(&dev_a, CTL_TIMEOUTS), 1 + asked, "timeouts");
	require(!write_file(HOLD_WORK, "0"), "work-released", HOLD_WORK);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	require(wait_state(&dev_a, "healthy", opt.limit_ms), "recovered", "%s", dev_a.bdf);
	check_eq((u64)-detach(&dev_a), 0, "detach");
	check_eq((u64)-detach(&dev_b), 0, "detach-peer");
	check_recovered(&dev_a);
	check_innocent(&dev_b, base_b);
}

/* ---- recovery ---- */

/*
 * C7: an FLR brings it back with ATS, and a mapping that was there all along
 * works again. Red: plain.
 */
static void s_recover(void)
{
	u32 kept;

	begin();
	kept = map_pages(&dev_a, 1);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check(ep_cmd(&dev_a, EP_WRITE, kept, 0x900d) & EP_ST_OK, "kept-mapping-works", "with ATS");
	check_eq(damaged(kept, 1, 0x900d), 0, "kept-mapping-data");
	unmap(CPU_CULPRIT, kept, 1, 0);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-in-the-end");
}

/* C9: a timeout after the recovery is a new one. Red: plain. */
static void s_twice(void)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	ctl_write(&dev_a, CTL_CLEAR, 1);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 2);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts-second-time");
	check_eq((u64)-flr(&dev_a), 0, "flr-again");
	check_recovered(&dev_a);
}

/*
 * A reset that failed has left the device disabled: the kernel's restore went
 * nowhere. That is a matter of its driver.
 */
static void rebind(struct device *d)
{
	check_eq((u64)-device_write(d, DRIVER "unbind", d->bdf, "unbind-returned"), 0, "unbind");
	check_eq((u64)-device_write(d, DRIVER "bind", d->bdf, "bind-returned"), 0, "bind");
}

static void check_still_quarantined(struct device *d)
{
	check(state_is(d, "quarantined") || state_is(d, "failed"), "not-lifted", "%s", d->bdf);
	check_eq((u64)-attach(d), EBUSY, "attach-refused");
	check(!ats_enabled(d), "ats-stays-off", "%s", d->bdf);
	ctl_write(d, CTL_DOORBELL, 1);
	check_eq(ctl_read(d, CTL_STALE_OK), 0, "stale-writes-still-blocked");
	check_eq(ctl_read(d, CTL_TIMEOUTS), 1, "timeouts-still");
}

/*
 * C7: a probe is no reset. Storing to reset_method probes the method on the
 * live device, through the same prepare()/done(). Red: plain.
 */
static void s_probe(void)
{
	u32 resets;

	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	resets = ctl_read(&dev_a, CTL_RESETS);
	check_eq((u64)-device_write(&dev_a, "reset_method", "flr bus", "probe-returned"),
		 0, "probe");
	check_eq(ctl_read(&dev_a, CTL_RESETS), resets, "no-reset-seen");
	check_still_quarantined(&dev_a);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/* C7: a reset that reports success and does nothing. Red: plain. */
static void s_idle_reset(void)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_FOR_EVER, 0);
	check_quarantined(&dev_a, base_a, 1);
	note("reset_errno", (u64)-flr(&dev_a));
	check_still_quarantined(&dev_a);
	/* Somebody exchanged the firmware: now a reset works. */
	ctl_write(&dev_a, CTL_WEDGE, WEDGE_HEALTHY);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/*
 * C7: a reset that never completes, and one of a device that is gone. The
 * kernel waits 60 s for each, so both wait together. Red: plain.
 */
static void s_failing_reset(void)
{
	struct device *all[] = { &dev_a, &dev_b };
	static const unsigned int mode[] = { WEDGE_RESET_FAILS, WEDGE_VANISHED };
	struct job *job[2];
	struct iq_unmap u;
	u32 page[2];

	begin();
	for (int i = 0; i < 2; i++) {
		page[i] = map_with_ats(all[i], 1);
		/* Else the bus reset follows, and with it another 60 s. */
		check_eq((u64)-device_write(all[i], "reset_method", "flr", "probe-returned"),
			 0, "flr-only");
	}
	for (int i = 0; i < 2; i++) {
		wedge(all[i], mode[i]);
		u = unmap(CPU_CULPRIT, page[i], 1, REUSED);
		check_eq(u.bad_pages, 0, "reused-pages-damaged");
		require(wait_state(all[i], "quarantined", opt.limit_ms), "quarantined", "%s",
			all[i]->bdf);
	}
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 2, "timeouts");
	for (int i = 0; i < 2; i++)
		job[i] = device_write_start(CPU_CULPRIT + i, all[i], "reset", "1");
	for (int i = 0; i < 2; i++) {
		require(job_wait(job[i], LONG_RESET_MS), "reset-ended", "%s", all[i]->bdf);
		check(job_ret(job[i]) < 0, "reset-failed", "%s: %ld", all[i]->bdf,
		      job_ret(job[i]));
		check(!state_is(all[i], "healthy"), "not-lifted", "%s", all[i]->bdf);
		check_eq((u64)-attach(all[i]), EBUSY, "attach-refused");
		ctl_write(all[i], CTL_DOORBELL, 1);
		check_eq(ctl_read(all[i], CTL_STALE_OK), 0, "stale-writes-still-blocked");
		check_eq(damaged(page[i], 1, 0), 0, "page-intact-later");
	}
	for (int i = 0; i < 2; i++) {
		ctl_write(all[i], CTL_WEDGE, WEDGE_HEALTHY);
		check_eq((u64)-flr(all[i]), 0, "flr");
		require(wait_state(all[i], "healthy", opt.limit_ms), "recovered", "%s",
			all[i]->bdf);
		rebind(all[i]);
		check_recovered(all[i]);
	}
}

/* C6: no domain gets in while it is quarantined; after the reset it does. Red: plain. */
static void s_attach_busy(void)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-attach(&dev_a), EBUSY, "attach-refused");
	check_eq((u64)-attach(&dev_b), 0, "neighbour-attach");
	check_eq((u64)-detach(&dev_b), 0, "neighbour-detach");
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check_eq((u64)-attach(&dev_a), 0, "attach-after-recovery");
	check_eq((u64)-detach(&dev_a), 0, "detach-after-recovery");
	healthy_io(&dev_a);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
}

/*
 * C6: the timeout is noticed in a PASID's domain; RID and PASID are blocked
 * both, no PASID can be attached, and the reset brings both back. Red: plain.
 */
static void s_pasid(void)
{
	u32 of_rid, of_pasid, kept, writes;
	struct iq_unmap u;

	begin();
	if (!with_pasid(&dev_a, PASID))
		skip(NO_PASIDS);
	of_rid = map_with_ats(&dev_a, 1);
	of_pasid = map_pasid_with_ats(&dev_a, PASID);
	kept = map_pasid_page(&dev_a, PASID);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, of_pasid, 1, REUSED);
	check_fenced(&dev_a, &u);
	check_quarantined(&dev_a, base_a, 1);
	/* The RID's translation was never flushed, and is of no use either. */
	writes = ep_read(&dev_a, EP_WRITES_OK);
	ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_eq(ep_read(&dev_a, EP_WRITES_OK), writes, "rid-blocked");
	check(!(ep_cmd(&dev_a, EP_FETCH, kept, 0) & EP_ST_OK), "pasid-fetch-refused", "%s",
	      dev_a.bdf);
	check_eq((u64)-attach_pasid(&dev_b, PASID), 0, "neighbour-pasid-attach");
	check_eq((u64)-detach_pasid(&dev_b, PASID), 0, "neighbour-pasid-detach");
	unmap(CPU_CULPRIT, of_rid, 1, REUSED);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check(ep_cmd(&dev_a, EP_FETCH, kept, 0) & EP_ST_OK &&
	      ep_cmd(&dev_a, EP_WRITE, kept, 0x900d) & EP_ST_OK, "pasid-works-again", "%s",
	      dev_a.bdf);
	check_eq(damaged(kept, 1, 0x900d), 0, "pasid-data");
	check_eq((u64)-detach_pasid(&dev_a, PASID), 0, "pasid-detach");
}

/* C6: nothing is attached to a PASID of a device in quarantine. Red: plain. */
static void s_pasid_busy(void)
{
	begin();
	if (!with_pasid(&dev_a, PASID))
		skip(NO_PASIDS);
	check_eq((u64)-detach_pasid(&dev_a, PASID), 0, "pasid-detach");
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-attach_pasid(&dev_a, PASID), EBUSY, "pasid-attach-refused");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check_eq((u64)-attach_pasid(&dev_a, PASID), 0, "pasid-attach");
	map_pasid_with_ats(&dev_a, PASID);
	check_eq((u64)-detach_pasid(&dev_a, PASID), 0, "pasid-detach-again");
}

struct inv_arg {
	struct device *d;
	u32 inv;
};

static bool invalidations_above(void *arg)
{
	struct inv_arg *a = arg;

	return ctl_read(a->d, CTL_INV_TOTAL) > a->inv;
}

/* ---- every kind of reset: did it happen, and what became of the quarantine ---- */

static const char *kind_method;		/* of a function reset */

static int by_method(struct device *d)
{
	int ret = device_write(d, "reset_method", kind_method, "probe-returned");

	return ret ? ret : flr(d);
}

/* What is below a port, from the port's own directory. */
static int by_subordinate(struct device *d)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset_subordinate", d->port);
	return device_write(d, path, "1", "reset-returned");
}

struct resets_arg {
	struct device *d;
	u32 resets;
};

static bool was_reset_since(void *arg)
{
	struct resets_arg *a = arg;

	return ctl_read(a->d, CTL_RESETS) != a->resets;
}

static bool not_resetting(void *d)
{
	return !state_is(d, "resetting");
}

#define PCI_ERR_UNC_DLP	0x10

/* A fatal error that the device reports: the kernel resets what is below its port. */
static int by_aer(struct device *d)
{
	struct resets_arg a = { d, ctl_read(d, CTL_RESETS) };

	ctl_write(d, CTL_AER, PCI_ERR_UNC_DLP);
	require(wait_for(was_reset_since, &a, opt.limit_ms), "aer-resets", "%s", d->bdf);
	require(wait_for(not_resetting, d, opt.limit_ms), "aer-done", "%s", d->bdf);
	return 0;
}

static void check_kept(struct device *d, unsigned int base)
{
	check(state_is(d, "quarantined") || state_is(d, "failed"), "not-lifted", "%s", d->bdf);
	check(!ats_enabled(d), "ats-stays-off", "%s", d->bdf);
	ctl_write(d, CTL_DOORBELL, 1);
	check_eq(ctl_read(d, CTL_STALE_OK), 0, "stale-writes-still-blocked");
	check_eq(ctl_read(d, CTL_TIMEOUTS), 1 + asked_again(d), "timeouts-still");
	check_eq(broken_count(d) - base, 1, "broken-count-still");
}

/*
 * C7: a reset of this kind lifts, and one that says that it succeeded and did
 * nothing does not.
 */
static void kind(const char *name, struct device *d, int (*reset)(struct device *d))
{
	unsigned int base = broken_count(d);

	begin();
	break_and_unmap(d, WEDGE_UNTIL_RESET, 0);
	check_quarantined(d, base, 1);
	check_eq((u64)-reset(d), 0, "reset");
	wait_for(not_resetting, d, opt.limit_ms);
	matrix(name, true, state_is(d, "healthy"));
	check_recovered(d);
	check_eq(ctl_read(d, CTL_INV_IN_RESET), 0, "invalidations-in-reset");
	check_eq(ctl_read(d, CTL_TIMEOUTS), 1 + asked_again(d), "timeouts");

	base = broken_count(d);
	ctl_write(d, CTL_CLEAR, 1);
	break_and_unmap(d, WEDGE_FOR_EVER, 0);
	check_quarantined(d, base, 1);
	note("reset_errno", (u64)-reset(d));
	wait_for(not_resetting, d, opt.limit_ms);
	check_ge(ctl_read(d, CTL_RESETS), 1, "reset-was-tried");
	matrix(name, false, state_is(d, "healthy"));
	check_kept(d, base);

	ctl_write(d, CTL_WEDGE, WEDGE_HEALTHY);
	check_eq((u64)-reset(d), 0, "reset-again");
	check_recovered(d);
	check_innocent(&dev_b, base_b);
}

/* Function level reset. Red: plain. */
static void s_kind_flr(void)
{
	kind_method = "flr";
	kind("flr", &dev_a, by_method);
}

/* The same by the firmware, which is asked before the hardware. Red: plain. */
static void s_kind_acpi(void)
{
	kind_method = "acpi";
	kind("acpi", &dev_a, by_method);
}

/* The same by the Advanced Features capability. Red: plain. */
static void s_kind_af_flr(void)
{
	kind_method = "af_flr";
	kind("af_flr", &dev_a, by_method);
}

/* D3hot and back. Red: plain. */
static void s_kind_pm(void)
{
	kind_method = "pm";
	kind("pm", &dev_a, by_method);
}

/* Secondary bus reset for a function alone on its bus. Red: plain. */
static void s_kind_bus(void)
{
	kind_method = "bus";
	kind("bus", &dev_a, by_method);
}

/*
 * A method of its own, which ignores the result of the FLR in it and always
 * says 0 (delay_250ms_after_flr()). Red: plain, trust-the-result.
 */
static void s_kind_device_specific(void)
{
	kind_method = "device_specific";
	kind("device_specific", &dev_c, by_method);
}

/* pci_reset_bus() with a hotplug slot. Red: plain, no-bus-bracket. */
static void s_kind_slot(void)
{
	kind("slot", &dev_a, reset_bus);
}

/* pci_reset_bus() of a bus, VFIO's hot reset. Red: plain, no-bus-bracket. */
static void s_kind_hot_reset(void)
{
	kind("hot_reset", &dev_d, reset_bus);
}

/* reset_subordinate of the port in sysfs. Red: plain, no-bus-bracket. */
static void s_kind_subordinate(void)
{
	kind("reset_subordinate", &dev_a, by_subordinate);
}

/* AER: the device reports a fatal error. Red: plain, no-bus-bracket. */
static void s_kind_aer(void)
{
	kind("aer", &dev_a, by_aer);
}

/*
 * pci_set_power_state() to D3cold and back, as a driver's suspend and resume. No
 * platform here can turn the power off, so it is D3hot; what it forgets on the way
 * back is told by the same proof. Red: plain, no-power-bracket.
 */
static void s_kind_power(void)
{
	kind("power", &dev_a, power_cycle);
}

static long do_hot_reset(void *arg)
{
	return iq(IQ_RESET_BUS, arg);
}

/*
 * PCIe r6.0 10.3.1: a device in a reset is sent no invalidation, however busy
 * its domain is.
 */
static void quiet(struct device *d, struct job *reset)
{
	struct job *flush;
	struct iq_unmap u;
	u32 first, inv;

	begin();
	first = map_with_ats(d, 4000);
	inv = ctl_read(d, CTL_INV_TOTAL);
	flush = unmap_prepare(CPU_SECOND, first, 4000, 0);
	job_go(flush);
	require(wait_for(invalidations_above, &(struct inv_arg){ d, inv }, opt.limit_ms),
		"flushes-run", "%s", d->bdf);
	job_go(reset);
	require(job_wait(reset, opt.limit_ms), "reset-returned", "%s", d->bdf);
	check_eq((u64)-job_ret(reset), 0, "reset");
	u = unmap_wait(flush);
	note("unmap_max_us", u.max_ns / 1000);
	note("invalidations", ctl_read(d, CTL_INV_TOTAL) - inv);
	check_eq(ctl_read(d, CTL_INV_IN_RESET), 0, "invalidations-in-reset");
	check_ge(ctl_read(d, CTL_RESETS), 1, "reset-seen");
	healthy_io(d);
	check_innocent(&dev_b, base_b);
}

/* Red: plain (invalidations-in-reset), no-bus-block. */
static void s_bus_quiet(void)
{
	struct iq_dev a = { .bdf = dev_a.rid };

	quiet(&dev_a, job_prepare(CPU_CULPRIT, do_hot_reset, &a, sizeof(a)));
}

/*
 * A virtual function is not there from the FLR of its physical one on until VF
 * Enable is restored. Red: plain, no-vf-block.
 */
static void s_vf_quiet(void)
{
	vfs_enable();
	quiet(&dev_vf[0], device_write_prepare(CPU_CULPRIT, &dev_a, "reset", "1"));
	check(state_is(&dev_vf[0], "healthy"), "state-healthy", "%s", dev_vf[0].bdf);
}

/*
 * C7: a virtual function breaks and is reset, alone. Its ids read as all ones, and
 * of its Command register a reset has cleared nothing that the PCI core had left
 * set. Red: plain, ids-of-a-vf.
 */
static void s_kind_vf_flr(void)
{
	unsigned int base;

	vfs_enable();
	base = broken_count(&dev_vf[1]);
	kind("vf_flr", &dev_vf[0], flr);
	check_innocent(&dev_vf[1], base);
	check_innocent(&dev_a, base_a);
}

/*
 * C7: the reset of a physical function is one of its virtual ones, unless it did
 * nothing. Red: plain, no-vf-bracket.
 */
static void s_kind_pf_flr(void)
{
	struct device *d = &dev_vf[0];
	unsigned int base, base_1;

	vfs_enable();
	begin();
	base = broken_count(d);
	base_1 = broken_count(&dev_vf[1]);
	break_and_unmap(d, WEDGE_UNTIL_RESET, 0);
	check_quarantined(d, base, 1);
	check_innocent(&dev_vf[1], base_1);
	check_eq((u64)-flr(&dev_a), 0, "reset");
	matrix("pf_flr", true, state_is(d, "healthy"));
	check_recovered(d);
	check_innocent(&dev_vf[1], base_1);
	check_innocent(&dev_a, base_a);
	for (unsigned int i = 0; i < VFS; i++)
		check_eq(ctl_read(&dev_vf[i], CTL_INV_IN_RESET), 0, "invalidations-in-reset");
	check_eq(ctl_read(d, CTL_TIMEOUTS), 1, "timeouts");

	ctl_write(d, CTL_CLEAR, 1);
	break_and_unmap(d, WEDGE_UNTIL_RESET, 0);
	check_quarantined(d, base, 2);
	wedge(&dev_a, WEDGE_FOR_EVER);
	note("reset_errno", (u64)-flr(&dev_a));
	check_ge(ctl_read(&dev_a, CTL_RESETS), 1, "reset-was-tried");
	matrix("pf_flr", false, state_is(d, "healthy"));
	check(state_is(d, "quarantined"), "not-lifted", "%s", d->bdf);
	check(!ats_enabled(d), "ats-stays-off", "%s", d->bdf);
	check_innocent(&dev_vf[1], base_1);
	wedge(&dev_a, WEDGE_HEALTHY);
	check_eq((u64)-flr(&dev_a), 0, "reset-again");
	check_recovered(d);
	check_recovered(&dev_a);
	check_innocent(&dev_b, base_b);
}

/*
 * C7, the reverse: the reset of a virtual function is not one of the physical one,
 * which stays in quarantine. Its virtual ones go on meanwhile. Red: plain.
 */
static void s_pf_broken(void)
{
	unsigned int base[VFS];

	vfs_enable();
	begin();
	for (unsigned int i = 0; i < VFS; i++)
		base[i] = broken_count(&dev_vf[i]);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_innocent(&dev_vf[0], base[0]);
	check_eq((u64)-flr(&dev_vf[0]), 0, "vf-reset");
	check(state_is(&dev_a, "quarantined"), "not-lifted-by-vf", "%s", dev_a.bdf);
	check_innocent(&dev_vf[0], base[0]);
	check_eq((u64)-flr(&dev_a), 0, "reset");
	check_recovered(&dev_a);
	for (unsigned int i = 0; i < VFS; i++)
		check_innocent(&dev_vf[i], base[i]);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_innocent(&dev_b, base_b);
}

/*
 * C8: SR-IOV is turned off under a virtual function in quarantine, and on again:
 * clearing VF Enable has reset it, so the new one starts healthy. Red: plain.
 */
static void s_vf_disabled(void)
{
	struct device *d = &dev_vf[0];

	vfs_enable();
	begin();
	break_and_unmap(d, WEDGE_UNTIL_RESET, 0);
	check_quarantined(d, 0, 1);
	check_eq((u64)-device_write(&dev_a, "sriov_numvfs", "0", "vfs-disabled"), 0, "disable");
	check(!device_present(d), "gone", "%s", d->bdf);
	vfs_enable();
	check_recovered(d);
	check_eq(broken_count(d), 0, "broken-count");
	check_innocent(&dev_a, base_a);
	check_innocent(&dev_b, base_b);
}

/*
 * C6, C7: two functions without ACS are one group. The broken one is blocked,
 * the other one goes on; a reset of the bus lifts it, and so the group is free
 * again. Red: plain.
 */
static void s_siblings(void)
{
	unsigned int base_c = broken_count(&dev_c), base_d = broken_count(&dev_d);

	begin();
	break_and_unmap(&dev_c, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_c, base_c, 1);
	check_innocent(&dev_d, base_d);
	check_eq((u64)-flr(&dev_d), 0, "sibling-flr");
	check_innocent(&dev_d, base_d);
	check(state_is(&dev_c, "quarantined"), "not-lifted-by-sibling", "%s", dev_c.bdf);
	check_eq((u64)-reset_bus(&dev_d), 0, "bus-reset");
	check_recovered(&dev_c);
	check_innocent(&dev_d, base_d);
	check_eq(ctl_read(&dev_c, CTL_TIMEOUTS), 1 + asked_again(&dev_c), "timeouts");
}

/*
 * C1, C7: nobody has noticed yet, and the device is reset: it is asked as it is blocked
 * for that, fenced and reported, and the same reset brings it back. Red: plain.
 */
static void s_wedge_reset(void)
{
	u32 page;

	begin();
	page = map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check_eq(broken_count(&dev_a) - base_a, 1, "broken-count");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq(unmap(CPU_CULPRIT, page, 1, REUSED).bad_pages, 0, "reused-pages-damaged");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_innocent(&dev_b, base_b);
}

/*
 * C7, epochs: the reset is asked for while the flush waits for an answer. What was
 * queued before the reset is over with it, whenever the timeout is noticed: the device
 * is healthy in the end, without another reset. Red: no-lift.
 */
static void s_reset_meanwhile(void)
{
	struct job *reset, *flush;
	struct iq_unmap u;
	u32 page, inv;

	begin();
	page = map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	inv = ctl_read(&dev_a, CTL_INV_TOTAL);
	reset = device_write_prepare(CPU_SECOND, &dev_a, "reset", "1");
	flush = unmap_prepare(CPU_CULPRIT, page, 1, REUSED);
	job_go(flush);
	require(wait_for(invalidations_above, &(struct inv_arg){ &dev_a, inv }, opt.limit_ms),
		"flush-runs", "%s", dev_a.bdf);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 0, "not-timed-out-yet");
	job_go(reset);
	u = unmap_wait(flush);
	check_eq(u.bad_pages, 0, "reused-pages-damaged");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	require(job_wait(reset, opt.limit_ms), "reset-returned", "%s", dev_a.bdf);
	check_eq((u64)-job_ret(reset), 0, "reset");
	check_recovered(&dev_a);
	check_eq(broken_count(&dev_a) - base_a, 1, "broken-count");
	check_eq(ctl_read(&dev_a, CTL_RESETS), 1, "resets");
	check_innocent(&dev_b, base_b);
}

/*
 * C7: the device is reset, and breaks again before it is attached again. The
 * first invalidation goes alone and is not answered: back into quarantine, and
 * no recovery is announced. Red: plain.
 */
static void s_reset_then_dead(void)
{
	struct resets_arg a = { &dev_a, 0 };
	struct iq_dev arg = { .bdf = dev_a.rid };
	struct job *job;

	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	a.resets = ctl_read(&dev_a, CTL_RESETS);
	job = job_start(CPU_CULPRIT, do_hot_reset, &arg, sizeof(arg));
	require(wait_for(was_reset_since, &a, opt.limit_ms), "reset-seen", "%s", dev_a.bdf);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	if (!state_is(&dev_a, "resetting"))
		again("the reset was over too early");
	require(job_wait(job, opt.limit_ms), "reset-returned", "%s", dev_a.bdf);
	check_quarantined(&dev_a, base_a, 2);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 2, "timeouts");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_eq((u64)-reset_bus(&dev_a), 0, "reset-again");
	check_recovered(&dev_a);
	check_innocent(&dev_b, base_b);
}

/* ---- the device belongs to user space ---- */

#define VFIO_SIGNAL	"/sys/module/iommu_quarantine/parameters/vfio_signal"

static bool was_told(void *times)
{
	*(u64 *)times += vm_told();
	return *(u64 *)times;
}

static void vm_break(struct device *d, unsigned int base, unsigned int mode, bool tell)
{
	u64 told = 0;

	vm_map_with_ats();
	wedge(d, mode);
	vm_unmap();
	check_eq(ctl_read(d, CTL_STALE_OK), 0, "stale-writes-through");
	check_ge(ctl_read(d, CTL_STALE_BLOCKED), 1, "stale-writes-blocked");
	check_quarantined(d, base, 1);
	check_eq(ctl_read(d, CTL_TIMEOUTS), 1, "timeouts");
	check_eq((u64)-vm_attach_another(), EBUSY, "attach-refused");
	wait_for(was_told, &told, tell ? opt.limit_ms : 200);
	check_eq(told, tell, "owner-told");
}

static void vm_works(void)
{
	vm_map_with_ats();
	vm_unmap();
}

/*
 * C7, C11: a device breaks while it belongs to a virtual machine, whose owner is
 * told once. A reset by VFIO lifts the quarantine, one that did nothing does not.
 */
static void vm_kind(const char *name, int (*reset)(struct device *d))
{
	struct device *d = &dev_a;

	begin();
	vm_start(d);
	vm_break(d, base_a, WEDGE_UNTIL_RESET, true);
	check_eq((u64)-reset(d), 0, "reset");
	matrix(name, true, wait_state(d, "healthy", opt.limit_ms));
	check(ats_enabled(d), "ats-on-again", "of %s in its config space", d->bdf);
	vm_works();
	check_eq(vm_told(), 0, "not-told-of-the-recovery");

	/* The owner does not want to know. */
	ctl_write(d, CTL_CLEAR, 1);
	if (grafted)
		require(!write_file(VFIO_SIGNAL, "0"), "signal-off", VFIO_SIGNAL);
	vm_break(d, base_a + 1, WEDGE_FOR_EVER, false);
	if (grafted)
		require(!write_file(VFIO_SIGNAL, "1"), "signal-on", VFIO_SIGNAL);
	note("reset_errno", (u64)-reset(d));
	check_ge(ctl_read(d, CTL_RESETS), 1, "reset-was-tried");
	matrix(name, false, state_is(d, "healthy"));
	check_kept(d, base_a + 1);

	ctl_write(d, CTL_WEDGE, WEDGE_HEALTHY);
	check_eq((u64)-reset(d), 0, "reset-again");
	require(wait_state(d, "healthy", opt.limit_ms), "recovered", "%s", d->bdf);
	vm_works();
	vm_end();
	check_innocent(d, base_a + 2);
	check_innocent(&dev_b, base_b);
}

/* VFIO_DEVICE_RESET. Red: plain, vfio-owner-not-told. */
static void s_vfio_reset(void)
{
	vm_kind("vfio_reset", vm_reset);
}

/* VFIO_DEVICE_PCI_HOT_RESET. Red: plain. */
static void s_vfio_hot_reset(void)
{
	vm_kind("vfio_hot_reset", vm_hot_reset);
}

/*
 * C7: closing the file does not lift, and does not hang; the reset that VFIO tries
 * then lifts if it really happened, like any other. Who opens it meanwhile gets
 * -EBUSY. Red: plain.
 */
static void s_vfio_close(void)
{
	struct device *d = &dev_a;

	begin();
	vm_start(d);
	vm_break(d, base_a, WEDGE_FOR_EVER, true);
	vm_close();
	check_ge(ctl_read(d, CTL_RESETS), 1, "reset-was-tried");
	matrix("vfio_close", false, state_is(d, "healthy"));
	check_kept(d, base_a);
	check_eq((u64)-vm_open(), EBUSY, "open-refused");
	vm_end();
	check_still_quarantined(d);
	ctl_write(d, CTL_WEDGE, WEDGE_HEALTHY);
	check_eq((u64)-flr(d), 0, "flr");
	check_recovered(d);

	ctl_write(d, CTL_CLEAR, 1);
	vm_start(d);
	vm_break(d, base_a + 1, WEDGE_UNTIL_RESET, true);
	vm_close();
	matrix("vfio_close", true, wait_state(d, "healthy", opt.limit_ms));
	vm_end();
	check_recovered(d);
	check_innocent(&dev_b, base_b);
}

/*
 * C1, C8: the machine dies with a device that has stopped answering, which nobody
 * has noticed. Taking it down does not hang. Red: plain.
 */
static void s_vfio_dies(void)
{
	struct device *d = &dev_a;

	begin();
	vm_start(d);
	vm_map_with_ats();
	wedge(d, WEDGE_FOR_EVER);
	vm_close();
	vm_reuse_page();
	check(vm_page_is(0), "reused-pages-damaged", "of the virtual machine");
	check_eq(ctl_read(d, CTL_STALE_OK), 0, "stale-writes-through");
	check_quarantined(d, base_a, 1);
	check_eq(ctl_read(d, CTL_TIMEOUTS), 1, "timeouts");
	vm_end();
	check_still_quarantined(d);
	ctl_write(d, CTL_WEDGE, WEDGE_HEALTHY);
	check_eq((u64)-flr(d), 0, "flr");
	check_recovered(d);
	check_innocent(&dev_b, base_b);
}

/* ---- the driver and the device come and go ---- */

/*
 * C8, R6: the driver goes, with mappings that the dead device holds, and
 * comes back; neither lifts anything. Red: plain.
 */
static void s_unbind_bind(void)
{
	u32 left;

	begin();
	left = map_with_ats(&dev_a, 8);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-device_write(&dev_a, DRIVER "unbind", dev_a.bdf, "unbind-returned"),
		 0, "unbind");
	check_eq(damaged(left, 8, 0), 0, "pages-of-the-driver-intact");
	check(state_is(&dev_a, "quarantined"), "not-lifted-by-unbind", "%s", dev_a.bdf);
	check_eq((u64)-device_write(&dev_a, DRIVER "bind", dev_a.bdf, "bind-returned"),
		 0, "bind");
	check_still_quarantined(&dev_a);
	check_eq(ctl_read(&dev_a, CTL_INV_QUEUED_AFTER), 0, "invalidations-after-quarantine");
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/*
 * C8: the dead device is found out by its driver's own remove(), under the
 * device lock. Red: plain (unbind-returned).
 */
static void s_unbind_wedged(void)
{
	u32 left;

	begin();
	left = map_with_ats(&dev_a, 8);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	check_eq((u64)-device_write(&dev_a, DRIVER "unbind", dev_a.bdf, "unbind-returned"),
		 0, "unbind");
	check_eq(damaged(left, 8, 0), 0, "pages-of-the-driver-intact");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_eq((u64)-device_write(&dev_a, DRIVER "bind", dev_a.bdf, "bind-returned"),
		 0, "bind");
	check_recovered(&dev_a);
}

static void rescan(struct device *d)
{
	check(!device_present(d), "removed", "%s", d->bdf);
	healthy_io(&dev_b);
	check_eq((u64)-device_write(d, "/sys/bus/pci/rescan", "1", "rescan-returned"),
		 0, "rescan");
	require(device_present(d), "found-again", "%s", d->bdf);
}

/* Another card in the same slot: what is in it was reset with the slot. */
static void come_back(struct device *d)
{
	require(port_reset(d), "slot-reset", "above %s", d->bdf);
	rescan(d);
	if (grafted) {
		check(state_is(d, "healthy"), "healthy-again", "%s", d->bdf);
		check_eq(broken_count(d), 0, "count-starts-anew");
	}
	healthy_io(d);
}

static void remove_it(void)
{
	check_eq((u64)-device_write(&dev_a, "remove", "1", "remove-returned"), 0, "remove");
}

/* C8: hot removal out of quarantine. Red: plain. */
static void s_remove_quarantined(void)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	remove_it();
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	come_back(&dev_a);
}

/*
 * C8: hot removal of a wedged device that nobody has noticed yet: report, work
 * and release race for real. Red: plain (remove-returned).
 */
static void s_remove_wedged(void)
{
	u32 left;

	begin();
	left = map_with_ats(&dev_a, 8);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	remove_it();
	check_eq(damaged(left, 8, 0), 0, "pages-of-the-driver-intact");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	come_back(&dev_a);
}

static bool stray_told(void *d)
{
	char text[80];

	snprintf(text, sizeof(text), "IOTLB_INV_TIMEOUT device=%s", ((struct device *)d)->bdf);
	return kmsg_count(text);
}

/*
 * C5, C8: the log has a timeout of a DeviceID that no longer exists. Nobody is accused of
 * it, it hides nobody who is broken, and what comes to that address starts as healthy.
 * Red: amd-blames-the-next.
 */
static void s_amd_event_gone(void)
{
	struct iq_unmap u;
	u32 page;

	begin();
	page = map_with_ats(&dev_b, 1);
	require(!device_write(&dev_a, "remove", "1", "remove-returned"), "removed", "%s",
		dev_a.bdf);
	ctl_write(&dev_b, CTL_STRAY, dev_a.rid);
	unmap(CPU_CULPRIT, page, 1, IQ_F_REUSE);
	check(wait_for(stray_told, &dev_a, opt.limit_ms), "event-told", "%s", dev_a.bdf);
	check_innocent(&dev_b, base_b);

	page = map_with_ats(&dev_b, 1);
	wedge(&dev_b, WEDGE_UNTIL_RESET);
	ctl_write(&dev_b, CTL_STRAY, dev_a.rid);
	u = unmap(CPU_CULPRIT, page, 1, REUSED);
	check_eq(u.bad_pages, 0, "reused-pages-damaged");
	check_eq(ctl_read(&dev_b, CTL_STALE_OK), 0, "stale-writes-through");
	check_quarantined(&dev_b, base_b, 1);
	check_eq((u64)-flr(&dev_b), 0, "flr");
	check_recovered(&dev_b);
	come_back(&dev_a);
}

/* In quarantine, or with @early broken and noticed by nobody yet. Returns its page. */
static u32 broken(bool early)
{
	u32 page;

	begin();
	page = map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	if (!early) {
		unmap(CPU_CULPRIT, page, 1, REUSED);
		check_quarantined(&dev_a, base_a, 1);
	}
	return page;
}

/*
 * C7: "remove" and "rescan" are no reset. The card comes back with what it has
 * cached, so it comes back fenced and in quarantine. With @early nobody had
 * noticed that it is broken when the removal began.
 */
static void rescanned(bool early)
{
	u32 page = broken(early);

	remove_it();
	rescan(&dev_a);
	ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_eq(damaged(page, 1, 0), 0, "page-intact");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_quarantined(&dev_a, 0, 1);
	check_still_quarantined(&dev_a);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/* Red: plain. */
static void s_rescan_quarantined(void)
{
	rescanned(false);
}

/* Red: plain (remove-returned). */
static void s_rescan_wedged(void)
{
	rescanned(true);
}

static bool is_gone(void *d)
{
	return !device_present(d);
}

static bool is_there(void *d)
{
	char path[128];

	snprintf(path, sizeof(path), DRIVER "%s", ((struct device *)d)->bdf);
	return exists(path);
}

/* The slot of the port above, by the address of what is in it. */
static bool slot_of(struct device *d, char *path, size_t size)
{
	char file[300], address[16];
	bool found = false;
	struct dirent *e;
	DIR *dir = opendir("/sys/bus/pci/slots");

	while (dir && !found && (e = readdir(dir))) {
		snprintf(file, sizeof(file), "/sys/bus/pci/slots/%.200s/address", e->d_name);
		found = read_file(file, address, sizeof(address)) > 0 &&
			!strncmp(address, d->bdf, strlen(address));
		snprintf(path, size, "/sys/bus/pci/slots/%.60s/power", e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void unplug(struct device *d)
{
	char power[96];

	require(slot_of(d, power, sizeof(power)), "slot-found", "of %s", d->bdf);
	check_eq((u64)-device_write(d, power, "0", "remove-returned"), 0, "power-off");
	require(wait_for(is_gone, d, opt.limit_ms), "card-gone", "%s", d->bdf);
}

/* The runner knows dev_a's port by that name. */
static void plug(struct device *d)
{
	emit("# iq: host plug rp1");
	require(wait_for(is_there, d, opt.limit_ms), "new-card", "%s", d->bdf);
}

/*
 * Control. In 7.3 lockdep sees pciehp take its reset_lock and the lock of rescans
 * both ways, whenever a slot is emptied, and then it gives up: so that is a machine
 * of its own.
 */
static void s_hotplug_healthy(void)
{
	lockdep_is_forgiven();
	healthy_io(&dev_a);
	unplug(&dev_a);
	healthy_io(&dev_b);
	plug(&dev_a);
	healthy_io(&dev_a);
}

/*
 * C7, C8: the slot is turned off, the card goes, and a new one comes into the same
 * slot. It starts healthy, whether the old one was in quarantine or had not been
 * noticed. Red: plain, no-proof-of-a-new-one. Lockdep says nothing here: mainline's
 * own complaint (hotplug_healthy) has ended it.
 */
static void hotplug(bool early)
{
	u32 page = broken(early);

	unplug(&dev_a);
	check_eq(damaged(page, 1, 0), 0, "page-intact");
	check_innocent(&dev_b, base_b);
	plug(&dev_a);
	if (grafted) {
		require(wait_state(&dev_a, "healthy", opt.limit_ms), "starts-healthy", "%s",
			dev_a.bdf);
		check_eq(broken_count(&dev_a), 0, "count-starts-anew");
	}
	healthy_io(&dev_a);
	check_eq((u64)-attach(&dev_a), 0, "attach");
	check_eq((u64)-detach(&dev_a), 0, "detach");
	check_innocent(&dev_b, base_b);
}

static void s_hotplug_quarantined(void)
{
	hotplug(false);
}

/* Red: plain (remove-returned, where the flush hangs or takes its time). */
static void s_hotplug_wedged(void)
{
	hotplug(true);
}

/*
 * C8: one of two functions of a group is removed out of quarantine. The other one is
 * alone then, and no domain is refused to it. Red: plain, recovery-count-leaks.
 */
static void s_remove_sibling(void)
{
	unsigned int base_c = broken_count(&dev_c), base_d = broken_count(&dev_d);

	begin();
	break_and_unmap(&dev_c, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_c, base_c, 1);
	check_eq((u64)-device_write(&dev_c, "remove", "1", "remove-returned"), 0, "remove");
	check(!device_present(&dev_c), "removed", "%s", dev_c.bdf);
	check_eq((u64)-attach(&dev_d), 0, "sibling-attach");
	check_eq((u64)-detach(&dev_d), 0, "sibling-detach");
	check_innocent(&dev_d, base_d);
	check_eq((u64)-device_write(&dev_d, "/sys/bus/pci/rescan", "1", "rescan-returned"),
		 0, "rescan");
	check_quarantined(&dev_c, 0, 1);
	check_innocent(&dev_d, base_d);
	check_eq((u64)-reset_bus(&dev_d), 0, "bus-reset");
	check_recovered(&dev_c);
	check_innocent(&dev_d, base_d);
}

/*
 * C13: the machine is shut down with a device in quarantine, and with one that is
 * dead and that nobody has noticed. The runner sees that it powers off. Red: VT-d
 * without the graft, which does not get here.
 */
static void s_poweroff(void)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_FOR_EVER, 0);
	check_quarantined(&dev_a, base_a, 1);
	map_with_ats(&dev_b, 8);
	wedge(&dev_b, WEDGE_FOR_EVER);
	shut_down_like_this();
}

/*
 * C13: to sleep and back with a device in quarantine. D3hot and back has reset it, if
 * it did, and so it is lifted; its neighbour goes on with what it had mapped. On x86
 * the IOMMU is suspended too, and its tables are read anew. Red: plain.
 */
static void s_suspend(void)
{
	u32 page;

	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	page = map_with_ats(&dev_b, 1);
	check_eq((u64)-suspend_test(), 0, "suspend");
	matrix("suspend", true, wait_state(&dev_a, "healthy", opt.limit_ms));
	check_recovered(&dev_a);
	check_eq(ctl_read(&dev_a, CTL_INV_IN_RESET), 0, "invalidations-in-reset");
	check_neighbour_writes(page, 0x5a5a5a);
	unmap(CPU_CULPRIT, page, 1, IQ_F_REUSE);
	check_innocent(&dev_b, base_b);

	ctl_write(&dev_a, CTL_CLEAR, 1);
	break_and_unmap(&dev_a, WEDGE_FOR_EVER, 0);
	check_quarantined(&dev_a, base_a, 2);
	check_eq((u64)-suspend_test(), 0, "suspend-again");
	wait_for(not_resetting, &dev_a, opt.limit_ms);
	matrix("suspend", false, state_is(&dev_a, "healthy"));
	check(state_is(&dev_a, "quarantined"), "not-lifted", "%s", dev_a.bdf);
	check(!ats_enabled(&dev_a), "ats-stays-off", "%s", dev_a.bdf);
	ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-still-blocked");
	check_innocent(&dev_b, base_b);
}

/*
 * C7, C13: the devices are frozen for an image of the memory and thawed, which resets
 * nothing. Then the machine is reset and goes on from its image: that is a reset of the
 * device, seen although firmware and another kernel had it meanwhile. Red: plain,
 * core-freeze-forgotten.
 */
static void s_hibernate(void)
{
	u32 page;

	begin();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	page = map_with_ats(&dev_b, 1);
	check_eq((u64)-freeze_test(), 0, "freeze");
	wait_for(not_resetting, &dev_a, opt.limit_ms);
	matrix("hibernate", false, state_is(&dev_a, "healthy"));
	check_still_quarantined(&dev_a);
	check_neighbour_writes(page, 0x5a5a5a);
	/* Its driver does not set up the SMMU again when an image was restored */
	if (opt.vendor == ARM)
		return;

	check_eq((u64)-hibernate(), 0, "hibernate");
	matrix("hibernate", true, wait_state(&dev_a, "healthy", opt.limit_ms));
	check_recovered(&dev_a);
	check_neighbour_writes(page, 0xa5a5a5);
	unmap(CPU_CULPRIT, page, 1, IQ_F_REUSE);
	check_innocent(&dev_b, base_b);
}

/* One device in quarantine, and one that is dead and that nobody has noticed */
static void leave_two_dead(const char *scenario, bool after_a_crash)
{
	begin();
	break_and_unmap(&dev_a, WEDGE_FOR_EVER, 0);
	check_quarantined(&dev_a, base_a, 1);
	map_with_ats(&dev_b, 8);
	wedge(&dev_b, WEDGE_FOR_EVER);
	go_on_in_another_kernel(scenario, after_a_crash);
}

/*
 * It boots, and finds out for itself: what the first kernel knew is gone with it, so
 * each of the two is fenced at the first invalidation that it does not answer. That may
 * be one of its first attach.
 */
static void find_two_dead(void)
{
	struct device *dead[] = { &dev_a, &dev_b };
	struct iq_unmap u;
	u32 page;

	require(opt.second, "second-kernel", "this is the first one");
	ctl_write(&dev_a, CTL_CLEAR, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(dead); i++) {
		page = map_pages(dead[i], 1);
		ep_cmd(dead[i], EP_FETCH, page, 0);
		u = unmap(CPU_CULPRIT, page, 1, REUSED);
		check_eq(u.bad_pages, 0, "reused-pages-damaged");
		check_eq(ctl_read(dead[i], CTL_STALE_OK), 0, "stale-writes-through");
		check_quarantined(dead[i], 0, 1);
	}
	healthy_io(&dev_c);
	healthy_io(&dev_d);
	check(state_is(&dev_c, "healthy"), "third-healthy", "%s", dev_c.bdf);
	check(state_is(&dev_d, "healthy"), "fourth-healthy", "%s", dev_d.bdf);
}

/* C13: kexec with a device in quarantine, and with a dead one. Red: plain. */
static void s_kexec(void)
{
	leave_two_dead("after_kexec", false);
}

/* Its other half, in the second kernel */
static void s_after_kexec(void)
{
	find_two_dead();
}

/*
 * C13: the same with a crash in between. The IOMMU is still at work when the crash
 * kernel takes it over. Red: plain.
 */
static void s_kdump(void)
{
	leave_two_dead("after_crash", true);
}

/* Its other half, in the crash kernel */
static void s_after_crash(void)
{
	find_two_dead();
}

static bool is_done(void *job)
{
	return job_done(job);
}

static bool file_is_not_zero(void *path)
{
	char buf[32];

	return read_file(path, buf, sizeof(buf)) > 0 && strtoul(buf, NULL, 10);
}

/* Reported, and the work held before it takes the group mutex */
static void break_with_work_held(void)
{
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "hold-armed", HOLD_WORK);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	require(wait_for(file_is_not_zero, HOLD_WORK, opt.limit_ms), "work-held", HOLD_WORK);
	check(state_is(&dev_a, "reported"), "reported", "%s", dev_a.bdf);
}

/*
 * C8: hot removal while the quarantine work is pending, held before it takes
 * the group mutex. Release has to wait for it outside that mutex. Red: plain;
 * KASAN on a grafted kernel that does not wait.
 */
static void s_remove_pending(void)
{
	struct job *job;

	needs_hold(HOLD_WORK);
	begin();
	break_with_work_held();
	job = device_write_start(CPU_SECOND, &dev_a, "remove", "1");
	/* The device's directory goes first, its release has to wait. */
	wait_for(is_done, job, 300);
	require(!write_file(HOLD_WORK, "0"), "hold-released", HOLD_WORK);
	require(job_wait(job, opt.limit_ms), "remove-returned", "%s", dev_a.bdf);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	come_back(&dev_a);
}

/*
 * C8: the driver goes while the quarantine work is pending, and takes with it
 * the mappings of a device that is fenced and not yet blocked. Red: plain.
 */
static void s_unbind_pending(void)
{
	u32 left;

	needs_hold(HOLD_WORK);
	begin();
	left = map_with_ats(&dev_a, 8);
	break_with_work_held();
	check_eq((u64)-device_write(&dev_a, DRIVER "unbind", dev_a.bdf, "unbind-returned"),
		 0, "unbind");
	check_eq(damaged(left, 8, 0), 0, "pages-of-the-driver-intact");
	check(state_is(&dev_a, "reported"), "reported", "%s", dev_a.bdf);
	require(!write_file(HOLD_WORK, "0"), "hold-released", HOLD_WORK);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-device_write(&dev_a, DRIVER "bind", dev_a.bdf, "bind-returned"),
		 0, "bind");
	check_still_quarantined(&dev_a);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/* ---- the window between FENCING and FENCED ---- */

static struct job *hold_a_fence(u32 page)
{
	struct job *job;

	if (grafted)
		require(!write_file(HOLD_FENCE, "1"), "hold-armed", HOLD_FENCE);
	job = unmap_start(CPU_CULPRIT, page, 1, REUSED);
	if (grafted)
		require(wait_for(file_is_not_zero, HOLD_FENCE, opt.limit_ms), "fence-held",
			HOLD_FENCE);
	return job;
}

/*
 * What happened so far says something only if the fence was held all the time.
 * It runs out when init is kept waiting, as by a worker on init's own CPU that
 * spins for a lock of the one that stands in the fence: hold the work as well.
 */
static bool let_the_fence_go(void)
{
	bool held;

	if (!grafted)
		return true;
	held = file_is_not_zero(HOLD_FENCE);
	require(!write_file(HOLD_FENCE, "0"), "hold-released", HOLD_FENCE);
	return held;
}

/*
 * C1: one CPU stands between FENCING and FENCED; a second one flushes the same
 * device and may return only when the device really is fenced, be it that it
 * waits or that it fences itself. With PASIDs the second flush is one of
 * another domain. Without, both are of one domain, and the driver's own
 * cache_lock keeps the second one out. Red: plain, fencing-is-fenced (with
 * PASIDs).
 */
static void s_hold_flush(void)
{
	struct job *first, *second;
	struct iq_unmap u;
	u32 page, other;
	bool held;

	needs_hold(HOLD_FENCE);
	needs_hold(HOLD_WORK);
	begin();
	page = map_with_ats(&dev_a, 2);
	other = page + 1;
	if (with_pasid(&dev_a, PASID))
		other = map_pasid_with_ats(&dev_a, PASID);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	second = unmap_prepare(CPU_SECOND, other, 1, REUSED);
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	first = hold_a_fence(page);
	job_go(second);
	/* Time to return too early; one that fences by itself may be back. */
	wait_for(is_done, second, 500);
	note("second_was_back", job_done(second));
	held = let_the_fence_go();
	if (grafted)
		require(!write_file(HOLD_WORK, "0"), "work-released", HOLD_WORK);
	u = unmap_wait(second);
	check_eq(u.bad_pages, 0, "second-page-damaged");
	u = unmap_wait(first);
	check_fenced(&dev_a, &u);
	check_eq(damaged(page, 1, 0), 0, "page-intact");
	check_eq(damaged(other, 1, 0), 0, "second-page-intact");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
	if (!held)
		again("the fence was not held all the time");
}

/* A fenced device was attached to a private domain, with the work held. */
static void check_attached(u32 page)
{
	ctl_write(&dev_a, CTL_DOORBELL, 1);
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_eq(damaged(page, 1, 0), 0, "page-intact");
	/* Seen in memory, which a write of the device may miss. */
	if (opt.vendor == ARM)
		check_eq(ctl_read(&dev_a, CTL_ATS_AGAIN), 0, "eats-visible-again");
	require(!write_file(HOLD_WORK, "0"), "work-released", HOLD_WORK);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
}

static void check_detached(void)
{
	check_eq((u64)-flr(&dev_a), 0, "flr");
	require(wait_state(&dev_a, "healthy", opt.limit_ms), "recovered", "%s", dev_a.bdf);
	check_eq((u64)-detach(&dev_a), 0, "detach");
	check_recovered(&dev_a);
}

/*
 * DESIGN 5: an attach rewrites the entry while the fence runs. Whatever it
 * stores has no ATS permission in it. In legacy mode that is the context entry;
 * the driver's cache_lock lets the attach get there only when the fence is
 * done, so the quarantine work is held as well, lest its blocking attach cover
 * up for it. Red: plain, writer-not-masked (legacy).
 */
static void s_hold_attach(void)
{
	struct job *first, *second;
	struct iq_unmap u;
	u32 page;
	bool held;

	needs_hold(HOLD_FENCE);
	needs_hold(HOLD_WORK);
	begin();
	page = map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	second = attach_prepare(CPU_SECOND, &dev_a);
	first = hold_a_fence(page);
	job_go(second);
	wait_for(is_done, second, 1000);
	note("attach_was_back", job_done(second));
	/* The new entry is what the IOMMU reads now, whoever is held. */
	if (job_done(second)) {
		ctl_write(&dev_a, CTL_DOORBELL, 1);
		check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-after-attach");
	}
	held = let_the_fence_go();
	u = unmap_wait(first);
	require(job_wait(second, opt.limit_ms), "attach-returned", "errno %ld",
		-job_ret(second));
	check_eq((u64)-job_ret(second), 0, "attach-errno");
	check_attached(page);
	check_fenced(&dev_a, &u);
	check_detached();
	if (!held)
		again("the fence was not held all the time");
}

/*
 * DESIGN 5: an attach rewrites the entry after the fence, before the work. It
 * does not bring the permission back. Red: plain, arm-writer-not-masked.
 */
static void s_attach_fenced(void)
{
	struct iq_unmap u;
	u32 page;

	needs_hold(HOLD_WORK);
	begin();
	page = map_with_ats(&dev_a, 2);
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, page, 1, REUSED);
	check_fenced(&dev_a, &u);
	check_eq((u64)-attach(&dev_a), 0, "attach");
	check_attached(page);
	check_detached();
}

/* ---- interrupt remapping on the same queue ---- */

/* An MSI of the virtio port: its IRTE is changed under a raw spinlock. */
static int virtio_irq(void)
{
	char dir[256], target[256];
	struct dirent *e;
	int irq = -1;
	ssize_t n;
	DIR *d;

	n = readlink("/sys/bus/virtio/devices/virtio0", target, sizeof(target) - 1);
	if (n <= 0)
		return -1;
	target[n] = 0;
	snprintf(dir, sizeof(dir), "/sys/bus/virtio/devices/%.180s/../msi_irqs", target);
	d = opendir(dir);
	if (!d)
		return -1;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			irq = atoi(e->d_name);
	closedir(d);
	return irq;
}

static bool invalidation_ignored(void *d)
{
	return ctl_read(d, CTL_INV_WEDGED) > 0;
}

/*
 * C2: an interrupt is moved to another CPU while the queue stands still; the
 * change survives the timeout. Red: plain.
 */
static void s_irte(void)
{
	char path[64], cpu[16];
	struct job *job, *move;
	int irq = virtio_irq();
	u32 page;

	if (!opt.intremap)
		skip("this machine does not remap interrupts");
	require(irq > 0, "msi-found", "irq %d", irq);
	begin();
	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list", irq);
	check_eq((u64)-device_write(&dev_b, path, "0", "affinity-set"), 0, "affinity");
	page = map_with_ats(&dev_a, 1);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	move = device_write_prepare(CPU_SECOND, &dev_b, path, "2");
	job = unmap_start(CPU_CULPRIT, page, 1, REUSED);
	require(wait_for(invalidation_ignored, &dev_a, opt.limit_ms), "timeout-runs", "%s",
		dev_a.bdf);
	job_go(move);
	unmap_wait(job);
	require(job_wait(move, opt.limit_ms), "affinity-returned", "irq %d", irq);
	check_eq((u64)-job_ret(move), 0, "affinity-errno");
	snprintf(path, sizeof(path), "/proc/irq/%d/effective_affinity_list", irq);
	read_file(path, cpu, sizeof(cpu));
	check(!strcmp(cpu, "2"), "affinity-effective", "irq %d on CPU %s", irq, cpu);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
}

/* ---- operator ---- */

/*
 * C11: quarantine on request, without any fault, and the way back. Needs the graft.
 * Red: admin-not-heard.
 */
static void s_admin(void)
{
	char cause[64], path[128];
	u32 page;
	int ret;

	needs_graft();
	begin();
	page = map_with_ats(&dev_a, 1);
	ret = device_write(&dev_a, "iommu_quarantine/quarantine", "2", "request-returned");
	check_eq((u64)-ret, EINVAL, "nonsense-refused");
	check(state_is(&dev_a, "healthy"), "nonsense-ignored", "%s", dev_a.bdf);
	ret = device_write(&dev_a, "iommu_quarantine/quarantine", "1", "request-returned");
	check_eq((u64)-ret, 0, "request");
	check_quarantined(&dev_a, base_a, 1);
	snprintf(path, sizeof(path), "%s/iommu_quarantine/cause", dev_a.dir);
	read_file(path, cause, sizeof(cause));
	check(!strcmp(cause, "admin"), "cause", "%s", cause);
	check_eq((u64)-attach(&dev_a), EBUSY, "attach-refused");
	check(!(ep_cmd(&dev_a, EP_WRITE_UNTRANSLATED, page, 0xbad) & EP_ST_OK), "dma-refused",
	      "untranslated");
	unmap(CPU_CULPRIT, page, 1, REUSED);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 0, "timeouts");
	check_innocent(&dev_b, base_b);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

static unsigned int count_in(const char *path, const char *word)
{
	static char text[65536];
	unsigned int n = 0;

	if (read_file(path, text, sizeof(text)) < 0)
		return ~0u;
	for (char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

struct uevent_arg {
	const char *word;
	unsigned int want;
};

static bool uevents_are(void *arg)
{
	struct uevent_arg *a = arg;

	return count_in(UEVENTS, a->word) == a->want;
}

/*
 * C9, C11: one trace event per step, and one uevent from the report on. There is no
 * network in this kernel, so the uevent arrives through the helper program. Needs the
 * graft. Red: fence-untold.
 */
static void s_events(void)
{
	static const char * const events[] = {
		"iommu_device_fenced:", "iommu_device_broken:", "iommu_device_quarantined:",
		"iommu_device_recovered:",
	};
	static struct uevent_arg uevents[] = {
		{ "=broken ", 1 }, { "=quarantined ", 1 }, { "=recovered ", 1 },
	};
	bool helper = exists("/sys/kernel/uevent_helper");

	needs_graft();
	begin();
	require(!write_file(TRACING "/events/iommu_quarantine/enable", "1"), "trace-on",
		"system iommu_quarantine");
	unlink(UEVENTS);
	if (helper)
		check_eq((u64)-write_file("/sys/kernel/uevent_helper", "/init"), 0, "helper");
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	write_file(TRACING "/events/iommu_quarantine/enable", "0");
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++)
		check_eq(count_in(TRACING "/trace", events[i]), 1, events[i]);
	for (int i = 0; helper && i < 3; i++) {
		wait_for(uevents_are, &uevents[i], opt.limit_ms);
		check_eq(count_in(UEVENTS, uevents[i].word), 1, uevents[i].word);
	}
	if (helper)
		write_file("/sys/kernel/uevent_helper", "\n");
	check(helper, "uevent-helper", "CONFIG_UEVENT_HELPER");
}

static struct job *unmap_for_ever(void)
{
	u32 page = map_with_ats(&dev_a, 1);

	wedge(&dev_a, WEDGE_UNTIL_RESET);
	return unmap_start(CPU_CULPRIT, page, 1, REUSED);
}

/*
 * As without the graft: VT-d's flush hangs, that of AMD and of SMMUv3 returns,
 * and the device goes on writing into what is somebody else's.
 */
static void check_as_ungrafted(struct job *job)
{
	if (opt.vendor == INTEL) {
		check(!job_wait(job, 6 * opt.hw_timeout_ms), "does-not-return", "VT-d");
		return;
	}
	check_ge(unmap_wait(job).bad_pages, 1, "page-damaged");
	check_ge(ctl_read(&dev_a, CTL_STALE_OK), 1, "stale-writes-through");
}

static bool is_quarantined(void *d)
{
	return state_is(d, "quarantined");
}

/*
 * C12, iommu_quarantine=report: said, and nothing else. Needs the graft. Red:
 * report-blocks.
 */
static void s_param_report(void)
{
	struct job *job;

	needs_graft();
	begin();
	job = unmap_for_ever();
	lost_as_ungrafted();
	require(wait_state(&dev_a, "reported", opt.limit_ms), "reported", "%s", dev_a.bdf);
	check_eq(broken_count(&dev_a) - base_a, 1, "broken-count");
	check_as_ungrafted(job);
	/* Whatever blocks it is work that the report has only queued */
	check(!wait_for(is_quarantined, &dev_a, 6 * opt.hw_timeout_ms), "not-quarantined", "%s",
	      dev_a.bdf);
	check(state_is(&dev_a, "reported"), "still-reported", "%s", dev_a.bdf);
	check_eq(broken_count(&dev_a) - base_a, 1, "broken-count-later");
}

static bool timed_out(void *d)
{
	return ctl_read(d, CTL_TIMEOUTS) > 0;
}

/* C12, iommu_quarantine=off: like the ungrafted kernel. Needs the graft. Red: option-unknown. */
static void s_param_off(void)
{
	struct job *job;

	needs_graft();
	job = unmap_for_ever();
	lost_as_ungrafted();
	check_as_ungrafted(job);
	if (opt.vendor == INTEL)
		check_ge(ctl_read(&dev_a, CTL_TIMEOUTS), 2, "timeouts");
	check(wait_for(timed_out, &dev_a, opt.limit_ms), "timeout", "%s", dev_a.bdf);
	check(!state_is(&dev_a, "reported") && !state_is(&dev_a, "quarantined"), "not-reported",
	      "%s", dev_a.bdf);
}

/* C12, iommu_quarantine=panic. Needs the graft. Red: report-does-not-panic. */
static void s_param_panic(void)
{
	needs_graft();
	expect_panic();
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check(false, "panicked", "the flush returned instead");
}

/* ---- the IOMMU itself is silent ---- */

#define TAINT_MACHINE_CHECK	BIT(4)

/* No answer and no timeout, ever; the bound is a second instead of minutes. */
static struct job *silence(void)
{
	struct job *job;
	u32 page;

	needs_hold(WAIT_BOUND);
	page = map_with_ats(&dev_a, 1);
	if (grafted)
		require(!write_file(WAIT_BOUND, "1000000000"), "bound-set", WAIT_BOUND);
	ctl_write(&dev_a, CTL_FLAGS, CTL_NEVER);
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	job = unmap_prepare(CPU_CULPRIT, page, 1, IQ_F_REUSE);
	job_go(job);
	return job;
}

static unsigned long stat_of(const char *name)
{
	char text[1024], *p;

	if (read_file(STATS, text, sizeof(text)) < 0)
		return ~0ul;
	p = strstr(text, name);
	return p ? strtoul(p + strlen(name), NULL, 10) : ~0ul;
}

static bool tainted_machine_check(void)
{
	char text[32];

	return read_file("/proc/sys/kernel/tainted", text, sizeof(text)) > 0 &&
	       strtoul(text, NULL, 10) & TAINT_MACHINE_CHECK;
}

/*
 * C1, last_resort=none: the flush returns when the bound is over, and that
 * memory is not protected is said by counter and taint. That it waits is said
 * before. Red: plain.
 */
static void s_silent_none(void)
{
	struct job *job = silence();

	lost_on_purpose();
	unmap_wait(job);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 0, "timeouts");
	check_ge(kmsg_count("has not answered for"), 1, "wait-was-said");
	check_ge(stat_of("lost "), 1, "loss-counted");
	check(tainted_machine_check(), "tainted", "machine check");
}

/* The bus master bit of the port above a device. */
static bool port_is_master(struct device *d)
{
	char path[96];
	unsigned char cfg[6] = { 0 };
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", d->port);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fread(cfg, 1, sizeof(cfg), f) != sizeof(cfg))
		cfg[4] = 0;
	fclose(f);
	return cfg[4] & 4;
}

/*
 * C1, last_resort=busmaster: what needs no queue, the port above the device
 * stops forwarding. The model does not look at that bit, so the test does. Once the
 * IOMMU answers again and the device was reset it forwards again, where an IOMMU is
 * not given up for good. Red: plain, port-stays-shut.
 */
static void s_silent_busmaster(void)
{
	struct job *job;
	u32 page;

	require(port_is_master(&dev_a) && port_is_master(&dev_b), "ports-are-masters", "both");
	begin();
	page = map_with_ats(&dev_b, 1);
	job = silence();
	lost_on_purpose();
	unmap_wait(job);
	check(!port_is_master(&dev_a), "port-stopped", "above %s", dev_a.bdf);
	check(port_is_master(&dev_b), "other-port-works", "above %s", dev_b.bdf);
	/* The IOMMU's own TLB was not heard of either, and that is said. */
	check_ge(stat_of("lost "), 1, "loss-counted");
	check_eq(broken_count(&dev_a) - base_a, 1, "broken-count");
	check_eq(broken_count(&dev_b) - base_b, 0, "neighbour-broken-count");
	if (opt.vendor == INTEL)
		return;
	ctl_write(&dev_a, CTL_FLAGS, 0);
	unmap(CPU_CULPRIT, page, 1, 0);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	check(port_is_master(&dev_a), "port-works-again", "above %s", dev_a.bdf);
}

/* C1, last_resort=panic, the default. Needs the graft. Red: amd-silence-does-not-panic. */
static void s_silent_panic(void)
{
	struct job *job;

	needs_graft();
	expect_panic();
	job = silence();
	unmap_wait(job);
	check(false, "panicked", "the flush returned instead");
}

/*
 * C1, last_resort=none. Each flush that returns unprotected is counted, and when
 * the IOMMU answers again the device that was the matter is fenced like any
 * other. Red: plain, amd-lost-for-ever, arm-lost-for-ever.
 */
static void s_silent_back(void)
{
	unsigned long lost, again;
	struct iq_unmap u;
	u32 page[2];

	if (opt.vendor == INTEL)
		skip("VT-d is given up for good");
	begin();
	for (int i = 0; i < 2; i++)
		page[i] = map_with_ats(&dev_a, 1);
	unmap_wait(silence());
	check(tainted_machine_check(), "tainted", "machine check");
	lost = stat_of("lost ");
	check_ge(lost, 1, "loss-counted");
	unmap(CPU_CULPRIT, page[0], 1, IQ_F_REUSE);
	again = stat_of("lost ");
	check_ge(again, lost + 1, "second-loss-counted");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 0, "timeouts-of-a-silent-one");

	ctl_write(&dev_a, CTL_FLAGS, 0);
	u = unmap(CPU_CULPRIT, page[1], 1, REUSED);
	check_eq(u.bad_pages, 0, "reused-pages-damaged");
	check_eq(ctl_read(&dev_a, CTL_STALE_OK), 0, "stale-writes-through");
	check_ge(ctl_read(&dev_a, CTL_STALE_BLOCKED), 1, "stale-writes-blocked");
	/* C3: what was queued by then, which is the second flush's. */
	check_le(ctl_read(&dev_a, CTL_INV_QUEUED_AFTER), 1, "invalidations-after-timeout");
	check_eq(stat_of("lost "), again, "no-more-losses");
	check_quarantined(&dev_a, base_a, 1);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
	/* It waits for the hardware as before: the next one costs no loss either. */
	ctl_write(&dev_a, CTL_CLEAR, 1);
	ctl_write(&dev_a, CTL_TIMEOUT_MS, 2000);
	require(!write_file(WAIT_BOUND, "4000000000"), "bound-set", WAIT_BOUND);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_eq(stat_of("lost "), again, "no-losses-later");
	check_quarantined(&dev_a, base_a, 2);
	require(!write_file(WAIT_BOUND, "0"), "bound-reset", WAIT_BOUND);
}

/*
 * C1, C3, last_resort=none: flushes go on until the command buffer of the silent
 * IOMMU is full. None hangs, and each one is counted. Red: plain,
 * amd-loses-silently.
 */
static void s_amd_silent_full(void)
{
	const unsigned int pages = 300;
	unsigned long lost;
	struct iq_unmap u;
	u32 first;

	needs_hold(WAIT_BOUND);
	begin();
	first = map_with_ats(&dev_b, pages);
	unmap_wait(silence());
	check(tainted_machine_check(), "tainted", "machine check");
	lost_on_purpose();
	lost = stat_of("lost ");
	/* As many at a time as are done within the limit: 100 ms each, or more */
	for (u32 i = 0; i < pages; i += 20) {
		u = unmap(CPU_CULPRIT, first + i, 20, 0);
		note("longest_unmap_us", u.max_ns / 1000);
	}
	check_ge(kmsg_count("Command buffer timeout"), 1, "buffer-was-full");
	check_ge(stat_of("lost ") - lost, pages, "losses-counted");
}

/* ---- CPUs that wait for the one that waits for the hardware ---- */

/*
 * C3: hardware takes its time, and a second CPU stands with irqs off behind the
 * flush, perhaps at a lock of the driver: no watchdog barks at either. Red: plain;
 * soft lockup (the machine's end) where only the waiting CPU's were told.
 */
static void s_watchdogs(void)
{
	static const char thresh[] = "/proc/sys/kernel/watchdog_thresh";
	struct job *first, *second;
	unsigned int said;
	struct iq_unmap u;
	u32 page;

	begin();
	require(exists(thresh), "watchdogs", "%s", thresh);
	page = map_with_ats(&dev_a, 2);
	/* A CPU counts as locked up after two or three times that. */
	require(!write_file(thresh, "2"), "thresh-set", "%s", thresh);
	ctl_write(&dev_a, CTL_TIMEOUT_MS, 9000);
	said = kmsg_count("LOCKUP");
	wedge(&dev_a, WEDGE_UNTIL_RESET);
	second = unmap_prepare(CPU_SECOND, page + 1, 1, REUSED | IQ_F_IRQS_OFF);
	first = unmap_start(CPU_CULPRIT, page, 1, REUSED);
	wait_for(invalidation_ignored, &dev_a, opt.limit_ms);
	job_go(second);
	u = unmap_wait(first);
	check_fenced(&dev_a, &u);
	u = unmap_wait(second);
	check_fenced(&dev_a, &u);
	require(!write_file(thresh, "10"), "thresh-reset", "%s", thresh);
	check_eq(kmsg_count("LOCKUP") - said, 0, "no-watchdog-barks");
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_quarantined(&dev_a, base_a, 1);
}

/* ---- SMMUv3 ---- */

/* The irq's number in /proc/interrupts, or -1. */
static int irq_named(const char *name)
{
	static char text[65536];
	char *p;

	if (read_file("/proc/interrupts", text, sizeof(text)) < 0)
		return -1;
	p = strstr(text, name);
	if (!p)
		return -1;
	while (p > text && p[-1] != '\n')
		p--;
	return atoi(p);
}

/*
 * R12: the error's irq belongs to the CPU that polls with irqs off, so that
 * nobody but the poller can notice. Red: plain, arm-irq-only.
 */
static void s_arm_gerror_cpu(void)
{
	char path[64], cpu[16];
	int irq = irq_named("gerror");

	require(irq > 0, "irq-found", "of the SMMU's global errors: %d", irq);
	begin();
	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list", irq);
	snprintf(cpu, sizeof(cpu), "%d", CPU_CULPRIT);
	require(!write_file(path, cpu), "irq-pinned", "%s to CPU %s", path, cpu);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, IQ_F_IRQS_OFF);
	check_quarantined(&dev_a, base_a, 1);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	write_file(path, "0-3");
}

/*
 * C4, C9: a fenced device writes at full rate, and each write is an event; its
 * neighbour's own fault is still told. Red: plain, arm-not-muted.
 */
static void s_arm_flood(void)
{
	unsigned int said, blocked;
	struct iq_unmap u;
	u32 page, other;

	needs_hold(HOLD_WORK);
	begin();
	page = map_with_ats(&dev_b, 1);
	other = map_with_ats(&dev_a, 1);
	unmap(CPU_CULPRIT, other, 1, 0);
	/* The work would block it: it writes because that is held. */
	if (grafted)
		require(!write_file(HOLD_WORK, "1"), "work-hold-armed", HOLD_WORK);
	wedge(&dev_b, WEDGE_UNTIL_RESET);
	u = unmap(CPU_CULPRIT, page, 1, REUSED);
	check_fenced(&dev_b, &u);
	blocked = ctl_read(&dev_b, CTL_STALE_BLOCKED);
	for (int i = 0; i < 100; i++)
		ctl_write(&dev_b, CTL_DOORBELL, 1);
	check_ge(ctl_read(&dev_b, CTL_STALE_BLOCKED), blocked + 100, "queue-was-flooded");
	said = smmu_events(&dev_a);
	check(!(ep_cmd(&dev_a, EP_WRITE_UNTRANSLATED, other, 0xbad) & EP_ST_OK), "dma-refused",
	      "of what is not mapped");
	usleep(200000);
	check_ge(smmu_events(&dev_a) - said, 1, "neighbour-event-told");
	require(!write_file(HOLD_WORK, "0"), "work-released", HOLD_WORK);
	check_quarantined(&dev_b, base_b, 1);
	check_eq(ctl_read(&dev_b, CTL_TIMEOUTS), 1, "timeouts");
}

/* C1: CFGI and TLBI work no sooner than at the CMD_SYNC. Red: plain. */
static void s_arm_lazy(void)
{
	begin();
	ctl_write(&dev_a, CTL_FLAGS, CTL_SMMU_LAZY);
	break_and_unmap(&dev_a, WEDGE_UNTIL_RESET, 0);
	check_quarantined(&dev_a, base_a, 1);
	check_eq(ctl_read(&dev_a, CTL_TIMEOUTS), 1, "timeouts");
	check_innocent(&dev_b, base_b);
	check_eq((u64)-flr(&dev_a), 0, "flr");
	check_recovered(&dev_a);
}

/* All of @d in one domain of the first, with one page of it in each one's ATC. */
static u32 share_a_page(struct device **d, unsigned int n)
{
	u32 page;

	check_eq((u64)-attach(d[0]), 0, "attach");
	for (unsigned int i = 1; i < n; i++)
		require(!attach_peers(d[i], d[0]), "attach-to-peers", "%s", d[i]->bdf);
	page = map_private_pages(d[0], 1);
	for (unsigned int i = 0; i < n; i++)
		require(ep_cmd(d[i], EP_FETCH, page, 0) & EP_ST_OK, "fetched", "%s", d[i]->bdf);
	/* All have returned, and there is room for so many only. */
	jobs_forget();
	return page;
}

/* After a reset of the dead ones: to where they come from. */
static void unshare(struct device **d, unsigned int n)
{
	while (n--)
		check_eq((u64)-detach(d[n]), 0, "detach");
	jobs_forget();
}

/*
 * C4, C5: one batch asks @n devices, of which those in @dead never answer. They
 * go, and no other; and the others lose nothing.
 */
static void batch(struct device **d, unsigned int n, const unsigned int *dead,
		  unsigned int n_dead)
{
	unsigned int timeout = ctl_read(d[0], CTL_TIMEOUT_MS), stall;
	unsigned int base[2 + MORE];
	struct iq_unmap u;
	bool is_dead;
	u32 page;

	page = share_a_page(d, n);
	for (unsigned int i = 0; i < n; i++)
		base[i] = broken_count(d[i]);
	for (unsigned int i = 0; i < n_dead; i++)
		wedge(d[dead[i]], WEDGE_UNTIL_RESET);
	stall = ctl_read(d[0], CTL_STALL_MS);
	u = unmap(CPU_CULPRIT, page, 1, REUSED);
	stall = ctl_read(d[0], CTL_STALL_MS) - stall;
	for (unsigned int i = 0; i < n_dead; i++) {
		ctl_write(d[dead[i]], CTL_DOORBELL, 1);
		/* C3: alone, before the fence, and not once behind it. */
		check_le(ctl_read(d[dead[i]], CTL_INV_QUEUED_AFTER), 1,
			 "invalidations-after-timeout");
	}
	check_eq(u.bad_pages + damaged(page, 1, 0), 0, "reused-pages-damaged");
	/* C3: the batch once, and each dead one once more, alone. */
	check_le(stall, (1 + n_dead) * timeout + 9 * timeout / 10, "stood-still-ms");
	check_le(ctl_read(d[0], CTL_TIMEOUTS), 1 + n_dead, "timeouts");
	note("timeouts", ctl_read(d[0], CTL_TIMEOUTS));
	note("stood_still_ms", stall);
	for (unsigned int i = 0; i < n; i++) {
		is_dead = false;
		for (unsigned int k = 0; k < n_dead; k++)
			is_dead |= dead[k] == i;
		if (is_dead) {
			check_eq(ctl_read(d[i], CTL_STALE_OK), 0, "stale-writes-through");
			check_quarantined(d[i], base[i], 1);
			check_eq((u64)-flr(d[i]), 0, "flr");
			require(wait_state(d[i], "healthy", opt.limit_ms), "recovered", "%s",
				d[i]->bdf);
			continue;
		}
		check_eq(ep_read(d[i], EP_ATC_ENTRIES), 0, "neighbour-was-asked");
		check(state_is(d[i], "healthy"), "neighbour-healthy", "%s", d[i]->bdf);
		check_eq(broken_count(d[i]) - base[i], 0, "neighbour-broken-count");
	}
	unshare(d, n);
}

/*
 * C5: in the batch of a dead device, a neighbour takes its time and answers. Not
 * by elapsed time: it stays. Red: plain.
 */
static void s_arm_slow_neighbour(void)
{
	struct device *all[] = { &dev_a, &dev_b };
	const unsigned int dead = 0;

	begin();
	ctl_write(&dev_a, CTL_TIMEOUT_MS, 1000);
	ctl_write(&dev_b, CTL_DELAY_MS, 600);
	wedge(&dev_b, WEDGE_SLOW);
	batch(all, 2, &dead, 1);
	check_eq(ctl_read(&dev_b, CTL_WEDGE), WEDGE_SLOW, "was-slow-all-along");
	ctl_write(&dev_b, CTL_DELAY_MS, 0);
}

/* C3: two dead devices, and nobody else, in one batch. Red: plain. */
static void s_arm_two_dead(void)
{
	struct device *all[] = { &dev_a, &dev_b };
	static const unsigned int dead[] = { 0, 1 };

	begin();
	batch(all, 2, dead, 2);
}

/* 32 devices: the batches of CMD_ATC_INVs are as long. */
static void all_devices(struct device **d)
{
	if (n_more < MORE)
		skip("needs 32 endpoints");
	begin();
	d[0] = &dev_a;
	d[1] = &dev_b;
	for (unsigned int i = 0; i < MORE; i++)
		d[2 + i] = &dev_more[i];
}

/* C4, C5: a batch of 32, and the dead one anywhere in it. Red: plain. */
static void s_arm_batch(void)
{
	static const unsigned int dead[] = { 0, 1, 15, 30, 31 };
	struct device *d[2 + MORE];

	all_devices(d);
	for (unsigned int i = 0; i < ARRAY_SIZE(dead); i++) {
		ctl_write(&dev_a, CTL_CLEAR, 1);
		batch(d, ARRAY_SIZE(d), &dead[i], 1);
	}
}

/* C3, C5: two dead ones of 32, side by side and at both ends. Red: plain. */
static void s_arm_batch_two(void)
{
	static const unsigned int dead[][2] = { { 0, 31 }, { 14, 15 } };
	struct device *d[2 + MORE];

	all_devices(d);
	for (unsigned int i = 0; i < ARRAY_SIZE(dead); i++) {
		ctl_write(&dev_a, CTL_CLEAR, 1);
		batch(d, ARRAY_SIZE(d), dead[i], 2);
	}
}

const struct scenario scenarios[] = {
	{ "healthy", "main", s_healthy },
	{ "healthy_neighbour", "main", s_healthy_neighbour },
	{ "wedge_unmap", "main", s_wedge_unmap },
	{ "wedge_irqs_off", "main", s_wedge_irqs_off },
	{ "wedge_writing", "main", s_wedge_writing },
	{ "recover", "main", s_recover },
	{ "twice", "main", s_twice },
	{ "probe", "main", s_probe },
	{ "idle_reset", "main", s_idle_reset },
	{ "attach_busy", "main", s_attach_busy },
	{ "kind_flr", "main", s_kind_flr },
	{ "kind_acpi", "acpi", s_kind_acpi },
	{ "kind_af_flr", "main", s_kind_af_flr },
	{ "kind_pm", "main", s_kind_pm },
	{ "kind_bus", "main", s_kind_bus },
	{ "kind_device_specific", "main", s_kind_device_specific },
	{ "kind_slot", "main", s_kind_slot },
	{ "kind_hot_reset", "main", s_kind_hot_reset },
	{ "kind_subordinate", "main", s_kind_subordinate },
	{ "kind_aer", "main", s_kind_aer },
	{ "kind_power", "main", s_kind_power },
	{ "suspend", "main", s_suspend },
	{ "kind_vf_flr", "main", s_kind_vf_flr },
	{ "kind_pf_flr", "main", s_kind_pf_flr },
	{ "pf_broken", "main", s_pf_broken },
	{ "vf_disabled", "main", s_vf_disabled },
	{ "vf_quiet", "main", s_vf_quiet },
	{ "bus_quiet", "main", s_bus_quiet },
	{ "siblings", "main", s_siblings },
	{ "wedge_reset", "main", s_wedge_reset },
	{ "reset_meanwhile", "main", s_reset_meanwhile },
	{ "reset_then_dead", "main", s_reset_then_dead },
	{ "vfio_reset", "main", s_vfio_reset },
	{ "vfio_hot_reset", "main", s_vfio_hot_reset },
	{ "vfio_close", "main", s_vfio_close },
	{ "vfio_dies", "main", s_vfio_dies },
	{ "pasid", "main", s_pasid },
	{ "pasid_busy", "main", s_pasid_busy },
	{ "many", "main", s_many },
	{ "four_cpus", "main", s_four_cpus },
	{ "both", "main", s_both },
	{ "vanished", "main", s_vanished },
	{ "old_hardware", "main", s_old_hardware },
	{ "dead_read", "main", s_dead_read },
	{ "slow_hardware", "main", s_slow_hardware },
	{ "neighbour_unmaps", "main", s_neighbour_unmaps },
	{ "neighbour_ahead", "main", s_neighbour_ahead },
	{ "neighbour_quiet", "main", s_neighbour_quiet },
	{ "shared_domain", "main", s_shared_domain },
	{ "irte", "main", s_irte },
	{ "hold_flush", "main", s_hold_flush },
	{ "hold_attach", "main", s_hold_attach },
	{ "attach_fenced", "main", s_attach_fenced },
	{ "unbind_bind", "main", s_unbind_bind },
	{ "unbind_wedged", "main", s_unbind_wedged },
	{ "remove_quarantined", "main", s_remove_quarantined },
	{ "remove_wedged", "main", s_remove_wedged },
	{ "remove_pending", "main", s_remove_pending },
	{ "unbind_pending", "main", s_unbind_pending },
	{ "rescan_quarantined", "main", s_rescan_quarantined },
	{ "rescan_wedged", "main", s_rescan_wedged },
	{ "hotplug_healthy", "hotplug", s_hotplug_healthy },
	{ "hotplug_quarantined", "hotplug", s_hotplug_quarantined },
	{ "hotplug_wedged", "hotplug", s_hotplug_wedged },
	{ "remove_sibling", "main", s_remove_sibling },
	{ "admin", "main", s_admin },
	{ "events", "main", s_events },
	{ "amd_event_before", "amd", s_amd_event_before },
	{ "amd_event_after", "amd", s_amd_event_after },
	{ "amd_halt", "amd", s_amd_halt },
	{ "amd_drop_wait", "amd", s_amd_drop_wait },
	{ "amd_lines", "amd", s_amd_lines },
	{ "amd_overflow", "amd", s_amd_overflow },
	{ "amd_event_gone", "amd", s_amd_event_gone },
	{ "failing_reset", "slow", s_failing_reset },
	{ "param_report", "report", s_param_report },
	{ "param_off", "off", s_param_off },
	{ "param_panic", "panic", s_param_panic },
	{ "silent_none", "silent", s_silent_none },
	{ "silent_busmaster", "busmaster", s_silent_busmaster },
	{ "silent_panic", "silent-panic", s_silent_panic },
	{ "watchdogs", "main", s_watchdogs },
	{ "poweroff", "main", s_poweroff },
	{ "hibernate", "hibernate", s_hibernate },
	{ "kexec", "kexec", s_kexec },
	{ "after_kexec", "kexec", s_after_kexec },
	{ "kdump", "kdump", s_kdump },
	{ "after_crash", "kdump", s_after_crash },
	{ "silent_back", "silent-back", s_silent_back },
	{ "amd_silent_full", "amd-full", s_amd_silent_full },
	{ "arm_gerror_cpu", "arm", s_arm_gerror_cpu },
	{ "arm_flood", "arm", s_arm_flood },
	{ "arm_lazy", "arm", s_arm_lazy },
	{ "arm_slow_neighbour", "arm", s_arm_slow_neighbour },
	{ "arm_two_dead", "arm", s_arm_two_dead },
	{ "arm_batch", "arm-wide", s_arm_batch },
	{ "arm_batch_two", "arm-wide", s_arm_batch_two },
	{ "bench_unmap", "bench", s_bench_unmap },
	{ "bench_unmap_shared", "bench", s_bench_unmap_shared },
};

const unsigned int n_scenarios = ARRAY_SIZE(scenarios);
