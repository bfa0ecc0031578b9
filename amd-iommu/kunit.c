// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the AMD backend: the conformance suite, and what only AMD has.
 * The IOMMU is a few pages of registers, the driver's own command buffer, event
 * log and device table; the hardware runs in a thread on a CPU of its own, as
 * 48882 has it (2.4, 2.5), in each of the ways that 48882 leaves open.
 */

#include <kunit/test.h>
#include <linux/bitfield.h>
#include <linux/kthread.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/iommu.h>

#include "amd_iommu.h"
#include "../../iommu-priv.h"
#include "backend.h"
#include "kunit-compat.h"
#include "quarantine.h"

#include "../tests/conformance/bodies.h"
#include "../tests/conformance/pages.h"

#define AMD_INDEX	(MAX_IOMMUS - 1)
#define AMD_MMIO	SZ_16K
#define AMD_CMD_RUN	BIT(4)
#define AMD_RUN		(AMD_CMD_RUN | MMIO_STATUS_EVT_RUN_MASK)
#define AMD_PASIDS	255

/*
 * A wait that counts as long: asked alone a device has a tenth of a second, and
 * the driver polls ten thousand times, for which a machine that has much else to
 * do gives it a part of the time only.
 */
#define HW_LONG_NS	(400ULL * NSEC_PER_MSEC)

enum amd_event_when {
	EVENT_BEFORE,	/* the log is written, then the wait stores */
	EVENT_DURING,	/* the log is written, and the wait stores much later */
	EVENT_AFTER,	/* the wait stores, and the log is written later */
	EVENT_NEVER,	/* the log is full */
	EVENT_NAMELESS,	/* names a device that nobody knows */
};

/* After a timeout: the wait behind it is over, or the device is asked once more */
enum amd_silent_at {
	SILENT_NOWHERE,
	SILENT_AT_WAIT,
	SILENT_AT_ASK,
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
	bool falls_silent;	/* ... from the next timeout on */
	bool quiet;		/* ... and has seen that */
	bool stopped;		/* nor says that its log runs */
	enum amd_silent_at silent_at;	/* falls silent there */
	u16 slow;		/* answers, but in its own time */
	u64 type_ns;		/* of an event: so long after the tail, erratum 732 */
	struct iommu_cmd *fill;	/* what others queue while a wait stands */
	/* what it has done */
	u16 late[8];		/* not answered, on its way */
	u32 late_cmd[8];
	unsigned int nr_late;
	u64 deadline;
	u64 answer_at;		/* the slow one's */
	u16 told;		/* event to be logged at ... */
	u64 tell_at;		/* ... this time */
	u64 store_at;		/* no wait stores before */
	u64 *type_of;		/* the type of this entry is written ... */
	u64 type_at;		/* ... at this time */
	u64 type;
	bool drop;
	bool expired;		/* there was a timeout */
	bool overflown;		/* the log was full and stands still */
	unsigned int events;
	unsigned int timeouts;	/* of one or more invalidations at a time */
	unsigned int waits;
	unsigned int devtlbs;
	unsigned int of_pasid[AMD_PASIDS];	/* those with a PASID */
	unsigned int pprs;	/* page requests that were answered */
	u32 ppr_status;		/* ... the last one with this */
	unsigned int blocked_tlbs;	/* the IOMMU's, of a PASID that is not allowed */
	/* to be restored */
	u64 efr;
	u64 efr2;
	u8 vasize;
	int glx;
	typeof(amd_iommu_pgtable) pgtable;
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

/*
 * The status register is written by the hardware, by the driver, to clear it, and by
 * a test that logs an event. Returns false if it is not @was any more.
 */
static bool hw_status(struct amd_hw *hw, u32 was, u32 status)
{
	return cmpxchg((u32 *)(hw->mmio + MMIO_STATUS_OFFSET), was, status) == was;
}

static void hw_status_change(struct amd_hw *hw, u32 clear, u32 set)
{
	u32 was;

	do {
		was = reg_get(hw, MMIO_STATUS_OFFSET);
	} while (!hw_status(hw, was, (was & ~clear) | set));
}

static u64 hw_now(void)
{
	return ktime_get_mono_fast_ns();
}

/* Is there such a time, and is it not over? */
static bool hw_before(u64 time)
{
	return time && hw_now() < time;
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

/* As hardware reads them: from the device table to the guest's CR3 */
static bool amd_pasid_allows(struct iq_dev *d, u32 pasid)
{
	struct dev_table_entry *dte = hw_dte(amd_hw_of(d->fx), d->sid);
	u64 lo = READ_ONCE(dte->data[0]), hi = READ_ONCE(dte->data[1]);
	u64 both = DTE_FLAG_V | DTE_FLAG_GV, *gcr3;

	if ((lo & both) != both)
		return false;
	gcr3 = phys_to_virt(FIELD_GET(DTE_GCR3_14_12, lo) << 12 |
			    FIELD_GET(DTE_GCR3_30_15, hi) << 15 |
			    FIELD_GET(DTE_GCR3_51_31, hi) << 31);
	return READ_ONCE(gcr3[pasid]) & GCR3_VALID;
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
		reg_set(hw, MMIO_STATUS_OFFSET, AMD_CMD_RUN |
			MMIO_STATUS_EVT_INT_MASK | MMIO_STATUS_EVT_OVERFLOW_MASK);
		return;
	}
	WRITE_ONCE(entry[1], address);
	/* The type last, see erratum 732 */
	smp_wmb();
	if (hw->type_ns) {
		hw->type_of = entry;
		hw->type = event;
		hw->type_at = hw_now() + hw->type_ns;
	} else {
		WRITE_ONCE(entry[0], event);
	}
	/* The entry before the tail */
	smp_wmb();
	reg_set(hw, MMIO_EVT_TAIL_OFFSET, next);
	hw_status_change(hw, 0, MMIO_STATUS_EVT_INT_MASK);
	hw->events++;
}

static void hw_log_timeout(struct amd_hw *hw, u16 devid, u64 address)
{
	hw_log(hw, (u64)EVENT_TYPE_IOTLB_INV_TO << 60 | devid, address);
}

/* ---- the command buffer ---- */

static void hw_expire(struct amd_hw *hw)
{
	unsigned int i;

	for (i = 0; i < hw->nr_late; i++) {
		switch (hw->when) {
		case EVENT_DURING:
			hw->store_at = hw_now() + 20 * NSEC_PER_MSEC;
			fallthrough;
		case EVENT_BEFORE:
			hw_log_timeout(hw, hw->late[i], hw->late_cmd[i]);
			break;
		case EVENT_NAMELESS:
			hw_log_timeout(hw, 0xfff8, hw->late_cmd[i]);
			break;
		case EVENT_AFTER:
			hw->told = hw->late[i];
			hw->tell_at = hw_now() + 20 * NSEC_PER_MSEC;
			break;
		case EVENT_NEVER:
			break;
		}
	}
	hw->nr_late = 0;
	hw->timeouts++;
	hw->expired = true;
	if (hw->falls_silent)
		WRITE_ONCE(hw->silent, true);
	hw->drop = hw->drops_wait;
	if (hw->halts) {
		hw_status_change(hw, AMD_CMD_RUN, 0);
		reg_set(hw, MMIO_CONTROL_OFFSET,
			reg_get(hw, MMIO_CONTROL_OFFSET) &
			~BIT(CONTROL_CMDBUF_EN));
	}
}

/* Returns false if the command has to wait */
static bool hw_command(struct amd_hw *hw, u32 *cmd, u32 where)
{
	u16 devid = cmd[0] & 0xffff, pasid;
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
	case CMD_INV_IOMMU_PAGES:
		if (!(cmd[2] & CMD_INV_IOMMU_PAGES_GN_MASK) || !cmd[0])
			return true;
		for (i = 0; i < IQ_DEVS; i++) {
			d = &hw->fx->dev[i];
			if (d->pasids && cmd[0] < AMD_PASIDS)
				hw->blocked_tlbs += !amd_pasid_allows(d, cmd[0]);
		}
		return true;
	case CMD_INV_IOTLB_PAGES:
		hw->devtlbs++;
		if (hw->expired && hw->silent_at == SILENT_AT_ASK)
			WRITE_ONCE(hw->silent, true);
		pasid = (cmd[0] >> 16 & 0xff) << 8 | (cmd[1] >> 16 & 0xff);
		if (cmd[2] & CMD_INV_IOMMU_PAGES_GN_MASK && pasid < AMD_PASIDS)
			hw->of_pasid[pasid]++;
		if (devid == hw->slow)
			hw->answer_at = hw_now() + HW_LONG_NS;
		if (iq_ask(iq_find(hw->fx, devid)) ||
		    hw->nr_late == ARRAY_SIZE(hw->late))
			return true;
		if (!hw->nr_late)
			hw->deadline = hw_now() + hw->timeout_ns;
		hw->late[hw->nr_late] = devid;
		hw->late_cmd[hw->nr_late++] = where;
		return true;
	case CMD_COMPLETE_PPR:
		hw->ppr_status = cmd[3] >> PPR_STATUS_SHIFT & PPR_STATUS_MASK;
		/* Pairs with smp_load_acquire() in amd_request_page() */
		smp_store_release(&hw->pprs, hw->pprs + 1);
		return true;
	case CMD_COMPL_WAIT:
		if (hw->nr_late || hw_before(hw->answer_at) ||
		    hw_before(hw->store_at))
			return false;
		hw->answer_at = 0;
		hw->store_at = 0;
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
		if (hw->expired && hw->silent_at == SILENT_AT_WAIT)
			WRITE_ONCE(hw->silent, true);
		return true;
	default:
		return true;
	}
}

