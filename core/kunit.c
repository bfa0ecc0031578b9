// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tests need of the core and of iommu.c, for those that are modules:
 * this file is built in whenever there are tests, and exports to tests alone.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/property.h>
#include <linux/sysfs.h>
#include <trace/events/iommu_quarantine.h>

#include "quarantine.h"

EXPORT_TRACEPOINT_SYMBOL_GPL(iommu_device_fenced);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommu_device_broken);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommu_device_quarantined);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommu_device_recovered);

/**
 * quarantine_kunit_bind() - bind a made-up function to a made-up IOMMU
 * @dev: the function
 * @fwnode: of the IOMMU; no other IOMMU of the machine takes the function on
 * @ids: as the IOMMU knows it
 * @count: number of @ids
 * @flags: IOMMU_FWSPEC_PCI_RC_ATS and the like
 *
 * As firmware's parsers do it.
 *
 * Context: process.
 * Return: 0 or an error.
 */
int quarantine_kunit_bind(struct device *dev, struct fwnode_handle *fwnode,
			  const u32 *ids, int count, u32 flags)
{
	int ret;

	scoped_guard(mutex, &iommu_probe_device_lock) {
		ret = iommu_fwspec_init(dev, fwnode);
		if (!ret)
			ret = iommu_fwspec_add_ids(dev, ids, count);
		if (ret)
			return ret;
		dev->iommu->fwspec->flags |= flags;
	}
	return iommu_probe_device(dev);
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_bind);

/**
 * quarantine_kunit_attr() - what an administrator reads and writes
 * @name: of a file of iommu_quarantine/
 *
 * Context: any.
 * Return: the attribute, or NULL.
 */
struct device_attribute *quarantine_kunit_attr(const char *name)
{
	struct attribute **attr;

	for (attr = iommu_quarantine_group.attrs; *attr; attr++)
		if (!strcmp((*attr)->name, name))
			return container_of(*attr, struct device_attribute,
					    attr);
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_attr);

/**
 * quarantine_kunit_settle() - wait until the quarantine's work is over
 * @dev: the device
 *
 * Context: process.
 */
void quarantine_kunit_settle(struct device *dev)
{
	struct quarantine *q = quarantine_get(dev);

	if (!q)
		return;
	irq_work_sync(&q->irq_work);
	flush_work(&q->work);
	quarantine_put(q);
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_settle);

/**
 * quarantine_kunit_wait_bound() - how long the hardware may be silent
 * @ns: so long, or 0 for the vendor's own bound
 *
 * Context: any.
 * Return: 0; -EOPNOTSUPP without the option.
 */
int quarantine_kunit_wait_bound(u64 ns)
{
#ifdef CONFIG_IOMMU_QUARANTINE_DEBUG
	WRITE_ONCE(quarantine_debug_bound_ns, ns);
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}
EXPORT_SYMBOL_IF_KUNIT(quarantine_kunit_wait_bound);
