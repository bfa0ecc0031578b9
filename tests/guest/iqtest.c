// SPDX-License-Identifier: GPL-2.0-only
/*
 * iqtest - driver of the fault endpoint and of the fault control device.
 *
 * The scenarios themselves are in init.c; here is only what has to happen in
 * the kernel: DMA mappings and their unmaps, access to the devices' registers,
 * "the page was given to somebody else" at the very instant at which the unmap
 * returned, a neighbour that does I/O all along, a heartbeat in hard irq
 * context, and attaching a private domain. The same source builds on the
 * grafted and on the ungrafted kernel: it uses nothing that the graft brings.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/pm.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "iqtest.h"

#ifndef IQ_HAVE_hrtimer_setup
static void hrtimer_setup(struct hrtimer *timer,
			  enum hrtimer_restart (*function)(struct hrtimer *),
			  clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

#ifndef IQ_HAVE_iommu_paging_domain_alloc_flags
#define IOMMU_HWPT_ALLOC_PASID	0

/* There any domain does */
static struct iommu_domain *
iommu_paging_domain_alloc_flags(struct device *dev, unsigned int flags)
{
	return iommu_paging_domain_alloc(dev);
}
#endif

#define IQ_MAX_RANGE	4096
#define IQ_BEAT_NS	(4 * NSEC_PER_MSEC)

struct iq_worker {
	struct task_struct *task;
	bool unmaps;
	u64 stall_ns;
	/* Written by the thread alone, read by anybody. */
	u64 op_start;
	struct iq_neighbour seen;
};

struct iq_endpoint {
	struct list_head node;
	struct kref ref;
	struct pci_dev *pdev;
	u32 bdf;
	void __iomem *bar;
	/* Held for reading by whoever uses the device, for writing by remove(). */
	struct rw_semaphore use;
	bool gone;
	/* A command is several register writes. */
	raw_spinlock_t cmd_lock;
	/* Serialises start and stop of the neighbour, and attach and detach. */
	struct mutex lock;
	struct iq_worker *worker;
	struct iommu_domain *domain;
	/* It belongs to another endpoint. */
	bool borrowed;
	/* of PASID 1, 2, ... */
	struct iommu_domain *pasid_domain[IQ_PASIDS];
};

struct iq_page {
	struct iq_endpoint *ep;
	struct page *page;
	dma_addr_t iova;
	/* NULL: mapped by the DMA API; and the PASID that goes with it */
	struct iommu_domain *domain;
	u32 pasid;
	u32 canary;
	bool mapped;
};

static LIST_HEAD(iq_endpoints);
static DEFINE_SPINLOCK(iq_endpoints_lock);

static DEFINE_XARRAY(iq_pages);
static DEFINE_MUTEX(iq_pages_lock);
static u32 iq_next_handle = 1;

/* TARGET and the register it selects: raw, since callers may have irqs off. */
static DEFINE_RAW_SPINLOCK(iq_ctl_lock);
static void __iomem *iq_ctl_bar;

static u32 iq_ctl_access(u32 target, u32 reg, u32 val, bool write)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&iq_ctl_lock, flags);
	if (!iq_ctl_bar) {
		val = ~0U;
	} else {
		writel(target, iq_ctl_bar + CTL_TARGET);
		if (write)
			writel(val, iq_ctl_bar + reg);
		else
			val = readl(iq_ctl_bar + reg);
	}
	raw_spin_unlock_irqrestore(&iq_ctl_lock, flags);
	return val;
}

static void iq_ep_release(struct kref *ref)
{
	struct iq_endpoint *ep = container_of(ref, struct iq_endpoint, ref);

	pci_dev_put(ep->pdev);
	kfree(ep);
}

static void iq_ep_put(struct iq_endpoint *ep)
{
	kref_put(&ep->ref, iq_ep_release);
}

/* @peer: while another endpoint is in use */
static struct iq_endpoint *__iq_ep_use(u32 bdf, bool peer)
{
	struct iq_endpoint *ep, *found = NULL;

	spin_lock(&iq_endpoints_lock);
	list_for_each_entry(ep, &iq_endpoints, node) {
		if (ep->bdf == bdf && kref_get_unless_zero(&ep->ref)) {
			found = ep;
			break;
		}
	}
	spin_unlock(&iq_endpoints_lock);
	if (!found)
		return NULL;

