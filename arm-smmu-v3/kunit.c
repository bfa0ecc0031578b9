// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the SMMUv3 backend: the conformance suite, and what only the
 * SMMUv3 has. The SMMU is a few pages of registers and the driver's own queue and
 * stream table; this file plays the hardware as IHI 0070 has it (3.9.1, 7.1): it
 * goes on each time the driver polls.
 */

#include <kunit/test.h>
#include <linux/iommufd.h>
#include <linux/kthread.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "backend.h"
#include "quarantine.h"

#ifdef CONFIG_ARM_SMMU_V3_IOMMUFD
#include "../../iommufd/iommufd_private.h"
#endif

#include "../tests/conformance/bodies.h"

/* Room for a batch, and few enough entries to wrap often */
#define SMMU_QUEUE_SHIFT	7
/* StreamIDs that are no function's, and how many */
#define SMMU_ALIAS		0xff00
#define SMMU_ALIASES		70

/* No command at all */
#define SMMU_ILLEGAL		0xee

/* A command queue with its registers: CONS, PROD, GERROR, GERRORN */
struct hw_queue {
	struct arm_smmu_queue *q;
	u32 *gerror;
	u32 *gerrorn;
	bool stopped;			/* GERROR.CMDQ_ERR is active */
	bool late;			/* a CMD_ATC_INV was not answered */
	unsigned int commands;
};

/*
 * A stream table entry, looked at whenever the SMMU might look: what it uses of
 * it is that of one of the known ones, or it is not valid.
 */
struct smmu_watch {
	struct arm_smmu_ste *ste;
	struct arm_smmu_ste known[3];
	unsigned int looks;
	unsigned int torn;
};

struct smmu_hw {
	struct iq_fixture *fx;
	struct platform_device *pdev;
	struct fwnode_handle *fwnode;
	void *page;
	raw_spinlock_t lock;
	struct hw_queue own;
	struct hw_queue vcmdq;		/* if there is one */
	void *cmdqv;			/* its CMDQV's registers */
	/* how it behaves */
	unsigned int hold_syncs;	/* goes on when so many are queued */
	bool paused;			/* goes on when some device is not healthy */
	struct iq_dev *aliased;		/* has SMMU_ALIASES more StreamIDs */
	bool vcmdq_irq;			/* an error of the VCMDQ raises it at once */
	struct smmu_watch *watch;
	unsigned int crowds;		/* errors at which the queue is filled up */
	struct iq_dev *late_list;	/* queued for it when somebody asks others */
	struct iq_dev *hold_cfgi;	/* goes on when it has two CMD_CFGI_STEs */
	bool silent;			/* consumes nothing, says nothing */
	bool falls_silent;		/* ... from the next timeout on */
	bool falls_silent_later;	/* ... once it has gone on after it */
	unsigned int aborts;		/* fetches of SMMU_ILLEGAL that fail before */
	/* what it has done */
	bool raised;			/* that, and nobody has come yet */
	bool crowded;			/* ... and others are to queue meanwhile */
	unsigned int polls;		/* while it is paused */
	unsigned int errors;
	unsigned int syncs;
	unsigned int atc_invs;
	unsigned int atc_invs_after;	/* ... of a device that was fenced by then */
	unsigned int tlbis;
	DECLARE_BITMAP(cfgi_aliases, SMMU_ALIASES);
};

/*
 * One for all tests: what the backend keeps of an SMMU goes by its address and
 * is never freed.
 */
#ifdef CONFIG_TEGRA241_CMDQV
#define the_smmu (*smmu_kunit_smmu())
#else
static struct arm_smmu_device the_smmu;
#endif
static struct smmu_hw *smmu_hw;

static u32 reg_get(struct smmu_hw *hw, int where)
{
	return READ_ONCE(*(u32 *)(hw->page + where));
}

static void reg_set(struct smmu_hw *hw, int where, u32 val)
{
	WRITE_ONCE(*(u32 *)(hw->page + where), val);
}

static struct arm_smmu_ste *hw_ste(struct iq_dev *d)
{
	return smmu_quarantine_ste(&the_smmu, d->sid);
}

static u64 ste_cfg(const struct arm_smmu_ste *ste)
{
	return FIELD_GET(STRTAB_STE_0_CFG, le64_to_cpu(READ_ONCE(ste->data[0])));
}

static u64 ste_eats(const struct arm_smmu_ste *ste)
{
	return FIELD_GET(STRTAB_STE_1_EATS, le64_to_cpu(READ_ONCE(ste->data[1])));
}

static bool smmu_allows(struct iq_dev *d)
{
	struct arm_smmu_ste *ste = hw_ste(d);
	u64 data0 = le64_to_cpu(READ_ONCE(ste->data[0]));

	return data0 & STRTAB_STE_0_V &&
	       FIELD_GET(STRTAB_STE_0_CFG, data0) != STRTAB_STE_0_CFG_ABORT &&
	       ste_eats(ste);
}

static bool smmu_pasid_allows(struct iq_dev *d, u32 pasid)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(iq_device(d));
	struct arm_smmu_cd *cd = arm_smmu_get_cd_ptr(master, pasid);

	/* An entry of the context descriptor table that the SMMU looks at */
	return cd && le64_to_cpu(cd->data[0]) & CTXDESC_CD_0_V &&
	       ste_cfg(hw_ste(d)) == STRTAB_STE_0_CFG_S1_TRANS;
}

static bool ste_is(const struct arm_smmu_ste *ste,
		   const struct arm_smmu_ste *known)
{
	struct arm_smmu_ste used = {};
	int i;

	arm_smmu_get_ste_used(known->data, used.data);
	for (i = 0; i < ARRAY_SIZE(ste->data); i++)
		if ((ste->data[i] ^ known->data[i]) & used.data[i])
			return false;
	return true;
}

static void hw_watch(struct smmu_watch *watch)
{
	struct arm_smmu_ste ste;
	int i;

	if (!watch)
		return;
	for (i = 0; i < ARRAY_SIZE(ste.data); i++)
		ste.data[i] = READ_ONCE(watch->ste->data[i]);
	watch->looks++;
	if (!(ste.data[0] & cpu_to_le64(STRTAB_STE_0_V)))
		return;
	for (i = 0; i < ARRAY_SIZE(watch->known); i++)
		if (ste_is(&ste, &watch->known[i]))
			return;
	watch->torn++;
}

/* ---- command queues ---- */

/* Index and wrap bit */
static u32 hw_position(u32 reg)
{
	return reg & ((2U << SMMU_QUEUE_SHIFT) - 1);
}

static __le64 *hw_entry(struct hw_queue *hq, u32 cons)
{
	return Q_ENT(hq->q, cons);
}

static u32 hw_cons(struct hw_queue *hq)
{
	return READ_ONCE(*(u32 __force *)hq->q->cons_reg);
}

static void hw_set_cons(struct hw_queue *hq, u32 cons)
{
	WRITE_ONCE(*(u32 __force *)hq->q->cons_reg, cons);
}

static u32 hw_prod(struct hw_queue *hq)
{
	return READ_ONCE(*(u32 __force *)hq->q->prod_reg);
}

static bool hw_error_active(struct hw_queue *hq)
{
	return (READ_ONCE(*hq->gerror) ^ READ_ONCE(*hq->gerrorn)) &
	       GERROR_CMDQ_ERR;
}

static void hw_stop(struct smmu_hw *hw, struct hw_queue *hq, u32 cons,
		    u32 error)
{
	hw_set_cons(hq, cons | FIELD_PREP(CMDQ_CONS_ERR, error));
	WRITE_ONCE(*hq->gerror, READ_ONCE(*hq->gerror) ^ GERROR_CMDQ_ERR);
	hq->stopped = true;
	hw->silent |= hw->falls_silent;
	hw->errors++;
	hw->raised = hw->vcmdq_irq && hq == &hw->vcmdq;
	hw->crowded = hw->crowds && hq == &hw->own;
	if (hw->crowded)
		hw->crowds--;
}

static struct iq_dev *hw_find(struct smmu_hw *hw, u32 sid)
{
	return sid - SMMU_ALIAS < SMMU_ALIASES ? hw->aliased :
						 iq_find(hw->fx, sid);
}

/* Not by the last resort, before which commands may have been queued */
static bool hw_is_fenced(u32 sid)
{
	struct smmu_unit *unit = smmu_unit(&the_smmu);
	struct smmu_dev *sdev;

	guard(rcu)();
	sdev = xa_load(&unit->devs, sid);
	return sdev && atomic_read(&sdev->state) == SMMU_FENCED &&
	       !READ_ONCE(unit->lost);
}

/* Returns false if the queue stops there */
static bool hw_command(struct smmu_hw *hw, struct hw_queue *hq, u32 cons)
{
	__le64 *entry = hw_entry(hq, cons);
	u64 cmd = le64_to_cpu(READ_ONCE(entry[0]));
	struct iq_dev *d;
	u32 sid;
	int i;

	hq->commands++;
	switch (FIELD_GET(CMDQ_0_OP, cmd)) {
	case CMDQ_OP_CFGI_STE:
		sid = FIELD_GET(CMDQ_CFGI_0_SID, cmd);
		d = iq_find(hw->fx, sid);
		if (d)
			iq_forget(d);
		else if (hw_find(hw, sid))
			__set_bit(sid - SMMU_ALIAS, hw->cfgi_aliases);
		return true;
	case CMDQ_OP_CFGI_ALL:
		for (i = 0; i < IQ_DEVS; i++)
			iq_forget(&hw->fx->dev[i]);
		return true;
	case CMDQ_OP_ATC_INV:
		hw->atc_invs++;
		sid = FIELD_GET(CMDQ_ATC_0_SID, cmd);
		/* The fence's CMD_SYNC is behind all that was queued before it */
		hw->atc_invs_after += hq == &hw->own && hw_is_fenced(sid);
		if (!iq_ask(hw_find(hw, sid)))
			hq->late = true;
		return true;
	case CMDQ_OP_CMD_SYNC:
		if (hq->late) {
			/* It is not consumed, and tried again later */
			hq->late = false;
			hw_stop(hw, hq, cons, CMDQ_ERR_CERROR_ATC_INV_IDX);
			return false;
		}
		hw->syncs++;
		hw->silent |= hw->falls_silent_later && hw->errors;
		if (FIELD_GET(CMDQ_SYNC_0_CS, cmd) == CMDQ_SYNC_0_CS_IRQ &&
		    the_smmu.options & ARM_SMMU_OPT_MSIPOLL)
			WRITE_ONCE(*(u32 *)entry, 0);
		return true;
	case SMMU_ILLEGAL:
		hw_stop(hw, hq, cons, hw->aborts ? CMDQ_ERR_CERROR_ABT_IDX :
						   CMDQ_ERR_CERROR_ILL_IDX);
		hw->aborts -= !!hw->aborts;
		return false;
	default:
		hw->tlbis++;
		return true;
	}
}

