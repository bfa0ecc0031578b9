// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the VT-d backend: the conformance suite in legacy and in
 * scalable mode, and what only VT-d has. The IOMMU is a page of registers and
 * the driver's own queue, in which this file plays the hardware, as the VT-d
 * specification has it (6.5.2): it goes on each time the driver polls.
 */

#include <kunit/test.h>
#include <linux/dmar.h>
#include <linux/kthread.h>
#include <linux/rculist.h>

#include "iommu.h"
#include "pasid.h"
#include "backend.h"
#include "kunit-compat.h"
#include "quarantine.h"

#include "../tests/conformance/bodies.h"
#include "../tests/conformance/pages.h"

#define VTD_SEQ_ID	(DMAR_UNITS_SUPPORTED - 1)

/* A bit of FSTS that is reserved: still there, so nobody has written to it */
#define FSTS_UNTOUCHED	BIT(31)

enum vtd_naming {
	NAME_SID,	/* ITESID is right */
	NAME_ZERO,	/* hardware without the field */
	NAME_ONES,	/* a dead read */
	NAME_OTHER,	/* hw->name */
};

/* A descriptor that was fetched; did the third function count as fenced by then? */
struct vtd_fetch {
	u64 qw0;
	bool fenced;
};

struct vtd_hw {
	struct intel_iommu iommu;
	struct dmar_drhd_unit drhd;
	void *reg;
	struct iq_fixture *fx;
	/* how it behaves */
	enum vtd_naming naming;
	u16 name;
	unsigned int hold_waits;	/* goes on when so many waits are queued */
	u8 alias;			/* devfn that the third function uses too */
	unsigned int aliases;		/* ... and those behind it, so many */
	bool fetch_all;			/* fetches what follows before it times out */
	bool silent;			/* completes nothing, says nothing */
	bool falls_silent;		/* ... from the next timeout on */
	unsigned int silent_after;	/* ... when it has completed so many waits */
	bool refuses;			/* device-TLB invalidations, from then on */
	/* what it has done */
	bool stopped;			/* ITE is set */
	int late;			/* sid of one that was not answered, or -1 */
	unsigned int ites;
	unsigned int waits;
	unsigned int iotlbs;
	unsigned int devtlbs;
	unsigned int contexts[IQ_DEVS];	/* of one device; the fence's are global */
	u16 did[IQ_DEVS];		/* of the cached entries */
	struct vtd_fetch log[64];	/* the first ones since it was emptied */
	unsigned int logged;
};

static struct vtd_hw *vtd_hw;

static struct vtd_hw *vtd_hw_of(struct iq_fixture *fx)
{
	return fx->hw;
}

static u32 reg_get(struct vtd_hw *hw, int where)
{
	return READ_ONCE(*(u32 *)(hw->reg + where));
}

static void reg_set(struct vtd_hw *hw, int where, u32 val)
{
	WRITE_ONCE(*(u32 *)(hw->reg + where), val);
}

/* ---- tables ---- */

static struct context_entry *hw_context(struct vtd_hw *hw, u16 sid)
{
	return iommu_context_addr(&hw->iommu, PCI_BUS_NUM(sid), sid & 0xff, 0);
}

static bool hw_pasid(struct vtd_hw *hw, u16 sid, u32 pasid)
{
	struct context_entry *context = hw_context(hw, sid);
	struct pasid_dir_entry *dir;
	struct pasid_entry *table;

	if (!context || !(READ_ONCE(context->lo) & 1))
		return false;
	dir = phys_to_virt(context->lo & VTD_PAGE_MASK);
	table = get_pasid_table_from_pde(&dir[pasid >> PASID_PDE_SHIFT]);
	return table && pasid_pte_is_present(&table[pasid & PASID_PTE_MASK]);
}

static bool vtd_allows(struct iq_dev *d)
{
	struct vtd_hw *hw = vtd_hw_of(d->fx);
	struct context_entry *context = hw_context(hw, d->sid);
	u64 lo = context ? READ_ONCE(context->lo) : 0;

	if (!(lo & 1))
		return false;
	/* Legacy: translation type 01b. Scalable: DTE, and something to use. */
	if (!sm_supported(&hw->iommu))
		return (lo >> 2 & 3) == CONTEXT_TT_DEV_IOTLB;
	return lo & BIT_ULL(2) && hw_pasid(hw, d->sid, IOMMU_NO_PASID);
}

static bool vtd_pasid_allows(struct iq_dev *d, u32 pasid)
{
	return hw_pasid(vtd_hw_of(d->fx), d->sid, pasid);
}

/* ---- the invalidation queue ---- */

static void hw_look(struct vtd_hw *hw)
{
	struct context_entry *context;
	int i;

	iq_look(hw->fx);
	for (i = 0; i < IQ_DEVS; i++) {
		context = hw_context(hw, hw->fx->dev[i].sid);
		if (context && hw->fx->dev[i].cached)
			hw->did[i] = context->hi >> 8;
	}
}

static void hw_forget(struct vtd_hw *hw, u64 desc)
{
	int i;

	for (i = 0; i < IQ_DEVS; i++) {
		switch (desc >> 4 & 3) {
		case 1:
			break;
		case 2:
			if ((u16)(desc >> 16) != hw->did[i])
				continue;
			break;
		case 3:
			if ((u16)(desc >> 32) != hw->fx->dev[i].sid)
				continue;
			break;
		}
		iq_forget(&hw->fx->dev[i]);
	}
}

/*
 * Scalable mode: what the IOMMU holds of a device that has no entry for its RID
 * any more is of no use then. Where it has one, DTE decides, and that is of the
 * context cache.
 */
static void hw_forget_pasids(struct vtd_hw *hw)
{
	int i;

	for (i = 0; i < IQ_DEVS; i++)
		if (!hw_pasid(hw, hw->fx->dev[i].sid, IOMMU_NO_PASID))
			WRITE_ONCE(hw->fx->dev[i].cached, false);
}

static void hw_time_out(struct vtd_hw *hw)
{
	u64 sid;

	switch (hw->naming) {
	case NAME_SID:
		sid = hw->late;
		break;
	case NAME_ONES:
		sid = 0xffff;
		break;
	case NAME_OTHER:
		sid = hw->name;
		break;
	default:
		sid = 0;
	}
	*(u64 *)(hw->reg + DMAR_IQER_REG) = sid << 32;
	reg_set(hw, DMAR_FSTS_REG, DMA_FSTS_ITE | FSTS_UNTOUCHED);
	hw->late = -1;
	hw->stopped = true;
	hw->silent |= hw->falls_silent;
	hw->ites++;
}

