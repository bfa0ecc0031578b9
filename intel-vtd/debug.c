// SPDX-License-Identifier: GPL-2.0-only
/* Hold point between FENCING and FENCED, and counters; see core/debug.c */

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/nmi.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>

#include "backend.h"

#define HOLD_NS	(10ULL * NSEC_PER_SEC)

static atomic_t hold = ATOMIC_INIT(0);
static atomic_t held = ATOMIC_INIT(0);
static atomic_t release_seq = ATOMIC_INIT(0);

void vtd_debug_hold_fence(void)
{
	int seq = atomic_read(&release_seq);
	u64 end;

	if (!atomic_add_unless(&hold, -1, 0))
		return;

	end = ktime_get_mono_fast_ns() + HOLD_NS;
	atomic_inc(&held);
	while (atomic_read(&release_seq) == seq &&
	       ktime_get_mono_fast_ns() < end) {
		touch_nmi_watchdog();
		rcu_cpu_stall_reset();
		cpu_relax();
	}
	atomic_dec(&held);
}

static int hold_fence_get(void *data, u64 *val)
{
	*val = atomic_read(&held);
	return 0;
}

static int hold_fence_set(void *data, u64 val)
{
	if (val > INT_MAX)
		return -EINVAL;
	atomic_set(&hold, val);
	if (!val)
		atomic_inc(&release_seq);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hold_fence_fops, hold_fence_get, hold_fence_set,
			 "%llu\n");

static int stats_show(struct seq_file *m, void *unused)
{
	static const char * const names[VTD_NR_STATS] = {
		[VTD_STAT_TIMEOUTS]	= "timeouts",
		[VTD_STAT_FENCES]	= "fences",
		[VTD_STAT_NARROWINGS]	= "narrowings",
		[VTD_STAT_SCRUBBED]	= "scrubbed",
		[VTD_STAT_FILTERED]	= "filtered",
		[VTD_STAT_RERUNS]	= "reruns",
		[VTD_STAT_LOST]		= "lost",
	};
	int i;

	for (i = 0; i < VTD_NR_STATS; i++)
		seq_printf(m, "%s %llu\n", names[i], vtd_stat_read(i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int __init vtd_debug_init(void)
{
	struct dentry *dir, *core;

	core = debugfs_lookup("iommu_quarantine", NULL);
	dir = debugfs_create_dir("intel", core);
	dput(core);
	debugfs_create_file_unsafe("hold_fence", 0600, dir, NULL,
				   &hold_fence_fops);
	debugfs_create_u64("wait_bound_ns", 0600, dir, &vtd_wait_bound_ns);
	debugfs_create_file("stats", 0400, dir, NULL, &stats_fops);
	return 0;
}
late_initcall(vtd_debug_init);