static unsigned int hw_queued_syncs(struct hw_queue *hq, u32 cons, u32 prod)
{
	unsigned int syncs = 0;

	for (; cons != prod; cons = hw_position(cons + 1))
		if (FIELD_GET(CMDQ_0_OP, le64_to_cpu(*hw_entry(hq, cons))) ==
		    CMDQ_OP_CMD_SYNC)
			syncs++;
	return syncs;
}

/* Between the fence's store and what makes the SMMU forget the entry */
static bool hw_holds_cfgi(struct smmu_hw *hw, struct hw_queue *hq, u32 cons,
			  u32 prod)
{
	unsigned int cfgis = 0;
	u64 cmd;

	for (; cons != prod; cons = hw_position(cons + 1)) {
		cmd = le64_to_cpu(*hw_entry(hq, cons));
		if (FIELD_GET(CMDQ_0_OP, cmd) == CMDQ_OP_CFGI_STE &&
		    FIELD_GET(CMDQ_CFGI_0_SID, cmd) == hw->hold_cfgi->sid)
			cfgis++;
	}
	if (cfgis)
		WRITE_ONCE(hw->hold_cfgi->fenced, true);
	if (cfgis > 1)
		hw->hold_cfgi = NULL;
	return cfgis == 1;
}

static void hw_run(struct smmu_hw *hw, struct hw_queue *hq)
{
	u32 cons, prod;

	if (hq->stopped && !hw_error_active(hq))
		hq->stopped = false;
	if (hq->stopped || hw->silent)
		return;
	cons = hw_position(hw_cons(hq));
	prod = hw_position(hw_prod(hq));
	/* Entries are there before PROD says so */
	smp_rmb();
	if (hw->hold_syncs && hw_queued_syncs(hq, cons, prod) < hw->hold_syncs)
		return;
	hw->hold_syncs = 0;
	if (hw->hold_cfgi && hw_holds_cfgi(hw, hq, cons, prod))
		return;
	while (cons != prod && !hw->silent && hw_command(hw, hq, cons)) {
		cons = hw_position(cons + 1);
		hw_set_cons(hq, cons);
	}
}

/* What others queue while it stands still, until there is no room any more */
static void hw_crowd(struct smmu_hw *hw)
{
	struct arm_smmu_queue *q = hw->own.q;
	struct arm_smmu_cmd cmds[CMDQ_BATCH_ENTRIES - 1];
	u32 n, room;

	for (n = 0; n < ARRAY_SIZE(cmds); n++)
		cmds[n] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
	/* As who looks for room does: this CPU may not wait for it here */
	WRITE_ONCE(q->llq.cons, hw_position(hw_cons(&hw->own)));
	room = (1U << SMMU_QUEUE_SHIFT) -
	       hw_position(q->llq.prod - q->llq.cons);
	for (; room; room -= n) {
		n = min_t(u32, room, ARRAY_SIZE(cmds));
		__arm_smmu_cmdq_issue_cmdlist(&the_smmu, &the_smmu.cmdq, cmds, n,
					      false);
	}
}

/* Of a CPU that passed the filter before this one began to ask */
static void hw_late_list(struct smmu_hw *hw)
{
	struct arm_smmu_cmd cmds[2] = {
		arm_smmu_make_cmd_atc_inv_all(hw->late_list->sid, IOMMU_NO_PASID),
		arm_smmu_make_cmd_sync(CMDQ_SYNC_0_CS_NONE, 0),
	};

	hw->late_list = NULL;
	arm_smmu_cmdq_issue_cmdlist(&the_smmu, &the_smmu.cmdq, cmds, 2, false);
}

static void smmu_hardware(struct arm_smmu_device *smmu)
{
	struct smmu_hw *hw = smmu_hw;
	bool __maybe_unused irq;
	bool crowded;

	if (!hw || smmu != &the_smmu)
		return;
	scoped_guard(raw_spinlock_irqsave, &hw->lock) {
		iq_look(hw->fx);
		hw_watch(hw->watch);
		hw->polls += hw->paused;
		hw->paused &= !(READ_ONCE(smmu_quarantine_word) & 1);
		if (hw->paused)
			return;
		hw_run(hw, &hw->own);
		if (hw->vcmdq.q)
			hw_run(hw, &hw->vcmdq);
		iq_look(hw->fx);
		irq = hw->raised;
		hw->raised = false;
		crowded = hw->crowded;
		hw->crowded = false;
	}
	if (crowded)
		hw_crowd(hw);
	/* Who asks has just been told that nothing is outstanding any more */
	if (hw->late_list && atomic_read(&smmu_unit(smmu)->narrower) != -1)
		hw_late_list(hw);
#ifdef CONFIG_TEGRA241_CMDQV
	if (irq)
		smmu_kunit_cmdqv_irq();
#endif
}

/* ---- lifetime ---- */

static int smmu_start(struct iq_fixture *fx)
{
	struct arm_smmu_device *smmu = &the_smmu;
	struct platform_device_info info = {
		.name = "iq-smmu",
		.id = fx->nr,
		.dma_mask = DMA_BIT_MASK(48),
	};
	struct smmu_hw *hw;
	int ret;

	hw = kzalloc_obj(*hw);
	if (!hw)
		return -ENOMEM;
	fx->hw = hw;
	hw->fx = fx;
	raw_spin_lock_init(&hw->lock);
	hw->page = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO,
					    get_order(SZ_64K));
	hw->fwnode = fwnode_create_software_node(NULL, NULL);
	if (!hw->page || IS_ERR(hw->fwnode))
		return -ENOMEM;
	info.fwnode = hw->fwnode;
	hw->pdev = platform_device_register_full(&info);
	if (IS_ERR(hw->pdev))
		return PTR_ERR(hw->pdev);
	ret = smmu_kunit_adopt(hw->pdev);
	if (ret)
		return ret;

	*smmu = (struct arm_smmu_device){
		.dev = &hw->pdev->dev,
		.base = (void __iomem *)hw->page,
		.page1 = (void __iomem *)hw->page,
		.features = ARM_SMMU_FEAT_2_LVL_STRTAB |
			    ARM_SMMU_FEAT_2_LVL_CDTAB | ARM_SMMU_FEAT_TT_LE |
			    ARM_SMMU_FEAT_ATS | ARM_SMMU_FEAT_COHERENCY |
			    ARM_SMMU_FEAT_TRANS_S1 | ARM_SMMU_FEAT_TRANS_S2,
		.oas = 48,
		.pgsize_bitmap = SZ_4K | SZ_2M | SZ_1G,
		.asid_bits = 16,
		.vmid_bits = 16,
		.ssid_bits = 8,
		.sid_bits = 16,
	};
#ifdef IQ_HAVE_SMMU_IAS
	smmu->ias = smmu->oas;
#endif
	smmu->iommu.max_pasids = 1UL << smmu->ssid_bits;
	smmu->cmdq.q.llq.max_n_shift = SMMU_QUEUE_SHIFT;
	smmu->evtq.q.llq.max_n_shift = SMMU_QUEUE_SHIFT;
	/* What arm_smmu_device_reset() leaves behind */
	reg_set(hw, ARM_SMMU_CR0ACK, CR0_ATSCHK | CR0_CMDQEN | CR0_SMMUEN);
	reg_set(hw, ARM_SMMU_IDR1, FIELD_PREP(IDR1_CMDQS, SMMU_QUEUE_SHIFT));
	ret = smmu_kunit_init_structures(smmu);
	if (ret)
		return ret;
	hw->own.q = &smmu->cmdq.q;
	hw->own.gerror = hw->page + ARM_SMMU_GERROR;
	hw->own.gerrorn = hw->page + ARM_SMMU_GERRORN;
	platform_set_drvdata(hw->pdev, smmu);
	smmu_hw = hw;
	smmu_kunit_hardware = smmu_hardware;

	ret = iommu_device_sysfs_add(&smmu->iommu, smmu->dev, NULL,
				     "iq-smmu%d", fx->nr);
	return ret ?: iommu_device_register(&smmu->iommu, smmu_quarantine_ops(),
					    smmu->dev);
}

static void smmu_stop(struct iq_fixture *fx)
{
	struct arm_smmu_device *smmu = &the_smmu;
	struct smmu_hw *hw = fx->hw;

	iommu_device_unregister(&smmu->iommu);
	iommu_device_sysfs_remove(&smmu->iommu);
	smmu_kunit_hardware = NULL;
	smmu_hw = NULL;
#ifdef CONFIG_TEGRA241_CMDQV
	smmu_kunit_cmdqv_stop();
#endif
	vfree(hw->cmdqv);
	/* Queues and tables go with it */
	smmu_kunit_unregister(hw->pdev);
	ida_destroy(&smmu->vmid_map);
	fwnode_remove_software_node(hw->fwnode);
	free_pages((unsigned long)hw->page, get_order(SZ_64K));
	kfree(hw);
}

static int smmu_bind(struct iq_fixture *fx, struct pci_dev *pdev)
{
	u32 ids[1 + SMMU_ALIASES] = { pci_dev_id(pdev) };
	struct smmu_hw *hw = fx->hw;
	int i, count = 1;

	if (hw->aliased && hw->aliased->devfn == pdev->devfn)
		for (i = 0; i < SMMU_ALIASES; i++)
			ids[count++] = SMMU_ALIAS + i;
	return quarantine_kunit_bind(&pdev->dev, hw->fwnode, ids, count,
				     IOMMU_FWSPEC_PCI_RC_ATS);
}

static int smmu_leaks(struct iq_fixture *fx)
{
	return smmu_quarantine_word & 1;
}

static void smmu_irq(struct iq_fixture *fx)
{
	smmu_kunit_gerror_irq(&the_smmu);
}

static void smmu_processes(struct iq_fixture *fx)
{
	the_smmu.features |= ARM_SMMU_FEAT_SVA;
}

static const struct iq_vendor smmu_vendor = {
	.name = "arm-smmu-v3",
	.start = smmu_start,
	.stop = smmu_stop,
	.probe = smmu_bind,
	.allows = smmu_allows,
	.pasid_allows = smmu_pasid_allows,
	.unsupported_is_answer = true,
	.processes = smmu_processes,
	.irq = smmu_irq,
	.leaks = smmu_leaks,
};