static void hw_log(struct vtd_hw *hw, u64 qw0)
{
	struct vtd_dev *vdev;

	if (hw->logged == ARRAY_SIZE(hw->log))
		return;
	guard(rcu)();
	vdev = vtd_find(&hw->iommu, hw->fx->dev[IQ_OTHER].sid);
	hw->log[hw->logged++] = (struct vtd_fetch){
		.qw0 = qw0,
		.fenced = vdev && atomic_read(&vdev->state) == VTD_FENCED,
	};
}

/* Returns false if nothing more is to be fetched */
static bool hw_one(struct vtd_hw *hw, u64 *desc, bool last)
{
	u64 qw0 = desc[0];
	struct iq_dev *d;
	u32 *status;
	int sid = -1;

	hw_log(hw, qw0);
	switch (qw0 & 0xf) {
	case QI_CC_TYPE:
		hw_forget(hw, qw0);
		d = iq_find(hw->fx, qw0 >> 32);
		if (d && (qw0 & 0x30) == QI_CC_GRAN(DMA_CCMD_DEVICE_INVL))
			hw->contexts[d - hw->fx->dev]++;
		return true;
	case QI_PC_TYPE:
		hw_forget_pasids(hw);
		return true;
	case QI_IOTLB_TYPE:
	case QI_EIOTLB_TYPE:
		hw->iotlbs++;
		return true;
	case QI_DIOTLB_TYPE:
		sid = qw0 >> 32 & 0xffff;
		break;
	case QI_DEIOTLB_TYPE:
		sid = qw0 >> 16 & 0xffff;
		break;
	case QI_IWD_TYPE:
		if (hw->late >= 0) {
			/* Aborted, with all that was fetched */
			if (!hw->fetch_all || last)
				hw_time_out(hw);
			return !hw->stopped;
		}
		if (qw0 & QI_IWD_STATUS_WRITE) {
			status = phys_to_virt(desc[1] & ~3ULL);
			WRITE_ONCE(*status, qw0 >> 32);
			hw->waits++;
		}
		if (hw->silent_after && !--hw->silent_after)
			hw->silent = true;
		return !hw->silent;
	default:
		return true;
	}
	hw->devtlbs++;
	d = iq_find(hw->fx, sid);
	if (!iq_ask(d))
		hw->late = sid;
	return true;
}

static bool hw_is_devtlb(u64 qw0)
{
	return (qw0 & 0xf) == QI_DIOTLB_TYPE || (qw0 & 0xf) == QI_DEIOTLB_TYPE;
}

static unsigned int hw_queued_waits(struct vtd_hw *hw, u32 head, u32 tail)
{
	int shift = qi_shift(&hw->iommu);
	unsigned int waits = 0;

	for (; head != tail; head = (head + (1 << shift)) % (QI_LENGTH << shift))
		if ((*(u64 *)(hw->iommu.qi->desc + head) & 0xf) == QI_IWD_TYPE)
			waits++;
	return waits;
}

/* The driver polls, q_lock held */
static void vtd_hardware(struct intel_iommu *iommu)
{
	struct vtd_hw *hw = container_of(iommu, struct vtd_hw, iommu);
	int shift = qi_shift(iommu);
	u32 head, tail, fsts, mask = (QI_LENGTH << shift) - 1;

	if (hw != vtd_hw)
		return;
	hw_look(hw);
	/* Write 1 to clear: then the queue goes on */
	fsts = reg_get(hw, DMAR_FSTS_REG);
	if (hw->stopped && (fsts == DMA_FSTS_ITE || fsts == DMA_FSTS_IQE)) {
		reg_set(hw, DMAR_FSTS_REG, 0);
		hw->stopped = false;
	}
	if (hw->stopped || hw->silent)
		return;
	head = reg_get(hw, DMAR_IQH_REG);
	tail = reg_get(hw, DMAR_IQT_REG);
	if (hw->hold_waits && hw_queued_waits(hw, head, tail) < hw->hold_waits)
		return;
	hw->hold_waits = 0;
	while (head != tail && !hw->stopped) {
		u64 *desc = iommu->qi->desc + head;

		if (hw->refuses && hw->ites && hw_is_devtlb(*desc)) {
			reg_set(hw, DMAR_FSTS_REG, DMA_FSTS_IQE | FSTS_UNTOUCHED);
			hw->stopped = true;
			break;
		}
		head = (head + (1 << shift)) & mask;
		reg_set(hw, DMAR_IQH_REG, head);
		hw_one(hw, desc, head == tail);
		if (hw->silent)
			break;
	}
	hw_look(hw);
}

/* ---- lifetime ---- */

/* As the kernel's quirks do it, before the IOMMU sees the function */
static void vtd_alias_fixup(struct pci_dev *pdev)
{
	struct vtd_hw *hw = vtd_hw;

	if (hw && hw->aliases && pdev->bus->sysdata == hw->fx->bus->sysdata &&
	    pdev->devfn == hw->fx->dev[IQ_OTHER].devfn)
		pci_add_dma_alias(pdev, hw->alias, hw->aliases);
}
DECLARE_PCI_FIXUP_HEADER(PCI_VENDOR_ID_REDHAT, 0x0fff, vtd_alias_fixup);