	down_read_nested(&found->use, peer);
	if (found->gone) {
		up_read(&found->use);
		iq_ep_put(found);
		return NULL;
	}
	return found;
}

/* Returns the endpoint with its use semaphore held for reading. */
static struct iq_endpoint *iq_ep_use(u32 bdf)
{
	return __iq_ep_use(bdf, false);
}

static void iq_ep_unuse(struct iq_endpoint *ep)
{
	up_read(&ep->use);
	iq_ep_put(ep);
}

static u32 iq_ep_command(struct iq_endpoint *ep, u32 cmd, dma_addr_t iova,
			 u32 pasid, u32 pattern)
{
	unsigned long flags;
	u32 status;

	raw_spin_lock_irqsave(&ep->cmd_lock, flags);
	writel(lower_32_bits(iova), ep->bar + EP_IOVA_LO);
	writel(upper_32_bits(iova), ep->bar + EP_IOVA_HI);
	writel(pasid ? EP_PASID_VALID | pasid : 0, ep->bar + EP_PASID);
	writel(pattern, ep->bar + EP_PATTERN);
	writel(PAGE_SIZE, ep->bar + EP_LEN);
	writel(cmd, ep->bar + EP_CMD);
	status = readl(ep->bar + EP_STATUS);
	raw_spin_unlock_irqrestore(&ep->cmd_lock, flags);
	return status;
}

static void iq_page_fill(struct page *page, u32 pattern)
{
	u32 *p = page_address(page);
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		WRITE_ONCE(p[i], pattern);
}

static bool iq_page_is(struct page *page, u32 pattern)
{
	u32 *p = page_address(page);
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		if (READ_ONCE(p[i]) != pattern)
			return false;
	return true;
}

static int iq_range_check(u32 first, u32 count)
{
	u32 end;

	if (!count || count > IQ_MAX_RANGE || check_add_overflow(first, count, &end))
		return -EINVAL;
	return 0;
}

static void iq_page_unmap(struct iq_page *pg)
{
	pg->mapped = false;
	if (pg->domain) {
		iommu_unmap(pg->domain, pg->iova, PAGE_SIZE);
		return;
	}
	dma_unmap_page(&pg->ep->pdev->dev, pg->iova, PAGE_SIZE,
		       DMA_BIDIRECTIONAL);
}

/* ---- ioctls ---- */

static long iq_do_ctl(struct iq_ctl *a)
{
	if (a->reg > CTL_STRAY || a->reg & 3)
		return -EINVAL;
	a->val = iq_ctl_access(a->target, a->reg, a->val, a->write);
	return 0;
}

static long iq_do_reg(struct iq_reg *a)
{
	struct iq_endpoint *ep;

	if (a->reg > EP_PASID || a->reg & 3)
		return -EINVAL;
	ep = iq_ep_use(a->bdf);
	if (!ep)
		return -ENODEV;
	if (a->write)
		writel(a->val, ep->bar + a->reg);
	else
		a->val = readl(ep->bar + a->reg);
	iq_ep_unuse(ep);
	return 0;
}

static int iq_page_map(struct iq_endpoint *ep, struct iq_page *pg, u32 handle)
{
	struct device *dev = &ep->pdev->dev;

	if (pg->domain) {
		/* Far from page 0, and every handle at its own address. */
		pg->iova = SZ_256M + (dma_addr_t)handle * PAGE_SIZE;
		return iommu_map(pg->domain, pg->iova, page_to_phys(pg->page),
				 PAGE_SIZE, IOMMU_READ | IOMMU_WRITE, GFP_KERNEL);
	}
	pg->iova = dma_map_page(dev, pg->page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	return dma_mapping_error(dev, pg->iova);
}

static struct iommu_domain *iq_private_domain(struct iq_endpoint *ep, u32 pasid)
{
	if (pasid == IQ_NO_PASID)
		return ep->domain;
	return pasid > IQ_PASIDS ? NULL : ep->pasid_domain[pasid - 1];
}

static long iq_map_one(struct iq_endpoint *ep, u32 handle, u32 pasid)
{
	struct iq_page *pg;
	int ret;

	pg = kzalloc_obj(*pg);
	if (!pg)
		return -ENOMEM;
	pg->canary = 0x5ca1ab1e + handle;
	pg->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!pg->page) {
		ret = -ENOMEM;
		goto free_pg;
	}
	if (pasid)
		pg->domain = iq_private_domain(ep, pasid);
	if (pasid != IQ_NO_PASID)
		pg->pasid = pasid;
	ret = iq_page_map(ep, pg, handle);
	if (ret)
		goto free_page;
	kref_get(&ep->ref);
	pg->ep = ep;
	pg->mapped = true;
	ret = xa_err(xa_store(&iq_pages, handle, pg, GFP_KERNEL));
	if (!ret)
		return 0;

	iq_page_unmap(pg);
	iq_ep_put(ep);
free_page:
	__free_page(pg->page);
free_pg:
	kfree(pg);
	return ret;
}

