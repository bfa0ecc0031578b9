// SPDX-License-Identifier: GPL-2.0-only
/*
 * The demonstration: one story, the same on every kernel, streamed as it
 * happens, since on the ungrafted kernel the machine does not live to its end.
 *
 *   # T <ns> <step> [text]   one step of the timeline, CLOCK_MONOTONIC
 *   # N <name> <value>       a figure; the last one of a name counts
 *
 * init sits on CPU 0 and only watches. CPU 1 unmaps, CPU 2 resets, CPU 3 is
 * the neighbour's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define PAGES		4
#define WINDOW_MS	8000	/* after the breakage */
#define GIVE_UP_MS	6000	/* when the operator tries a reset in any case */
#define STREAM_MS	250

static void step(u64 when, const char *name, const char *text)
{
	emit("# T %llu %s %s", (unsigned long long)when, name, text);
}

static void figure(const char *name, u64 value)
{
	emit("# N %s %llu", name, (unsigned long long)value);
}

static int trace_on(void)
{
	if (write_file(TRACING "/trace_clock", "mono") ||
	    write_file(TRACING "/events/iommu_quarantine/enable", "1"))
		return -1;
	return open(TRACING "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void figures(void)
{
	struct iq_neighbour n = neighbour_read(&dev_b);
	struct iq_beat b = beat(false);
	u64 gap = 0;

	/* CPU 0 is the observer's and says nothing about the others. */
	for (unsigned int cpu = 1; cpu < b.cpus; cpu++)
		if (b.max_gap_ns[cpu] > gap)
			gap = b.max_gap_ns[cpu];
	figure("at_ns", now_ns());
	figure("timeouts", ctl_read(&dev_a, CTL_TIMEOUTS));
	figure("irqs_off_ns", gap);
	figure("stale_through", ctl_read(&dev_a, CTL_STALE_OK));
	figure("stale_blocked", ctl_read(&dev_a, CTL_STALE_BLOCKED));
	figure("after_timeout", ctl_read(&dev_a, CTL_INV_QUEUED_AFTER));
	figure("neighbour_ops", n.completed);
	figure("neighbour_errors", n.errors + n.stale);
	figure("neighbour_max_ns", n.max_ns > n.busy_ns ? n.max_ns : n.busy_ns);
}

struct story {
	bool vanishes;
	u32 pages;
	u64 broke;
	struct job *unmap, *reset;
	bool unmapped, reset_done, over;
	bool recovered;
	u32 timeouts;
	u32 reused, bad;
	int trace;
	u64 streamed;
};

static void watch_hardware(struct story *s, u64 now)
{
	u32 timeouts = ctl_read(&dev_a, CTL_TIMEOUTS);
	char text[64];

	if (timeouts == s->timeouts || timeouts == ~0u)
		return;
	s->timeouts = timeouts;
	snprintf(text, sizeof(text), "number %u", timeouts);
	step(now, "timeout", text);
}

/* The kernel's own times: "... 12.345678: iommu_device_broken: ...". */
static void drain_trace(struct story *s)
{
	static const struct {
		const char *event, *step;
	} map[] = {
		{ "iommu_device_fenced: ", "fenced" },
		{ "iommu_device_broken: ", "reported" },
		{ "iommu_device_quarantined: ", "quarantined" },
		{ "iommu_device_recovered: ", "recovered" },
	};
	static char text[4096];
	char *line, *save;
	ssize_t n;

	if (s->trace < 0)
		return;
	n = read(s->trace, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		for (unsigned int i = 0; i < ARRAY_SIZE(map); i++) {
			char *at = strstr(line, map[i].event);
			char *stamp;
			u64 when;

			if (!at || at - line < 3)
				continue;
			/* Back over ": " and the time before it. */
			stamp = at - 2;
			while (stamp > line && stamp[-1] != ' ')
				stamp--;
			when = (u64)(strtod(stamp, NULL) * 1e9);
			/*
			 * The fence follows the timeout within less than we
			 * can see: its time is the timeout's.
			 */
			if (!i)
				watch_hardware(s, when);
			step(when, map[i].step, at + strlen(map[i].event));
		}
	}
}

/* Shared with the job while it runs: on the ungrafted kernel it never ends. */
struct unmapping {
	u32 first;
	u32 done;
	u64 total_ns;
};

static long unmap_all(void *arg)
{
	struct unmapping *m = arg;
	int ret;

	for (u32 i = 0; i < PAGES; i++) {
		struct iq_unmap u = {
			.first = m->first + i, .count = 1,
			.flags = IQ_F_REUSE | IQ_F_DOORBELL,
		};

		ret = iq(IQ_UNMAP, &u);
		if (ret)
			return ret;
		m->total_ns += u.total_ns;
		__atomic_store_n(&m->done, i + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Of the pages that somebody else has by now. */
static u32 damaged_pages(struct story *s, u32 *reused)
{
	struct unmapping *m = job_arg(s->unmap);

	*reused = __atomic_load_n(&m->done, __ATOMIC_ACQUIRE);
	return *reused ? damaged(s->pages, *reused, 0) : 0;
}

static void watch_unmap(struct story *s)
{
	struct unmapping *m = job_arg(s->unmap);
	u32 reused, bad;
	char text[96];

	bad = damaged_pages(s, &reused);
	if (bad != s->bad || reused != s->reused) {
		figure("damaged_pages", bad);
		figure("reused_pages", reused);
		s->bad = bad;
		s->reused = reused;
	}
	if (s->unmapped || !job_wait(s->unmap, 0))
		return;
	s->unmapped = true;
	snprintf(text, sizeof(text), "%u pages, %llu ms; reused at once, %u damaged", PAGES,
		 (unsigned long long)(m->total_ns / 1000000), bad);
	step(now_ns(), "unmapped", text);
}

static void watch_reset(struct story *s, u64 now)
{
	u32 reused, bad;
	char text[64];
	bool settled = s->unmapped && (!grafted || state_is(&dev_a, "quarantined"));

	if (!s->reset && (settled || now - s->broke > GIVE_UP_MS * 1000000ull)) {
		if (s->vanishes) {
			ctl_write(&dev_a, CTL_WEDGE, WEDGE_UNTIL_RESET);
			step(now, "link-back", "and the device writes what it meant to write");
			ctl_write(&dev_a, CTL_DOORBELL, 1);
			bad = damaged_pages(s, &reused);
			snprintf(text, sizeof(text), "%u of %u pages damaged", bad, reused);
			step(now_ns(), "reused-pages", text);
		}
		step(now_ns(), "reset", "FLR by the administrator");
		s->reset = device_write_start(CPU_SECOND, &dev_a, "reset", "1");
	}
	if (!s->reset || s->reset_done || !job_wait(s->reset, 0))
		return;
	s->reset_done = true;
	step(now_ns(), "reset-done", job_ret(s->reset) ? strerror((int)-job_ret(s->reset)) : "");
}

static bool io_again(void)
{
	struct iq_map m = { .bdf = dev_a.rid, .count = 1 };
	u32 st;

	if (!ats_enabled(&dev_a) || iq(IQ_MAP, &m))
		return false;
	st = ep_cmd(&dev_a, EP_FETCH, m.first, 0);
	if (st & EP_ST_OK)
		st = ep_cmd(&dev_a, EP_WRITE, m.first, 0x900d);
	return st & EP_ST_OK && st & EP_ST_ATS && !damaged(m.first, 1, 0x900d);
}

static void watch_recovery(struct story *s)
{
	if (s->recovered || !s->reset_done || job_ret(s->reset))
		return;
	if (grafted && !state_is(&dev_a, "healthy"))
		return;
	drain_trace(s);
	/* A stuck unmap means that the queue is stuck: no more I/O from here. */
	if (!s->unmapped || !io_again())
		return;
	s->recovered = true;
	step(now_ns(), "io-again", "written through the ATC and verified");
}

static bool watch(void *arg)
{
	struct story *s = arg;
	u64 now;

	watch_hardware(s, now_ns());
	drain_trace(s);
	watch_unmap(s);
	now = now_ns();
	watch_reset(s, now);
	watch_recovery(s);
	if (now - s->streamed > STREAM_MS * 1000000ull) {
		s->streamed = now;
		figures();
	}
	return false;
}

static bool neighbour_runs(void *unused)
{
	(void)unused;
	return neighbour_read(&dev_b).completed >= 50;
}

static void tell(void)
{
	struct unmapping m = {};
	struct story s = { .vanishes = !strcmp(opt.run, "vanished") };

	s.pages = map_with_ats(&dev_a, PAGES);
	s.trace = trace_on();
	neighbour_start(&dev_b, IQ_N_UNMAP, CPU_NEIGHBOUR);
	require(wait_for(neighbour_runs, NULL, opt.limit_ms), "neighbour-runs", "%s", dev_b.bdf);
	beat(true);
	ctl_write(&dev_a, CTL_CLEAR, 1);
	step(now_ns(), "io", "both devices write through their ATCs, ATS is on");

	figure("neighbour_ops_before", neighbour_read(&dev_b).completed);
	wedge(&dev_a, s.vanishes ? WEDGE_VANISHED : WEDGE_UNTIL_RESET);
	s.broke = now_ns();
	step(s.broke, s.vanishes ? "vanished" : "wedged", dev_a.bdf);
	figure("broke_ns", s.broke);
	m.first = s.pages;
	s.unmap = job_start(CPU_CULPRIT, unmap_all, &m, sizeof(m));

	wait_for(watch, &s, WINDOW_MS);
	figures();
	figure("recovered", s.recovered);
	figure("unmap_returned", s.unmapped);
	figure("reset_returned", s.reset_done);
	step(now_ns(), "end", "");
	if (!s.unmapped || (s.reset && !s.reset_done))
		lost_on_purpose();
}

bool demo(void)
{
	enum verdict v = run_scenario("demo", tell);

	if (v == FAILED)
		emit("# iq: the demonstration failed at %s", first_failure());
	return v != STUCK && heal();
}
