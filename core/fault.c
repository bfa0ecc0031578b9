// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pretend that a device timed out: for testers, and for operators' labs. The
 * kernel's fault injection decides whether it does, debugfs is closed by
 * lockdown. The backend goes the way that it goes when its hardware names the
 * device, fence and all.
 */

#include <kunit/visibility.h>
#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/init.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

#include "quarantine.h"

static DECLARE_FAULT_ATTR(fail_ats);

/*
 * Has this device timed out now? Returns 0 if it has, -EAGAIN if the attribute
 * says that it has not, -ENODEV if it cannot be quarantined, -EOPNOTSUPP if its
 * backend cannot pretend.
 */
static int fail_device(struct device *dev)
{
	struct quarantine *q = quarantine_get(dev);
	int ret;

	if (!q)
		return -ENODEV;
	/* The IOMMU's half of it is there as long as its release waits for us */
	scoped_guard(mutex, &q->busy) {
		if (quarantine_state(q) == Q_RELEASED)
			ret = -ENODEV;
		else if (!q->backend->pretend)
			ret = -EOPNOTSUPP;
		else if (!should_fail(&fail_ats, 1))
			ret = -EAGAIN;
		else
			ret = q->backend->pretend(dev);
	}
	quarantine_put(q);
	return ret;
}

#if IS_ENABLED(CONFIG_KUNIT)
/* A test's: so many times, without a chance */
void quarantine_fault_times(int times)
{
	fail_ats.probability = times ? 100 : 0;
	fail_ats.verbose = 0;
	atomic_set(&fail_ats.times, times);
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_fault_times);
#endif

VISIBLE_IF_KUNIT ssize_t quarantine_fault_write(struct file *file,
						const char __user *user,
						size_t len, loff_t *pos)
{
	int domain, bus, slot, func, ret;
	struct pci_dev *pdev;
	char name[32] = "";

	if (len >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, user, len))
		return -EFAULT;
	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
	if (!pdev)
		return -ENODEV;
	ret = fail_device(&pdev->dev);
	pci_dev_put(pdev);
	return ret ?: len;
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_fault_write);

static const struct file_operations device_fops = {
	.open = simple_open,
	.write = quarantine_fault_write,
};

static int __init quarantine_fault_init(void)
{
	struct dentry *dir;

	dir = fault_create_debugfs_attr("fail_iommu_ats", NULL, &fail_ats);
	if (!IS_ERR(dir))
		debugfs_create_file("device", 0200, dir, NULL, &device_fops);
	return PTR_ERR_OR_ZERO(dir);
}
late_initcall(quarantine_fault_init);