static void iq_free_one(u32 handle)
{
	struct iq_page *pg = xa_erase(&iq_pages, handle);

	if (!pg)
		return;
	down_read(&pg->ep->use);
	if (pg->mapped)
		iq_page_unmap(pg);
	up_read(&pg->ep->use);
	__free_page(pg->page);
	iq_ep_put(pg->ep);
	kfree(pg);
}

static long iq_do_map(struct iq_map *a)
{
	struct iq_endpoint *ep;
	long ret;
	u32 i;

	ret = iq_range_check(1, a->count);
	if (ret)
		return ret;
	ep = iq_ep_use(a->bdf);
	if (!ep)
		return -ENODEV;
	if (a->pasid && !iq_private_domain(ep, a->pasid)) {
		iq_ep_unuse(ep);
		return -ENOENT;
	}

	mutex_lock(&iq_pages_lock);
	a->first = iq_next_handle;
	iq_next_handle += a->count;
	mutex_unlock(&iq_pages_lock);

	for (i = 0; i < a->count; i++) {
		ret = iq_map_one(ep, a->first + i, a->pasid);
		if (ret)
			break;
	}
	iq_ep_unuse(ep);
	if (ret)
		while (i--)
			iq_free_one(a->first + i);
	return ret;
}

static long iq_do_cmd(struct iq_cmd *a)
{
	struct iq_page *pg = xa_load(&iq_pages, a->handle);
	struct iq_endpoint *ep;

	/* Commands without an address carry no handle. */
	if (a->handle && !pg)
		return -ENOENT;
	ep = iq_ep_use(a->bdf);
	if (!ep)
		return -ENODEV;
	a->status = iq_ep_command(ep, a->cmd, pg ? pg->iova : 0,
				  pg ? pg->pasid : 0, a->pattern);
	iq_ep_unuse(ep);
	return 0;
}

static u32 iq_count_bad(u32 first, u32 count, u32 pattern)
{
	u32 i, bad = 0;

	for (i = 0; i < count; i++) {
		struct iq_page *pg = xa_load(&iq_pages, first + i);

		if (!pg || !iq_page_is(pg->page, pattern ?: pg->canary))
			bad++;
	}
	return bad;
}

static void iq_timed_unmap(struct iq_page *pg, struct iq_unmap *a)
{
	u64 start = ktime_get_ns(), took;
	unsigned long flags;

	if (a->flags & IQ_F_IRQS_OFF) {
		local_irq_save(flags);
		iq_page_unmap(pg);
		local_irq_restore(flags);
	} else {
		iq_page_unmap(pg);
	}
	took = ktime_get_ns() - start;
	a->total_ns += took;
	a->max_ns = max(a->max_ns, took);
}

static long iq_do_unmap(struct iq_unmap *a)
{
	struct iq_endpoint *ep;
	struct iq_page *pg;
	long ret;
	u32 i;

	ret = iq_range_check(a->first, a->count);
	if (ret)
		return ret;
	pg = xa_load(&iq_pages, a->first);
	if (!pg)
		return -ENOENT;
	ep = iq_ep_use(pg->ep->bdf);
	if (!ep)
		return -ENODEV;

	a->total_ns = 0;
	a->max_ns = 0;
	a->bad_pages = 0;
	a->start_ns = ktime_get_ns();
	for (i = 0; i < a->count; i++) {
		bool last = i == a->count - 1;

		pg = xa_load(&iq_pages, a->first + i);
		if (!pg || !pg->mapped || pg->ep != ep) {
			ret = -EINVAL;
			break;
		}
		iq_timed_unmap(pg, a);
		/*
		 * From here on the page may be anybody's: the new owner writes
		 * to it at once, and only then the dead device speaks up.
		 */
		if (a->flags & IQ_F_REUSE)
			iq_page_fill(pg->page, pg->canary);
		if (last) {
			a->timeouts = iq_ctl_access(ep->bdf, CTL_TIMEOUTS, 0, false);
			a->stale_ok = iq_ctl_access(ep->bdf, CTL_STALE_OK, 0, false);
		}
		if (a->flags & IQ_F_DOORBELL && (!i || last))
			iq_ctl_access(ep->bdf, CTL_DOORBELL, 1, true);
	}
	if (!ret && a->flags & IQ_F_REUSE)
		a->bad_pages = iq_count_bad(a->first, a->count, 0);
	iq_ep_unuse(ep);
	return ret;
}

