// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the AMD backend: the conformance suite, and what only AMD has.
 * The IOMMU is a few pages of registers, the driver's own command buffer, event
 * log and device table; the hardware runs in a thread on a CPU of its own, as
 * 48882 has it (2.4, 2.5), in each of the ways that 48882 leaves open.
 */

#include <kunit/test.h>
#include <linux/kthread.h>
#include <linux/llist.h>
#include <linux/vmalloc.h>

#include "amd_iommu.h"
#include "../../iommu-pages.h"
#include "backend.h"
#include "quarantine.h"

#include "../tests/conformance/bodies.h"

#define AMD_INDEX	(MAX_IOMMUS - 1)
#define AMD_MMIO	SZ_16K
#define AMD_RUN		BIT(4)

enum amd_event_when {
	EVENT_BEFORE,	/* the log is written, then the wait stores */
	EVENT_DURING,	/* the log is written, and the wait stores much later */
	EVENT_AFTER,	/* the wait stores, and the log is written later */
	EVENT_NEVER,	/* the log was full */
	EVENT_NAMELESS,	/* names a device that nobody knows */
};

struct amd_hw {
	struct amd_iommu iommu;
	struct amd_iommu_pci_seg seg;
	struct iq_fixture *fx;
	void *mmio;
	/* how it behaves */
	enum amd_event_when when;
	u64 timeout_ns;
	bool halts;		/* the command buffer stops at an event */
	bool drops_wait;	/* an event takes the wait behind it along */
	bool silent;		/* executes nothing, says nothing */
	/* what it has done */
	u16 late[8];		/* not answered, on its way */
	u32 late_cmd[8];
	unsigned int nr_late;
	u64 deadline;
	u16 told;		/* event to be logged at ... */
	u64 tell_at;		/* ... this time */
	u64 store_at;		/* no wait stores before */
	bool drop;
	bool overflown;		/* the log was full and stands still */
	unsigned int events;
	unsigned int waits;
	unsigned int devtlbs;
	u64 efr;		/* to be restored */
	u8 vasize;
};

static struct amd_hw *amd_hw_of(struct iq_fixture *fx)
{
	return fx->hw;
}

static u32 reg_get(struct amd_hw *hw, int where)
{
	return READ_ONCE(*(u32 *)(hw->mmio + where));
}

static void reg_set(struct amd_hw *hw, int where, u32 val)
{
	WRITE_ONCE(*(u32 *)(hw->mmio + where), val);
}

static struct dev_table_entry *hw_dte(struct amd_hw *hw, u16 devid)
{
	return &hw->seg.dev_table[devid];
}

static bool amd_allows(struct iq_dev *d)
{
	struct dev_table_entry *dte = hw_dte(amd_hw_of(d->fx), d->sid);

	return READ_ONCE(dte->data[0]) & DTE_FLAG_V &&
	       READ_ONCE(dte->data[1]) & DTE_FLAG_IOTLB;
}

/* ---- the event log ---- */

static void hw_log(struct amd_hw *hw, u64 event, u64 address)
{
	u32 tail = reg_get(hw, MMIO_EVT_TAIL_OFFSET);
	u32 next = (tail + EVTLOG_ENTRY_SIZE) % amd_iommu_evtlog_size;
	u64 *entry = (u64 *)(hw->iommu.evt_buf + tail);

	if (hw->overflown)
		return;
	if (next == reg_get(hw, MMIO_EVT_HEAD_OFFSET)) {
		hw->overflown = true;
		reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN |
			MMIO_STATUS_EVT_INT_MASK | MMIO_STATUS_EVT_OVERFLOW_MASK);
		return;
	}
	WRITE_ONCE(entry[1], address);
	/* The type last, see erratum 732 */
	smp_wmb();
	WRITE_ONCE(entry[0], event);
	/* The entry before the tail */
	smp_wmb();
	reg_set(hw, MMIO_EVT_TAIL_OFFSET, next);
	reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN | MMIO_STATUS_EVT_INT_MASK);
	hw->events++;
}

static void hw_log_timeout(struct amd_hw *hw, u16 devid, u64 address)
{
	hw_log(hw, (u64)EVENT_TYPE_IOTLB_INV_TO << 60 | devid, address);
}

/* ---- the command buffer ---- */

