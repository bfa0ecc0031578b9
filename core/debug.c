// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hold points: they widen windows that last microseconds, so that a test can
 * stand in them. Bounded, and bound to debugfs, which lockdown closes. And what
 * the backends count.
 */

#include <kunit/visibility.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/wait.h>

#include "quarantine.h"

#define HOLD_SECONDS	10

static DECLARE_WAIT_QUEUE_HEAD(hold_wait);
static atomic_t held = ATOMIC_INIT(0);
static bool hold;

void quarantine_debug_hold_work(struct quarantine *q)
{
	if (!READ_ONCE(hold))
		return;
	atomic_inc(&held);
	wait_event_timeout(hold_wait,
			   !READ_ONCE(hold) ||
				   quarantine_state(q) == Q_RELEASED,
			   HOLD_SECONDS * HZ);
	atomic_dec(&held);
}

/* Called when a device is released, so that nobody is held for its sake */
void quarantine_debug_release(void)
{
	wake_up_all(&hold_wait);
}

static int hold_work_get(void *data, u64 *val)
{
	*val = atomic_read(&held);
	return 0;
}

static int hold_work_set(void *data, u64 val)
{
	WRITE_ONCE(hold, val);
	wake_up_all(&hold_wait);
	return 0;
}

/* A test's way to the same. Returns how many are held. */
int quarantine_kunit_hold_work(bool yes)
{
	u64 val;

	hold_work_set(NULL, yes);
	hold_work_get(NULL, &val);
	return val;
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_hold_work);

DEFINE_DEBUGFS_ATTRIBUTE(hold_work_fops, hold_work_get, hold_work_set, "%llu\n");

static atomic_t fence_hold = ATOMIC_INIT(0);	/* fences to be held */
static atomic_t fence_held = ATOMIC_INIT(0);	/* those that are */
static atomic_t fence_release = ATOMIC_INIT(0);

/**
 * iommu_quarantine_hold_fence() - between FENCING and the fence
 *
 * Context: any; spins.
 */
void iommu_quarantine_hold_fence(void)
{
	int seq = atomic_read(&fence_release);
	u64 end;

	if (!atomic_add_unless(&fence_hold, -1, 0))
		return;

	end = ktime_get_mono_fast_ns() + HOLD_SECONDS * NSEC_PER_SEC;
	atomic_inc(&fence_held);
	while (atomic_read(&fence_release) == seq &&
	       ktime_get_mono_fast_ns() < end) {
		iommu_quarantine_wait_for_hardware();
		cpu_relax();
	}
	atomic_dec(&fence_held);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_hold_fence);

static int hold_fence_get(void *data, u64 *val)
{
	*val = atomic_read(&fence_held);
	return 0;
}

static int hold_fence_set(void *data, u64 val)
{
	if (val > INT_MAX)
		return -EINVAL;
	atomic_set(&fence_hold, val);
	if (!val)
		atomic_inc(&fence_release);
	return 0;
}

/* So many from now on; 0 lets go of all. Returns how many are held. */
int quarantine_kunit_hold_fences(int fences)
{
	u64 val;

	if (fences >= 0)
		hold_fence_set(NULL, fences);
	hold_fence_get(NULL, &val);
	return val;
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_hold_fences);

DEFINE_DEBUGFS_ATTRIBUTE(hold_fence_fops, hold_fence_get, hold_fence_set,
			 "%llu\n");

u64 quarantine_debug_bound_ns;

u64 quarantine_debug_wait_bound(void)
{
	return READ_ONCE(quarantine_debug_bound_ns);
}

static int stats_show(struct seq_file *m, void *unused)
{
	static const char * const names[] = {
		[IOMMU_QUARANTINE_TIMEOUTS]	= "timeouts",
		[IOMMU_QUARANTINE_FENCES]	= "fences",
		[IOMMU_QUARANTINE_NARROWINGS]	= "narrowings",
		[IOMMU_QUARANTINE_SCRUBBED]	= "scrubbed",
		[IOMMU_QUARANTINE_FILTERED]	= "filtered",
		[IOMMU_QUARANTINE_RERUNS]	= "reruns",
		[IOMMU_QUARANTINE_LOST]		= "lost",
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		seq_printf(m, "%s %llu\n", names[i], quarantine_counter(i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int __init quarantine_debug_init(void)
{
	struct dentry *dir = debugfs_create_dir("iommu_quarantine", NULL);

	debugfs_create_file_unsafe("hold_work", 0600, dir, NULL,
				   &hold_work_fops);
	debugfs_create_file_unsafe("hold_fence", 0600, dir, NULL,
				   &hold_fence_fops);
	/* 0: the vendor's own */
	debugfs_create_u64("wait_bound_ns", 0600, dir,
			   &quarantine_debug_bound_ns);
	debugfs_create_file("stats", 0400, dir, NULL, &stats_fops);
	return 0;
}
device_initcall(quarantine_debug_init);