/* As much as there is room for */
static void hw_fill(struct amd_hw *hw, struct iommu_cmd *cmd, u32 head)
{
	u32 room = (head - hw->iommu.cmd_buf_tail) % CMD_BUFFER_SIZE;
	u64 data;

	/* Two entries stay free, and the last one that is taken is a wait */
	if (room > 8 * sizeof(*cmd))
		amd_quarantine_submit(&hw->iommu, cmd, room / sizeof(*cmd) - 4,
				      &data);
	WRITE_ONCE(hw->fill, NULL);
}

static void amd_step(struct iq_fixture *fx)
{
	struct amd_hw *hw = amd_hw_of(fx);
	struct iommu_cmd *fill;
	u32 head, was, status;

	iq_look(fx);
	/* Write 1 to clear, by which the driver writes nothing else */
	was = reg_get(hw, MMIO_STATUS_OFFSET);
	status = was;
	if (was == (MMIO_STATUS_EVT_INT_MASK | MMIO_STATUS_EVT_OVERFLOW_MASK) ||
	    was == MMIO_STATUS_EVT_OVERFLOW_MASK) {
		status = AMD_RUN;
		/* Logging goes on once there is room */
		if (reg_get(hw, MMIO_EVT_HEAD_OFFSET) ==
		    reg_get(hw, MMIO_EVT_TAIL_OFFSET))
			WRITE_ONCE(hw->overflown, false);
	}
	/* A log that is full does not run */
	if (READ_ONCE(hw->stopped) || hw->overflown || READ_ONCE(hw->when) == EVENT_NEVER)
		status &= ~MMIO_STATUS_EVT_RUN_MASK;
	else
		status |= MMIO_STATUS_EVT_RUN_MASK;
	/* If it was written meanwhile that is looked at in the next step */
	if (status != was)
		hw_status(hw, was, status);
	if (hw->type_of && hw_now() >= hw->type_at) {
		WRITE_ONCE(hw->type_of[0], hw->type);
		hw->type_of = NULL;
	}
	/* Read only if needed: the clock may be a register that all CPUs share */
	if (hw->tell_at && hw_now() >= hw->tell_at) {
		hw->tell_at = 0;
		hw_log_timeout(hw, hw->told, 0);
	}
	if (hw->nr_late && hw_now() >= hw->deadline)
		hw_expire(hw);
	if (READ_ONCE(hw->silent))
		WRITE_ONCE(hw->quiet, true);
	if (READ_ONCE(hw->silent) ||
	    !(reg_get(hw, MMIO_CONTROL_OFFSET) & BIT(CONTROL_CMDBUF_EN)))
		return;
	if (!(reg_get(hw, MMIO_STATUS_OFFSET) & AMD_CMD_RUN))
		hw_status_change(hw, 0, AMD_CMD_RUN);

	head = reg_get(hw, MMIO_CMD_HEAD_OFFSET);
	while (head != reg_get(hw, MMIO_CMD_TAIL_OFFSET) && !hw->silent) {
		/* Commands are there before the tail says so */
		smp_rmb();
		if (!hw_command(hw, (u32 *)(hw->iommu.cmd_buf + head), head))
			break;
		head = (head + sizeof(struct iommu_cmd)) % CMD_BUFFER_SIZE;
		reg_set(hw, MMIO_CMD_HEAD_OFFSET, head);
	}
	/* The commands with it, see amd_test_overwritten() */
	fill = smp_load_acquire(&hw->fill);
	if (fill && hw->nr_late)
		hw_fill(hw, fill, head);
	iq_look(fx);
}

/* ---- lifetime ---- */