static void hw_expire(struct amd_hw *hw, u64 now)
{
	unsigned int i;

	for (i = 0; i < hw->nr_late; i++) {
		switch (hw->when) {
		case EVENT_DURING:
			hw->store_at = now + 20 * NSEC_PER_MSEC;
			fallthrough;
		case EVENT_BEFORE:
			hw_log_timeout(hw, hw->late[i], hw->late_cmd[i]);
			break;
		case EVENT_NAMELESS:
			hw_log_timeout(hw, 0xfff8, hw->late_cmd[i]);
			break;
		case EVENT_AFTER:
			hw->told = hw->late[i];
			hw->tell_at = now + 20 * NSEC_PER_MSEC;
			break;
		case EVENT_NEVER:
			break;
		}
	}
	hw->nr_late = 0;
	hw->drop = hw->drops_wait;
	if (hw->halts) {
		reg_set(hw, MMIO_STATUS_OFFSET,
			reg_get(hw, MMIO_STATUS_OFFSET) & ~AMD_RUN);
		reg_set(hw, MMIO_CONTROL_OFFSET,
			reg_get(hw, MMIO_CONTROL_OFFSET) &
			~BIT(CONTROL_CMDBUF_EN));
	}
}

/* Returns false if the command has to wait */
static bool hw_command(struct amd_hw *hw, u32 *cmd, u32 where, u64 now)
{
	u16 devid = cmd[0] & 0xffff;
	struct iq_dev *d;
	u64 *sem;
	int i;

	switch (cmd[1] >> 28) {
	case CMD_INV_DEV_ENTRY:
		d = iq_find(hw->fx, devid);
		if (d)
			iq_forget(d);
		return true;
	case CMD_INV_ALL:
		for (i = 0; i < IQ_DEVS; i++)
			iq_forget(&hw->fx->dev[i]);
		return true;
	case CMD_INV_IOTLB_PAGES:
		hw->devtlbs++;
		if (iq_ask(iq_find(hw->fx, devid)) ||
		    hw->nr_late == ARRAY_SIZE(hw->late))
			return true;
		if (!hw->nr_late)
			hw->deadline = now + hw->timeout_ns;
		hw->late[hw->nr_late] = devid;
		hw->late_cmd[hw->nr_late++] = where;
		return true;
	case CMD_COMPL_WAIT:
		if (hw->nr_late || now < hw->store_at)
			return false;
		if (hw->drop) {
			hw->drop = false;
			return true;
		}
		if (cmd[0] & CMD_COMPL_WAIT_STORE_MASK) {
			sem = phys_to_virt((u64)(cmd[1] & 0xfffff) << 32 |
					   (cmd[0] & ~7));
			/* Logged first, stored then */
			smp_wmb();
			WRITE_ONCE(*sem, (u64)cmd[3] << 32 | cmd[2]);
			hw->waits++;
		}
		return true;
	default:
		return true;
	}
}

static void amd_step(struct iq_fixture *fx)
{
	struct amd_hw *hw = amd_hw_of(fx);
	u64 now = ktime_get_mono_fast_ns();
	u32 head, status;

	iq_look(fx);
	/* Write 1 to clear, by which the driver writes nothing else */
	status = reg_get(hw, MMIO_STATUS_OFFSET);
	if (status == (MMIO_STATUS_EVT_INT_MASK | MMIO_STATUS_EVT_OVERFLOW_MASK))
		reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN);
	/* The driver starts the log again by this alone */
	if (status == MMIO_STATUS_EVT_OVERFLOW_MASK) {
		reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN);
		WRITE_ONCE(hw->overflown, false);
	}
	if (hw->tell_at && now >= hw->tell_at) {
		hw->tell_at = 0;
		hw_log_timeout(hw, hw->told, 0);
	}
	if (hw->nr_late && now >= hw->deadline)
		hw_expire(hw, now);
	if (READ_ONCE(hw->silent) ||
	    !(reg_get(hw, MMIO_CONTROL_OFFSET) & BIT(CONTROL_CMDBUF_EN)))
		return;
	if (!(reg_get(hw, MMIO_STATUS_OFFSET) & AMD_RUN))
		reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN);

	head = reg_get(hw, MMIO_CMD_HEAD_OFFSET);
	while (head != reg_get(hw, MMIO_CMD_TAIL_OFFSET)) {
		/* Commands are there before the tail says so */
		smp_rmb();
		if (!hw_command(hw, (u32 *)(hw->iommu.cmd_buf + head), head,
				now))
			break;
		head = (head + sizeof(struct iommu_cmd)) % CMD_BUFFER_SIZE;
		reg_set(hw, MMIO_CMD_HEAD_OFFSET, head);
	}
	iq_look(fx);
}

/* ---- lifetime ---- */

