/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the quarantine that must see struct iommu_group and struct
 * group_device, which are private to iommu.c. It is compiled as a part of that
 * file, after __dev_to_gdev(), and holds nothing but accessors.
 */
#ifdef CONFIG_IOMMU_QUARANTINE

#include "compat/attach.h"

/* See iommu_quarantine_lift() */
static void quarantine_gdev_lift(struct group_device *gdev)
{
	if (iommu_quarantine_lift(gdev->dev, gdev->reset_depth))
		gdev->reset_depth--;
}

/*
 * A device that leaves while it is blocked takes its share of recovery_cnt
 * with it: else its siblings get -EBUSY for ever. Noted of each one: one that has no
 * state may be where another one was, which left its own.
 */
static void quarantine_gdev_remove(struct iommu_group *group,
				   struct group_device *gdev)
{
	lockdep_assert_held(&group->mutex);

	iommu_quarantine_left_group(gdev->dev, gdev->blocked);
	if (!gdev->blocked)
		return;
	if (!WARN_ON(group->recovery_cnt == 0))
		group->recovery_cnt--;
}

#ifdef IQ_HAVE_ATTACH_OLD
/*
 * Which domain is a device in that is being released? Not group->domain if it
 * was blocked: its driver would look there for what it has long left.
 */
static struct iommu_domain *quarantine_old_domain(struct iommu_group *group,
						  struct device *dev)
{
	lockdep_assert_held(&group->mutex);

	return iommu_quarantine_was_blocked(dev) ? group->blocking_domain :
						   group->domain;
}
#endif

/*
 * Attach the blocking domain over itself once RID and PASIDs are blocked. That
 * is how an IOMMU driver learns that it can turn PCI ATS and PRI off without
 * leaving anything behind that is accounted by them. A reset may have lifted
 * the quarantine meanwhile; then there is nothing to do. Nor is there while one
 * is going on, which samples what it has to clear: its end comes here as well.
 */
void iommu_quarantine_ats_off(struct device *dev)
{
	struct iommu_group *group = dev->iommu_group;
	struct group_device *gdev;
	int ret;

	guard(mutex)(&group->mutex);

	gdev = __dev_to_gdev(dev);
	if (!gdev || !gdev->blocked || gdev->reset_depth > 1 ||
	    !group->blocking_domain)
		return;
	ret = quarantine_attach_device(group->blocking_domain, dev,
				       group->blocking_domain);
	if (ret)
		dev_warn(dev, "iommu-quarantine: ATS stays on: %d\n", ret);
}

#else

static inline void quarantine_gdev_lift(struct group_device *gdev)
{
}

static inline void quarantine_gdev_remove(struct iommu_group *group,
					  struct group_device *gdev)
{
}

#define quarantine_old_domain(group, dev) ((void)(dev), (group)->domain)

#endif /* CONFIG_IOMMU_QUARANTINE */