static int vtd_start(struct iq_fixture *fx, bool scalable)
{
	struct intel_iommu *iommu;
	struct vtd_hw *hw;
	int ret;

	hw = kzalloc_obj(*hw);
	if (!hw)
		return -ENOMEM;
	fx->hw = hw;
	hw->fx = fx;
	hw->late = -1;
	hw->reg = (void *)get_zeroed_page(GFP_KERNEL);
	iommu = &hw->iommu;
	/* NDOMS, SAGAW, MGAW, PSI, MAMV */
	iommu->cap = 6 | 4ULL << 8 | 47ULL << 16 | 1ULL << 39 | 18ULL << 48;
	/* C, QI, DT, SC; SMPWC, SLTS, PASID, PSS */
	iommu->ecap = BIT_ULL(0) | BIT_ULL(1) | BIT_ULL(2) | BIT_ULL(7);
	if (scalable)
		iommu->ecap |= BIT_ULL(48) | BIT_ULL(46) | BIT_ULL(43) |
			       BIT_ULL(40) | 19ULL << 35;
	intel_iommu_sm = scalable;

	iommu->reg = (void __iomem *)hw->reg;
	iommu->seq_id = VTD_SEQ_ID;
	iommu->agaw = iommu_calculate_agaw(iommu);
	iommu->msagaw = iommu_calculate_max_sagaw(iommu);
	iommu->segment = 0x1000 + fx->nr;
	iommu->device_rbtree = RB_ROOT;
	spin_lock_init(&iommu->device_rbtree_lock);
	mutex_init(&iommu->iopf_lock);
	iommu->node = NUMA_NO_NODE;
	spin_lock_init(&iommu->lock);
	ret = vtd_kunit_init_dids(iommu);
	if (ret)
		return ret;
	raw_spin_lock_init(&iommu->register_lock);
	iommu->flush.flush_context = qi_flush_context;
	iommu->flush.flush_iotlb = qi_flush_iotlb;
	if (scalable)
		iommu->iommu.max_pasids = 2UL << ecap_pss(iommu->ecap);
	snprintf(iommu->name, sizeof(iommu->name), "iq-dmar%d", fx->nr);
	iommu->root_entry = iq_alloc_pages(SZ_4K);
	if (!hw->reg || !iommu->root_entry)
		return -ENOMEM;

	/* All that a command in GCMD may ask for is done already */
	reg_set(hw, DMAR_GSTS_REG, ~0U);
	/* Translation is on: else the driver sends no device-TLB invalidation */
	iommu->gcmd = DMA_GCMD_TE;
	ret = dmar_enable_qi(iommu);
	if (ret)
		return ret;
	*vtd_unit(iommu) = (struct vtd_unit){};
	vtd_hw = hw;
	vtd_kunit_hardware = vtd_hardware;

	iommu->drhd = &hw->drhd;
	hw->drhd.iommu = iommu;
	hw->drhd.segment = iommu->segment;
	hw->drhd.include_all = 1;
	down_write(&dmar_global_lock);
	list_add_tail_rcu(&hw->drhd.list, &dmar_drhd_units);
	up_write(&dmar_global_lock);

	ret = iommu_device_sysfs_add(&iommu->iommu, NULL, NULL, "%s",
				     iommu->name);
	return ret ?: iommu_device_register(&iommu->iommu, &intel_iommu_ops,
					    NULL);
}

static int vtd_start_legacy(struct iq_fixture *fx)
{
	return vtd_start(fx, false);
}

static int vtd_start_scalable(struct iq_fixture *fx)
{
	return vtd_start(fx, true);
}

static void vtd_stop(struct iq_fixture *fx)
{
	struct vtd_hw *hw = vtd_hw_of(fx);
	struct intel_iommu *iommu = &hw->iommu;
	struct root_entry *root;

	iommu_device_unregister(&iommu->iommu);
	iommu_device_sysfs_remove(&iommu->iommu);
	down_write(&dmar_global_lock);
	list_del_rcu(&hw->drhd.list);
	up_write(&dmar_global_lock);
	synchronize_rcu();
	vtd_kunit_hardware = NULL;
	vtd_hw = NULL;

	root = &iommu->root_entry[fx->busnr];
	if (root->lo & 1)
		iq_free_pages(phys_to_virt(root->lo & VTD_PAGE_MASK), SZ_4K);
	if (root->hi & 1)
		iq_free_pages(phys_to_virt(root->hi & VTD_PAGE_MASK), SZ_4K);
	iq_free_pages(iommu->root_entry, SZ_4K);
	iq_free_pages(iommu->qi->desc, QI_LENGTH << qi_shift(iommu));
	kfree(iommu->qi->desc_status);
	kfree(iommu->qi);
	vtd_kunit_free_dids(iommu);
	free_page((unsigned long)hw->reg);
	kfree(hw);
}

static int vtd_active_before;

static int vtd_leaks(struct iq_fixture *fx)
{
	return atomic_read(&intel_quarantine_active) - vtd_active_before;
}

static const struct iq_vendor vtd_legacy = {
	.name = "intel-vtd",
	.start = vtd_start_legacy,
	.stop = vtd_stop,
	.allows = vtd_allows,
	.leaks = vtd_leaks,
};

/* A process's tables are first-stage ones */
static void vtd_processes(struct iq_fixture *fx)
{
	struct intel_iommu *iommu = &vtd_hw_of(fx)->iommu;

	iommu->ecap |= BIT_ULL(47);	/* FLTS */
	iommu->flags |= VTD_FLAG_SVM_CAPABLE;
}

static const struct iq_vendor vtd_scalable = {
	.name = "intel-vtd",
	.start = vtd_start_scalable,
	.stop = vtd_stop,
	.allows = vtd_allows,
	.pasid_allows = vtd_pasid_allows,
	.processes = vtd_processes,
	.leaks = vtd_leaks,
};

static int vtd_init_legacy(struct kunit *test)
{
	vtd_active_before = atomic_read(&intel_quarantine_active);
	iq_start(test, &vtd_legacy);
	return 0;
}

static int vtd_init_scalable(struct kunit *test)
{
	vtd_active_before = atomic_read(&intel_quarantine_active);
	iq_start(test, &vtd_scalable);
	return 0;
}

static struct kunit_case vtd_legacy_cases[] = {
#include "../tests/conformance/cases.h"
	{}
};

static struct kunit_suite vtd_legacy_suite = {
	.name = "iommu_quarantine_intel_vtd",
	.init = vtd_init_legacy,
	.exit = iq_stop,
	.test_cases = vtd_legacy_cases,
};

static struct kunit_case vtd_scalable_cases[] = {
#include "../tests/conformance/cases.h"
	{}
};

static struct kunit_suite vtd_scalable_suite = {
	.name = "iommu_quarantine_intel_vtd_scalable",
	.init = vtd_init_scalable,
	.exit = iq_stop,
	.test_cases = vtd_scalable_cases,
};

/* ---- what only VT-d has ---- */

static struct vtd_hw *the_hw(struct kunit *test)
{
	return vtd_hw_of(test->priv);
}

static struct intel_iommu *the_iommu(struct kunit *test)
{
	return &the_hw(test)->iommu;
}

static void devtlb_desc(struct iq_dev *d, struct qi_desc *desc)
{
	qi_desc_dev_iotlb(d->sid, 0, 0, 0, MAX_AGAW_PFN_WIDTH, desc);
}

/* What the fence never sends: it can be told how often this was run */
static void context_desc(struct iq_dev *d, struct qi_desc *desc)
{
	*desc = (struct qi_desc){
		.qw0 = QI_CC_GRAN(DMA_CCMD_DEVICE_INVL) | QI_CC_SID(d->sid) | QI_CC_TYPE,
	};
}