static long iq_do_verify(struct iq_verify *a)
{
	long ret = iq_range_check(a->first, a->count);

	if (!ret)
		a->bad_pages = iq_count_bad(a->first, a->count, a->pattern);
	return ret;
}

static long iq_do_free(struct iq_range *a)
{
	struct iq_page *pg;
	unsigned long all;
	long ret;
	u32 i;

	if (!a->first && !a->count) {
		xa_for_each(&iq_pages, all, pg)
			iq_free_one(all);
		return 0;
	}
	ret = iq_range_check(a->first, a->count);
	for (i = 0; !ret && i < a->count; i++)
		iq_free_one(a->first + i);
	return ret;
}

/* ---- the neighbour ---- */

/* One operation; @iova is only used when the mapping is there for good. */
static void iq_neighbour_op(struct iq_endpoint *ep, struct iq_worker *w,
			    struct page *page, dma_addr_t iova, u32 seq)
{
	struct device *dev = &ep->pdev->dev;
	u32 entries = readl(ep->bar + EP_ATC_ENTRIES);
	bool good;
	u32 st;

	if (w->unmaps) {
		iova = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, iova)) {
			w->seen.errors++;
			return;
		}
		iq_ep_command(ep, EP_FETCH, iova, 0, seq);
	}
	st = iq_ep_command(ep, EP_WRITE, iova, 0, seq);
	good = (st & EP_ST_OK) && (st & EP_ST_ATS) && iq_page_is(page, seq);
	if (w->unmaps) {
		dma_unmap_page(dev, iova, PAGE_SIZE, DMA_BIDIRECTIONAL);
		w->seen.unmaps++;
		/* A lost invalidation leaves the entry where it was. */
		if (readl(ep->bar + EP_ATC_ENTRIES) != entries)
			w->seen.stale++;
	}
	if (good)
		w->seen.completed++;
	else
		w->seen.errors++;
}

static int iq_neighbour_fn(void *data)
{
	struct iq_endpoint *ep = data;
	struct iq_worker *w = ep->worker;
	struct device *dev = &ep->pdev->dev;
	dma_addr_t iova = DMA_MAPPING_ERROR;
	struct page *page;
	u32 seq = 0x10000;

	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (page && !w->unmaps)
		iova = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!page || (!w->unmaps && dma_mapping_error(dev, iova)))
		w->seen.errors++;

	while (!kthread_should_stop()) {
		u64 start = ktime_get_ns(), took;

		if (page && (w->unmaps || iova != DMA_MAPPING_ERROR)) {
			WRITE_ONCE(w->op_start, start);
			iq_neighbour_op(ep, w, page, iova, ++seq);
			WRITE_ONCE(w->op_start, 0);
			took = ktime_get_ns() - start;
			w->seen.max_ns = max(w->seen.max_ns, took);
			if (took > w->stall_ns)
				w->seen.stalls++;
		}
		/* Leaves the host's two CPUs to the others. */
		usleep_range(200, 400);
	}

	if (iova != DMA_MAPPING_ERROR)
		dma_unmap_page(dev, iova, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (page)
		__free_page(page);
	return 0;
}

static void iq_neighbour_copy(struct iq_worker *w, struct iq_neighbour *a)
{
	u64 start = READ_ONCE(w->op_start);

	a->completed = READ_ONCE(w->seen.completed);
	a->unmaps = READ_ONCE(w->seen.unmaps);
	a->errors = READ_ONCE(w->seen.errors);
	a->stale = READ_ONCE(w->seen.stale);
	a->stalls = READ_ONCE(w->seen.stalls);
	a->max_ns = READ_ONCE(w->seen.max_ns);
	a->busy_ns = start ? ktime_get_ns() - start : 0;
}

