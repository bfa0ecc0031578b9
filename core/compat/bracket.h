/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bracket around a reset, for kernels whose core does not have one. It is
 * compiled as a part of iommu.c, after dev_has_iommu().
 *
 * While it is open the device sits in the group's blocking domain, RID and
 * PASIDs, and group->domain and group->pasid_array stay what they were: what is
 * retained there is given back when the outermost bracket closes. Meanwhile
 * nobody can attach anything else to the group, since that would be undone.
 *
 * All of it lives in struct group_device and struct iommu_group, under
 * group->mutex, and so goes when the device leaves its group.
 *
 * A device's PASIDs go before its RID and come back after it. These kernels'
 * drivers rely on that: VT-d counts the device-TLB tags of a PASID by whether
 * ATS is on, which the attach of the RID turns on and off; on AMD the table of
 * the PASIDs is gone with the RID's domain.
 */
#ifdef CONFIG_IOMMU_QUARANTINE

#include <linux/sched/mm.h>

static int __iommu_group_alloc_blocking_domain(struct iommu_group *group);

static struct group_device *__dev_to_gdev(struct device *dev)
{
	struct iommu_group *group = dev->iommu_group;
	struct group_device *gdev;

	lockdep_assert_held(&group->mutex);

	for_each_group_device(group, gdev)
		if (gdev->dev == dev)
			return gdev;
	return NULL;
}

#include "../group.h"

/*
 * The array holds the handle that came with an attach, which knows the domain.
 * Without a handle it would hold nothing: it gets the domain, with a tag.
 */
#define QUARANTINE_PASID_DOMAIN	1

static void *quarantine_pasid_entry(struct iommu_attach_handle *handle,
				    struct iommu_domain *domain)
{
	return handle ? (void *)handle :
			xa_tag_pointer(domain, QUARANTINE_PASID_DOMAIN);
}

static struct iommu_attach_handle *quarantine_pasid_handle(void *entry)
{
	return xa_pointer_tag(entry) == QUARANTINE_PASID_DOMAIN ? NULL : entry;
}

static struct iommu_domain *quarantine_pasid_domain(void *entry)
{
	struct iommu_attach_handle *handle = quarantine_pasid_handle(entry);

	return handle ? handle->domain : xa_untag_pointer(entry);
}

/* A domain has been attached to the RID of a device */
static void quarantine_attached(struct device *dev)
{
	struct group_device *gdev = __dev_to_gdev(dev);

	/* It has left the group already if it is being released */
	if (gdev)
		gdev->attached = true;
}

/* May the group be given another domain, or another PASID? */
static bool quarantine_fences(struct iommu_group *group, unsigned int flags)
{
	lockdep_assert_held(&group->mutex);

	return group->recovery_cnt && !(flags & IOMMU_SET_DOMAIN_MUST_SUCCEED);
}

static bool quarantine_is_blocked(struct group_device *gdev)
{
	return gdev->blocked;
}

/* Stands where iommu_deferred_attach() attaches */
static int quarantine_deferred_attach(struct iommu_domain *domain,
				      struct device *dev)
{
	struct group_device *gdev;

	guard(mutex)(&dev->iommu_group->mutex);

	gdev = __dev_to_gdev(dev);
	if (WARN_ON(!gdev))
		return -ENODEV;
	return gdev->blocked ? -EBUSY : __iommu_attach_device(domain, dev);
}

static void quarantine_pasids_off(struct iommu_group *group, struct device *dev)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	unsigned long pasid;
	void *entry;

	if (!dev->iommu->max_pasids)
		return;
	xa_for_each_start(&group->pasid_array, pasid, entry, IOMMU_NO_PASID + 1)
		ops->remove_dev_pasid(dev, pasid,
				      quarantine_pasid_domain(entry));
}

static void quarantine_pasids_on(struct iommu_group *group, struct device *dev)
{
	struct iommu_domain *domain;
	unsigned long pasid;
	void *entry;
	bool alive;
	int ret;

	if (!dev->iommu->max_pasids)
		return;
	xa_for_each_start(&group->pasid_array, pasid, entry, IOMMU_NO_PASID + 1) {
		domain = quarantine_pasid_domain(entry);
		/* May be refused for a process that is gone while somebody holds on to its PASID */
		alive = domain->type != IOMMU_DOMAIN_SVA || mmget_not_zero(domain->mm);
		ret = domain->ops->set_dev_pasid(domain, dev, pasid, NULL);
		WARN_ON(ret && alive);
		if (domain->type == IOMMU_DOMAIN_SVA && alive)
			mmput_async(domain->mm);
	}
}

static int quarantine_gdev_block(struct iommu_group *group,
				 struct group_device *gdev)
{
	int ret;

	ret = __iommu_group_alloc_blocking_domain(group);
	if (ret)
		return ret;

	quarantine_pasids_off(group, gdev->dev);
	if (group->domain != group->blocking_domain) {
		ret = __iommu_attach_device(group->blocking_domain, gdev->dev);
		if (ret) {
			quarantine_pasids_on(group, gdev->dev);
			return ret;
		}
	}
	gdev->blocked = true;
	group->recovery_cnt++;
	return 0;
}