static int amd_start(struct iq_fixture *fx)
{
	struct amd_iommu_pci_seg *seg;
	struct amd_iommu *iommu;
	struct amd_hw *hw;
	unsigned int i;
	int ret;

	hw = kzalloc_obj(*hw);
	if (!hw)
		return -ENOMEM;
	fx->hw = hw;
	hw->fx = fx;
	/* Long enough for the backend to take it for no answer */
	hw->timeout_ns = 20 * NSEC_PER_MSEC;
	iommu = &hw->iommu;
	seg = &hw->seg;

	hw->efr = amd_iommu_efr;
	hw->vasize = amd_iommu_hpt_vasize;
	amd_iommu_efr = FEATURE_GT | FEATURE_PPR | FEATURE_GIOSUP |
			FEATURE_EPHSUP;
	amd_iommu_hpt_vasize = 48;

	hw->mmio = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO,
					    get_order(AMD_MMIO));
	iommu->cmd_buf = iommu_alloc_pages_sz(GFP_KERNEL, CMD_BUFFER_SIZE);
	iommu->evt_buf = iommu_alloc_pages_sz(GFP_KERNEL, amd_iommu_evtlog_size);
	iommu->cmd_sem = iommu_alloc_pages_sz(GFP_KERNEL, SZ_4K);
	seg->dev_table = vcalloc(SZ_64K, sizeof(*seg->dev_table));
	seg->rlookup_table = vcalloc(SZ_64K, sizeof(*seg->rlookup_table));
	seg->alias_table = vcalloc(SZ_64K, sizeof(*seg->alias_table));
	if (!hw->mmio || !iommu->cmd_buf || !iommu->evt_buf ||
	    !iommu->cmd_sem || !seg->dev_table || !seg->rlookup_table ||
	    !seg->alias_table)
		return -ENOMEM;

	seg->id = 0x1000 + fx->nr;
	seg->last_bdf = 0xffff;
	init_llist_head(&seg->dev_data_list);
	INIT_LIST_HEAD(&seg->unity_map);
	for (i = 0; i < SZ_64K; i++) {
		seg->alias_table[i] = i;
		seg->rlookup_table[i] = PCI_BUS_NUM(i) == fx->busnr ? iommu : NULL;
	}

	iommu->index = AMD_INDEX;
	iommu->pci_seg = seg;
	iommu->devid = PCI_DEVID(fx->busnr, 0);
	iommu->mmio_base = (u8 __iomem *)hw->mmio;
	iommu->cmd_sem_paddr = virt_to_phys((void *)iommu->cmd_sem);
	raw_spin_lock_init(&iommu->lock);
	reg_set(hw, MMIO_CONTROL_OFFSET, BIT(CONTROL_CMDBUF_EN));
	reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN);
	amd_quarantine_log_reset(iommu);
	amd_unit(iommu)->verified = 0;

	list_add_tail(&seg->list, &amd_iommu_pci_seg_list);
	ret = iommu_device_sysfs_add(&iommu->iommu, NULL, NULL, "iq-ivhd%d",
				     fx->nr);
	return ret ?: iommu_device_register(&iommu->iommu, &amd_iommu_ops, NULL);
}

static void amd_stop(struct iq_fixture *fx)
{
	struct amd_hw *hw = amd_hw_of(fx);
	struct iommu_dev_data *data, *next;
	struct amd_iommu *iommu = &hw->iommu;

	iommu_device_unregister(&iommu->iommu);
	iommu_device_sysfs_remove(&iommu->iommu);
	list_del(&hw->seg.list);
	/* The hardware goes on until here */
	kthread_stop(fx->thread);
	fx->thread = NULL;
	amd_iommu_efr = hw->efr;
	amd_iommu_hpt_vasize = hw->vasize;

	llist_for_each_entry_safe(data, next, llist_del_all(&hw->seg.dev_data_list),
				  dev_data_list)
		kfree(data);
	vfree(hw->seg.dev_table);
	vfree(hw->seg.rlookup_table);
	vfree(hw->seg.alias_table);
	iommu_free_pages(iommu->cmd_buf);
	iommu_free_pages(iommu->evt_buf);
	iommu_free_pages((void *)iommu->cmd_sem);
	free_pages((unsigned long)hw->mmio, get_order(AMD_MMIO));
	kfree(hw);
}

static void amd_irq(struct iq_fixture *fx)
{
	amd_iommu_int_thread_evtlog(0, &amd_hw_of(fx)->iommu);
}

static int amd_leaks(struct iq_fixture *fx)
{
	return atomic_read(&amd_quarantine_active) +
	       atomic_read(&amd_unit(&amd_hw_of(fx)->iommu)->unhealthy);
}

static const struct iq_vendor amd_vendor = {
	.name = "amd-iommu",
	.start = amd_start,
	.stop = amd_stop,
	.allows = amd_allows,
	.irq = amd_irq,
	.step = amd_step,
	.leaks = amd_leaks,
};

