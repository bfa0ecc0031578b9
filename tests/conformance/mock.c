// SPDX-License-Identifier: GPL-2.0-only
/*
 * A backend without a driver or hardware: it shows that the core and the bodies
 * do what they should, on any architecture. It proves nothing about drivers.
 * Whoever writes a backend finds here the least of it.
 */

#include <linux/iommu.h>
#include <linux/iommu-quarantine.h>
#include <linux/module.h>
#include <linux/pci-ats.h>
#include <linux/property.h>
#include <linux/slab.h>

#include "../../../iommu-priv.h"
#include "bodies.h"

#define MOCK_PASIDS	8

struct mock_domain {
	struct iommu_domain domain;
	struct iq_fixture *fx;
};

struct mock_dev {
	struct iq_dev *d;
	struct device *dev;
	struct iommu_domain *domain;
	struct iommu_domain *pasid[MOCK_PASIDS];
	bool fenced;
	bool lost;		/* its IOMMU says nothing, so it accuses nobody */
	int settled;		/* how often nothing was to be under way to it */
	int settled_late;	/* after its reset, or before it was blocked */
};

struct mock_iommu {
	struct iommu_device iommu;
	struct fwnode_handle *fwnode;
	struct mock_dev devs[IQ_DEVS];
	unsigned int strays;	/* attached from where they were not */
};

static struct mock_iommu *mock_iommu;
static struct iq_fixture *mock_fx;
static const struct iommu_ops mock_ops;
static struct iommu_domain mock_blocked;

static struct mock_dev *mock_of(struct device *dev)
{
	return dev_iommu_priv_get(dev);
}

static bool mock_allows(struct iq_dev *d)
{
	struct mock_dev *md = &mock_iommu->devs[d - d->fx->dev];

	return md->dev && !md->fenced && md->domain &&
	       md->domain != &mock_blocked && to_pci_dev(md->dev)->ats_enabled;
}

static bool mock_pasid_allows(struct iq_dev *d, u32 pasid)
{
	struct mock_dev *md = &mock_iommu->devs[d - d->fx->dev];

	return md->pasid[pasid] && md->pasid[pasid] != &mock_blocked;
}

/* One invalidation of all that the device holds. Returns 0 if it answers. */
static int mock_ask(struct mock_dev *md)
{
	struct iommu_broken_evidence evidence = {
		.cause = IOMMU_BROKEN_ATS_TIMEOUT,
		.epoch = iommu_quarantine_epoch(md->dev),
		.hw = { md->d->sid, 1 },
	};

	if (md->fenced || !to_pci_dev(md->dev)->ats_enabled || iq_ask(md->d))
		return 0;
	if (iommu_quarantine_enabled()) {
		md->fenced = true;
		iq_forget(md->d);
		iommu_quarantine_fenced(md->dev, &evidence);
	} else {
		iommu_quarantine_report(md->dev, &evidence);
	}
	return -ETIMEDOUT;
}

static void mock_sync(struct iommu_domain *domain)
{
	struct mock_dev *md;
	bool uses;
	int i, p;

	for (i = 0; i < IQ_DEVS; i++) {
		md = &mock_iommu->devs[i];
		uses = md->dev && md->domain == domain;
		for (p = 0; p < MOCK_PASIDS; p++)
			uses |= md->dev && md->pasid[p] == domain;
		if (uses)
			mock_ask(md);
	}
}

static void mock_iotlb_sync(struct iommu_domain *domain,
			    struct iommu_iotlb_gather *gather)
{
	mock_sync(domain);
}

static int mock_map_pages(struct iommu_domain *domain, unsigned long iova,
			  phys_addr_t paddr, size_t pgsize, size_t pgcount,
			  int prot, gfp_t gfp, size_t *mapped)
{
	*mapped += pgsize * pgcount;
	return 0;
}

static size_t mock_unmap_pages(struct iommu_domain *domain, unsigned long iova,
			       size_t pgsize, size_t pgcount,
			       struct iommu_iotlb_gather *gather)
{
	return pgsize * pgcount;
}

static phys_addr_t mock_iova_to_phys(struct iommu_domain *domain,
				     dma_addr_t iova)
{
	return 0;
}

/* A driver that takes @old at its word looks there for what it has to undo */
static void mock_leave(struct mock_dev *md, struct iommu_domain *old)
{
	if (md->domain != old)
		mock_iommu->strays++;
	if (md->domain && md->domain != &mock_blocked)
		mock_ask(md);
}

static int mock_attach(struct iommu_domain *domain, struct device *dev,
		       struct iommu_domain *old)
{
	struct mock_dev *md = mock_of(dev);

	mock_leave(md, old);
	md->domain = domain;
	if (!md->fenced && !to_pci_dev(dev)->ats_enabled) {
		pci_enable_ats(to_pci_dev(dev), PAGE_SHIFT);
		/* Some drivers empty a cache that they do not know */
		mock_ask(md);
	}
	iq_forget(md->d);
	return 0;
}

static int mock_block(struct iommu_domain *domain, struct device *dev,
		      struct iommu_domain *old)
{
	struct mock_dev *md = mock_of(dev);

