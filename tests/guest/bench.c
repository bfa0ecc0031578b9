// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a healthy device pays: figures, no verdicts. One figure is the mean of
 * a row of operations, the smallest of several rows.
 *
 *   # B <name> <picoseconds of guest time for one operation>
 *
 * The runner boots with -icount, where an instruction takes a nanosecond: the
 * figures count instructions, and hardly depend on the host.
 */
#include <string.h>

#include "guest.h"

#define ROWS	8u
#define PAGES	512u

static void figure(const char *name, u64 ns, unsigned int count)
{
	emit("# B %s %llu", name, (unsigned long long)(ns * 1000 / count));
}

/* Strict unmaps one by one, each with its device-TLB invalidation. */
void s_bench_unmap(void)
{
	u64 best = ~0ull;

	for (unsigned int row = 0; row < ROWS; row++) {
		u32 first = map_with_ats(&dev_a, PAGES);
		struct iq_unmap u = unmap(CPU_CULPRIT, first, PAGES, 0);

		best = u.total_ns < best ? u.total_ns : best;
	}
	figure("unmap", best, PAGES);
}

/* Likewise in a domain of two devices, each of which has to be invalidated. */
void s_bench_unmap_shared(void)
{
	u64 best = ~0ull;

	require(!attach(&dev_b), "attach", "%s", dev_b.bdf);
	require(!attach_peers(&dev_a, &dev_b), "attach-to-peers", "%s", dev_a.bdf);
	for (unsigned int row = 0; row < ROWS; row++) {
		u32 first = map_private_pages(&dev_b, PAGES);
		struct iq_unmap u = unmap(CPU_CULPRIT, first, PAGES, 0);

		best = u.total_ns < best ? u.total_ns : best;
	}
	require(!detach(&dev_a), "detach", "%s", dev_a.bdf);
	require(!detach(&dev_b), "detach", "%s", dev_b.bdf);
	figure("unmap_shared", best, PAGES);
}