static int smmu_init(struct kunit *test)
{
	iq_start(test, &smmu_vendor);
	return 0;
}

static struct kunit_case smmu_conformance_cases[] = {
#include "../tests/conformance/cases.h"
	{}
};

static struct kunit_suite smmu_conformance_suite = {
	.name = "iommu_quarantine_arm_smmu_v3",
	.init = smmu_init,
	.exit = iq_stop,
	.test_cases = smmu_conformance_cases,
};

/* ---- what only the SMMUv3 has ---- */

static struct smmu_hw *the_hw(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;

	return fx->hw;
}

static struct arm_smmu_cmd atc_inv(struct iq_dev *d)
{
	return arm_smmu_make_cmd_atc_inv_all(d->sid, IOMMU_NO_PASID);
}

static int issue(struct arm_smmu_cmd *cmds, int n)
{
	return arm_smmu_cmdq_issue_cmdlist(&the_smmu, &the_smmu.cmdq, cmds, n,
					   true);
}

/* One alone under its CMD_SYNC: named at once, asked once */
static void smmu_test_alone(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	int asked = atomic_read(&d->asked);
	u32 error;

	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, hw->errors, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1);
	KUNIT_EXPECT_TRUE(test, iq_told(test)->hw[0] & GERROR_CMDQ_ERR);
	error = FIELD_GET(CMDQ_CONS_ERR, (u32)iq_told(test)->hw[1]);
	KUNIT_EXPECT_EQ(test, error, CMDQ_ERR_CERROR_ATC_INV_IDX);
}

/* Anywhere in a list with that of an innocent one, which is run again */
static void smmu_test_any_position(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmd cmds[5];
	unsigned int pos, tlbis;
	int i, answered;

	for (pos = 0; pos < ARRAY_SIZE(cmds); pos++) {
		for (i = 0; i < ARRAY_SIZE(cmds); i++)
			if (i == pos)
				cmds[i] = atc_inv(d);
			else if (i == (pos + 1) % ARRAY_SIZE(cmds))
				cmds[i] = atc_inv(o);
			else
				cmds[i] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
		WRITE_ONCE(d->mute, true);
		tlbis = hw->tlbis;
		answered = atomic_read(&o->answered);
		KUNIT_EXPECT_EQ(test, issue(cmds, ARRAY_SIZE(cmds)), 0);
		KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
		KUNIT_EXPECT_GE(test, atomic_read(&o->answered), answered + 2);
		KUNIT_EXPECT_GE(test, hw->tlbis, tlbis + 3);
		iq_expect_state(test, o, "healthy");
		KUNIT_EXPECT_TRUE(test, iq_may_translate(o));
		iq_await_state(test, d, "quarantined");
		iq_recover(test, d);
	}
}

/* At many positions of the ring, also where it wraps */
static void smmu_test_wrap(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct arm_smmu_cmd cmd;
	int i, k;

	for (i = 0; i < 40; i++) {
		for (k = 0; k < 10 + i % 3; k++) {
			cmd = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
			KUNIT_ASSERT_EQ(test, issue(&cmd, 1), 0);
		}
		iq_break(test, d);
		iq_recover(test, d);
	}
	KUNIT_EXPECT_EQ(test, iq_count(d), 40);
	iq_expect_state(test, iq_the(test, IQ_SIBLING), "healthy");
}

/* A waiter of whatever kind notices the error, each time */
static void smmu_wait_and_see(struct kunit *test, int times)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	int i;

	for (i = 1; i <= times; i++) {
		iq_break_and_wait(test, d);
		iq_expect_in_service(test, iq_the(test, IQ_SIBLING));
		iq_recover(test, d);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
	}
}

/* The completion comes as a message, which empties the CMD_SYNC */
static void smmu_test_msi_polling(struct kunit *test)
{
	the_smmu.options |= ARM_SMMU_OPT_MSIPOLL;
	smmu_wait_and_see(test, 10);
}

/* The waiter sleeps until there is an event */
static void smmu_test_sev(struct kunit *test)
{
	the_smmu.features |= ARM_SMMU_FEAT_SEV;
	smmu_wait_and_see(test, 3);
}

/* CMD_SYNCs of a flush that is answered */
static unsigned int smmu_syncs(struct kunit *test, struct iq_dev *d)
{
	struct smmu_hw *hw = the_hw(test);
	unsigned int syncs = hw->syncs;

	iq_expect_in_service(test, d);
	return hw->syncs - syncs;
}

/*
 * A function with more StreamIDs than a batch has room for. Each batch has its
 * own CMD_SYNC, one, and all the entries lose EATS.
 */
static void smmu_test_aliases(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	unsigned int syncs = smmu_syncs(test, d), asked;
	struct arm_smmu_ste *ste;
	int i, round;

	BUILD_BUG_ON(1 + SMMU_ALIASES <= CMDQ_BATCH_ENTRIES ||
		     1 + SMMU_ALIASES > 2 * CMDQ_BATCH_ENTRIES);
	iq_unplug(d);
	hw->aliased = d;
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	asked = atomic_read(&d->asked);
	KUNIT_EXPECT_EQ(test, smmu_syncs(test, d), syncs + 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1 + SMMU_ALIASES);

	for (round = 1; round <= 2; round++) {
		bitmap_zero(hw->cfgi_aliases, SMMU_ALIASES);
		asked = atomic_read(&d->asked);
		iq_break(test, d);
		KUNIT_EXPECT_EQ(test, hw->errors, round);
		/* The second batch is not even queued */
		KUNIT_EXPECT_EQ(test, atomic_read(&d->asked),
				asked + CMDQ_BATCH_ENTRIES);
		KUNIT_EXPECT_TRUE(test, bitmap_full(hw->cfgi_aliases, SMMU_ALIASES));
		for (i = 0; i < SMMU_ALIASES; i++) {
			ste = smmu_quarantine_ste(&the_smmu, SMMU_ALIAS + i);
			KUNIT_EXPECT_FALSE_MSG(test, ste_eats(ste), "alias %d", i);
		}
		iq_await_state(test, d, "quarantined");
		iq_recover(test, d);
		iq_expect_in_service(test, d);
	}
	iq_unplug(d);
	hw->aliased = NULL;
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	iq_expect_in_service(test, d);
}

struct smmu_producer {
	struct iq_dev *d;
	struct iq_dev *also;
	int ret;
	bool allowed;
	struct completion done;
};

static int smmu_produce(void *data)
{
	struct smmu_producer *p = data;
	struct arm_smmu_cmd cmds[2] = {
		atc_inv(p->d), atc_inv(p->also ?: p->d)
	};

	p->ret = issue(cmds, p->also ? 2 : 1);
	p->allowed = iq_may_translate(&p->d->fx->dev[IQ_BROKEN]);
	complete(&p->done);
	return 0;
}

/* To be woken up. One that waits for another one keeps kthreadd from its CPU. */
static struct task_struct *smmu_producer_on(struct kunit *test,
					    struct smmu_producer *p,
					    unsigned int cpu)
{
	struct task_struct *task;

	init_completion(&p->done);
	task = kthread_create(smmu_produce, p, "iq-producer");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	kthread_bind(task, cpu);
	return task;
}

/* On another CPU than this one, on which the caller stays */
static void smmu_producer_start(struct kunit *test, struct smmu_producer *p)
{
	wake_up_process(smmu_producer_on(test, p,
					 cpumask_any_but(cpu_online_mask,
							 smp_processor_id())));
}

/* Two CPUs queue a list each before the hardware goes on; one device is mute */
static void smmu_produce_beside(struct kunit *test, struct smmu_producer *p,
				struct arm_smmu_cmd *cmds, int n)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct smmu_hw *hw = the_hw(test);

	migrate_disable();
	WRITE_ONCE(d->mute, true);
	scoped_guard(raw_spinlock_irqsave, &hw->lock)
		hw->hold_syncs = 2;
	smmu_producer_start(test, p);
	KUNIT_EXPECT_EQ(test, issue(cmds, n), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	migrate_enable();
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p->done, 30 * HZ), 0);
	KUNIT_EXPECT_EQ(test, p->ret, 0);
	KUNIT_EXPECT_FALSE(test, p->allowed);
}

/*
 * Two CPUs, one queue: neither returns before the one that did not answer is
 * fenced, whoever it belongs to, and the innocent one is asked again.
 */
static void smmu_test_two_producers(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_producer p;
	struct arm_smmu_cmd cmd;
	int i;

	for (i = 0; i < 4; i++) {
		p = (struct smmu_producer){ .d = i % 2 ? d : o };
		cmd = atc_inv(i % 2 ? o : d);
		smmu_produce_beside(test, &p, &cmd, 1);
		iq_expect_state(test, o, "healthy");
		iq_await_state(test, d, "quarantined");
		iq_recover(test, d);
	}
}

/*
 * C3, C4: two CPUs with a list each of several devices, one of them dead in both.
 * Once for each list, as its own CMD_SYNC fails, and once alone; one fence. Both
 * lists are made up for, with all that is in them.
 */
static void smmu_test_mixed_lists(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmd cmds[4];
	struct smmu_producer p;
	unsigned int errors, tlbis;
	int i, s_answered, o_answered;
	u64 fences;

	for (i = 0; i < 6; i++) {
		p = (struct smmu_producer){
			.d = i % 2 ? o : d, .also = i % 2 ? d : o
		};
		cmds[i % 3] = atc_inv(d);
		cmds[(i + 1) % 3] = atc_inv(s);
		cmds[(i + 2) % 3] = atc_inv(o);
		cmds[3] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
		errors = hw->errors;
		tlbis = hw->tlbis;
		s_answered = atomic_read(&s->answered);
		o_answered = atomic_read(&o->answered);
		fences = quarantine_counter(IOMMU_QUARANTINE_FENCES);
		smmu_produce_beside(test, &p, cmds, ARRAY_SIZE(cmds));
		KUNIT_EXPECT_LE(test, hw->errors, errors + 1 + 1 + 1);
		KUNIT_EXPECT_EQ(test, quarantine_counter(IOMMU_QUARANTINE_FENCES),
				fences + 1);
		/* With its list, and once more alone since that list failed */
		KUNIT_EXPECT_EQ(test, atomic_read(&s->answered), s_answered + 2);
		KUNIT_EXPECT_EQ(test, atomic_read(&o->answered), o_answered + 4);
		KUNIT_EXPECT_GT(test, hw->tlbis, tlbis);
		iq_expect_state(test, s, "healthy");
		iq_expect_state(test, o, "healthy");
		iq_await_state(test, d, "quarantined");
		iq_settle(d);
		KUNIT_EXPECT_EQ(test, iq_count(d), i + 1);
		iq_recover(test, d);
	}
}