static int amd_start_mode(struct iq_fixture *fx, enum protection_domain_mode mode)
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
	hw->efr2 = amd_iommu_efr2;
	hw->vasize = amd_iommu_hpt_vasize;
	hw->glx = amd_iommu_max_glx_val;
	hw->pgtable = amd_iommu_pgtable;
	amd_iommu_efr = FEATURE_GT | FEATURE_PPR | FEATURE_GIOSUP |
			FEATURE_EPHSUP;
	amd_iommu_efr2 = FEATURE_GCR3TRPMODE;
	amd_iommu_hpt_vasize = 48;
	/* One level of PASIDs is as many as they are here */
	amd_iommu_max_glx_val = 0;
	amd_iommu_pgtable = AMD_KUNIT_PGTABLE(mode);
	/* What the driver does once it has found an IOMMU */
	ret = amd_kunit_init_dids();
	if (ret)
		return ret;
	amd_kunit_init_identity();

	hw->mmio = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO,
					    get_order(AMD_MMIO));
	iommu->cmd_buf = iq_alloc_pages(CMD_BUFFER_SIZE);
	iommu->evt_buf = iq_alloc_pages(amd_iommu_evtlog_size);
	iommu->cmd_sem = iq_alloc_pages(SZ_4K);
	iommu->ppr_log = iq_alloc_pages(amd_iommu_pprlog_size);
	seg->dev_table = vcalloc(SZ_64K, sizeof(*seg->dev_table));
	seg->rlookup_table = vcalloc(SZ_64K, sizeof(*seg->rlookup_table));
	seg->alias_table = vcalloc(SZ_64K, sizeof(*seg->alias_table));
	if (!hw->mmio || !iommu->cmd_buf || !iommu->evt_buf ||
	    !iommu->cmd_sem || !iommu->ppr_log || !seg->dev_table || !seg->rlookup_table ||
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
	iommu->iommu.max_pasids = AMD_PASIDS;
	iommu->pci_seg = seg;
	iommu->devid = PCI_DEVID(fx->busnr, 0);
	iommu->mmio_base = (u8 __iomem *)hw->mmio;
	amd_kunit_init_sem(iommu);
	raw_spin_lock_init(&iommu->lock);
	/* More than twice of what a machine with too much to do makes of an answer */
	reg_set(hw, MMIO_CONTROL_OFFSET, BIT(CONTROL_CMDBUF_EN) |
		CTRL_INV_TO_10S << CONTROL_INV_TIMEOUT);
	reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN);
	amd_quarantine_log_reset(iommu);
	amd_unit(iommu)->verified = 0;

	ret = amd_iommu_iopf_init(iommu);
	if (ret)
		return ret;

	list_add_tail(&seg->list, &amd_iommu_pci_seg_list);
	ret = iommu_device_sysfs_add(&iommu->iommu, NULL, NULL, "iq-ivhd%d",
				     fx->nr);
	return ret ?: iommu_device_register(&iommu->iommu, &amd_iommu_ops, NULL);
}

static int amd_start(struct iq_fixture *fx)
{
	return amd_start_mode(fx, PD_MODE_V1);
}

static int amd_start_v2(struct iq_fixture *fx)
{
	return amd_start_mode(fx, PD_MODE_V2);
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
	amd_iommu_efr2 = hw->efr2;
	amd_iommu_hpt_vasize = hw->vasize;
	amd_iommu_max_glx_val = hw->glx;
	amd_iommu_pgtable = hw->pgtable;

	llist_for_each_entry_safe(data, next, llist_del_all(&hw->seg.dev_data_list),
				  dev_data_list)
		kfree(data);
	vfree(hw->seg.dev_table);
	vfree(hw->seg.rlookup_table);
	vfree(hw->seg.alias_table);
	iq_free_pages(iommu->cmd_buf, CMD_BUFFER_SIZE);
	iq_free_pages(iommu->evt_buf, amd_iommu_evtlog_size);
	iq_free_pages((void *)iommu->cmd_sem, SZ_4K);
	iq_free_pages(iommu->ppr_log, amd_iommu_pprlog_size);
	amd_iommu_iopf_uninit(iommu);
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

/* It always can */
static void amd_processes(struct iq_fixture *fx)
{
}

static const struct iq_vendor amd_vendor = {
	.name = "amd-iommu",
	.start = amd_start,
	.stop = amd_stop,
	.allows = amd_allows,
	.pasid_allows = amd_pasid_allows,
	.sva = true,
	.processes = amd_processes,
	.irq = amd_irq,
	.step = amd_step,
	.leaks = amd_leaks,
};

/* Tables of version 2: GCR3 and all, for requests without PASID as well */
static const struct iq_vendor amd_vendor_v2 = {
	.name = "amd-iommu",
	.start = amd_start_v2,
	.stop = amd_stop,
	.allows = amd_allows,
	.pasid_allows = amd_pasid_allows,
	.sva = true,
	.processes = amd_processes,
	.irq = amd_irq,
	.step = amd_step,
	.leaks = amd_leaks,
};

static int amd_init(struct kunit *test)
{
	iq_start(test, &amd_vendor);
	return 0;
}

static int amd_init_v2(struct kunit *test)
{
	iq_start(test, &amd_vendor_v2);
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

static struct kunit_case amd_conformance_v2_cases[] = {
#include "../tests/conformance/cases.h"
	{}
};

static struct kunit_suite amd_conformance_v2_suite = {
	.name = "iommu_quarantine_amd_v2",
	.init = amd_init_v2,
	.exit = iq_stop,
	.test_cases = amd_conformance_v2_cases,
};

/* ---- what only AMD has ---- */

/* The host may have stopped its CPU just where it has looked whether it may go on */
static void hw_fall_silent(struct amd_hw *hw)
{
	WRITE_ONCE(hw->quiet, false);
	WRITE_ONCE(hw->silent, true);
	while (!READ_ONCE(hw->quiet))
		usleep_range(50, 100);
}

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
		if (ways[i].when > EVENT_DURING)
			hw->timeout_ns = HW_LONG_NS;
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_STREQ_MSG(test, iq_show(d, "cause"), ways[i].cause,
				       "way %d", i);
		hw->when = EVENT_BEFORE;
		/* An event that is still on its way is not about the next breakage */
		while (READ_ONCE(hw->nr_late) || READ_ONCE(hw->tell_at))
			usleep_range(500, 1000);
		KUNIT_ASSERT_EQ(test, iq_flush(iq_the(test, IQ_BROKEN)), 0);
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

/*
 * C3: two CPUs flush the same device that is dead, by two ways that share no lock.
 * Each is behind what the other one has queued, and what they queue later is left
 * out: the machine has waited for two timeouts at most.
 */
static void amd_test_two_flushers(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(iq_device(d));
	struct amd_hw *hw = the_hw(test);
	int i, asked = atomic_read(&d->asked);
	struct task_struct *task;

	hw->timeout_ns = HW_LONG_NS;
	/* Nor is it asked once more when its ATS goes off */
	iq_hold_work(true);
	WRITE_ONCE(d->mute, true);
	migrate_disable();
	task = iq_flush_beside(d);
	/* It has queued its own, and waits with domain->lock held */
	for (i = 0; i < 5000 && atomic_read(&d->asked) == asked; i++)
		usleep_range(50, 100);
	KUNIT_EXPECT_GT(test, atomic_read(&d->asked), asked);
	/* As for a process's PASID: without that lock */
	amd_iommu_dev_flush_pasid_pages(dev_data, IOMMU_NO_PASID, 0, U64_MAX);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	migrate_enable();
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&d->flushed, 30 * HZ), 0);
	/* However many more there are to be flushed */
	for (i = 0; i < 20; i++)
		amd_iommu_dev_flush_pasid_pages(dev_data, IOMMU_NO_PASID, 0,
						U64_MAX);
	for (i = 0; i < 20; i++)
		KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	/* One, if the host has stopped this CPU until it was fenced */
	KUNIT_EXPECT_LE(test, atomic_read(&d->asked), asked + 2);
	KUNIT_EXPECT_GE(test, hw->timeouts, 1);
	KUNIT_EXPECT_LE(test, hw->timeouts, 2);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_LE(test, atomic_read(&d->asked), asked + 2);
	hw->timeout_ns = 20 * NSEC_PER_MSEC;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
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
	hw->timeout_ns = HW_LONG_NS;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	iq_expect_state(test, s, "healthy");
	/* And what it was sent with the other one it was sent again */
	KUNIT_EXPECT_GE(test, atomic_read(&s->answered), answered + 2);
	iq_expect_in_service(test, s);
}