static long iq_neighbour_start(struct iq_endpoint *ep, struct iq_neighbour *a)
{
	struct iq_worker *w;

	if (ep->worker)
		return -EBUSY;
	if (a->cpu >= nr_cpu_ids || !cpu_online(a->cpu))
		return -EINVAL;
	w = kzalloc_obj(*w);
	if (!w)
		return -ENOMEM;
	w->unmaps = a->flags & IQ_N_UNMAP;
	w->stall_ns = (u64)a->stall_ms * NSEC_PER_MSEC;
	ep->worker = w;
	w->task = kthread_create(iq_neighbour_fn, ep, "iq-neighbour");
	if (IS_ERR(w->task)) {
		long ret = PTR_ERR(w->task);

		ep->worker = NULL;
		kfree(w);
		return ret;
	}
	kthread_bind(w->task, a->cpu);
	wake_up_process(w->task);
	return 0;
}

static void iq_neighbour_stop(struct iq_endpoint *ep, struct iq_neighbour *a)
{
	struct iq_worker *w = ep->worker;

	kthread_stop(w->task);
	iq_neighbour_copy(w, a);
	ep->worker = NULL;
	kfree(w);
}

static long iq_do_neighbour(unsigned int cmd, struct iq_neighbour *a)
{
	struct iq_endpoint *ep = iq_ep_use(a->bdf);
	long ret = 0;

	if (!ep)
		return -ENODEV;
	mutex_lock(&ep->lock);
	if (cmd == IQ_N_START)
		ret = iq_neighbour_start(ep, a);
	else if (!ep->worker)
		ret = -ENOENT;
	else if (cmd == IQ_N_READ)
		iq_neighbour_copy(ep->worker, a);
	else
		iq_neighbour_stop(ep, a);
	mutex_unlock(&ep->lock);
	iq_ep_unuse(ep);
	return ret;
}

/* ---- a private domain ---- */

static void iq_unmap_all(struct iommu_domain *domain)
{
	struct iq_page *pg;
	unsigned long i;

	xa_for_each(&iq_pages, i, pg)
		if (pg->domain == domain && pg->mapped)
			iq_page_unmap(pg);
}

static long iq_attach(struct iq_endpoint *ep, struct iommu_domain *shared)
{
	struct iommu_domain *domain = shared;
	int ret;

	if (ep->domain)
		return -EEXIST;
	if (!shared)
		domain = iommu_paging_domain_alloc(&ep->pdev->dev);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_device(domain, &ep->pdev->dev);
	if (!ret) {
		ep->domain = domain;
		ep->borrowed = shared;
	} else if (!shared) {
		iommu_domain_free(domain);
	}
	return ret;
}

static long iq_attach_peers(struct iq_endpoint *ep, u32 bdf)
{
	struct iq_endpoint *peer = __iq_ep_use(bdf, true);
	long ret;

	if (!peer)
		return -ENODEV;
	ret = peer->domain && peer != ep ? iq_attach(ep, peer->domain) : -ENOENT;
	iq_ep_unuse(peer);
	return ret;
}

static long iq_detach(struct iq_endpoint *ep)
{
	if (!ep->domain)
		return -ENOENT;
	if (!ep->borrowed)
		iq_unmap_all(ep->domain);
	iommu_detach_device(ep->domain, &ep->pdev->dev);
	if (!ep->borrowed)
		iommu_domain_free(ep->domain);
	ep->domain = NULL;
	return 0;
}

static long iq_attach_pasid(struct iq_endpoint *ep, u32 pasid)
{
	struct iommu_domain *domain;
	int ret;

	if (pasid > IQ_PASIDS)
		return -EINVAL;
	if (ep->pasid_domain[pasid - 1])
		return -EEXIST;
	domain = iommu_paging_domain_alloc_flags(&ep->pdev->dev,
						 IOMMU_HWPT_ALLOC_PASID);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_device_pasid(domain, &ep->pdev->dev, pasid, NULL);
	if (ret) {
		iommu_domain_free(domain);
		return ret;
	}
	ep->pasid_domain[pasid - 1] = domain;
	return 0;
}

static long iq_detach_pasid(struct iq_endpoint *ep, u32 pasid)
{
	struct iommu_domain *domain;

	domain = pasid > IQ_PASIDS ? NULL : ep->pasid_domain[pasid - 1];
	if (!domain)
		return -ENOENT;
	iq_unmap_all(domain);
	iommu_detach_device_pasid(domain, &ep->pdev->dev, pasid);
	iommu_domain_free(domain);
	ep->pasid_domain[pasid - 1] = NULL;
	return 0;
}