	mock_leave(md, old);
	md->domain = domain;
	if (old == domain && to_pci_dev(dev)->ats_enabled)
		pci_disable_ats(to_pci_dev(dev));
	iq_forget(md->d);
	return 0;
}

DEFINE_QUARANTINE_ATTACH(mock_attach);
DEFINE_QUARANTINE_ATTACH(mock_block);

static int mock_set_pasid(struct iommu_domain *domain, struct device *dev,
			  ioasid_t pasid, struct iommu_domain *old)
{
	mock_of(dev)->pasid[pasid] = domain;
	if (old)
		mock_ask(mock_of(dev));
	return 0;
}

#ifdef IQ_HAVE_REMOVE_DEV_PASID
static void mock_remove_pasid(struct device *dev, ioasid_t pasid,
			      struct iommu_domain *domain)
{
	mock_of(dev)->pasid[pasid] = &mock_blocked;
	mock_ask(mock_of(dev));
}
#endif

static void mock_domain_free(struct iommu_domain *domain)
{
	kfree(container_of(domain, struct mock_domain, domain));
}

static const struct iommu_domain_ops mock_domain_ops = {
	.attach_dev = QUARANTINE_ATTACH(mock_attach),
	.set_dev_pasid = mock_set_pasid,
	.map_pages = mock_map_pages,
	.unmap_pages = mock_unmap_pages,
	.iotlb_sync = mock_iotlb_sync,
	.flush_iotlb_all = mock_sync,
	.iova_to_phys = mock_iova_to_phys,
	.free = mock_domain_free,
};

static const struct iommu_domain_ops mock_blocked_ops = {
	.attach_dev = QUARANTINE_ATTACH(mock_block),
	.set_dev_pasid = mock_set_pasid,
};

static struct iommu_domain mock_blocked = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &mock_blocked_ops,
};

static struct iommu_domain *mock_domain_alloc(struct device *dev)
{
	struct mock_domain *domain = kzalloc_obj(*domain);

	if (!domain)
		return NULL;
	domain->domain.pgsize_bitmap = SZ_4K;
	domain->domain.geometry.aperture_end = ~0UL;
	domain->domain.geometry.force_aperture = true;
	return &domain->domain;
}

/* Without the DMA API, which need not be there, and whatever the machine prefers */
static int mock_def_domain_type(struct device *dev)
{
	return IOMMU_DOMAIN_UNMANAGED;
}

static struct iommu_device *mock_probe_device(struct device *dev)
{
	struct mock_dev *md;
	int i;

	if (!dev_is_pci(dev) || !mock_fx || to_pci_dev(dev)->bus != mock_fx->bus)
		return ERR_PTR(-ENODEV);
	for (i = 0; i < IQ_DEVS; i++)
		if (mock_fx->dev[i].devfn == to_pci_dev(dev)->devfn)
			break;
	md = &mock_iommu->devs[i];
	*md = (struct mock_dev){
		.d = &mock_fx->dev[i],
		.dev = dev,
		.fenced = iommu_quarantine_condemned(dev),
	};
	dev_iommu_priv_set(dev, md);
	return &mock_iommu->iommu;
}

static void mock_release_device(struct device *dev)
{
	struct mock_dev *md = mock_of(dev);

	if (to_pci_dev(dev)->ats_enabled)
		pci_disable_ats(to_pci_dev(dev));
	*md = (struct mock_dev){};
}

static void mock_reset_device_done(struct device *dev)
{
	mock_of(dev)->fenced = false;
}

static const struct iommu_ops mock_ops = {
	.blocked_domain = &mock_blocked,
	.release_domain = &mock_blocked,
	.owner = THIS_MODULE,
	.def_domain_type = mock_def_domain_type,
	.domain_alloc_paging = mock_domain_alloc,
	.probe_device = mock_probe_device,
	.release_device = mock_release_device,
	.reset_device_done = mock_reset_device_done,
	.device_group = pci_device_group,
#ifdef IQ_HAVE_REMOVE_DEV_PASID
	.remove_dev_pasid = mock_remove_pasid,
#endif
	.default_domain_ops = &mock_domain_ops,
};

/* Alone, and it must be answered */
static int mock_verify(struct device *dev)
{
	struct mock_dev *md = mock_of(dev);

	if (md->lost)
		return -EIO;
	if (md->fenced)
		return -ETIMEDOUT;
	return iommu_quarantine_enabled() ? mock_ask(md) : 0;
}

static int mock_pretend(struct device *dev)
{
	struct mock_dev *md = mock_of(dev);
	bool mute = md->d->mute;

	if (!iommu_quarantine_enabled())
		return -EOPNOTSUPP;
	md->d->mute = true;
	mock_ask(md);
	md->d->mute = mute;
	return 0;
}

static int mock_nothing(struct device *dev, void *data)
{
	return 0;
}

static void mock_settle(struct device *dev)
{
	struct mock_dev *md = mock_of(dev);

	md->settled++;
	if (md->domain != &mock_blocked || atomic_read(&md->d->flrs))
		md->settled_late++;
	/* It takes group->mutex, which a flush that this would wait for may need */
	iommu_group_for_each_dev(dev->iommu_group, NULL, mock_nothing);
}