/* Hardware that waits for less than what the driver takes for an answer */
static void amd_test_nameless_short(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	hw->when = EVENT_NAMELESS;
	hw->timeout_ns = 50 * NSEC_PER_MSEC;
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	hw->when = EVENT_BEFORE;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* While this CPU asks, others are held back: what is asked is asked alone */
static void amd_test_asked_alone(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct amd_unit *unit = amd_unit(&the_hw(test)->iommu);
	struct task_struct *task;
	int asked;

	/* While all are healthy nobody looks */
	iq_break_and_wait(test, d);
	/* Its work has to be over: it would wait on this CPU for us, who sleep */
	iq_settle(d);
	migrate_disable();
	atomic_set(&unit->narrowing, 1);
	asked = atomic_read(&o->asked);
	task = iq_flush_beside(o);
	/*
	 * Long enough to do what it should not. Not by jiffies: it waits for us with
	 * irqs off, perhaps on the CPU that counts them.
	 */
	usleep_range(50 * USEC_PER_MSEC, 60 * USEC_PER_MSEC);
	KUNIT_EXPECT_FALSE(test, completion_done(&o->flushed));
	KUNIT_EXPECT_EQ(test, atomic_read(&o->asked), asked);
	atomic_set_release(&unit->narrowing, 0);
	migrate_enable();
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&o->flushed, 30 * HZ), 0);
	/* On a busy host the answer comes late, and what was sent is sent again */
	KUNIT_EXPECT_GT(test, atomic_read(&o->asked), asked);
	iq_expect_state(test, o, "healthy");
	iq_recover(test, d);
}

/* It answers when it is asked, but not what may have been lost and is sent again */
static void amd_test_sent_again(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int asked = atomic_read(&d->asked);

	hw->when = EVENT_NEVER;
	hw->timeout_ns = HW_LONG_NS;
	d->mute_times = 1;
	d->mute_at = 3;
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	KUNIT_EXPECT_GE(test, atomic_read(&d->asked), asked + 3);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	hw->when = EVENT_BEFORE;
	iq_recover(test, d);
	iq_expect_in_service(test, d);
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

static void amd_snp_off(void *unused)
{
	amd_iommu_snp_en = false;
}

/* The same with SNP: the entries that were taken stay as they are */
static void amd_test_snp(struct kunit *test)
{
	KUNIT_ASSERT_FALSE(test, amd_iommu_snp_en);
	amd_iommu_snp_en = true;
	/* Not before the log is gone, which is full of them */
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, amd_snp_off, NULL), 0);
	amd_test_log_wrap(test);
}

/* Erratum 732: the tail has moved, and the wait stored, before the type is there */
static void amd_test_type_late(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int i;

	hw->timeout_ns = HW_LONG_NS;
	hw->type_ns = 2 * NSEC_PER_MSEC;
	for (i = 1; i <= 3; i++) {
		iq_break_and_wait(test, d);
		KUNIT_EXPECT_EQ(test, iq_count(d), i);
		iq_recover(test, d);
		iq_expect_in_service(test, d);
	}
}

/* The log is full, and the event is lost: narrowing finds the culprit */
static void amd_test_overflow(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	unsigned int events;
	int asked, k;

	hw->timeout_ns = HW_LONG_NS;
	for (k = 0; !hw->overflown && k < amd_iommu_evtlog_size; k++)
		hw_log(hw, (u64)EVENT_TYPE_IO_FAULT << 60 | 0xfff8, k);
	events = hw->events;
	asked = atomic_read(&d->asked);
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_EQ(test, hw->events, events);
	/* The flush, and the asks: nobody knows whether that was a timeout */
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked + 1 + AMD_ASKS);
	KUNIT_EXPECT_EQ(test, hw->timeouts, 1 + AMD_ASKS);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");

	/* The irq thread empties it and starts it again */
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	for (k = 0; k < 1000 && READ_ONCE(hw->overflown); k++)
		usleep_range(500, 1000);
	KUNIT_EXPECT_LT(test, k, 1000);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
	iq_break_and_wait(test, d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout");
}

/* Whoever restarts a log, or the command buffer, on another CPU */
struct amd_restarter {
	struct amd_hw *hw;
	bool log;
	struct completion done;
};

static int amd_restart_beside(void *data)
{
	struct amd_restarter *r = data;
	struct amd_iommu *iommu = &r->hw->iommu;

	if (r->log)
		amd_iommu_restart_event_logging(iommu);
	else
		scoped_guard(raw_spinlock_irqsave, &iommu->lock)
			__amd_quarantine_full(iommu, 1024);
	complete(&r->done);
	return 0;
}

