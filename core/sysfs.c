// SPDX-License-Identifier: GPL-2.0-only
/* iommu_quarantine/ of a PCI device in sysfs, see Documentation/ABI */

#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

#include "quarantine.h"

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	static const char * const names[] = {
		[Q_HEALTHY]	= "healthy",
		[Q_REPORTED]	= "reported",
		[Q_QUARANTINED]	= "quarantined",
		[Q_FAILED]	= "failed",
		[Q_RECOVERING]	= "resetting",
		[Q_RELEASED]	= "released",
	};
	struct quarantine *q = quarantine_get(dev);
	const char *name;

	if (!q)
		return -ENODEV;
	name = READ_ONCE(q->in_reset) ? "resetting" :
		names[quarantine_state(q)];
	quarantine_put(q);
	return sysfs_emit(buf, "%s\n", name);
}
static DEVICE_ATTR_RO(state);

static ssize_t broken_count_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	struct quarantine *q = quarantine_get(dev);
	int count;

	if (!q)
		return -ENODEV;
	count = atomic_read(&q->count);
	quarantine_put(q);
	return sysfs_emit(buf, "%d\n", count);
}
static DEVICE_ATTR_RO(broken_count);

static ssize_t cause_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct quarantine *q = quarantine_get(dev);
	const char *name;

	if (!q)
		return -ENODEV;
	name = atomic_read(&q->count) ?
		quarantine_cause_name(READ_ONCE(q->evidence.cause)) : "none";
	quarantine_put(q);
	return sysfs_emit(buf, "%s\n", name);
}
static DEVICE_ATTR_RO(cause);

/* The administrator's request; the way back is the same as for all others */
static ssize_t quarantine_store(struct device *dev,
				struct device_attribute *attr, const char *buf,
				size_t len)
{
	struct iommu_broken_evidence evidence = {
		.cause = IOMMU_BROKEN_ADMIN,
		.epoch = iommu_quarantine_epoch(dev),
	};
	bool yes;
	int ret;

	ret = kstrtobool(buf, &yes);
	if (ret)
		return ret;
	if (!yes)
		return -EINVAL;
	if (!iommu_quarantine_enabled())
		return -EOPNOTSUPP;
	iommu_quarantine_report(dev, &evidence);
	return len;
}
static DEVICE_ATTR_WO(quarantine);

static struct attribute *quarantine_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_broken_count.attr,
	&dev_attr_cause.attr,
	&dev_attr_quarantine.attr,
	NULL
};

const struct attribute_group iommu_quarantine_group = {
	.name = "iommu_quarantine",
	.attrs = quarantine_attrs,
};