static long iq_do_domain(unsigned int cmd, struct iq_dev *a)
{
	struct iq_endpoint *ep = iq_ep_use(a->bdf);
	long ret;

	if (!ep)
		return -ENODEV;
	mutex_lock(&ep->lock);
	if (a->pasid)
		ret = cmd == IQ_ATTACH ? iq_attach_pasid(ep, a->pasid) :
					 iq_detach_pasid(ep, a->pasid);
	else if (cmd == IQ_DETACH)
		ret = iq_detach(ep);
	else
		ret = a->peer ? iq_attach_peers(ep, a->peer) : iq_attach(ep, NULL);
	mutex_unlock(&ep->lock);
	iq_ep_unuse(ep);
	return ret;
}

/* For what takes the device lock: remove() holds it when it waits for us. */
static struct pci_dev *iq_pdev_get(struct iq_dev *a)
{
	struct iq_endpoint *ep = iq_ep_use(a->bdf);
	struct pci_dev *pdev;

	if (!ep)
		return NULL;
	pdev = pci_dev_get(ep->pdev);
	iq_ep_unuse(ep);
	return pdev;
}

static long iq_reset_bus(struct iq_dev *a)
{
	struct pci_dev *pdev = iq_pdev_get(a);
	long ret;

	if (!pdev)
		return -ENODEV;
	ret = pci_reset_bus(pdev);
	pci_dev_put(pdev);
	return ret;
}

static long iq_power(struct iq_dev *a)
{
	struct pci_dev *pdev = iq_pdev_get(a);
	long ret;

	if (!pdev)
		return -ENODEV;
	device_lock(&pdev->dev);
	pci_save_state(pdev);
	/* An error where no platform can turn the power off: D3hot then. */
	pci_set_power_state(pdev, PCI_D3cold);
	ret = pdev->current_state >= PCI_D3hot ? 0 : -EIO;
	if (!ret)
		ret = pci_set_power_state(pdev, PCI_D0);
	pci_restore_state(pdev);
	device_unlock(&pdev->dev);
	pci_dev_put(pdev);
	return ret;
}

/* ---- heartbeat ---- */

struct iq_cpu_beat {
	struct hrtimer timer;
	u64 last;
	u64 max_gap;
	u64 beats;
};

static DEFINE_PER_CPU(struct iq_cpu_beat, iq_cpu_beats);

static enum hrtimer_restart iq_beat_fn(struct hrtimer *timer)
{
	struct iq_cpu_beat *b = container_of(timer, struct iq_cpu_beat, timer);
	u64 now = ktime_get_ns();

	WRITE_ONCE(b->max_gap, max(READ_ONCE(b->max_gap), now - b->last));
	WRITE_ONCE(b->last, now);
	WRITE_ONCE(b->beats, b->beats + 1);
	hrtimer_forward_now(timer, ns_to_ktime(IQ_BEAT_NS));
	return HRTIMER_RESTART;
}