static void vtd_test_ite(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);

	iq_break_and_wait(test, d);
	/* C3: one timeout for one breakage */
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
	KUNIT_EXPECT_EQ(test, iq_told(test)->hw[1] >> 32, d->sid);
	KUNIT_EXPECT_TRUE(test, iq_told(test)->hw[0] & DMA_FSTS_ITE);
}

/* Nobody is named, and one device was asked: it is that one */
static void vtd_test_nameless_alone(struct kunit *test)
{
	static const enum vtd_naming naming[] = { NAME_ZERO, NAME_ONES };
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(naming); i++) {
		hw->naming = naming[i];
		hw->ites = 0;
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_EQ(test, hw->ites, 1);
		KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
				   "ats-invalidation-timeout-narrowed");
		hw->naming = NAME_SID;
		iq_recover(test, d);
	}
}

/* Nobody is named, and two were asked: the one that answers alone is innocent */
static void vtd_test_nameless_shared(struct kunit *test)
{
	static const enum vtd_naming naming[] = { NAME_ZERO, NAME_ONES };
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	struct vtd_hw *hw = the_hw(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(naming); i++) {
		hw->naming = naming[i];
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
				   "ats-invalidation-timeout-narrowed");
		iq_expect_state(test, s, "healthy");
		KUNIT_EXPECT_EQ(test, iq_count(s), 0);
		KUNIT_EXPECT_TRUE(test, iq_may_translate(s));
		iq_expect_in_service(test, s);
		hw->naming = NAME_SID;
		iq_recover(test, d);
	}
}

/* The same with the guilty one second in the batch */
static void vtd_test_nameless_second(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_SIBLING);
	struct iq_dev *s = iq_the(test, IQ_BROKEN);

	the_hw(test)->naming = NAME_ZERO;
	iq_break_and_wait(test, d);
	iq_expect_state(test, s, "healthy");
	iq_expect_in_service(test, s);
}

/* As if an error that names nobody had found it among those that were asked */
static void suspect(struct iq_dev *d)
{
	struct intel_iommu *iommu = &vtd_hw_of(d->fx)->iommu;

	guard(rcu)();
	guard(raw_spinlock_irqsave)(&iommu->qi->q_lock);
	atomic_set(&vtd_find(iommu, d->sid)->state, VTD_SUSPECT);
	atomic_inc(&intel_quarantine_active);
}

/* C4: what was held back from a suspect that answers is sent after all */
static void vtd_test_held_back(struct kunit *test)
{
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	int asked = atomic_read(&o->asked), flush;

	KUNIT_ASSERT_EQ(test, iq_flush(o), 0);
	flush = atomic_read(&o->asked) - asked;
	suspect(o);
	KUNIT_ASSERT_EQ(test, iq_flush(o), 0);
	/* Once alone, whether it answers */
	KUNIT_EXPECT_EQ(test, atomic_read(&o->asked), asked + 2 * flush + 1);
	iq_expect_state(test, o, "healthy");
	iq_expect_in_service(test, o);
}

/* Who cannot be asked alone, since the queue refuses that, counts as broken */
static void vtd_test_nameless_refused(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	struct vtd_hw *hw = the_hw(test);

	hw->naming = NAME_ZERO;
	hw->refuses = true;
	iq_break_and_wait(test, d);
	iq_await_state(test, s, "quarantined");
	iq_expect_shut_out(test, s);
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
	hw->refuses = false;
	iq_expect_in_service(test, iq_the(test, IQ_OTHER));
}

/* A physical function is named, which was not asked: not taken at its word */
static void vtd_test_pf_named(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *pf = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct qi_desc desc;

	scoped_guard(rcu)
		vtd_find(&hw->iommu, d->sid)->pf_sid = pf->sid;
	hw->naming = NAME_OTHER;
	hw->name = pf->sid;
	WRITE_ONCE(d->mute, true);
	devtlb_desc(d, &desc);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, &desc, 1, 0), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
	iq_expect_state(test, pf, "healthy");
}

/* ... nor when it was asked as well */
static void vtd_test_pf_asked_too(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *pf = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct qi_desc desc[2];

	scoped_guard(rcu)
		vtd_find(&hw->iommu, d->sid)->pf_sid = pf->sid;
	hw->naming = NAME_OTHER;
	hw->name = pf->sid;
	WRITE_ONCE(d->mute, true);
	devtlb_desc(pf, &desc[0]);
	devtlb_desc(d, &desc[1]);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, desc, 2, 0), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
	iq_expect_state(test, pf, "healthy");
	iq_expect_in_service(test, pf);
}

/* A name that nothing can come of: nobody's, or that of one who is fenced */
static void vtd_test_wrong_name(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);

	hw->naming = NAME_OTHER;
	hw->name = 0xfff8;
	iq_break_and_wait(test, o);
	KUNIT_EXPECT_STREQ(test, iq_show(o, "cause"),
			   "ats-invalidation-timeout-narrowed");
	hw->name = o->sid;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	iq_expect_state(test, iq_the(test, IQ_SIBLING), "healthy");
}

/* A batch with the one that does not answer at @pos. @asked: another one is, as well */
static void mixed_batch(struct kunit *test, unsigned int pos, bool asked)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct qi_desc desc[4];
	int answered = atomic_read(&o->answered);
	unsigned int i, contexts = hw->contexts[IQ_OTHER];

	for (i = 0; i < ARRAY_SIZE(desc); i++)
		qi_desc_iotlb(&hw->iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &desc[i]);
	devtlb_desc(d, &desc[pos]);
	context_desc(o, &desc[(pos + 1) % ARRAY_SIZE(desc)]);
	if (asked)
		devtlb_desc(o, &desc[(pos + 2) % ARRAY_SIZE(desc)]);
	hw->ites = 0;
	WRITE_ONCE(d->mute, true);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, desc, ARRAY_SIZE(desc), 0), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
	KUNIT_EXPECT_EQ(test, hw->contexts[IQ_OTHER], contexts + 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->answered), answered + 2 * asked);
	iq_expect_state(test, o, "healthy");
	iq_await_state(test, d, "quarantined");
	iq_recover(test, d);
}

/*
 * Innocents of a batch are run again, not failed and not dropped: the hardware has
 * carried them out, but nobody was told. Also if there is no other device in it, whose
 * state would have the batch run again anyway.
 */
static void vtd_test_mixed_batch(struct kunit *test)
{
	unsigned int pos;

	for (pos = 0; pos < 4; pos++) {
		mixed_batch(test, pos, false);
		mixed_batch(test, pos, true);
	}
}