/* Two CPUs meet FENCING and run the fence, both: one of them counts and reports */
static void smmu_test_one_fence(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct smmu_producer p[2] = { { .d = d }, { .d = d } };
	struct smmu_hw *hw = the_hw(test);
	struct task_struct *task[2];
	unsigned int cpu, n = 0;
	u64 fences;
	int i;

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG) || num_online_cpus() < 3)
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG and three CPUs");
	fences = quarantine_counter(IOMMU_QUARANTINE_FENCES);
	WRITE_ONCE(d->mute, true);
	scoped_guard(raw_spinlock_irqsave, &hw->lock)
		hw->hold_syncs = 2;
	migrate_disable();
	iq_hold_fences(2);
	for_each_online_cpu(cpu) {
		if (cpu == smp_processor_id() || n == ARRAY_SIZE(p))
			continue;
		task[n] = smmu_producer_on(test, &p[n], cpu);
		n++;
	}
	for (i = 0; i < ARRAY_SIZE(task); i++)
		wake_up_process(task[i]);
	iq_await_held_fences(test, 2);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_FALSE(test, completion_done(&p[i].done));
	iq_hold_fences(0);
	migrate_enable();
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p[i].done, 30 * HZ), 0);
		KUNIT_EXPECT_FALSE(test, p[i].allowed);
	}
	WRITE_ONCE(d->fenced, true);
	KUNIT_EXPECT_EQ(test, hw->errors, 1);
	KUNIT_EXPECT_EQ(test, quarantine_counter(IOMMU_QUARANTINE_FENCES), fences + 1);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_recover(test, d);
}

/*
 * C5: while an innocent one is asked, a CPU that had passed the filter before
 * queues a list of its own for a dead one. It fails under its own CMD_SYNC, and
 * what is asked is asked again.
 */
static void smmu_test_late_list(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct arm_smmu_cmd cmds[2] = { atc_inv(s), atc_inv(o) };
	struct smmu_hw *hw = the_hw(test);

	WRITE_ONCE(d->mute, true);
	hw->late_list = d;
	/* A timeout that is nobody's by then: both have to be asked */
	s->mute_times = 1;
	KUNIT_EXPECT_EQ(test, issue(cmds, 2), 0);
	KUNIT_EXPECT_PTR_EQ(test, hw->late_list, NULL);
	KUNIT_EXPECT_EQ(test, hw->errors, 2);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_await_state(test, d, "quarantined");
	iq_settle(s);
	iq_settle(o);
	KUNIT_EXPECT_EQ(test, iq_count(s), 0);
	KUNIT_EXPECT_EQ(test, iq_count(o), 0);
	iq_expect_in_service(test, s);
	iq_expect_in_service(test, o);
	iq_recover(test, d);
}

/* While this CPU asks, nobody else does: what is asked is asked alone */
static void smmu_test_asked_alone(struct kunit *test)
{
	struct smmu_unit *unit = smmu_unit(&the_smmu);
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_producer p = { .d = d, .also = o };
	struct smmu_hw *hw = the_hw(test);
	int i, k, asked;

	migrate_disable();
	WRITE_ONCE(d->mute, true);
	for (i = 0; i < 2; i++) {
		asked = atomic_read(&o->asked);
		/* The first one has queued both, and the second one comes later */
		scoped_guard(raw_spinlock_irqsave, &hw->lock)
			hw->hold_syncs = i ? 0 : 2;
		if (i)
			atomic_set(&unit->narrower, smp_processor_id());
		smmu_producer_start(test, &p);
		for (k = 0; !i && k < 5000 && hw_prod(&hw->own) == hw_cons(&hw->own); k++)
			usleep_range(500, 1000);
		atomic_set(&unit->narrower, smp_processor_id());
		scoped_guard(raw_spinlock_irqsave, &hw->lock)
			hw->hold_syncs = 0;
		for (k = 0; k < 5000 && !READ_ONCE(hw->errors); k++)
			usleep_range(500, 1000);
		/* In the list of both; and alone, before the second round */
		KUNIT_EXPECT_EQ(test, hw->errors, 1 + i);
		/* Long enough to do what it should not; not by jiffies, see AMD's */
		usleep_range(50 * USEC_PER_MSEC, 60 * USEC_PER_MSEC);
		KUNIT_EXPECT_FALSE(test, completion_done(&p.done));
		KUNIT_EXPECT_EQ(test, atomic_read(&o->asked), asked + !i);
		atomic_set_release(&unit->narrower, -1);
		KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p.done, 30 * HZ), 0);
		KUNIT_EXPECT_EQ(test, p.ret, 0);
		KUNIT_EXPECT_FALSE(test, p.allowed);
		KUNIT_EXPECT_EQ(test, atomic_read(&o->asked), asked + 2 - i);
		WRITE_ONCE(d->fenced, true);
		iq_await_state(test, d, "quarantined");
		iq_settle(d);
	}
	migrate_enable();
	iq_expect_state(test, o, "healthy");
	iq_recover(test, d);
}

/* A full queue has many commands of others in it */
static void smmu_test_full_queue(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct arm_smmu_cmd cmds[CMDQ_BATCH_ENTRIES];
	int i, k, ret;

	for (k = 0; k < 3; k++) {
		for (i = 0; i < ARRAY_SIZE(cmds); i++)
			cmds[i] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
		/* No CMD_SYNC: nobody waits, the queue fills */
		ret = arm_smmu_cmdq_issue_cmdlist(&the_smmu, &the_smmu.cmdq,
						  cmds, ARRAY_SIZE(cmds) - 1,
						  false);
		KUNIT_EXPECT_EQ(test, ret, 0);
		iq_break_and_wait(test, d);
		iq_recover(test, d);
	}
}

/* What the irq does: the error is recorded and acknowledged, and no other one */
static void smmu_test_gerror(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	u32 gerror;

	/* Another error of the queue is left to the driver */
	hw_stop(hw, &hw->own, hw_cons(&hw->own), CMDQ_ERR_CERROR_ILL_IDX);
	gerror = reg_get(hw, ARM_SMMU_GERROR);
	smmu_quarantine_gerror(&the_smmu, &the_smmu.cmdq);
	KUNIT_EXPECT_NE(test, reg_get(hw, ARM_SMMU_GERRORN), gerror);
	reg_set(hw, ARM_SMMU_GERRORN, gerror);
	hw->own.stopped = false;
	hw_set_cons(&hw->own, hw_position(hw_cons(&hw->own)));

	/* An error that is not active is none */
	smmu_quarantine_gerror(&the_smmu, &the_smmu.cmdq);
	KUNIT_EXPECT_EQ(test, reg_get(hw, ARM_SMMU_GERRORN), gerror);

	/* Others that are active stay so */
	reg_set(hw, ARM_SMMU_GERROR, gerror ^ BIT(2));
	iq_break(test, d);
	KUNIT_EXPECT_EQ(test, (reg_get(hw, ARM_SMMU_GERROR) ^
			       reg_get(hw, ARM_SMMU_GERRORN)), BIT(2));
	reg_set(hw, ARM_SMMU_GERRORN, reg_get(hw, ARM_SMMU_GERROR));
	iq_await_state(test, d, "quarantined");
}

/*
 * An error that is the driver's, whose irq is this CPU's: it waits with irqs off. No
 * SMMU is lost by that, and what is behind the command is done.
 */
static void smmu_test_illegal(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	int i, answered = atomic_read(&d->answered);
	struct arm_smmu_cmd cmds[2] = { [1] = atc_inv(d) };

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	quarantine_kunit_wait_bound(5ULL * NSEC_PER_SEC);
	cmds[0].data[0] = FIELD_PREP(CMDQ_0_OP, SMMU_ILLEGAL);
	for (i = 0; i < 2; i++) {
		hw->aborts = i;
		KUNIT_EXPECT_EQ(test, issue(cmds, ARRAY_SIZE(cmds)), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&d->answered), answered + 1 + i);
		KUNIT_EXPECT_EQ(test, reg_get(hw, ARM_SMMU_GERROR),
				reg_get(hw, ARM_SMMU_GERRORN));
	}
	KUNIT_EXPECT_EQ(test, hw->errors, 3);
	KUNIT_EXPECT_EQ(test, iq_lost(test), 0);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	iq_expect_in_service(test, d);
}

/* The driver comes late to an error that a poller has dealt with: hands off */
static void smmu_test_skip(struct kunit *test)
{
	static const u64 sync[2] = { CMDQ_OP_CMD_SYNC };
	struct smmu_hw *hw = the_hw(test);
	u32 at = hw_position(hw_cons(&hw->own));
	__le64 *entry = hw_entry(&hw->own, at), was = entry[0];
	u32 cons;

	KUNIT_EXPECT_TRUE(test, smmu_quarantine_skip(&the_smmu, &the_smmu.cmdq,
						     hw_cons(&hw->own), sync));
	KUNIT_EXPECT_EQ(test, le64_to_cpu(entry[0]), le64_to_cpu(was));
	hw_stop(hw, &hw->own, at, CMDQ_ERR_CERROR_ILL_IDX);
	cons = hw_cons(&hw->own);
	KUNIT_EXPECT_TRUE(test, smmu_quarantine_skip(&the_smmu, &the_smmu.cmdq,
						     cons ^ 1, sync));
	KUNIT_EXPECT_EQ(test, le64_to_cpu(entry[0]), le64_to_cpu(was));
	iq_policy(Q_POLICY_OFF);
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_skip(&the_smmu, &the_smmu.cmdq,
						      cons, sync));
	iq_policy(Q_POLICY_QUARANTINE);
	KUNIT_EXPECT_TRUE(test, smmu_quarantine_skip(&the_smmu, &the_smmu.cmdq,
						     cons, sync));
	KUNIT_EXPECT_EQ(test, le64_to_cpu(entry[0]), CMDQ_OP_CMD_SYNC);
	entry[0] = was;
	reg_set(hw, ARM_SMMU_GERRORN, reg_get(hw, ARM_SMMU_GERROR));
	hw->own.stopped = false;
	hw_set_cons(&hw->own, at);
}

/* What an error's irq does, on a CPU of its own, at the same time as a poller */
struct smmu_actor {
	struct hw_queue *hq;
	void (*irq)(struct hw_queue *hq);
	unsigned int go;		/* 0: always */
	unsigned int done;
};