static int amd_init(struct kunit *test)
{
	iq_start(test, &amd_vendor);
	return 0;
}

static struct kunit_case amd_conformance_cases[] = {
#include "../tests/conformance/cases.h"
	{}
};

static struct kunit_suite amd_conformance_suite = {
	.name = "iommu_quarantine_amd_iommu",
	.init = amd_init,
	.exit = iq_stop,
	.test_cases = amd_conformance_cases,
};

/* ---- what only AMD has ---- */

static struct amd_hw *the_hw(struct kunit *test)
{
	return amd_hw_of(test->priv);
}

/* The event is there before, while or after the wait stores, or never */
static void amd_test_event_when(struct kunit *test)
{
	static const struct {
		enum amd_event_when when;
		const char *cause;
	} ways[] = {
		{ EVENT_BEFORE, "ats-invalidation-timeout" },
		{ EVENT_DURING, "ats-invalidation-timeout" },
		{ EVENT_AFTER, "ats-invalidation-timeout" },
		{ EVENT_NEVER, "ats-invalidation-timeout-narrowed" },
		{ EVENT_NAMELESS, "ats-invalidation-timeout-narrowed" },
	};
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		hw->when = ways[i].when;
		/* Asked alone, it has a tenth of a second to answer */
		hw->timeout_ns = (ways[i].when <= EVENT_DURING ? 20 : 150) *
				 NSEC_PER_MSEC;
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_STREQ_MSG(test, iq_show(d, "cause"), ways[i].cause,
				       "way %d", i);
		hw->when = EVENT_BEFORE;
		iq_recover(test, d);
		iq_expect_in_service(test, d);
	}
}

/* The driver's own 100 ms are over before the hardware says a word */
static void amd_test_slow(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	hw->timeout_ns = 400 * NSEC_PER_MSEC;
	iq_break_and_wait(test, d);
	iq_expect_in_service(test, iq_the(test, IQ_SIBLING));
	iq_recover(test, d);
}

/* The command buffer stops at the event: it is started again */
static void amd_test_halt(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	hw->halts = true;
	hw->timeout_ns = 150 * NSEC_PER_MSEC;
	iq_break_and_wait(test, d);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	iq_recover(test, d);
}

/* The event takes the wait along: it is sent again */
static void amd_test_drop_wait(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	hw->drops_wait = true;
	iq_break_and_wait(test, d);
	hw->drops_wait = false;
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	iq_recover(test, d);
}

/* Two were asked, nobody is named: the one that answers alone is innocent */
static void amd_test_nameless_shared(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *s = iq_the(test, IQ_SIBLING);
	struct amd_hw *hw = the_hw(test);
	int answered = atomic_read(&s->answered);

	hw->when = EVENT_NEVER;
	hw->timeout_ns = 150 * NSEC_PER_MSEC;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	iq_expect_state(test, s, "healthy");
	/* And what it was sent with the other one it was sent again */
	KUNIT_EXPECT_GE(test, atomic_read(&s->answered), answered + 2);
	iq_expect_in_service(test, s);
}

/* The irq thread sees the event first: nobody flushes */
static void amd_test_irq_thread(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	WRITE_ONCE(d->mute, true);
	hw_log_timeout(hw, d->sid, 0x40);
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_told(test)->hw[0] & 0xffff, d->sid);
	KUNIT_EXPECT_EQ(test, iq_told(test)->hw[1], 0x40);
	/* It has taken it: nothing is there for a flush to see */
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
}

/* A flush has seen it, then the irq thread takes it: it counts once */
static void amd_test_event_counts_once(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	iq_break_and_wait(test, d);
	iq_recover(test, d);
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	iq_settle(d);
	iq_expect_state(test, d, "healthy");
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_expect_in_service(test, d);
}

/* The log wraps, with events of other kinds between */
static void amd_test_log_wrap(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int i, k, entries = amd_iommu_evtlog_size / EVTLOG_ENTRY_SIZE;

	for (i = 1; i <= 3; i++) {
		for (k = 0; k < entries - 100; k++) {
			hw_log(hw, (u64)EVENT_TYPE_IO_FAULT << 60 | 0xfff8, k);
			if (k % 64 == 63)
				amd_iommu_int_thread_evtlog(0, &hw->iommu);
		}
		amd_iommu_int_thread_evtlog(0, &hw->iommu);
		iq_expect_in_service(test, d);
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
		KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
				   "ats-invalidation-timeout");
		iq_recover(test, d);
	}
}