/* At each position of the ring, also where it wraps */
static void vtd_test_wrap(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct vtd_hw *hw = the_hw(test);
	int i, k;

	for (i = 0; i < 24; i++) {
		/* Leave few entries to the end of the ring, one less each time */
		while (hw->iommu.qi->free_head != QI_LENGTH - 24 + i) {
			struct qi_desc desc;
			int left = (QI_LENGTH - 24 + i + QI_LENGTH -
				    hw->iommu.qi->free_head) % QI_LENGTH;

			qi_desc_iotlb(&hw->iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH,
				      &desc);
			qi_submit_sync(&hw->iommu, &desc, left & 1 ? 0 : 1, 0);
		}
		hw->ites = 0;
		iq_break(test, d);
		KUNIT_EXPECT_EQ(test, hw->ites, 1);
		for (k = 0; k < 3; k++)
			iq_expect_shut_out(test, d);
		iq_recover(test, d);
	}
}

struct vtd_producer {
	struct intel_iommu *iommu;
	struct qi_desc desc[3];
	unsigned int count;
	int rc;
	struct completion done;
};

static int vtd_produce(void *data)
{
	struct vtd_producer *p = data;

	p->rc = qi_submit_sync(p->iommu, p->desc, p->count, 0);
	complete(&p->done);
	return 0;
}

static void vtd_producer_start(struct kunit *test, struct vtd_producer *p)
{
	struct task_struct *task;

	p->iommu = the_iommu(test);
	init_completion(&p->done);
	task = kthread_create(vtd_produce, p, "iq-producer");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	kthread_bind(task, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(task);
}

/*
 * Two CPUs, one timeout: the waits of both were fetched and are aborted. All of the
 * innocent one is run again, what it says of the context cache as well.
 */
static void vtd_test_aborted_innocent(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct vtd_producer p = { .count = 3 };
	struct qi_desc desc;
	int answered = atomic_read(&o->answered);
	unsigned int iotlbs = hw->iotlbs;
	unsigned int *contexts = &hw->contexts[IQ_OTHER], before = *contexts;

	migrate_disable();
	hw->fetch_all = true;
	hw->hold_waits = 2;
	WRITE_ONCE(d->mute, true);
	devtlb_desc(o, &p.desc[0]);
	qi_desc_iotlb(&hw->iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &p.desc[1]);
	context_desc(o, &p.desc[2]);
	vtd_producer_start(test, &p);
	devtlb_desc(d, &desc);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, &desc, 1, 0), 0);
	migrate_enable();
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p.done, 30 * HZ), 0);
	KUNIT_EXPECT_EQ(test, p.rc, 0);
	KUNIT_EXPECT_GT(test, atomic_read(&o->answered), answered);
	KUNIT_EXPECT_GT(test, hw->iotlbs, iotlbs);
	KUNIT_EXPECT_EQ(test, *contexts, before + 2);
	iq_expect_state(test, o, "healthy");
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
}

/*
 * What another CPU had queued for the device, and the hardware had not fetched,
 * costs no second timeout.
 */
static void vtd_test_scrub(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	int i, answered = atomic_read(&o->answered);
	struct vtd_hw *hw = the_hw(test);
	struct vtd_producer p = { .count = 1 };
	struct qi_desc desc[2];

	migrate_disable();
	hw->hold_waits = 2;
	WRITE_ONCE(d->mute, true);
	devtlb_desc(d, &p.desc[0]);
	vtd_producer_start(test, &p);
	for (i = 0; i < 5000 && reg_get(hw, DMAR_IQH_REG) ==
				reg_get(hw, DMAR_IQT_REG); i++)
		usleep_range(500, 1000);
	/* Behind that; what is for others stays */
	devtlb_desc(d, &desc[0]);
	devtlb_desc(o, &desc[1]);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, desc, 2, 0), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	migrate_enable();
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p.done, 30 * HZ), 0);
	KUNIT_EXPECT_EQ(test, p.rc, 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	KUNIT_EXPECT_GT(test, atomic_read(&o->answered), answered);
	iq_expect_state(test, o, "healthy");
}

/* As many as fit into the queue */
static void vtd_test_queue_full(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct vtd_hw *hw = the_hw(test);
	const int n = QI_LENGTH - 2;
	struct qi_desc *desc;
	int i;

	desc = kunit_kcalloc(test, n, sizeof(*desc), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, desc);
	for (i = 0; i < n; i++)
		if (i % 2)
			devtlb_desc(d, &desc[i]);
		else
			qi_desc_iotlb(&hw->iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH,
				      &desc[i]);
	WRITE_ONCE(d->mute, true);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, desc, n, 0), 0);
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
}

static u64 the_context(struct kunit *test, struct iq_dev *d)
{
	struct context_entry *context = hw_context(the_hw(test), d->sid);

	return context ? context->lo : 0;
}

/* What the entry looks like while the device is fenced, and afterwards */
static void vtd_test_entry_legacy(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	u64 before = the_context(test, d), lo;

	KUNIT_EXPECT_EQ(test, before >> 2 & 3, CONTEXT_TT_DEV_IOTLB);
	KUNIT_EXPECT_EQ(test, before & BIT_ULL(1), 0);
	iq_break(test, d);
	lo = the_context(test, d);
	/* Present or not, it does not fill the fault log */
	KUNIT_EXPECT_NE(test, lo & BIT_ULL(1), 0);
	KUNIT_EXPECT_NE(test, lo >> 2 & 3, CONTEXT_TT_DEV_IOTLB);
	iq_await_state(test, d, "quarantined");
	lo = the_context(test, d);
	KUNIT_EXPECT_EQ(test, lo & 1, 0);
	KUNIT_EXPECT_NE(test, lo & BIT_ULL(1), 0);
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, the_context(test, d), before);
}

static void vtd_test_entry_scalable(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	u64 before = the_context(test, d), lo;

	KUNIT_EXPECT_NE(test, before & BIT_ULL(2), 0);
	iq_break(test, d);
	lo = the_context(test, d);
	KUNIT_EXPECT_NE(test, lo & 1, 0);
	KUNIT_EXPECT_EQ(test, lo & BIT_ULL(2), 0);
	KUNIT_EXPECT_NE(test, lo & BIT_ULL(1), 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, the_context(test, d) & BIT_ULL(2), 0);
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, the_context(test, d), before);
}

/* Type and granularity; of a wait, whether what follows waits for it */
static u64 fetched_kind(u64 qw0)
{
	return qw0 & ((qw0 & 0xf) == QI_IWD_TYPE ? QI_IWD_FENCE | 0xf : 0x3f);
}