/* Neither undoes what the other has just read, and is about to write */
static void amd_test_control(struct kunit *test)
{
	struct amd_hw *hw = the_hw(test);
	u32 was = reg_get(hw, MMIO_CONTROL_OFFSET), all;
	struct amd_restarter r = { .hw = hw };
	struct task_struct *task;
	unsigned long flags;
	int i, changed;

	all = was | BIT(CONTROL_EVT_LOG_EN) | BIT(CONTROL_EVT_INT_EN);
	for (i = 0; i < 2; i++) {
		r.log = i;
		init_completion(&r.done);
		/* Nothing runs; and a whole step later it has said so for the last time */
		WRITE_ONCE(hw->stopped, true);
		hw_fall_silent(hw);
		hw_fall_silent(hw);
		reg_set(hw, MMIO_STATUS_OFFSET, 0);
		reg_set(hw, MMIO_CONTROL_OFFSET, was & ~BIT(CONTROL_CMDBUF_EN));
		migrate_disable();
		task = kthread_create(amd_restart_beside, &r, "iq-restart");
		if (!IS_ERR(task))
			kthread_bind(task,
				     cpumask_any_but(housekeeping_cpumask(HK_TYPE_DOMAIN),
						     smp_processor_id()));
		flags = amd_quarantine_control_lock(&hw->iommu);
		if (!IS_ERR(task))
			wake_up_process(task);
		/* Here it has been read: long enough for the other one to come in between */
		for (changed = 0; changed < 50000; changed++) {
			if (reg_get(hw, MMIO_CONTROL_OFFSET) !=
			    (was & ~BIT(CONTROL_CMDBUF_EN)))
				break;
			udelay(1);
		}
		reg_set(hw, MMIO_CONTROL_OFFSET, was & ~BIT(CONTROL_CMDBUF_EN));
		amd_quarantine_control_unlock(&hw->iommu, flags);
		migrate_enable();
		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		KUNIT_EXPECT_EQ_MSG(test, changed, 50000, "by %s",
				    r.log ? "the log" : "the buffer");
		KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&r.done, 30 * HZ), 0);
		KUNIT_EXPECT_EQ(test, reg_get(hw, MMIO_CONTROL_OFFSET),
				r.log ? all & ~BIT(CONTROL_CMDBUF_EN) : was);
	}
	reg_set(hw, MMIO_CONTROL_OFFSET, was);
	reg_set(hw, MMIO_STATUS_OFFSET, AMD_RUN);
	WRITE_ONCE(hw->stopped, false);
	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_OTHER));
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

/* What is put in the place of a fenced device starts with an entry of its own */
static void amd_test_dte_of_another(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct dev_table_entry *dte = hw_dte(the_hw(test), d->sid);

	iq_break(test, d);
	iq_await_state(test, d, "quarantined");
	iq_unplug(d);
	d->no_ats = true;
	iq_power_on(d);
	d->fenced = false;
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	KUNIT_EXPECT_EQ(test, dte->data[1] & (DTE_FLAG_IOTLB | BIT_ULL(34)), 0);
}

/* Neither an answer nor a timeout, until it answers again */
static void amd_silent(struct kunit *test, enum iommu_last_resort last_resort)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	bool cut_off = last_resort == IOMMU_LAST_RESORT_BUSMASTER;

	pci_set_master(d->pdev);
	iq_last_resort(test, last_resort);
	hw_fall_silent(hw);
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

/* It says who did not answer, and nothing any more */
static void amd_test_silent_in_fence(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	hw->falls_silent = true;
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, amd_allows(d));
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	iq_await_state(test, d, "quarantined");
	hw->falls_silent = false;
	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* The irq thread sees who did not answer, and nobody hears of the fence */
static void amd_test_silent_in_irq(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	u16 command;

	pci_set_master(d->pdev);
	iq_last_resort(test, IOMMU_LAST_RESORT_BUSMASTER);
	WRITE_ONCE(d->mute, true);
	hw_fall_silent(hw);
	hw_log_timeout(hw, d->sid, 0x40);
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	KUNIT_EXPECT_FALSE(test, amd_allows(d));
	KUNIT_EXPECT_GT(test, iq_lost(test), 0);
	pci_read_config_word(d->pdev, PCI_COMMAND, &command);
	KUNIT_EXPECT_FALSE(test, command & PCI_COMMAND_MASTER);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* It falls silent while it is found out whose timeout that was */
static void amd_test_silent_in_narrowing(struct kunit *test)
{
	static const enum amd_silent_at at[] = { SILENT_AT_WAIT, SILENT_AT_ASK };
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
		hw->when = EVENT_NEVER;
		hw->timeout_ns = HW_LONG_NS;
		hw->expired = false;
		WRITE_ONCE(hw->silent_at, at[i]);
		d->mute_times = 1;
		KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
		/* Neither accused nor taken for one that has answered */
		KUNIT_EXPECT_GT(test, iq_lost(test), 0);
		KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->lost);
		iq_expect_state(test, d, "healthy");

		WRITE_ONCE(hw->silent_at, SILENT_NOWHERE);
		hw->when = EVENT_BEFORE;
		WRITE_ONCE(hw->silent, false);
		iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
		KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
		iq_expect_in_service(test, d);
		KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	}
}

/* No device behind it has ATS: it is the driver's own affair, and nobody panics */
static void amd_test_silent_no_ats(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct amd_unit *unit = amd_unit(&hw->iommu);
	struct iommu_cmd *window = unit->window;

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	WRITE_ONCE(unit->window, NULL);
	WRITE_ONCE(hw->silent, true);
	KUNIT_EXPECT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, unit->lost);
	KUNIT_EXPECT_EQ(test, iq_lost(test), 0);
	WRITE_ONCE(hw->silent, false);
	WRITE_ONCE(unit->window, window);
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

/* What was missed meanwhile is caught up with by whoever finds that it is back */
static void amd_test_silent_missed(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int asked = atomic_read(&d->asked), i;

	iq_last_resort(test, IOMMU_LAST_RESORT_NONE);
	hw_fall_silent(hw);
	for (i = 0; i < 2; i++)
		KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->lost);
	KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->missed);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->missed);
	/* By the one that is in the buffer still, and for the other one */
	KUNIT_EXPECT_GE(test, atomic_read(&d->asked), asked + 2);
	iq_expect_in_service(test, d);
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
	hw_fall_silent(hw);
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

/* What the driver's irq thread prints of requests that the IOMMU refused */
static int amd_refuse(struct kunit *test, u16 devid, int times)
{
	struct iq_lines lines = { .what = "INVALID_DEVICE_REQUEST" };
	struct amd_hw *hw = the_hw(test);
	int i;

	iq_listen_to_log(test, &lines);
	for (i = 0; i < times; i++)
		hw_log(hw, (u64)EVENT_TYPE_INV_DEV_REQ << 60 | devid, 0x1000);
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	return iq_lines(&lines);
}

static void amd_test_silent_reset(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	iq_silent_reset(test, d, &hw->silent);
	KUNIT_EXPECT_TRUE(test, amd_unit(&hw->iommu)->lost);
	WRITE_ONCE(hw->silent, false);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	KUNIT_EXPECT_FALSE(test, amd_unit(&hw->iommu)->lost);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* What the BIOS says: the third function uses this DeviceID as well */
static void amd_alias(struct kunit *test, u16 alias)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	iq_unplug(d);
	hw->seg.alias_table[d->sid] = alias;
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
}