static struct iommu_quarantine_backend mock_backend = {
	.name = "mock",
	.ops = &mock_ops,
	.verify = mock_verify,
	.blocked = mock_settle,
	.pretend = mock_pretend,
};

static int mock_start(struct iq_fixture *fx)
{
	int ret;

	mock_iommu = kzalloc_obj(*mock_iommu);
	if (!mock_iommu)
		return -ENOMEM;
	mock_fx = fx;
	fx->hw = mock_iommu;
	mock_iommu->fwnode = fwnode_create_software_node(NULL, NULL);
	if (IS_ERR(mock_iommu->fwnode))
		return PTR_ERR(mock_iommu->fwnode);
	mock_iommu->iommu.fwnode = mock_iommu->fwnode;
	mock_iommu->iommu.max_pasids = MOCK_PASIDS;
	iommu_quarantine_backend_register(&mock_backend);
	ret = iommu_device_sysfs_add(&mock_iommu->iommu, NULL, NULL, "iq-mock%d",
				     fx->nr);
	return ret ?: iommu_device_register(&mock_iommu->iommu, &mock_ops, NULL);
}

static void mock_stop(struct iq_fixture *fx)
{
	iommu_device_unregister(&mock_iommu->iommu);
	iommu_device_sysfs_remove(&mock_iommu->iommu);
	iommu_quarantine_backend_unregister(&mock_backend);
	fwnode_remove_software_node(mock_iommu->fwnode);
	mock_fx = NULL;
	kfree(mock_iommu);
}

/* By name: the machine may have an IOMMU of its own */
static int mock_bind(struct iq_fixture *fx, struct pci_dev *pdev)
{
	u32 id = pci_dev_id(pdev);

	return quarantine_kunit_bind(&pdev->dev, mock_iommu->fwnode, &id, 1, 0);
}

static int mock_leaks(struct iq_fixture *fx)
{
	return mock_iommu->strays;
}

static const struct iq_vendor mock_vendor = {
	.name = "mock",
	.leaks = mock_leaks,
	.start = mock_start,
	.stop = mock_stop,
	.probe = mock_bind,
	.allows = mock_allows,
	.pasid_allows = mock_pasid_allows,
};

static int mock_init(struct kunit *test)
{
	iq_start(test, &mock_vendor);
	return 0;
}

/* Neither recovered nor accused: then it is not left in between */
static void mock_test_nobody_says(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct mock_dev *md = mock_of(iq_device(d));

	iq_break_and_wait(test, d);
	md->lost = true;
	WRITE_ONCE(d->fenced, false);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"), "iommu-no-answer");
	KUNIT_EXPECT_EQ(test, iq_count(d), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->recovered), 0);
	md->lost = false;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/*
 * A blocked device was removed, and what comes in its place has no ATS, so no state of
 * its own; but it lies where the old one lay in memory, whose state is still there. With
 * one CPU the allocator soon gives the same memory again, with several it need not.
 */
static void mock_test_same_memory(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct pci_dev *old;
	bool same = false;
	int i;

	for (i = 0; i < 20 && !same; i++) {
		old = d->pdev;
		iq_break_and_wait(test, d);
		WRITE_ONCE(d->fenced, false);
		iq_unplug(d);
		d->no_ats = true;
		iq_power_on(d);
		KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
		same = d->pdev == old;
		iq_unplug(d);
		d->no_ats = false;
		d->mute = false;
		iq_power_on(d);
		KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	}
	KUNIT_EXPECT_TRUE(test, same || num_online_cpus() > 1);
	KUNIT_EXPECT_EQ(test, mock_iommu->strays, 0);
	iq_expect_in_service(test, d);
}

/* A driver's flush may be under way to a device while it is blocked, but not in its reset */
static void mock_test_settled_before_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct mock_dev *md = mock_of(iq_device(d));

	atomic_set(&d->flrs, 0);
	KUNIT_ASSERT_EQ(test, iq_reset(d), 0);
	KUNIT_EXPECT_EQ(test, md->settled, 1);
	KUNIT_EXPECT_EQ(test, md->settled_late, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->flrs), 1);

	/* The work's own blocking, and the reset that it waits for */
	atomic_set(&d->flrs, 0);
	md->settled = 0;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, md->settled, 1);
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, md->settled, 2);
	KUNIT_EXPECT_EQ(test, md->settled_late, 0);
	iq_expect_in_service(test, d);
}

static struct kunit_case mock_cases[] = {
#include "cases.h"
	KUNIT_CASE(mock_test_nobody_says),
	KUNIT_CASE(mock_test_same_memory),
	KUNIT_CASE(mock_test_settled_before_reset),
	{}
};

static struct kunit_suite mock_suite = {
	.name = "iommu_quarantine_mock",
	.init = mock_init,
	.exit = iq_stop,
	.test_cases = mock_cases,
};

kunit_test_suite(mock_suite);

QUARANTINE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Quarantine conformance with a made-up backend");