static int smmu_act(void *data)
{
	struct smmu_actor *a = data;
	unsigned int go;

	while (!kthread_should_stop()) {
		/* Pairs with who plays the poller: the error is there */
		go = smp_load_acquire(&a->go);
		if (!go || go != a->done)
			a->irq(a->hq);
		/* ... and what was done about it: both see it */
		smp_store_release(&a->done, go);
		cond_resched();
		cpu_relax();
	}
	return 0;
}

static void smmu_own_irq(struct hw_queue *hq)
{
	smmu_kunit_gerror_irq(&the_smmu);
}

static unsigned int smmu_timeouts_seen(void)
{
	return READ_ONCE(smmu_quarantine_word) >> 1;
}

/* Returns whether each of a number of errors was one for both */
static bool smmu_act_at_once(struct smmu_hw *hw, struct smmu_actor *a)
{
	struct arm_smmu_cmdq *cmdq = container_of(a->hq->q, struct arm_smmu_cmdq, q);
	u64 end = ktime_get_mono_fast_ns() + 3 * NSEC_PER_SEC;
	unsigned int round, seen, i;

	for (round = 1; round <= 2000 && ktime_get_mono_fast_ns() < end; round++) {
		seen = smmu_timeouts_seen();
		/* Nothing stands between the CMD_SYNC and the one before it */
		scoped_guard(raw_spinlock_irqsave, &hw->lock)
			hw_stop(hw, a->hq, hw_position(hw_cons(a->hq)),
				CMDQ_ERR_CERROR_ATC_INV_IDX);
		/* Pairs with smmu_act() */
		smp_store_release(&a->go, round);
		/* Sometimes one is earlier, sometimes the other */
		for (i = 0; i < round % 128; i++)
			cpu_relax();
		smmu_quarantine_gerror(&the_smmu, cmdq);
		/* Likewise */
		while (smp_load_acquire(&a->done) != round)
			cpu_relax();
		if (hw_error_active(a->hq) || smmu_timeouts_seen() != seen + 1)
			return false;
	}
	return true;
}

/*
 * The irq and a poller come at the same time: an error is recorded and
 * acknowledged once. Acknowledged twice it is active again.
 */
static void smmu_two_actors(struct kunit *test, struct hw_queue *hq,
			    void (*irq)(struct hw_queue *hq))
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_actor a = { .hq = hq, .irq = irq, .go = UINT_MAX, .done = UINT_MAX };
	struct smmu_hw *hw = the_hw(test);
	struct task_struct *task;
	unsigned int seen, errors;
	bool once;
	int i;

	migrate_disable();
	task = kthread_create(smmu_act, &a, "iq-irq");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	kthread_bind(task, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(task);
	once = smmu_act_at_once(hw, &a);
	KUNIT_EXPECT_TRUE(test, once);

	/* And with a device that does not answer, of which all is told once */
	WRITE_ONCE(a.go, 0);
	for (i = 1; once && i <= 5; i++) {
		seen = smmu_timeouts_seen();
		errors = hw->errors;
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_EQ(test, hw->errors, errors + 1);
		KUNIT_EXPECT_EQ(test, smmu_timeouts_seen(), seen + 1);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
		iq_recover(test, d);
	}
	kthread_stop(task);
	migrate_enable();
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), i - 1);
	KUNIT_EXPECT_FALSE(test, hw_error_active(hq));
	iq_expect_in_service(test, d);
}

static void smmu_test_two_actors(struct kunit *test)
{
	smmu_two_actors(test, &the_hw(test)->own, smmu_own_irq);
}

/*
 * What another CPU has queued behind the failed CMD_SYNC for the same device is
 * taken out while the queue stands still: one timeout, one invalidation. What it
 * has queued for others is not.
 */
static void smmu_test_scrub(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmd cmds[3];
	struct smmu_producer p;
	unsigned int timeouts, tlbis;
	int i, asked, answered;

	for (i = 0; i < 4; i++) {
		p = (struct smmu_producer){ .d = d };
		timeouts = hw->errors;
		asked = atomic_read(&d->asked);
		answered = atomic_read(&o->answered);
		tlbis = hw->tlbis;
		cmds[0] = atc_inv(d);
		cmds[1] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
		cmds[2] = atc_inv(d);
		smmu_produce_beside(test, &p, cmds, ARRAY_SIZE(cmds));
		KUNIT_EXPECT_EQ(test, hw->errors, timeouts + 1);
		/* Which of the two lists comes first is open */
		KUNIT_EXPECT_LE(test, atomic_read(&d->asked), asked + 2);
		KUNIT_EXPECT_GT(test, hw->tlbis, tlbis);
		iq_await_state(test, d, "quarantined");
		iq_recover(test, d);

		p = (struct smmu_producer){ .d = d };
		timeouts = hw->errors;
		answered = atomic_read(&o->answered);
		cmds[0] = atc_inv(o);
		cmds[1] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
		smmu_produce_beside(test, &p, cmds, 2);
		KUNIT_EXPECT_EQ(test, hw->errors, timeouts + 1);
		KUNIT_EXPECT_GT(test, atomic_read(&o->answered), answered);
		iq_expect_state(test, o, "healthy");
		iq_await_state(test, d, "quarantined");
		iq_recover(test, d);
	}
}

/*
 * C3: there is no room, and while a flush waits for some its device is accused. What
 * it was about to queue would be sent after the fence.
 */
static void smmu_test_accused_meanwhile(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct smmu_producer p = { .d = d };
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmd cmd = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
	int asked, i;

	if (!IS_ENABLED(CONFIG_IOMMU_QUARANTINE_FAULT))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_FAULT");
	asked = atomic_read(&d->asked);
	WRITE_ONCE(hw->paused, true);
	for (i = 0; i < 1 << SMMU_QUEUE_SHIFT; i++)
		KUNIT_ASSERT_EQ(test, arm_smmu_cmdq_issue_cmdlist(&the_smmu, &the_smmu.cmdq,
								  &cmd, 1, false), 0);
	WRITE_ONCE(d->mute, true);
	migrate_disable();
	smmu_producer_start(test, &p);
	/* It looks for room */
	for (i = 0; i < 30 * MSEC_PER_SEC && !READ_ONCE(hw->polls); i++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_GT(test, READ_ONCE(hw->polls), 0);
	KUNIT_EXPECT_GT(test, iq_pretend(d, pci_name(d->pdev), 1), 0);
	migrate_enable();
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p.done, 30 * HZ), 0);
	KUNIT_EXPECT_EQ(test, p.ret, 0);
	KUNIT_EXPECT_FALSE(test, p.allowed);
	WRITE_ONCE(d->fenced, true);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	KUNIT_EXPECT_EQ(test, hw->errors, 0);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/*
 * At each timeout the queue is so full that nobody can say what stood under the
 * failed CMD_SYNC: who fails again and again, alone, is accused after all.
 */
static void smmu_test_crowded(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	int asked = atomic_read(&d->asked);

	hw->crowds = UINT_MAX;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	/* In vain by the flush, and then as often as it is allowed to */
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1 + 8);
	KUNIT_EXPECT_EQ(test, hw->errors, 1 + 8);
	hw->crowds = 0;
	iq_recover(test, d);
	iq_expect_in_service(test, d);

	/* One that fails a few times is asked until it answers, or is seen */
	hw->crowds = 3;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
	iq_recover(test, d);
	hw->crowds = 3;
	d->mute_times = 3;
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 2);
}

#ifdef CONFIG_TEGRA241_CMDQV

/* Up to the hardware's part this is the driver's own CMDQV */
static struct hw_queue *smmu_cmdqv(struct kunit *test)
{
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmdq *vcmdq;
	void __iomem *base;

	hw->cmdqv = vzalloc(5 * SZ_64K);
	KUNIT_ASSERT_NOT_NULL(test, hw->cmdqv);
	base = (void __iomem *)hw->cmdqv;
	/* Only one VINTF and one VCMDQ can be the matter: their error maps say so */
	writel(1, base + 0x14);
	writeq(1, base + 0x1000 + 0xc0);
	vcmdq = smmu_kunit_cmdqv_start(base);
	KUNIT_ASSERT_NOT_NULL(test, vcmdq);
	hw->vcmdq.gerror = (u32 __force *)smmu_quarantine_vcmdq_gerror(vcmdq);
	hw->vcmdq.gerrorn = hw->vcmdq.gerror + 1;
	WRITE_ONCE(hw->vcmdq.q, &vcmdq->q);
	iq_expect_in_service(test, iq_the(test, IQ_OTHER));
	KUNIT_ASSERT_GT(test, hw->vcmdq.commands, 0);
	return &hw->vcmdq;
}

/* The irq thread without what it prints, which would keep it apart from a poller */
static void smmu_vcmdq_irq(struct hw_queue *hq)
{
	struct arm_smmu_cmdq *cmdq = container_of(hq->q, struct arm_smmu_cmdq, q);
	u32 gerror = READ_ONCE(*hq->gerror);

	smmu_quarantine_gerror(&the_smmu, cmdq);
	smmu_quarantine_ack(&the_smmu, cmdq, gerror, (void __iomem *)hq->gerrorn);
}

static void smmu_test_vcmdq_two_actors(struct kunit *test)
{
	smmu_two_actors(test, smmu_cmdqv(test), smmu_vcmdq_irq);
}

/* R12: the error irq never comes, as its CPU is the one that polls */
static void smmu_test_vcmdq_poller(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct hw_queue *hq = smmu_cmdqv(test);
	unsigned int seen = smmu_timeouts_seen();
	unsigned long flags;
	int i, asked;

	for (i = 1; i <= 3; i++) {
		asked = atomic_read(&d->asked);
		KUNIT_ASSERT_EQ(test, iq_map(d, SZ_2M), 0);
		WRITE_ONCE(d->mute, true);
		local_irq_save(flags);
		iq_unmap(d, SZ_2M);
		local_irq_restore(flags);
		KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
		KUNIT_EXPECT_FALSE(test, hw_error_active(hq));
		KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1);
		KUNIT_EXPECT_EQ(test, smmu_timeouts_seen(), seen + i);
		WRITE_ONCE(d->fenced, true);
		iq_await_state(test, d, "quarantined");
		iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
		iq_recover(test, d);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
	}
	KUNIT_EXPECT_EQ(test, the_hw(test)->errors, 3);
}

/*
 * The driver's own irq function comes first, or when a poller has dealt with the
 * error: nobody acts twice.
 */