/* A device without a domain yet stays where it is: its first attach comes */
static void quarantine_gdev_unblock(struct iommu_group *group,
				    struct group_device *gdev)
{
	if (group->domain && group->domain != group->blocking_domain)
		WARN_ON(__iommu_attach_device(group->domain, gdev->dev));
	/* Not before: the driver asks what it leaves. The PASIDs ask for the new. */
	gdev->blocked = false;
	quarantine_pasids_on(group, gdev->dev);
	if (!WARN_ON(!group->recovery_cnt))
		group->recovery_cnt--;
}

static void quarantine_warn_alias(struct iommu_group *group,
				  struct pci_dev *pdev)
{
	struct group_device *gdev;

	for_each_group_device(group, gdev)
		if (gdev->blocked && gdev->dev != &pdev->dev &&
		    dev_is_pci(gdev->dev) &&
		    pci_devs_are_dma_aliases(pdev, to_pci_dev(gdev->dev)))
			pci_warn(pdev, "unblocked, and with it %s, which has the same Requester ID\n",
				 dev_name(gdev->dev));
}

/**
 * pci_dev_reset_iommu_prepare() - block a device while it is reset
 * @pdev: the device
 *
 * May be nested; each successful call needs its pci_dev_reset_iommu_done().
 * The caller keeps the device from being released by the IOMMU meanwhile.
 *
 * Context: process.
 * Return: 0, -ECANCELED if the caller is the quarantine's work and has come too
 * late, or the error of the attach to the blocking domain.
 */
int pci_dev_reset_iommu_prepare(struct pci_dev *pdev)
{
	struct device *dev = &pdev->dev;
	struct iommu_group *group = dev->iommu_group;
	struct group_device *gdev;
	int ret;

	/* Off is what the kernel was before it had this bracket */
	if (!iommu_quarantine_reports() || !pci_ats_supported(pdev) ||
	    !dev_has_iommu(dev))
		return 0;

	guard(mutex)(&group->mutex);

	gdev = __dev_to_gdev(dev);
	if (WARN_ON(!gdev))
		return -ENODEV;
	if (iommu_quarantine_stale(dev))
		return -ECANCELED;
	if (!gdev->reset_depth) {
		ret = quarantine_gdev_block(group, gdev);
		if (ret)
			return ret;
	}
	gdev->reset_depth++;
	return 0;
}

/**
 * pci_dev_reset_iommu_done() - give a device back what it was attached to
 * @pdev: the device
 *
 * That happens when the outermost bracket closes. One of them is the
 * quarantine's, if it holds the device: it is closed here if the reset is proven.
 *
 * Context: process.
 */
void pci_dev_reset_iommu_done(struct pci_dev *pdev)
{
	struct device *dev = &pdev->dev;
	struct iommu_group *group = dev->iommu_group;
	struct group_device *gdev;

	if (!iommu_quarantine_reports() || !pci_ats_supported(pdev) ||
	    !dev_has_iommu(dev))
		return;

	guard(mutex)(&group->mutex);

	gdev = __dev_to_gdev(dev);
	if (WARN_ON(!gdev || !gdev->reset_depth))
		return;
	quarantine_gdev_lift(gdev);
	if (--gdev->reset_depth)
		return;
	quarantine_warn_alias(group, pdev);
	quarantine_gdev_unblock(group, gdev);
	iommu_quarantine_reattached(dev);
}

/**
 * iommu_quarantine_domain_for_dev() - the domain that a device is really in
 * @dev: the device
 *
 * For IOMMU drivers, which undo by it what the last attach did. That is not
 * group->domain while the device is blocked, nor when it is new in its group.
 * Stands where they call iommu_get_domain_for_dev().
 *
 * Context: process, from a function of iommu_ops or iommu_domain_ops,
 * group->mutex held.
 * Return: the domain, or NULL if there is none yet.
 */
struct iommu_domain *iommu_quarantine_domain_for_dev(struct device *dev)
{
	struct iommu_group *group = dev->iommu_group;
	struct group_device *gdev;
	bool blocked;

	/* Released since its probe failed: it has not come so far */
	if (!group)
		return NULL;

	gdev = __dev_to_gdev(dev);
	if (gdev && !gdev->attached)
		return NULL;
	/* It has left the group already if it is being released */
	blocked = gdev ? gdev->blocked : iommu_quarantine_was_blocked(dev);
	return blocked ? group->blocking_domain : group->domain;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_domain_for_dev);

#else /* !CONFIG_IOMMU_QUARANTINE */

#include "../group.h"

#define quarantine_attached(dev) ((void)(dev))
#define quarantine_pasid_entry(handle, domain) ((void)(domain), (handle))
#define quarantine_pasid_handle(entry) (entry)
#define quarantine_fences(group, flags) ((void)(group), (void)(flags), false)
#define quarantine_is_blocked(gdev) ((void)(gdev), false)
#define quarantine_deferred_attach(domain, dev) \
	__iommu_attach_device(domain, dev)

#endif /* CONFIG_IOMMU_QUARANTINE */