/*
 * Where in the log is all that is cached of context entries invalidated, in the order
 * of the specification (6.5.3.3), and waited for? At @n how many descriptors these are.
 * Returns -1 if they are not there.
 */
static int fetched_invalidations(struct vtd_hw *hw, unsigned int *n)
{
	u64 kinds[5] = {
		QI_CC_GRAN(DMA_CCMD_GLOBAL_INVL) | QI_CC_TYPE,
		QI_IWD_FENCE | QI_IWD_TYPE,
	};
	unsigned int i, k;

	*n = 2;
	if (sm_supported(&hw->iommu))
		kinds[(*n)++] = QI_PC_GRAN(QI_PC_GLOBAL) | QI_PC_TYPE;
	kinds[(*n)++] = QI_IOTLB_GRAN(DMA_TLB_GLOBAL_FLUSH) | QI_IOTLB_TYPE;
	kinds[(*n)++] = QI_IWD_TYPE;
	for (i = 0; i + *n <= hw->logged; i++) {
		for (k = 0; k < *n; k++)
			if (fetched_kind(hw->log[i + k].qw0) != kinds[k])
				break;
		if (k == *n)
			return i;
	}
	return -1;
}

/* The IOMMU forgets what it has cached of an entry before anybody counts on that */
static void vtd_test_invalidations(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct qi_desc desc;
	unsigned int i, n;
	int at;

	devtlb_desc(d, &desc);
	WRITE_ONCE(d->mute, true);
	hw->logged = 0;
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, &desc, 1, 0), 0);
	/* At once: only what was not answered and its wait are before that */
	at = fetched_invalidations(hw, &n);
	KUNIT_ASSERT_EQ(test, at, 2);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_FALSE(test, hw->log[at + i].fenced);
	/* What is run again */
	KUNIT_EXPECT_TRUE(test, hw->log[at + n].fenced);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);

	/* The lift as well, before the device is asked again */
	hw->logged = 0;
	iq_recover(test, d);
	at = fetched_invalidations(hw, &n);
	KUNIT_ASSERT_GE(test, at, 0);
	for (i = 0; i < at; i++)
		KUNIT_EXPECT_FALSE(test, hw_is_devtlb(hw->log[i].qw0));
	iq_expect_in_service(test, d);
}

#define DRAINED_PASID	1

/* As intel_iommu_drain_pasid_prq() has it; without PASIDs it is about the function */
static int drain(struct iq_dev *d)
{
	struct device_domain_info *info = dev_iommu_priv_get(iq_device(d));
	struct intel_iommu *iommu = info->iommu;
	struct qi_desc desc[3] = {};

	desc[0].qw0 = QI_IWD_STATUS_DATA(QI_DONE) | QI_IWD_FENCE | QI_IWD_TYPE;
	if (sm_supported(iommu)) {
		desc[1].qw0 = QI_EIOTLB_PASID(DRAINED_PASID) |
			      QI_EIOTLB_DID(FLPT_DEFAULT_DID) |
			      QI_EIOTLB_GRAN(QI_GRAN_NONG_PASID) | QI_EIOTLB_TYPE;
		qi_desc_dev_iotlb_pasid(d->sid, info->pfsid, DRAINED_PASID, info->ats_qdep,
					0, MAX_AGAW_PFN_WIDTH, &desc[2]);
	} else {
		qi_desc_iotlb(iommu, FLPT_DEFAULT_DID, 0, 0, DMA_TLB_DSI_FLUSH, &desc[1]);
		qi_desc_dev_iotlb(d->sid, info->pfsid, info->ats_qdep, 0,
				  MAX_AGAW_PFN_WIDTH, &desc[2]);
	}
	return qi_submit_sync(iommu, desc, ARRAY_SIZE(desc), QI_OPT_WAIT_DRAIN);
}

/* Waits in the log that drain page requests; the last one has to be for the caller */
static int fetched_drains(struct kunit *test)
{
	struct vtd_hw *hw = the_hw(test);
	unsigned int i;
	int drains = 0;
	u64 qw0 = 0;

	for (i = 0; i < hw->logged; i++) {
		qw0 = hw->log[i].qw0;
		if ((qw0 & 0xf) == QI_IWD_TYPE && qw0 & QI_IWD_PRQ_DRAIN)
			drains++;
	}
	KUNIT_EXPECT_TRUE_MSG(test, qw0 & QI_IWD_PRQ_DRAIN,
			      "the last wait does not drain page requests");
	hw->logged = 0;
	return drains;
}