static void iq_beat_start(void *unused)
{
	struct iq_cpu_beat *b = this_cpu_ptr(&iq_cpu_beats);

	b->last = ktime_get_ns();
	hrtimer_start(&b->timer, ns_to_ktime(IQ_BEAT_NS),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static void iq_beats_stop(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		hrtimer_cancel(&per_cpu(iq_cpu_beats, cpu).timer);
}

static int iq_beats_start(void)
{
	int cpu, ret;

	for_each_online_cpu(cpu) {
		hrtimer_setup(&per_cpu(iq_cpu_beats, cpu).timer, iq_beat_fn,
			      CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
		ret = smp_call_function_single(cpu, iq_beat_start, NULL, true);
		if (ret)
			return ret;
	}
	return 0;
}

static long iq_do_beat(struct iq_beat *a)
{
	u64 now = ktime_get_ns();
	int cpu;

	a->cpus = 0;
	for_each_online_cpu(cpu) {
		struct iq_cpu_beat *b = &per_cpu(iq_cpu_beats, cpu);
		u64 last = READ_ONCE(b->last);

		if (cpu >= IQ_CPUS)
			break;
		a->cpus = cpu + 1;
		a->max_gap_ns[cpu] = max(READ_ONCE(b->max_gap),
					 now > last ? now - last : 0);
		a->beats[cpu] = READ_ONCE(b->beats);
		if (a->reset)
			WRITE_ONCE(b->max_gap, 0);
	}
	return 0;
}

/* ---- the character device ---- */

union iq_arg {
	struct iq_ctl ctl;
	struct iq_reg reg;
	struct iq_map map;
	struct iq_cmd cmd;
	struct iq_unmap unmap;
	struct iq_verify verify;
	struct iq_range range;
	struct iq_neighbour neighbour;
	struct iq_dev dev;
	struct iq_beat beat;
};

static long iq_dispatch(unsigned int cmd, union iq_arg *a)
{
	switch (cmd) {
	case IQ_CTL:
		return iq_do_ctl(&a->ctl);
	case IQ_REG:
		return iq_do_reg(&a->reg);
	case IQ_MAP:
		return iq_do_map(&a->map);
	case IQ_CMD:
		return iq_do_cmd(&a->cmd);
	case IQ_UNMAP:
		return iq_do_unmap(&a->unmap);
	case IQ_VERIFY:
		return iq_do_verify(&a->verify);
	case IQ_FREE:
		return iq_do_free(&a->range);
	case IQ_N_START:
	case IQ_N_READ:
	case IQ_N_STOP:
		return iq_do_neighbour(cmd, &a->neighbour);
	case IQ_ATTACH:
	case IQ_DETACH:
		return iq_do_domain(cmd, &a->dev);
	case IQ_BEAT:
		return iq_do_beat(&a->beat);
	case IQ_RESET_BUS:
		return iq_reset_bus(&a->dev);
	case IQ_POWER:
		return iq_power(&a->dev);
	case IQ_PANIC:
		panic("iqtest: as was asked for\n");
	}
	return -ENOTTY;
}

static long iq_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	union iq_arg a = {};
	size_t size = _IOC_SIZE(cmd);
	long ret;

	if (size > sizeof(a))
		return -ENOTTY;
	if (copy_from_user(&a, (void __user *)arg, size))
		return -EFAULT;
	ret = iq_dispatch(cmd, &a);
	if (copy_to_user((void __user *)arg, &a, size))
		return -EFAULT;
	return ret;
}

static const struct file_operations iq_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = iq_ioctl,
};

static struct miscdevice iq_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "iqtest",
	.fops = &iq_fops,
};

/* ---- PCI ---- */

static int iq_ctl_probe(struct pci_dev *pdev, void __iomem *bar)
{
	unsigned long flags;

	if (readl(bar + CTL_MAGIC) != IQ_CTL_MAGIC_VALUE)
		return dev_err_probe(&pdev->dev, -ENODEV, "wrong magic\n");
	raw_spin_lock_irqsave(&iq_ctl_lock, flags);
	iq_ctl_bar = bar;
	raw_spin_unlock_irqrestore(&iq_ctl_lock, flags);
	return 0;
}

static int iq_ep_probe(struct pci_dev *pdev, void __iomem *bar)
{
	struct iq_endpoint *ep;
	int ret;

	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	/*
	 * No look at the magic here: a device in quarantine, or one that has
	 * vanished, may be bound as well.
	 */
	ep = kzalloc_obj(*ep);
	if (!ep)
		return -ENOMEM;
	kref_init(&ep->ref);
	ep->pdev = pci_dev_get(pdev);
	ep->bdf = pci_dev_id(pdev);
	ep->bar = bar;
	init_rwsem(&ep->use);
	raw_spin_lock_init(&ep->cmd_lock);
	mutex_init(&ep->lock);
	pci_set_drvdata(pdev, ep);
	pci_set_master(pdev);
	pci_save_state(pdev);

	spin_lock(&iq_endpoints_lock);
	list_add(&ep->node, &iq_endpoints);
	spin_unlock(&iq_endpoints_lock);
	return 0;
}

static int iq_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	void __iomem *bar;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	bar = pcim_iomap_region(pdev, 0, "iqtest");
	if (IS_ERR(bar))
		return PTR_ERR(bar);
	if (id->device == IQ_CTL_DEVICE)
		return iq_ctl_probe(pdev, bar);
	return iq_ep_probe(pdev, bar);
}