static void smmu_test_vcmdq_irq(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct hw_queue *hq = smmu_cmdqv(test);
	struct smmu_hw *hw = the_hw(test);
	unsigned int seen = smmu_timeouts_seen();
	u32 before;
	int i;

	for (i = 1; i <= 4; i++) {
		hw->vcmdq_irq = i % 2;
		iq_break_and_wait(test, d);
		if (!hw->vcmdq_irq)
			smmu_kunit_cmdqv_irq();
		KUNIT_EXPECT_FALSE(test, hw_error_active(hq));
		KUNIT_EXPECT_EQ(test, hw->errors, i);
		KUNIT_EXPECT_EQ(test, smmu_timeouts_seen(), seen + i);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
		iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
		iq_recover(test, d);
	}

	/* Another error is the driver's, and acknowledged by it */
	hw->vcmdq_irq = false;
	hw_stop(hw, hq, hw_cons(hq), CMDQ_ERR_CERROR_ABT_IDX);
	smmu_quarantine_gerror(&the_smmu,
			       container_of(hq->q, struct arm_smmu_cmdq, q));
	KUNIT_EXPECT_TRUE(test, hw_error_active(hq));
	smmu_kunit_cmdqv_irq();
	KUNIT_EXPECT_FALSE(test, hw_error_active(hq));
	KUNIT_EXPECT_EQ(test, smmu_timeouts_seen(), seen + 4);

	/*
	 * The driver has looked; a timeout comes before it acknowledges what it
	 * saw: recorded, and not raised once more by what GERROR was then.
	 */
	before = READ_ONCE(*hq->gerror);
	hw_stop(hw, hq, hw_position(hw_cons(hq)), CMDQ_ERR_CERROR_ATC_INV_IDX);
	smmu_quarantine_ack(&the_smmu,
			    container_of(hq->q, struct arm_smmu_cmdq, q),
			    before, (void __iomem *)hq->gerrorn);
	KUNIT_EXPECT_EQ(test, smmu_timeouts_seen(), seen + 5);
	KUNIT_EXPECT_FALSE(test, hw_error_active(hq));
	iq_expect_in_service(test, d);
}

#endif /* CONFIG_TEGRA241_CMDQV */

#ifdef CONFIG_ARM_SMMU_V3_IOMMUFD

/* The commands of a guest, by the driver's own function: so many are @done */
static int smmu_guest_asks(struct kunit *test, struct arm_vsmmu *vsmmu,
			   const struct arm_smmu_cmd *cmds, int n, int done)
{
	struct iommu_user_data_array array = {
		.type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.entry_len = sizeof(*cmds),
		.entry_num = n,
	};
	int ret;

	array.uptr = (void __user *)iq_touch(test);
	KUNIT_ASSERT_EQ(test, copy_to_user(array.uptr, cmds, n * sizeof(*cmds)), 0);
	ret = arm_vsmmu_cache_invalidate(&vsmmu->core, &array);
	KUNIT_EXPECT_EQ(test, array.entry_num, done);
	return ret;
}

/* The place of the command that failed, be it in the first block or a later one */
static void smmu_guest_position(struct kunit *test, struct arm_vsmmu *vsmmu,
				u32 vsid, int at)
{
	struct arm_smmu_cmd *cmds;
	const int n = 2 * CMDQ_BATCH_ENTRIES;
	int i;

	cmds = kunit_kcalloc(test, n, sizeof(*cmds), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cmds);
	for (i = 0; i < n; i++)
		cmds[i] = i % 3 ? arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NH_ALL) :
			  arm_smmu_make_cmd_atc_inv_all(vsid + 1, IOMMU_NO_PASID);
	/* And once more, which is not where it failed first */
	cmds[at] = arm_smmu_make_cmd_atc_inv_all(vsid, IOMMU_NO_PASID);
	cmds[at + 1] = cmds[at];
	KUNIT_EXPECT_EQ(test, smmu_guest_asks(test, vsmmu, cmds, n, at), -EIO);
}

/*
 * A guest's device that does not answer costs the host one timeout, and the guest
 * an error; as long as it is fenced, an error and no timeout.
 */
static void smmu_test_guest(struct kunit *test)
{
	/* In the first block of the driver's, its last, and in others */
	static const int places[] = {
		1, CMDQ_BATCH_ENTRIES - 3, CMDQ_BATCH_ENTRIES - 2,
		CMDQ_BATCH_ENTRIES - 1, CMDQ_BATCH_ENTRIES + 9,
		2 * CMDQ_BATCH_ENTRIES - 2
	};
	const u32 vsid = 7;
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct iommufd_vdevice *vdev;
	struct iommufd_device *idev;
	struct arm_smmu_cmd cmds[3];
	struct arm_vsmmu *vsmmu;
	int i, asked, answered;

	vsmmu = kunit_kzalloc(test, sizeof(*vsmmu), GFP_KERNEL);
	vdev = kunit_kcalloc(test, 2, sizeof(*vdev), GFP_KERNEL);
	idev = kunit_kcalloc(test, 2, sizeof(*idev), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, vsmmu && vdev && idev);
	vsmmu->smmu = &the_smmu;
	vsmmu->vmid = 1;
	xa_init(&vsmmu->core.vdevs);
	for (i = 0; i < 2; i++) {
		idev[i].dev = iq_device(i ? o : d);
		vdev[i].idev = &idev[i];
		KUNIT_ASSERT_EQ(test, xa_err(xa_store(&vsmmu->core.vdevs, vsid + i,
						      &vdev[i], GFP_KERNEL)), 0);
	}
	cmds[0] = arm_smmu_make_cmd_atc_inv_all(vsid, IOMMU_NO_PASID);
	cmds[1] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NH_ALL);
	cmds[2] = arm_smmu_make_cmd_atc_inv_all(vsid + 1, IOMMU_NO_PASID);
	asked = atomic_read(&d->asked);
	KUNIT_EXPECT_EQ(test, smmu_guest_asks(test, vsmmu, cmds, 3, 3), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1);

	WRITE_ONCE(d->mute, true);
	answered = atomic_read(&o->answered);
	KUNIT_EXPECT_EQ(test, smmu_guest_asks(test, vsmmu, cmds, 3, 0), -EIO);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	KUNIT_EXPECT_GT(test, atomic_read(&o->answered), answered);
	iq_await_state(test, d, "quarantined");
	iq_expect_state(test, o, "healthy");
	/* Two devices under one CMD_SYNC: once more, alone */
	KUNIT_EXPECT_EQ(test, hw->errors, 2);

	asked = atomic_read(&d->asked);
	answered = atomic_read(&o->answered);
	KUNIT_EXPECT_EQ(test, smmu_guest_asks(test, vsmmu, cmds, 3, 0), -EIO);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->answered), answered + 1);
	KUNIT_EXPECT_EQ(test, smmu_guest_asks(test, vsmmu, cmds + 1, 2, 2), 0);
	for (i = 0; i < ARRAY_SIZE(places); i++)
		smmu_guest_position(test, vsmmu, vsid, places[i]);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	KUNIT_EXPECT_EQ(test, hw->errors, 2);

	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, smmu_guest_asks(test, vsmmu, cmds, 3, 3), 0);

	/* It fails just now: once with others, once alone */
	WRITE_ONCE(d->mute, true);
	smmu_guest_position(test, vsmmu, vsid, 5);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	KUNIT_EXPECT_EQ(test, hw->errors, 4);
	iq_await_state(test, d, "quarantined");
	iq_expect_state(test, o, "healthy");
	iq_recover(test, d);
	xa_destroy(&vsmmu->core.vdevs);
}

#endif /* CONFIG_ARM_SMMU_V3_IOMMUFD */

#ifdef IQ_HAVE_SMMU_ATS_ALWAYS_ON
static void smmu_plug_always_on(struct kunit *test, struct iq_dev *d)
{
	struct arm_smmu_master *master;

	iq_unplug(d);
	d->needs_ats = true;
	iq_power_on(d);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	master = dev_iommu_priv_get(iq_device(d));
	KUNIT_ASSERT_TRUE(test, master->ats_always_on);
}

/*
 * An attach while the fence has stored its word and the SMMU has not been told to
 * forget the entry: EATS is not there again, not for an instant. The fixture looks
 * whenever the driver polls, which the attach does after each of its stores. To the
 * identity domain, since for any other it would first wait for what it has changed
 * in the context descriptors.
 */
static void smmu_test_attach_in_fence(struct kunit *test)
{
	struct iommu_domain *identity = smmu_quarantine_ops()->identity_domain;
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_producer p = { .d = d };
	struct smmu_hw *hw = the_hw(test);
	int i;

	smmu_plug_always_on(test, d);
	iq_hold_work(true);
	migrate_disable();
	WRITE_ONCE(d->mute, true);
	scoped_guard(raw_spinlock_irqsave, &hw->lock)
		hw->hold_cfgi = d;
	smmu_producer_start(test, &p);
	for (i = 0; i < 5000 && !READ_ONCE(d->fenced); i++)
		usleep_range(500, 1000);
	KUNIT_EXPECT_TRUE(test, d->fenced);
	KUNIT_EXPECT_FALSE(test, completion_done(&p.done));
	/* Its own CMD_CFGI_STE lets both go */
	KUNIT_EXPECT_EQ(test, iommu_attach_device(identity, iq_device(d)), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	migrate_enable();
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&p.done, 30 * HZ), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->violations), 0);
	iommu_detach_device(identity, iq_device(d));
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/*
 * A device that works with ATS only is given EATS by the identity domain too,
 * which nobody else is: not while it is fenced.
 */