/* Page requests are drained, and the device does not answer the invalidation in that */
static void vtd_test_drain(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	int asked = atomic_read(&d->asked);

	hw->logged = 0;
	KUNIT_EXPECT_EQ(test, drain(d), 0);
	KUNIT_EXPECT_EQ(test, fetched_drains(test), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1);

	iq_hold_work(true);
	WRITE_ONCE(d->mute, true);
	KUNIT_EXPECT_EQ(test, drain(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	/* Aborted, and run again without what was for the device */
	KUNIT_EXPECT_EQ(test, fetched_drains(test), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 2);
	KUNIT_EXPECT_EQ(test, hw->ites, 1);

	KUNIT_EXPECT_EQ(test, drain(d), 0);
	KUNIT_EXPECT_EQ(test, fetched_drains(test), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 2);
	KUNIT_EXPECT_EQ(test, hw->ites, 1);
	iq_expect_caught(test, d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* Of a kind that has to be told everything twice, which is a quirk of the driver's */
static struct device_domain_info *needs_extra_flush(struct iq_dev *d)
{
	struct device_domain_info *info = dev_iommu_priv_get(iq_device(d));

	info->dtlb_extra_inval = 1;
	return info;
}

/* It answers the first one of the two */
static void vtd_test_extra_flush(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct device_domain_info *info;
	int asked = atomic_read(&d->asked), flush;
	u64 filtered;

	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	flush = atomic_read(&d->asked) - asked;
	info = needs_extra_flush(d);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 3 * flush);

	iq_hold_work(true);
	d->mute_at = 2;
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	KUNIT_EXPECT_EQ(test, hw->ites, 1);

	asked = atomic_read(&d->asked);
	filtered = quarantine_counter(IOMMU_QUARANTINE_FILTERED);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_EQ(test, quarantine_counter(IOMMU_QUARANTINE_FILTERED),
			filtered + 2 * flush);
	/* What the driver sends apart */
	quirk_extra_dev_tlb_flush(info, 0, MAX_AGAW_PFN_WIDTH, IOMMU_NO_PASID,
				  info->ats_qdep);
	KUNIT_EXPECT_EQ(test, quarantine_counter(IOMMU_QUARANTINE_FILTERED),
			filtered + 2 * flush + 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	iq_expect_caught(test, d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* Its domain is taken from it: the driver sends the two apart, and one expires */
static void vtd_test_extra_leaves(struct kunit *test)
{
	needs_extra_flush(iq_the(test, IQ_OTHER));
	iq_leave(test, false);
	KUNIT_EXPECT_EQ(test, the_hw(test)->ites, 1);
}

/* Without a lock of the driver's, under which an attach would have to wait */
static int vtd_ask_thread(void *data)
{
	struct iq_dev *d = data;
	struct qi_desc desc;

	devtlb_desc(d, &desc);
	qi_submit_sync(&vtd_hw_of(d->fx)->iommu, &desc, 1, 0);
	complete(&d->flushed);
	return 0;
}

/*
 * An attach rewrites the entries while the fence stands right before its store: what
 * it writes has no permission in it, and it does not wait for the other CPU.
 */
static void vtd_test_attach_in_fence(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_domain *domain;
	struct task_struct *task;

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	domain = iommu_paging_domain_alloc(iq_device(d));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	WRITE_ONCE(d->mute, true);
	init_completion(&d->flushed);
	/* Nor does the work's blocking attach cover up for anything */
	iq_hold_work(true);
	migrate_disable();
	iq_hold_fences(1);
	task = kthread_create(vtd_ask_thread, d, "iq-asks");
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(task);
	iq_await_held_fences(test, 1);

	KUNIT_EXPECT_EQ(test, iommu_attach_device(domain, iq_device(d)), 0);
	KUNIT_EXPECT_FALSE(test, completion_done(&d->flushed));
	KUNIT_EXPECT_FALSE(test, vtd_allows(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);

	iq_hold_fences(0);
	migrate_enable();
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&d->flushed, 30 * HZ), 0);
	KUNIT_EXPECT_FALSE(test, vtd_allows(d));
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_recover(test, d);
	iommu_detach_device(domain, iq_device(d));
	iommu_domain_free(domain);
	iq_expect_in_service(test, d);
}

/* Neither an answer nor a timeout */
static void vtd_silent(struct kunit *test, enum iommu_last_resort last_resort)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct qi_desc desc;
	unsigned int lost;

	pci_set_master(d->pdev);
	iq_last_resort(test, last_resort);
	hw->silent = true;
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	iq_expect_last_resort(test, d,
			      last_resort == IOMMU_LAST_RESORT_BUSMASTER);
	KUNIT_EXPECT_TRUE(test, vtd_unit(&hw->iommu)->lost);
	/* For good, and at once */
	lost = iq_lost(test);
	qi_desc_iotlb(&hw->iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &desc);
	KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, &desc, 1, 0), -EIO);
	KUNIT_EXPECT_GT(test, iq_lost(test), lost);
	/* It counts as one that is not healthy, and this one goes away */
	vtd_active_before++;
}

/*
 * What is for a suspect is held back, and the IOMMU says nothing any more before
 * that is decided: the last resort is that of a device that was asked in vain.
 */
static void vtd_test_silent_in_narrowing(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	suspect(d);
	hw->silent_after = 1;
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_TRUE(test, vtd_unit(&hw->iommu)->lost);
	iq_expect_last_resort(test, d, true);
	vtd_active_before++;
}

/* It says who it is, and nothing any more: the fence itself has no answer */
static void vtd_test_silent_in_fence(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	hw->falls_silent = true;
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, vtd_allows(d));
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
	KUNIT_EXPECT_TRUE(test, vtd_unit(&hw->iommu)->lost);
	vtd_active_before++;
}

static void vtd_test_silent_none(struct kunit *test)
{
	vtd_silent(test, IOMMU_LAST_RESORT_NONE);
}

static void vtd_test_silent_busmaster(struct kunit *test)
{
	vtd_silent(test, IOMMU_LAST_RESORT_BUSMASTER);
}

/* Given up with a full queue: who waits for room is not kept for ever */
static void vtd_test_silent_full(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	const unsigned int count = 60;
	unsigned int i, lost;
	struct qi_desc *desc;

	desc = kunit_kcalloc(test, count, sizeof(*desc), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, desc);
	for (i = 0; i < count; i++)
		qi_desc_iotlb(&hw->iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &desc[i]);
	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	hw->silent = true;
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	/* None of these slots comes back */
	for (i = 0; i < QI_LENGTH / count + 2; i++) {
		lost = iq_lost(test);
		KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, desc, count, 0), -EIO);
		KUNIT_EXPECT_GT(test, iq_lost(test), lost);
	}
	KUNIT_EXPECT_LT(test, hw->iommu.qi->free_cnt, (int)count + 2);
	vtd_active_before++;
}

/* A device that is gone and the hardware names: nobody is hurt, nobody hangs */
static void vtd_test_named_nobody(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct qi_desc desc;
	int i;

	iq_unplug(d);
	WRITE_ONCE(d->mute, true);
	for (i = 0; i < 2; i++) {
		hw->naming = i ? NAME_SID : NAME_ZERO;
		devtlb_desc(d, &desc);
		KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, &desc, 1, 0), 0);
		KUNIT_EXPECT_EQ(test, hw->ites, i + 1);
		iq_expect_in_service(test, o);
		/* From now on nothing for it gets as far as the hardware */
		KUNIT_EXPECT_EQ(test, atomic_read(&intel_quarantine_active),
				vtd_active_before + 1);
		KUNIT_EXPECT_EQ(test, qi_submit_sync(&hw->iommu, &desc, 1, 0), 0);
		KUNIT_EXPECT_EQ(test, hw->ites, i + 1);
		atomic_dec(&intel_quarantine_active);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 0);
}

static void vtd_test_back_without_ats(struct kunit *test)
{
	iq_back_without_ats(test, intel_iommu_ops.identity_domain);
}

/* A reset while it says nothing; it never comes back */
static void vtd_test_silent_reset(struct kunit *test)
{
	struct vtd_hw *hw = the_hw(test);

	iq_silent_reset(test, iq_the(test, IQ_OTHER), &hw->silent);
	KUNIT_EXPECT_TRUE(test, vtd_unit(&hw->iommu)->lost);
	vtd_active_before++;
}

static void vtd_alias(struct kunit *test, u8 devfn, unsigned int n)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);

	iq_unplug(d);
	hw->alias = devfn;
	hw->aliases = n;
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
}

