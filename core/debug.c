// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hold points: they widen windows that last microseconds, so that a test can
 * stand in them. Bounded, and bound to debugfs, which lockdown closes.
 */

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/jiffies.h>
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
				   atomic_read(&q->state) == Q_RELEASED,
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
DEFINE_DEBUGFS_ATTRIBUTE(hold_work_fops, hold_work_get, hold_work_set, "%llu\n");

struct dentry *iommu_quarantine_debugfs_dir(void)
{
	static struct dentry *dir;

	if (!dir)
		dir = debugfs_create_dir("iommu_quarantine", NULL);
	return dir;
}

static int __init quarantine_debug_init(void)
{
	struct dentry *dir;

	dir = debugfs_create_dir("core", iommu_quarantine_debugfs_dir());
	debugfs_create_file_unsafe("hold_work", 0600, dir, NULL,
				   &hold_work_fops);
	return 0;
}
device_initcall(quarantine_debug_init);