static void smmu_test_ats_always_on(struct kunit *test)
{
	struct iommu_domain *identity = smmu_quarantine_ops()->identity_domain;
	struct iq_dev *d = iq_the(test, IQ_OTHER);

	smmu_plug_always_on(test, d);
	KUNIT_ASSERT_EQ(test, iommu_attach_device(identity, iq_device(d)), 0);
	KUNIT_EXPECT_TRUE(test, smmu_allows(d));
	iommu_detach_device(identity, iq_device(d));
	iq_expect_in_service(test, d);

	/* Fenced for good, and not blocked: the core would refuse the attach */
	iq_blocking_fails(d, true);
	iq_break(test, d);
	iq_await_state(test, d, "failed");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iommu_attach_device(identity, iq_device(d)), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iommu_detach_device(identity, iq_device(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	iq_blocking_fails(d, false);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}
#endif

static void smmu_test_back_without_ats(struct kunit *test)
{
	iq_back_without_ats(test, smmu_quarantine_ops()->identity_domain);
}

static void smmu_test_ste(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct arm_smmu_ste before = *hw_ste(d);

	KUNIT_EXPECT_EQ(test, ste_eats(&before), STRTAB_STE_1_EATS_TRANS);
	iq_break(test, d);
	KUNIT_EXPECT_EQ(test, ste_eats(hw_ste(d)), 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, ste_cfg(hw_ste(d)), STRTAB_STE_0_CFG_ABORT);
	iq_recover(test, d);
	KUNIT_EXPECT_MEMEQ(test, hw_ste(d), &before, sizeof(before));
}

/*
 * At every instant fenced or sane: from healthy to fenced, blocked and back the
 * SMMU sees no entry but these, whatever it reads meanwhile.
 */
static void smmu_test_ste_transitions(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct iommu_domain *domain;
	struct smmu_watch *watch;
	int i, ret;

	domain = iommu_paging_domain_alloc(iq_device(d));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, watch);
	watch->ste = hw_ste(d);
	watch->known[0] = *watch->ste;
	watch->known[1] = *watch->ste;
	watch->known[1].data[1] &= ~cpu_to_le64(STRTAB_STE_1_EATS);
	arm_smmu_make_abort_ste(&watch->known[2]);
	scoped_guard(raw_spinlock_irqsave, &hw->lock)
		hw->watch = watch;

	for (i = 0; i < 4; i++) {
		iq_break(test, d);
		/* An attach may come before the work, or be refused */
		ret = iommu_attach_device(domain, iq_device(d));
		iq_await_state(test, d, "quarantined");
		iq_recover(test, d);
		if (ret)
			ret = iommu_attach_device(domain, iq_device(d));
		KUNIT_EXPECT_EQ(test, ret, 0);
		iq_expect_in_service(test, d);
		iommu_detach_device(domain, iq_device(d));
	}
	scoped_guard(raw_spinlock_irqsave, &hw->lock)
		hw->watch = NULL;
	KUNIT_EXPECT_GT(test, watch->looks, 0);
	KUNIT_EXPECT_EQ(test, watch->torn, 0);
	iommu_domain_free(domain);
}

/* Neither an answer nor a timeout, until it answers again */
static void smmu_silent(struct kunit *test, enum iommu_last_resort last_resort)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	bool cut_off = last_resort == IOMMU_LAST_RESORT_BUSMASTER;

	pci_set_master(d->pdev);
	iq_last_resort(test, last_resort);
	WRITE_ONCE(hw->silent, true);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	iq_expect_last_resort(test, d, cut_off);
	KUNIT_EXPECT_TRUE(test, smmu_unit(&the_smmu)->lost);

	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, smmu_unit(&the_smmu)->lost);
	KUNIT_EXPECT_EQ(test, iq_may_translate(d), !cut_off);
	if (cut_off)
		iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* It answers again, whoever asks: it is no longer given up, and @d can be let go */
static void smmu_answers_again(struct kunit *test, struct iq_dev *d)
{
	WRITE_ONCE(the_hw(test)->silent, false);
	smmu_hardware(&the_smmu);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, smmu_unit(&the_smmu)->lost);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* It says that somebody did not answer, and nothing any more; perhaps @later */
static void smmu_falls_silent(struct kunit *test, bool later)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	u16 command;
	int i;

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	hw->falls_silent = !later;
	hw->falls_silent_later = later;
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, smmu_allows(d));
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	pci_read_config_word(d->pdev, PCI_COMMAND, &command);
	KUNIT_EXPECT_FALSE(test, command & PCI_COMMAND_MASTER);
	/* Each command of the work may cost the driver's own second */
	for (i = 0; i < 5 && !iq_wait_state(d, "quarantined"); i++)
		;
	iq_await_state(test, d, "quarantined");
	hw->falls_silent = false;
	hw->falls_silent_later = false;
	smmu_answers_again(test, d);
}

static void smmu_test_silent_in_flush(struct kunit *test)
{
	smmu_falls_silent(test, false);
}

/* The flush itself is over: what nobody hears of is the fence */
static void smmu_test_silent_in_fence(struct kunit *test)
{
	smmu_falls_silent(test, true);
}

static void smmu_test_silent_none(struct kunit *test)
{
	smmu_silent(test, IOMMU_LAST_RESORT_NONE);
}

static void smmu_test_silent_busmaster(struct kunit *test)
{
	smmu_silent(test, IOMMU_LAST_RESORT_BUSMASTER);
}

/* So many commands that there is no room any more: the driver gives up */
static void smmu_test_silent_full(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmd cmds[CMDQ_BATCH_ENTRIES - 1];
	int i, ret = 0;

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	WRITE_ONCE(hw->silent, true);
	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		cmds[i] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
	for (i = 0; i < 4 && !ret; i++)
		ret = __arm_smmu_cmdq_issue_cmdlist(&the_smmu, &the_smmu.cmdq,
						    cmds, ARRAY_SIZE(cmds),
						    false);
	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	KUNIT_EXPECT_TRUE(test, smmu_unit(&the_smmu)->dropped);

	/* What was dropped is lost for good: it never counts as being back */
	WRITE_ONCE(hw->silent, false);
	/* Nobody polls who finds no room with an SMMU that was given up */
	smmu_hardware(&the_smmu);
	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_TRUE(test, smmu_unit(&the_smmu)->lost);
	smmu_unit(&the_smmu)->dropped = false;
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_FALSE(test, smmu_unit(&the_smmu)->lost);
}

static void smmu_test_silent_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);

	iq_silent_reset(test, d, &hw->silent);
	smmu_answers_again(test, d);
}

/* With the quarantine off it is the driver's second that counts, as ever */
static void smmu_test_silent_off(struct kunit *test)
{
	struct arm_smmu_cmd cmd = atc_inv(iq_the(test, IQ_OTHER));
	struct smmu_quarantine_wait wait = {};
	struct smmu_hw *hw = the_hw(test);

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	iq_policy(Q_POLICY_OFF);
	WRITE_ONCE(hw->silent, true);
	KUNIT_EXPECT_EQ(test, issue(&cmd, 1), -ETIMEDOUT);
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_drop(&the_smmu, &the_smmu.cmdq,
						      &wait));
	WRITE_ONCE(hw->silent, false);
	KUNIT_EXPECT_FALSE(test, smmu_unit(&the_smmu)->lost);
	KUNIT_EXPECT_EQ(test, iq_lost(test), 0);
	iq_expect_in_service(test, iq_the(test, IQ_OTHER));
}

/*
 * Turned off by the driver, as in Service Failure Mode: nobody waits for long, nobody
 * is at fault, and it is said.
 */
static void smmu_test_turned_off(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct arm_smmu_cmd cmd = atc_inv(d);
	struct smmu_quarantine_wait wait = {
		.full = ktime_get_mono_fast_ns() - 2ULL * NSEC_PER_SEC,
	};
	struct smmu_hw *hw = the_hw(test);
	u32 on = reg_get(hw, ARM_SMMU_CR0ACK);
	u16 command;

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	quarantine_kunit_wait_bound(5ULL * NSEC_PER_SEC);
	WRITE_ONCE(hw->silent, true);
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_drop(&the_smmu, &the_smmu.cmdq,
						      &wait));
	KUNIT_EXPECT_EQ(test, iq_lost(test), 0);
	reg_set(hw, ARM_SMMU_CR0ACK, on & ~CR0_CMDQEN);
	KUNIT_EXPECT_EQ(test, issue(&cmd, 1), -ETIMEDOUT);
	KUNIT_EXPECT_TRUE(test, smmu_quarantine_drop(&the_smmu, &the_smmu.cmdq,
						     &wait));
	KUNIT_EXPECT_EQ(test, iq_lost(test), 2);
	pci_read_config_word(d->pdev, PCI_COMMAND, &command);
	KUNIT_EXPECT_TRUE(test, command & PCI_COMMAND_MASTER);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	reg_set(hw, ARM_SMMU_CR0ACK, on);
	WRITE_ONCE(hw->silent, false);
	smmu_hardware(&the_smmu);
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_FALSE(test, smmu_unit(&the_smmu)->lost);
	KUNIT_EXPECT_FALSE(test, smmu_unit(&the_smmu)->dropped);
}

/* The same, and a device that has to be asked is reset meanwhile: it cannot be */
static void smmu_test_turned_off_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	u32 on = reg_get(hw, ARM_SMMU_CR0ACK);

	iq_break_and_wait(test, d);
	iq_settle(d);
	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	WRITE_ONCE(hw->silent, true);
	reg_set(hw, ARM_SMMU_CR0ACK, on & ~CR0_CMDQEN);
	WRITE_ONCE(d->fenced, false);
	iq_reset(d);
	reg_set(hw, ARM_SMMU_CR0ACK, on);
	smmu_answers_again(test, d);
}

/* An SMMU that has never had a device with ATS is none of ours */
static void smmu_test_not_ours(struct kunit *test)
{
	struct arm_smmu_cmd cmd = atc_inv(iq_the(test, IQ_OTHER));
	struct smmu_quarantine_wait wait = {};
	struct arm_smmu_queue_poll qp = {};
	struct arm_smmu_device *smmu;
	u64 evt[EVTQ_ENT_DWORDS] = { FIELD_PREP(EVTQ_0_ID, 0x07) };

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	smmu = kunit_kzalloc(test, sizeof(*smmu), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, smmu);
	KUNIT_EXPECT_EQ(test, __smmu_quarantine_filter(smmu, &cmd, 1, &wait), 1);
	KUNIT_EXPECT_EQ(test, __smmu_quarantine_settle(smmu, &cmd, 1, &wait,
						       -ETIMEDOUT), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, __smmu_quarantine_poll(smmu, &smmu->cmdq, &qp),
			-ETIMEDOUT);
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_drop(smmu, &smmu->cmdq, &wait));
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_muted(smmu, evt));
	KUNIT_EXPECT_EQ(test, iq_lost(test), 0);
}