static void iq_ep_remove(struct iq_endpoint *ep)
{
	struct iq_neighbour last;
	struct iq_page *pg;
	unsigned long i;
	u32 pasid;

	spin_lock(&iq_endpoints_lock);
	list_del(&ep->node);
	spin_unlock(&iq_endpoints_lock);

	mutex_lock(&ep->lock);
	if (ep->worker)
		iq_neighbour_stop(ep, &last);
	mutex_unlock(&ep->lock);

	down_write(&ep->use);
	ep->gone = true;
	/*
	 * As any driver's remove() must: nothing stays mapped. What was mapped
	 * goes to "somebody else" here too.
	 */
	xa_for_each(&iq_pages, i, pg) {
		if (pg->ep != ep || !pg->mapped)
			continue;
		iq_page_unmap(pg);
		iq_page_fill(pg->page, pg->canary);
		iq_ctl_access(ep->bdf, CTL_DOORBELL, 1, true);
	}
	for (pasid = 1; pasid <= IQ_PASIDS; pasid++)
		iq_detach_pasid(ep, pasid);
	if (ep->domain)
		iq_detach(ep);
	up_write(&ep->use);
	iq_ep_put(ep);
}

static void iq_remove(struct pci_dev *pdev)
{
	unsigned long flags;

	if (pdev->device != IQ_CTL_DEVICE) {
		pci_disable_sriov(pdev);
		iq_ep_remove(pci_get_drvdata(pdev));
		return;
	}
	raw_spin_lock_irqsave(&iq_ctl_lock, flags);
	iq_ctl_bar = NULL;
	raw_spin_unlock_irqrestore(&iq_ctl_lock, flags);
}

/* AER and DPC: reset it, restore it, go on. */
static pci_ers_result_t iq_error_detected(struct pci_dev *pdev,
					  pci_channel_state_t state)
{
	return state == pci_channel_io_perm_failure ?
		PCI_ERS_RESULT_DISCONNECT : PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t iq_slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	pci_save_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

/* The PCI core restores VF Enable, and leaves the virtual functions to the drivers. */
static void iq_reset_done(struct pci_dev *pdev)
{
	struct pci_dev *vf = NULL;

	while ((vf = pci_get_device(IQ_VENDOR, IQ_VF_DEVICE, vf)))
		if (vf->is_virtfn && pci_physfn(vf) == pdev)
			pci_set_master(vf);
}

static const struct pci_error_handlers iq_err_handler = {
	.reset_done = iq_reset_done,
	.error_detected = iq_error_detected,
	.slot_reset = iq_slot_reset,
};

static const struct pci_device_id iq_ids[] = {
	{ PCI_DEVICE(IQ_VENDOR, IQ_CTL_DEVICE) },
	{ PCI_DEVICE(IQ_VENDOR, IQ_EP_DEVICE) },
	{ PCI_DEVICE(IQ_VENDOR, IQ_VF_DEVICE) },
	{ PCI_DEVICE(IQ_QUIRK_VENDOR, IQ_QUIRK_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, iq_ids);

/* There is nothing to be done, and the PCI core puts a device to sleep for who says so. */
static int iq_sleep(struct device *dev)
{
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(iq_pm_ops, iq_sleep, iq_sleep);

static struct pci_driver iq_driver = {
	.name = "iqtest",
	.id_table = iq_ids,
	.probe = iq_probe,
	.remove = iq_remove,
	.sriov_configure = pci_sriov_configure_simple,
	.err_handler = &iq_err_handler,
	.driver.pm = pm_sleep_ptr(&iq_pm_ops),
};

static int __init iq_init(void)
{
	int ret;

	ret = iq_beats_start();
	if (ret)
		goto stop_beats;
	ret = pci_register_driver(&iq_driver);
	if (ret)
		goto stop_beats;
	ret = misc_register(&iq_misc);
	if (ret)
		goto unregister;
	return 0;

unregister:
	pci_unregister_driver(&iq_driver);
stop_beats:
	iq_beats_stop();
	return ret;
}

static void __exit iq_exit(void)
{
	struct iq_page *pg;
	unsigned long i;

	misc_deregister(&iq_misc);
	pci_unregister_driver(&iq_driver);
	xa_for_each(&iq_pages, i, pg)
		iq_free_one(i);
	xa_destroy(&iq_pages);
	iq_beats_stop();
}

module_init(iq_init);
module_exit(iq_exit);
MODULE_DESCRIPTION("Driver of the IOMMU fault endpoint, for the iommu-quarantine scenarios");
MODULE_LICENSE("GPL");