/* A device that uses two ids is fenced by both, and comes back with both */
static void amd_test_alias(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct dev_table_entry *dte;
	u64 before;

	dte = hw_dte(hw, PCI_DEVID(d->fx->busnr, PCI_DEVFN(3, 0)));
	amd_alias(test, PCI_DEVID(d->fx->busnr, PCI_DEVFN(3, 0)));
	iq_expect_in_service(test, d);
	before = READ_ONCE(dte->data[1]);
	KUNIT_EXPECT_NE(test, before & DTE_FLAG_IOTLB, 0);
	/* By the fence, not by the work that blocks it soon after */
	iq_hold_work(true);
	iq_break(test, d);
	KUNIT_EXPECT_EQ(test, READ_ONCE(dte->data[1]) & DTE_FLAG_IOTLB, 0);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	KUNIT_EXPECT_EQ(test, READ_ONCE(dte->data[1]) & DTE_FLAG_IOTLB, 0);
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, READ_ONCE(dte->data[1]), before);
	iq_expect_in_service(test, d);
}

/* An id that two devices use: the second one gets no ATS */
static void amd_test_same_id(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iq_dev *o = iq_the(test, IQ_BROKEN);
	struct amd_hw *hw = the_hw(test);
	struct amd_dev *adev;

	scoped_guard(rcu)
		adev = amd_find(&hw->iommu, o->sid);
	amd_alias(test, o->sid);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(d));
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	scoped_guard(rcu) {
		KUNIT_EXPECT_NULL(test, amd_find(&hw->iommu, d->sid));
		KUNIT_EXPECT_PTR_EQ(test, amd_find(&hw->iommu, o->sid), adev);
	}

	/* The other way round: what is found by an id need not be whose it is */
	iq_unplug(o);
	amd_alias(test, o->sid);
	iq_expect_in_service(test, d);
	scoped_guard(rcu)
		adev = amd_find(&hw->iommu, d->sid);
	KUNIT_ASSERT_EQ(test, iq_plug(o), 0);
	KUNIT_EXPECT_FALSE(test, iq_ats_on(o));
	scoped_guard(rcu)
		KUNIT_EXPECT_PTR_EQ(test, amd_find(&hw->iommu, o->sid), adev);
	iq_break_and_wait(test, d);
	iq_expect_not_lifted(test, o, d);
	iq_unplug(o);
	scoped_guard(rcu)
		KUNIT_EXPECT_PTR_EQ(test, amd_find(&hw->iommu, o->sid), adev);
	iq_expect_shut_out(test, d);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/* A fenced device that goes on writing does not fill the log */
static void amd_test_muted(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);

	KUNIT_EXPECT_EQ(test, amd_refuse(test, d->sid, 1), 1);
	iq_break(test, d);
	KUNIT_EXPECT_EQ(test, amd_refuse(test, d->sid, 5), 0);
	KUNIT_EXPECT_EQ(test, amd_refuse(test, iq_the(test, IQ_BROKEN)->sid, 1), 1);
	/* Nobody's */
	KUNIT_EXPECT_EQ(test, amd_refuse(test, 0xfff8, 1), 1);
	iq_await_state(test, d, "quarantined");
	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, amd_refuse(test, d->sid, 1), 1);
}

/*
 * What iq_body_process() does not see: which PASID is asked for, and that the IOMMU
 * itself does not remember what the process had there either.
 */
static void amd_test_sva(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct iommu_sva *bond;
	unsigned long addr;
	unsigned int asked;
	u32 pasid;

	if (IQ_NO_SVA)
		kunit_skip(test, "this kernel has no SVA on x86");
	KUNIT_ASSERT_EQ(test, iq_plug_pasids(d), 0);
	bond = iq_bind(test, d);
	pasid = iommu_sva_get_pasid(bond);
	addr = iq_touch(test);
	asked = hw->of_pasid[pasid];
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, hw->of_pasid[pasid], asked + 1);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_GT(test, READ_ONCE(hw->blocked_tlbs), 0);

	iq_recover(test, d);
	asked = hw->of_pasid[pasid];
	addr = iq_touch(test);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
	KUNIT_EXPECT_GT(test, hw->of_pasid[pasid], asked);
	iommu_sva_unbind_device(bond);
}

/* A page request is logged, and taken out of the log. Returns what the answer is. */
static int amd_request_page(struct iq_dev *d, u32 pasid, unsigned long addr)
{
	struct amd_hw *hw = amd_hw_of(d->fx);
	u32 tail = reg_get(hw, MMIO_PPR_TAIL_OFFSET);
	u64 *entry = (u64 *)(hw->iommu.ppr_log + tail);
	u64 flags = PPR_FLAG_GN | PPR_FLAG_US | PPR_FLAG_READ;
	unsigned long end = jiffies + 10 * HZ;
	unsigned int pprs = hw->pprs;

	entry[1] = addr;
	/* One that is the last of its group */
	entry[0] = (u64)PPR_REQ_FAULT << 60 | flags << 48 | 0x200ULL << 32 |
		   pasid << 16 | d->sid;
	reg_set(hw, MMIO_PPR_TAIL_OFFSET,
		(tail + PPRLOG_ENTRY_SIZE) % amd_iommu_pprlog_size);
	amd_iommu_poll_ppr_log(&hw->iommu);
	/* By a worker, who may not have got there yet */
	while (smp_load_acquire(&hw->pprs) == pprs && time_before(jiffies, end))
		usleep_range(500, 1000);
	return hw->pprs == pprs + 1 ? hw->ppr_status : -ETIMEDOUT;
}

/* The device may ask for pages, and gets them */
static void amd_expect_pri(struct kunit *test, struct iq_dev *d, u32 pasid)
{
	struct dev_table_entry *dte = hw_dte(the_hw(test), d->sid);
	unsigned long addr = iq_touch(test);

	KUNIT_EXPECT_TRUE(test, iq_pri_on(d));
	KUNIT_EXPECT_NE(test, READ_ONCE(dte->data[0]) & DTE_FLAG_PPR, 0);
	KUNIT_EXPECT_EQ(test, amd_request_page(d, pasid, addr),
			IOMMU_PAGE_RESP_SUCCESS);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
}

/* Neither PCI nor the IOMMU lets it ask, and it is refused if it does */
static void amd_expect_no_pri(struct kunit *test, struct iq_dev *d, u32 pasid)
{
	struct dev_table_entry *dte = hw_dte(the_hw(test), d->sid);

	KUNIT_EXPECT_FALSE(test, iq_pri_on(d));
	KUNIT_EXPECT_EQ(test, READ_ONCE(dte->data[0]) & DTE_FLAG_PPR, 0);
	KUNIT_EXPECT_EQ(test, amd_request_page(d, pasid, iq_touch(test)),
			IOMMU_PAGE_RESP_FAILURE);
}