/* The log is full, and the event is lost: narrowing finds the culprit */
static void amd_test_overflow(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	unsigned int events;
	int k;

	hw->timeout_ns = 150 * NSEC_PER_MSEC;
	for (k = 0; !hw->overflown && k < amd_iommu_evtlog_size; k++)
		hw_log(hw, (u64)EVENT_TYPE_IO_FAULT << 60 | 0xfff8, k);
	events = hw->events;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, hw->events, events);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");

	/* The irq thread empties it and starts it again */
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(hw->overflown));
	iq_recover(test, d);
	iq_expect_in_service(test, d);
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
}

static void amd_test_dte(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct dev_table_entry *dte = hw_dte(hw, d->sid);
	u64 before = dte->data[1];

	KUNIT_EXPECT_NE(test, before & DTE_FLAG_IOTLB, 0);
	iq_break(test, d);
	KUNIT_EXPECT_EQ(test, dte->data[1] & DTE_FLAG_IOTLB, 0);
	/* SA: it does not get to fill the event log */
	KUNIT_EXPECT_NE(test, dte->data[1] & BIT_ULL(34), 0);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, dte->data[1] & DTE_FLAG_IOTLB, 0);
	KUNIT_EXPECT_NE(test, dte->data[1] & BIT_ULL(34), 0);
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, dte->data[1], before);
}

/* Neither an answer nor a timeout, until it answers again */
static void amd_silent(struct kunit *test, enum iommu_last_resort last_resort)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	bool cut_off = last_resort == IOMMU_LAST_RESORT_BUSMASTER;

	pci_set_master(d->pdev);
	iq_last_resort(test, last_resort);
	WRITE_ONCE(hw->silent, true);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	iq_expect_last_resort(test, d, cut_off);
	KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->lost);

	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
	KUNIT_EXPECT_EQ(test, iq_may_translate(d), !cut_off);
	if (cut_off)
		iq_recover(test, d);
	iq_expect_in_service(test, d);
}

static void amd_test_silent_none(struct kunit *test)
{
	amd_silent(test, IOMMU_LAST_RESORT_NONE);
}

static void amd_test_silent_busmaster(struct kunit *test)
{
	amd_silent(test, IOMMU_LAST_RESORT_BUSMASTER);
}

/* So many commands that there is no room any more: the driver gives up */
static void amd_test_silent_full(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct iommu_cmd cmd;
	int i, ret = 0;
	u64 data;

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	WRITE_ONCE(hw->silent, true);
	amd_quarantine_build_inv_dte(&cmd, d->sid);
	for (i = 0; i < CMD_BUFFER_ENTRIES && !ret; i++)
		ret = amd_quarantine_submit(&hw->iommu, &cmd, 1, &data);
	KUNIT_EXPECT_NE(test, ret, 0);
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->dropped);

	/* What was dropped is lost for good: it never counts as being back */
	WRITE_ONCE(hw->silent, false);
	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->lost);
	amd_unit(&hw->iommu)->dropped = false;
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
}

static void amd_test_muted(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	KUNIT_EXPECT_FALSE(test, amd_quarantine_muted(&hw->iommu, d->sid));
	KUNIT_EXPECT_FALSE(test, amd_quarantine_muted(&hw->iommu, 0xfff8));
	iq_break(test, d);
	KUNIT_EXPECT_TRUE(test, amd_quarantine_muted(&hw->iommu, d->sid));
	iq_await_state(test, d, "quarantined");
	iq_recover(test, d);
	KUNIT_EXPECT_FALSE(test, amd_quarantine_muted(&hw->iommu, d->sid));
}

static struct kunit_case amd_cases[] = {
	KUNIT_CASE(amd_test_event_when),
	KUNIT_CASE(amd_test_slow),
	KUNIT_CASE(amd_test_halt),
	KUNIT_CASE(amd_test_drop_wait),
	KUNIT_CASE(amd_test_nameless_shared),
	KUNIT_CASE(amd_test_irq_thread),
	KUNIT_CASE(amd_test_event_counts_once),
	KUNIT_CASE(amd_test_log_wrap),
	KUNIT_CASE(amd_test_overflow),
	KUNIT_CASE(amd_test_dte),
	KUNIT_CASE(amd_test_muted),
	KUNIT_CASE(amd_test_silent_none),
	KUNIT_CASE(amd_test_silent_busmaster),
	KUNIT_CASE(amd_test_silent_full),
	{}
};

static struct kunit_suite amd_suite = {
	.name = "amd_iommu_quarantine",
	.init = amd_init,
	.exit = iq_stop,
	.test_cases = amd_cases,
};

kunit_test_suites(&amd_conformance_suite, &amd_suite);

MODULE_LICENSE("GPL");