/* A device that uses two ids is fenced by both, and comes back with both */
static void vtd_test_alias(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);
	struct context_entry *context;
	u64 before, ats;

	vtd_alias(test, PCI_DEVFN(3, 0), 1);
	iq_expect_in_service(test, d);
	context = hw_context(hw, PCI_DEVID(d->fx->busnr, PCI_DEVFN(3, 0)));
	KUNIT_ASSERT_NOT_NULL(test, context);
	before = context->lo;
	KUNIT_EXPECT_EQ(test, before & (1 | BIT_ULL(1)), 1);
	ats = sm_supported(&hw->iommu) ? before & BIT_ULL(2) : 0;

	/* By the fence, not by the work that blocks it soon after */
	iq_hold_work(true);
	iq_break(test, d);
	KUNIT_EXPECT_NE(test, context->lo & BIT_ULL(1), 0);
	KUNIT_EXPECT_EQ(test, context->lo & ats, 0);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, context->lo, before);
	iq_expect_in_service(test, d);
}

/* One with more ids than can be fenced gets no ATS, and leaves no trace */
static void vtd_test_aliases(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct vtd_hw *hw = the_hw(test);

	vtd_alias(test, PCI_DEVFN(16, 0), 16);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	scoped_guard(rcu)
		KUNIT_EXPECT_NULL(test, vtd_find(&hw->iommu, d->sid));
	/* As ever where nobody is fenced */
	iq_policy(Q_POLICY_REPORT);
	vtd_alias(test, PCI_DEVFN(16, 0), 16);
	KUNIT_EXPECT_TRUE(test, iq_ats_on(d));
	iq_policy(Q_POLICY_QUARANTINE);
	vtd_alias(test, 0, 0);
	iq_expect_in_service(test, d);
}

/* An id that two devices use: the second one gets no ATS */
static void vtd_test_same_id(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iq_dev *o = iq_the(test, IQ_BROKEN);
	struct vtd_hw *hw = the_hw(test);
	struct vtd_dev *vdev;

	scoped_guard(rcu)
		vdev = vtd_find(&hw->iommu, o->sid);
	vtd_alias(test, o->devfn, 1);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	scoped_guard(rcu) {
		KUNIT_EXPECT_NULL(test, vtd_find(&hw->iommu, d->sid));
		KUNIT_EXPECT_PTR_EQ(test, vtd_find(&hw->iommu, o->sid), vdev);
	}

	/* The other way round: what is found by an id need not be whose it is */
	iq_unplug(o);
	vtd_alias(test, o->devfn, 1);
	iq_expect_in_service(test, d);
	scoped_guard(rcu)
		vdev = vtd_find(&hw->iommu, d->sid);
	KUNIT_ASSERT_EQ(test, iq_plug(o), 0);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(o));
	scoped_guard(rcu)
		KUNIT_EXPECT_PTR_EQ(test, vtd_find(&hw->iommu, o->sid), vdev);
	iq_break_and_wait(test, d);
	iq_expect_not_lifted(test, o, d);
	iq_unplug(o);
	scoped_guard(rcu)
		KUNIT_EXPECT_PTR_EQ(test, vtd_find(&hw->iommu, o->sid), vdev);
	iq_expect_shut_out(test, d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

static struct kunit_case vtd_cases[] = {
	KUNIT_CASE(vtd_test_ite),
	KUNIT_CASE(vtd_test_nameless_alone),
	KUNIT_CASE(vtd_test_nameless_shared),
	KUNIT_CASE(vtd_test_nameless_second),
	KUNIT_CASE(vtd_test_held_back),
	KUNIT_CASE(vtd_test_nameless_refused),
	KUNIT_CASE(vtd_test_pf_named),
	KUNIT_CASE(vtd_test_pf_asked_too),
	KUNIT_CASE(vtd_test_wrong_name),
	KUNIT_CASE(vtd_test_mixed_batch),
	KUNIT_CASE(vtd_test_wrap),
	KUNIT_CASE(vtd_test_aborted_innocent),
	KUNIT_CASE(vtd_test_scrub),
	KUNIT_CASE(vtd_test_queue_full),
	KUNIT_CASE(vtd_test_entry_legacy),
	KUNIT_CASE(vtd_test_invalidations),
	KUNIT_CASE(vtd_test_drain),
	KUNIT_CASE(vtd_test_extra_flush),
	KUNIT_CASE(vtd_test_extra_leaves),
	KUNIT_CASE(vtd_test_attach_in_fence),
	KUNIT_CASE(vtd_test_alias),
	KUNIT_CASE(vtd_test_aliases),
	KUNIT_CASE(vtd_test_same_id),
	KUNIT_CASE(vtd_test_named_nobody),
	KUNIT_CASE(vtd_test_back_without_ats),
	KUNIT_CASE(iq_held_fence),
	KUNIT_CASE(iq_leaves_frozen),
	KUNIT_CASE(vtd_test_silent_in_fence),
	KUNIT_CASE(vtd_test_silent_in_narrowing),
	KUNIT_CASE(vtd_test_silent_none),
	KUNIT_CASE(vtd_test_silent_full),
	KUNIT_CASE(vtd_test_silent_busmaster),
	KUNIT_CASE(vtd_test_silent_reset),
	{}
};

static struct kunit_suite vtd_suite = {
	.name = "intel_vtd_quarantine",
	.init = vtd_init_legacy,
	.exit = iq_stop,
	.test_cases = vtd_cases,
};

static struct kunit_case vtd_sm_cases[] = {
	KUNIT_CASE(vtd_test_nameless_shared),
	KUNIT_CASE(vtd_test_mixed_batch),
	KUNIT_CASE(vtd_test_queue_full),
	KUNIT_CASE(vtd_test_entry_scalable),
	KUNIT_CASE(vtd_test_invalidations),
	KUNIT_CASE(vtd_test_drain),
	KUNIT_CASE(vtd_test_extra_flush),
	KUNIT_CASE(vtd_test_extra_leaves),
	KUNIT_CASE(vtd_test_attach_in_fence),
	KUNIT_CASE(vtd_test_alias),
	KUNIT_CASE(vtd_test_aliases),
	KUNIT_CASE(vtd_test_same_id),
	KUNIT_CASE(iq_leaves_frozen),
	{}
};

static struct kunit_suite vtd_sm_suite = {
	.name = "intel_vtd_scalable_quarantine",
	.init = vtd_init_scalable,
	.exit = iq_stop,
	.test_cases = vtd_sm_cases,
};

kunit_test_suites(&vtd_legacy_suite, &vtd_scalable_suite, &vtd_suite,
		  &vtd_sm_suite);

MODULE_LICENSE("GPL");