/* Page requests of a device: in service, fenced, quarantined, and back again */
static void amd_test_pri(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct iommu_sva *bond;
	unsigned long addr;
	u32 pasid;

	if (IQ_NO_SVA)
		kunit_skip(test, "this kernel has no SVA on x86");
	d->pri = true;
	KUNIT_ASSERT_EQ(test, iq_plug_pasids(d), 0);
	bond = iq_bind(test, d);
	pasid = iommu_sva_get_pasid(bond);
	amd_expect_pri(test, d, pasid);

	addr = iq_touch(test);
	iq_hold_work(true);
	WRITE_ONCE(d->mute, true);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, amd_request_page(d, pasid, iq_touch(test)),
			IOMMU_PAGE_RESP_FAILURE);
	iq_hold_work(false);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	amd_expect_no_pri(test, d, pasid);
	iq_recover(test, d);
	amd_expect_pri(test, d, pasid);

	/* One that was never fenced is blocked as well */
	KUNIT_EXPECT_EQ(test, iq_store(d, "quarantine", "1"), 1);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	amd_expect_no_pri(test, d, pasid);
	iq_recover(test, d);
	amd_expect_pri(test, d, pasid);
	iommu_sva_unbind_device(bond);
}

/* As soon as somebody does not answer, so much is queued that it is overwritten */
static void amd_will_fill(struct kunit *test)
{
	struct iommu_cmd *fill;
	int i;

	fill = kunit_kcalloc(test, CMD_BUFFER_ENTRIES, sizeof(*fill), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fill);
	for (i = 0; i < CMD_BUFFER_ENTRIES; i++)
		amd_quarantine_build_inv_dte(&fill[i], 0xfff8);
	/* The commands before it, see amd_step() */
	smp_store_release(&the_hw(test)->fill, fill);
}

/*
 * What a CPU had queued is overwritten before it can verify it: all are asked,
 * and with every PASID that they have.
 */
static void amd_test_overwritten(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct iommu_sva *bond;
	unsigned int asked;
	u32 pasid;

	if (IQ_NO_SVA)
		kunit_skip(test, "this kernel has no SVA on x86");
	KUNIT_ASSERT_EQ(test, iq_plug_pasids(o), 0);
	bond = iq_bind(test, o);
	pasid = iommu_sva_get_pasid(bond);
	hw->when = EVENT_NEVER;
	hw->timeout_ns = HW_LONG_NS;
	asked = READ_ONCE(hw->of_pasid[pasid]);
	amd_will_fill(test);
	iq_break(test, d);
	KUNIT_EXPECT_NULL(test, READ_ONCE(hw->fill));
	KUNIT_EXPECT_GT_MSG(test, READ_ONCE(hw->of_pasid[pasid]), asked,
			    "a PASID was not asked for");
	iq_expect_state(test, o, "healthy");
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	hw->when = EVENT_BEFORE;
	iommu_sva_unbind_device(bond);
	iq_recover(test, d);
}

/* C5: it answers, again and again, but takes longer than others */
static void amd_test_slow_answer(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	WRITE_ONCE(hw->slow, d->sid);
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);

	/* With a log that is full nobody knows whether it was in time */
	WRITE_ONCE(hw->when, EVENT_NEVER);
	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_STREQ(test, iq_show(d, "cause"),
			   "ats-invalidation-timeout-narrowed");
	WRITE_ONCE(hw->when, EVENT_BEFORE);
	WRITE_ONCE(hw->slow, 0);
	iq_recover(test, d);
	iq_expect_in_service(test, d);
}

/*
 * C4, C5: one that answered went to sleep, and would not answer any more. Then somebody
 * else takes long to answer: what was asked before that is not asked again.
 */
static void amd_test_asleep(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	int asked;

	KUNIT_ASSERT_EQ(test, iq_flush(d), 0);
	asked = atomic_read(&d->asked);
	d->pdev->current_state = PCI_D3cold;
	WRITE_ONCE(d->mute, true);
	WRITE_ONCE(hw->slow, o->sid);
	KUNIT_EXPECT_EQ(test, iq_flush(o), 0);
	WRITE_ONCE(hw->slow, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->asked), asked);
	KUNIT_EXPECT_EQ(test, hw->timeouts, 0);
	WRITE_ONCE(d->mute, false);
	d->pdev->current_state = PCI_D0;
	iq_expect_in_service(test, d);
	iq_expect_in_service(test, o);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
	KUNIT_EXPECT_EQ(test, iq_count(o), 0);
}

/* The same, and nobody knows any more who was asked: all but who sleeps are */
static void amd_test_asleep_overwritten(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_BROKEN);
	struct iq_dev *o = iq_the(test, IQ_OTHER);
	int asked = atomic_read(&o->asked);
	struct amd_hw *hw = the_hw(test);

	o->pdev->current_state = PCI_D3cold;
	WRITE_ONCE(o->mute, true);
	hw->when = EVENT_NEVER;
	hw->timeout_ns = HW_LONG_NS;
	amd_will_fill(test);
	iq_break(test, d);
	KUNIT_EXPECT_NULL(test, READ_ONCE(hw->fill));
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->asked), asked);
	hw->when = EVENT_BEFORE;
	WRITE_ONCE(o->mute, false);
	o->pdev->current_state = PCI_D0;
	iq_recover(test, d);
	iq_expect_in_service(test, o);
	KUNIT_EXPECT_EQ(test, iq_count(o), 0);
}

/* An event about a device that is not there any more is nobody's */
static void amd_test_gone(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);

	iq_unplug(d);
	/* The irq thread is the first to see it; then a flush is */
	hw_log_timeout(hw, d->sid, 0x40);
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	hw_log_timeout(hw, d->sid, 0x80);
	iq_expect_in_service(test, iq_the(test, IQ_BROKEN));
	amd_iommu_int_thread_evtlog(0, &hw->iommu);
	iq_expect_in_service(test, iq_the(test, IQ_SIBLING));
	KUNIT_EXPECT_EQ(test, atomic_read(&iq_told(test)->broken), 0);
	/* Nor is it of the one that takes its place */
	KUNIT_ASSERT_EQ(test, iq_plug(d), 0);
	iq_expect_in_service(test, d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 0);
}

#ifdef IQ_HAVE_AMD_NESTED

/* Without iommufd the driver is built without it */
#if !IS_ENABLED(CONFIG_AMD_IOMMU_IOMMUFD)
#undef dev_fmt
#include "../../amd/nested.c"
#endif

static struct iommu_domain *amd_nest(struct kunit *test,
				     struct amd_iommu_viommu *viommu)
{
	struct iommu_hwpt_amd_guest guest = {
		.dte = {
			DTE_FLAG_V | DTE_FLAG_TV | DTE_FLAG_GV,
			FIELD_PREP(DTE_GCR3_30_15, 2) | 1,
		},
	};
	struct iommu_user_data data = {
		.type = IOMMU_HWPT_DATA_AMD_GUEST,
		.uptr = (void __user *)iq_touch(test),
		.len = sizeof(guest),
	};
	struct iommu_domain *domain;

	KUNIT_ASSERT_EQ(test, copy_to_user(data.uptr, &guest, sizeof(guest)), 0);
	domain = amd_iommu_alloc_domain_nested(&viommu->core, 0, &data);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, domain);
	/* As iommufd does */
	domain->owner = &amd_iommu_ops;
	return domain;
}