/* Only what a fenced device makes at full rate is not printed */
static void smmu_test_muted(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	static const struct {
		u8 id;
		bool ats;
	} events[] = {
		{ 0x05, true },		/* F_BAD_ATS_TREQ */
		{ 0x07, true },		/* F_TRANSL_FORBIDDEN */
		{ 0x02, false },	/* C_BAD_STREAMID */
		{ 0x10, false },	/* F_TRANSLATION */
	};
	u64 evt[EVTQ_ENT_DWORDS] = {};
	int i, state;

	for (state = 0; state < 3; state++) {
		if (state == 1)
			iq_break(test, d);
		if (state == 2) {
			iq_await_state(test, d, "quarantined");
			iq_recover(test, d);
		}
		for (i = 0; i < ARRAY_SIZE(events); i++) {
			evt[0] = FIELD_PREP(EVTQ_0_ID, events[i].id) |
				 FIELD_PREP(EVTQ_0_SID, d->sid);
			KUNIT_EXPECT_EQ_MSG(test, smmu_quarantine_muted(&the_smmu, evt),
					    state == 1 && events[i].ats,
					    "event %#x", events[i].id);
			/* Of somebody whom nobody knows, and of a neighbour */
			evt[0] = FIELD_PREP(EVTQ_0_ID, events[i].id) |
				 FIELD_PREP(EVTQ_0_SID, 0xfff8);
			KUNIT_EXPECT_FALSE(test, smmu_quarantine_muted(&the_smmu, evt));
			evt[0] = FIELD_PREP(EVTQ_0_ID, events[i].id) |
				 FIELD_PREP(EVTQ_0_SID,
					    iq_the(test, IQ_BROKEN)->sid);
			KUNIT_EXPECT_FALSE(test, smmu_quarantine_muted(&the_smmu, evt));
		}
	}
}

/* A batch of device-TLB invalidations that is full is sent with a CMD_SYNC */
static void smmu_test_batch(struct kunit *test)
{
	struct arm_smmu_cmdq_batch *batch;

	batch = kunit_kzalloc(test, sizeof(*batch), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, batch);
	*(struct arm_smmu_cmd *)batch->cmds = atc_inv(iq_the(test, IQ_OTHER));
	batch->num = CMDQ_BATCH_ENTRIES - 1;
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_force_sync(batch));
	batch->num = CMDQ_BATCH_ENTRIES;
	KUNIT_EXPECT_TRUE(test, smmu_quarantine_force_sync(batch));
	iq_policy(Q_POLICY_OFF);
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_force_sync(batch));
	iq_policy(Q_POLICY_QUARANTINE);
	*(struct arm_smmu_cmd *)batch->cmds = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NSNH_ALL);
	KUNIT_EXPECT_FALSE(test, smmu_quarantine_force_sync(batch));
}

static int issue_nothing(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq,
			 struct arm_smmu_cmd *cmds, int n, bool sync)
{
	return 0;
}

static int issue_in_vain(struct arm_smmu_device *smmu, struct arm_smmu_cmdq *cmdq,
			 struct arm_smmu_cmd *cmds, int n, bool sync)
{
	return -ETIMEDOUT;
}

/* What a guest is told of what it has sent */
static void smmu_test_issue_user(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct arm_smmu_cmd cmds[2];
	unsigned int back;
	int i;

	for (i = 0; i < 2; i++) {
		cmds[0] = atc_inv(d);
		cmds[1] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NH_ALL);
		/* The queue's own error comes first, whatever the device is */
		KUNIT_EXPECT_EQ(test, smmu_quarantine_issue_user(&the_smmu, cmds, 2,
								 issue_in_vain, &back),
				-ETIMEDOUT);
		KUNIT_EXPECT_EQ(test, back, 1);
		KUNIT_EXPECT_EQ(test, smmu_quarantine_issue_user(&the_smmu, cmds, 2,
								 arm_smmu_cmdq_issue_cmdlist,
								 &back),
				i ? -EIO : 0);
		KUNIT_EXPECT_EQ(test, back, 1 + i);
		if (!i)
			iq_break_and_wait(test, d);
	}
	/* Without ATS there is nobody to be fenced */
	iq_unplug(d);
	cmds[0] = arm_smmu_make_cmd_op(CMDQ_OP_TLBI_NH_ALL);
	KUNIT_EXPECT_EQ(test, smmu_quarantine_issue_user(&the_smmu, cmds, 1,
							 arm_smmu_cmdq_issue_cmdlist,
							 &back), 0);
	cmds[0] = atc_inv(d);
	d->mute = false;
	KUNIT_EXPECT_EQ(test, smmu_quarantine_issue_user(&the_smmu, cmds, 1,
							 issue_nothing, &back), 0);
}

/* Only told: two were asked, and nobody can say whose timeout it was */
static void smmu_test_report_nobody(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);
	struct arm_smmu_cmd cmds[2] = { atc_inv(d), atc_inv(o) };

	iq_policy(Q_POLICY_REPORT);
	d->mute_times = 1;
	KUNIT_EXPECT_EQ(test, issue(cmds, 2), 0);
	KUNIT_EXPECT_EQ(test, hw->errors, 1);
	KUNIT_EXPECT_FALSE(test, hw_error_active(&hw->own));
	iq_settle(d);
	iq_settle(o);
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 0);
	iq_expect_state(test, d, "healthy");
	iq_expect_state(test, o, "healthy");
}

/* What fences and lifts one device never takes another one for it */
static void smmu_test_same_id(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iq_dev *o = iq_the(test, IQ_BROKEN);
	struct xarray *devs = &smmu_unit(&the_smmu)->devs;
	void *other = xa_load(devs, o->sid);

	iq_unplug(d);
	KUNIT_ASSERT_EQ(test, xa_err(xa_store(devs, d->sid, other, GFP_KERNEL)), 0);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	KUNIT_EXPECT_PTR_EQ(test, xa_load(devs, d->sid), other);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));

	iq_break_and_wait(test, o);
	iq_expect_not_lifted(test, d, o);
	iq_unplug(d);
	KUNIT_EXPECT_PTR_EQ(test, xa_load(devs, d->sid), other);
	iq_expect_shut_out(test, o);
	xa_erase(devs, d->sid);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	iq_expect_in_service(test, d);
	iq_recover(test, o);
	iq_expect_in_service(test, o);
}

/* An SMMU that does not do ATS: neither asked nor fenced */
static void smmu_test_no_ats(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	int i;

	for (i = 0; i < 2; i++) {
		iq_unplug(d);
		if (i)
			the_smmu.features |= ARM_SMMU_FEAT_ATS;
		else
			the_smmu.features &= ~ARM_SMMU_FEAT_ATS;
		KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
		KUNIT_EXPECT_EQ(test, iq_ats_on(d), i);
		KUNIT_EXPECT_EQ(test, iq_may_translate(d), i);
		KUNIT_EXPECT_EQ(test, !!xa_load(&smmu_unit(&the_smmu)->devs, d->sid), i);
	}
	iq_expect_in_service(test, d);
}

/* Without the check of translated requests no entry could shut it out */
static void smmu_test_no_check(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct smmu_hw *hw = the_hw(test);

	iq_unplug(d);
	reg_set(hw, ARM_SMMU_CR0ACK, CR0_CMDQEN | CR0_SMMUEN);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));

	/* Nobody is fenced: as without the quarantine, and without a word */
	iq_unplug(d);
	iq_policy(Q_POLICY_REPORT);
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	KUNIT_EXPECT_TRUE(test, iq_ats_on(d));
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
}

static struct kunit_case smmu_cases[] = {
	KUNIT_CASE(smmu_test_alone),
	KUNIT_CASE(smmu_test_any_position),
	KUNIT_CASE(smmu_test_wrap),
	KUNIT_CASE(smmu_test_msi_polling),
	KUNIT_CASE(smmu_test_sev),
	KUNIT_CASE(smmu_test_aliases),
	KUNIT_CASE(smmu_test_two_producers),
	KUNIT_CASE(smmu_test_mixed_lists),
	KUNIT_CASE(smmu_test_one_fence),
	KUNIT_CASE(smmu_test_late_list),
	KUNIT_CASE(smmu_test_asked_alone),
	KUNIT_CASE(smmu_test_full_queue),
	KUNIT_CASE(smmu_test_gerror),
	KUNIT_CASE(smmu_test_illegal),
	KUNIT_CASE(smmu_test_skip),
	KUNIT_CASE(smmu_test_two_actors),
	KUNIT_CASE(smmu_test_scrub),
	KUNIT_CASE(smmu_test_accused_meanwhile),
	KUNIT_CASE(smmu_test_crowded),
	KUNIT_CASE(smmu_test_muted),
	KUNIT_CASE(smmu_test_batch),
	KUNIT_CASE(smmu_test_issue_user),
	KUNIT_CASE(smmu_test_report_nobody),
	KUNIT_CASE(smmu_test_same_id),
	KUNIT_CASE(smmu_test_not_ours),
#ifdef CONFIG_TEGRA241_CMDQV
	KUNIT_CASE(smmu_test_vcmdq_poller),
	KUNIT_CASE(smmu_test_vcmdq_irq),
	KUNIT_CASE(smmu_test_vcmdq_two_actors),
#endif
#ifdef CONFIG_ARM_SMMU_V3_IOMMUFD
	KUNIT_CASE(smmu_test_guest),
#endif
#ifdef IQ_HAVE_SMMU_ATS_ALWAYS_ON
	KUNIT_CASE(smmu_test_ats_always_on),
	KUNIT_CASE(smmu_test_attach_in_fence),
#endif
	KUNIT_CASE(smmu_test_back_without_ats),
	KUNIT_CASE(smmu_test_ste),
	KUNIT_CASE(smmu_test_ste_transitions),
	KUNIT_CASE(iq_held_fence),
	KUNIT_CASE(smmu_test_silent_in_flush),
	KUNIT_CASE(smmu_test_silent_in_fence),
	KUNIT_CASE(smmu_test_silent_none),
	KUNIT_CASE(smmu_test_silent_busmaster),
	KUNIT_CASE(smmu_test_silent_full),
	KUNIT_CASE(smmu_test_silent_reset),
	KUNIT_CASE(smmu_test_silent_off),
	KUNIT_CASE(smmu_test_turned_off),
	KUNIT_CASE(smmu_test_turned_off_reset),
	KUNIT_CASE(smmu_test_no_ats),
	KUNIT_CASE(smmu_test_no_check),
	{}
};

/* C3, whatever was played: what is fenced is sent nothing */
static void smmu_exit(struct kunit *test)
{
	if (test->priv)
		KUNIT_EXPECT_EQ(test, the_hw(test)->atc_invs_after, 0);
	iq_stop(test);
}

static struct kunit_suite smmu_suite = {
	.name = "arm_smmu_v3_quarantine",
	.init = smmu_init,
	.exit = smmu_exit,
	.test_cases = smmu_cases,
};

kunit_test_suites(&smmu_conformance_suite, &smmu_suite);

QUARANTINE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