/* ATS is on, and what the host takes away from the virtual machine is asked for */
static void amd_expect_nested(struct kunit *test, struct iq_dev *d,
			      struct iommu_domain *parent)
{
	int answered = atomic_read(&d->answered);

	KUNIT_EXPECT_TRUE(test, iq_ats_on(d));
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));
	KUNIT_ASSERT_EQ(test, iommu_map(parent, SZ_1M, virt_to_phys(d->fx->page), PAGE_SIZE,
					IOMMU_READ | IOMMU_WRITE, GFP_KERNEL), 0);
	iommu_unmap(parent, SZ_1M, PAGE_SIZE);
	KUNIT_EXPECT_GT(test, atomic_read(&d->answered), answered);
}

/*
 * A virtual machine has the guest's tables on top of the host's. Nobody can ask
 * 7.3 for that, as its vIOMMU has no .alloc_domain_nested: the driver's functions
 * are called here as iommufd would.
 */
static void amd_test_nested(struct kunit *test)
{
	struct iq_dev *d = iq_the(test, IQ_OTHER);
	struct amd_hw *hw = the_hw(test);
	struct dev_table_entry *dte = hw_dte(hw, d->sid);
	struct iommu_attach_handle handles[3] = {};
	struct iommu_domain *parent, *nested;
	struct amd_iommu_viommu *viommu;
	u64 table;

	viommu = kunit_kzalloc(test, sizeof(*viommu), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, viommu);
	viommu->core.iommu_dev = &hw->iommu.iommu;
	parent = iommu_paging_domain_alloc_flags(iq_device(d),
						 IOMMU_HWPT_ALLOC_NEST_PARENT);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, parent);
	xa_init_flags(&viommu->gdomid_array, XA_FLAGS_ALLOC1);
	viommu->parent = to_pdomain(parent);
	list_add(&viommu->pdom_list, &viommu->parent->viommu_list);
	nested = amd_nest(test, viommu);
	KUNIT_ASSERT_EQ(test, iommu_attach_group_handle(parent, iq_device(d)->iommu_group,
							&handles[0]), 0);
	KUNIT_ASSERT_EQ(test, iommu_replace_group_handle(iq_device(d)->iommu_group, nested,
							 &handles[1]), 0);
	table = READ_ONCE(dte->data[0]);
	KUNIT_EXPECT_NE(test, table & DTE_FLAG_GV, 0);
	KUNIT_EXPECT_NE(test, table & DTE_HOST_TRP, 0);
	KUNIT_EXPECT_TRUE(test, iq_may_translate(d));

	/* The host takes a page away from the virtual machine */
	KUNIT_ASSERT_EQ(test, iommu_map(parent, SZ_1M, virt_to_phys(d->fx->page), PAGE_SIZE,
					IOMMU_READ | IOMMU_WRITE, GFP_KERNEL), 0);
	WRITE_ONCE(d->mute, true);
	iommu_unmap(parent, SZ_1M, PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, iq_may_translate(d));
	WRITE_ONCE(d->fenced, true);
	iq_await_state(test, d, "quarantined");
	iq_settle(d);
	KUNIT_EXPECT_EQ(test, iq_count(d), 1);
	/* Blocked: neither the guest's tables nor the host's */
	KUNIT_EXPECT_EQ(test, READ_ONCE(dte->data[0]) &
			(DTE_FLAG_GV | DTE_FLAG_TV | DTE_HOST_TRP), 0);

	iq_recover(test, d);
	KUNIT_EXPECT_EQ(test, READ_ONCE(dte->data[0]), table);
	/* And on top of the parent again, so that its unmaps reach the device */
	amd_expect_nested(test, d, parent);
	KUNIT_ASSERT_EQ(test, iommu_replace_group_handle(iq_device(d)->iommu_group, parent,
							 &handles[2]), 0);
	iq_expect_in_service(test, d);
	KUNIT_ASSERT_EQ(test, iommu_replace_group_handle(iq_device(d)->iommu_group, nested,
							 &handles[1]), 0);
	amd_expect_nested(test, d, parent);

	iommu_detach_group_handle(nested, iq_device(d)->iommu_group);
	iommu_domain_free(nested);
	list_del(&viommu->pdom_list);
	xa_destroy(&viommu->gdomid_array);
	iommu_domain_free(parent);
	iq_expect_in_service(test, d);
}

#endif

static struct kunit_case amd_cases[] = {
	KUNIT_CASE(amd_test_event_when),
	KUNIT_CASE(amd_test_slow),
	KUNIT_CASE(amd_test_two_flushers),
	KUNIT_CASE(amd_test_halt),
	KUNIT_CASE(amd_test_drop_wait),
	KUNIT_CASE(amd_test_nameless_shared),
	KUNIT_CASE(amd_test_nameless_short),
	KUNIT_CASE(amd_test_asked_alone),
	KUNIT_CASE(amd_test_sent_again),
	KUNIT_CASE(amd_test_irq_thread),
	KUNIT_CASE(amd_test_event_counts_once),
	KUNIT_CASE(amd_test_log_wrap),
	KUNIT_CASE(amd_test_snp),
	KUNIT_CASE(amd_test_type_late),
	KUNIT_CASE(amd_test_overflow),
	KUNIT_CASE(amd_test_control),
	KUNIT_CASE(amd_test_dte),
	KUNIT_CASE(amd_test_dte_of_another),
	KUNIT_CASE(amd_test_alias),
	KUNIT_CASE(amd_test_same_id),
	KUNIT_CASE(amd_test_muted),
	KUNIT_CASE(iq_held_fence),
	KUNIT_CASE(iq_leaves_frozen),
	KUNIT_CASE(amd_test_silent_in_fence),
	KUNIT_CASE(amd_test_silent_in_irq),
	KUNIT_CASE(amd_test_silent_in_narrowing),
	KUNIT_CASE(amd_test_silent_no_ats),
	KUNIT_CASE(amd_test_silent_none),
	KUNIT_CASE(amd_test_silent_busmaster),
	KUNIT_CASE(amd_test_silent_missed),
	KUNIT_CASE(amd_test_silent_full),
	KUNIT_CASE(amd_test_silent_reset),
	KUNIT_CASE(amd_test_overwritten),
	KUNIT_CASE(amd_test_slow_answer),
	KUNIT_CASE(amd_test_asleep),
	KUNIT_CASE(amd_test_asleep_overwritten),
	KUNIT_CASE(amd_test_gone),
	KUNIT_CASE(amd_test_sva),
	KUNIT_CASE(amd_test_pri),
#ifdef IQ_HAVE_AMD_NESTED
	KUNIT_CASE(amd_test_nested),
#endif
	{}
};

static struct kunit_suite amd_suite = {
	.name = "amd_iommu_quarantine",
	.init = amd_init,
	.exit = iq_stop,
	.test_cases = amd_cases,
};

kunit_test_suites(&amd_conformance_suite, &amd_conformance_v2_suite, &amd_suite);

MODULE_LICENSE("GPL");
