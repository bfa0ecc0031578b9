/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the core share; backends use <linux/iommu-quarantine.h>. */
#ifndef __IOMMU_QUARANTINE_CORE_H
#define __IOMMU_QUARANTINE_CORE_H

#include <linux/atomic.h>
#include <linux/iommu-quarantine.h>
#include <linux/irq_work.h>
#include <linux/mutex.h>
#include <linux/ratelimit_types.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "compat/compat.h"

struct device_attribute;
struct fwnode_handle;
struct pci_dev;
struct task_struct;

enum quarantine_state {
	Q_HEALTHY,	/* in service */
	Q_REPORTED,	/* reported, the work has not blocked it yet */
	Q_QUARANTINED,	/* RID and PASIDs sit in the blocking domain */
	Q_FAILED,	/* the blocking domain could not be attached */
	Q_RECOVERING,	/* a proven reset lifted it, the re-attach runs */
	Q_RELEASED,	/* the IOMMU is letting the device go */
};

enum quarantine_policy {
	Q_POLICY_OFF,		/* as without the option */
	Q_POLICY_REPORT,	/* tell, change nothing */
	Q_POLICY_QUARANTINE,	/* fence, block, wait for a reset */
	Q_POLICY_PANIC,		/* stop the machine at the first report */
};

/* What the administrator asked for at boot */
struct quarantine_options {
	enum quarantine_policy policy;
	enum iommu_last_resort last_resort;
};

/* Of struct quarantine::word: the state, and above it the epoch */
#define Q_STATE_BITS	3
#define Q_STATE_MASK	(BIT(Q_STATE_BITS) - 1)

/* Configuration space bits that a reset must clear, see reset.c */
struct quarantine_proof {
	u16 command;
	u16 msix;
	u16 ats;
};

/**
 * struct quarantine - the core's state of one device
 * @dev: the device; valid until iommu_quarantine_release() returns, later only
 *	compared
 * @backend: its IOMMU driver's half
 * @key: index in the table of all states
 * @ref: users that sleep; the rest is protected by RCU
 * @rcu: for the grace period before the memory is freed
 * @word: enum quarantine_state, and above it the number of proven resets; one
 *	word, changed by cmpxchg, so that of two reports only one counts, a lift
 *	cannot swallow a newer report, and a report that was noticed before a
 *	lift counts for nothing however late it comes; RELEASED is final
 * @count: breakages
 * @evidence: of the last breakage; written by the report that won @word
 * @irq_work: leaves the context of the report, where no lock may be taken
 * @work: blocks the device and tells about it
 * @events: enum iommu_quarantine_event bits that @work has yet to tell, but for
 *	the breakage
 * @broken: 1 more than the epoch of the last breakage that may be told, 0 if
 *	none; written by the report that won @word, after @evidence
 * @told: what @work has told of @broken
 * @lines: limits what it says of that in the log; the other ways are for machines
 * @blocker: the task of @work while it calls quarantine_prepare()
 * @held: one of gdev->reset_depth is ours; under group->mutex
 * @has_sysfs: the files are there; probe and release only
 * @condemned: broken when it was released, or reported since; the next device
 *	of this address starts in quarantine unless @proof holds for it
 * @left_blocked: it was in the blocking domain when it left its group
 * @cut_off: bus mastering is off at the port above it
 * @reopen: it was, until it was lifted; under group->mutex
 * @lock: protects @in_reset, @reset_failed and @proof
 * @in_reset: reset brackets of drivers/pci that are open
 * @reset_failed: one of the brackets had an error
 * @proof: sampled when the outermost bracket opened, and at release
 * @proven: the outermost bracket closes with a proven reset; consumed by the
 *	lift that follows in the same task
 * @busy: protects what follows; held across the brackets of resets that nobody
 *	keeps from racing with a removal, so that release can wait for them
 * @bus_brackets: brackets that resets of whole buses and D3 have opened, bus.c
 * @deferred: those of them whose reset is over, but not the restoring of what
 *	is above the device, and those of D3
 * @in_recovery: pcie_do_recovery() of a port above it is at work; read without the lock
 * @lost_master: it was a bus master when its link was found down, so it is one
 *	until it is reset, whatever its driver does meanwhile; read without the lock
 * @slept: it was in service when it went to sleep, and @asleep was sampled then;
 *	cleared without the lock as well
 * @asleep: what it forgets if the way back to D0 is a reset
 */
struct quarantine {
	struct device *dev;
	struct iommu_quarantine_backend *backend;
	unsigned long key;
	refcount_t ref;
	struct rcu_head rcu;

	atomic_t word;
	atomic_t count;
	struct iommu_broken_evidence evidence;
	struct irq_work irq_work;
	struct work_struct work;
	unsigned long events;
	u32 broken;
	u32 told;
	struct ratelimit_state lines;
	struct task_struct *blocker;
	bool held;
	bool has_sysfs;
	bool condemned;
	bool left_blocked;
	bool cut_off;
	bool reopen;

	spinlock_t lock;	/* of what follows */
	unsigned int in_reset;
	bool reset_failed;
	struct quarantine_proof proof;
	bool proven;

	struct mutex busy;	/* of what follows */
	unsigned int bus_brackets;
	unsigned int deferred;
	bool in_recovery;
	bool lost_master;
	bool slept;
	struct quarantine_proof asleep;
};

extern const struct attribute_group iommu_quarantine_group;

static inline enum quarantine_state quarantine_state_of(int word)
{
	return word & Q_STATE_MASK;
}

static inline u32 quarantine_epoch_of(int word)
{
	return (u32)word >> Q_STATE_BITS;
}

static inline enum quarantine_state quarantine_state(struct quarantine *q)
{
	return quarantine_state_of(atomic_read(&q->word));
}

struct quarantine *quarantine_find(struct device *dev);
struct quarantine *quarantine_get(struct device *dev);
struct quarantine *quarantine_next(unsigned long *key);
void quarantine_put(struct quarantine *q);
const char *quarantine_cause_name(enum iommu_broken_cause cause);
void quarantine_proof_leave(struct pci_dev *pdev,
			    struct quarantine_proof *proof);
void quarantine_proof_asleep(struct pci_dev *pdev,
			     struct quarantine_proof *proof);
void quarantine_proof_frozen(struct pci_dev *pdev, bool mark,
			     struct quarantine_proof *proof);
void quarantine_proof_narrow(struct pci_dev *pdev,
			     struct quarantine_proof *proof);
int quarantine_prepare(struct quarantine *q, struct pci_dev *pdev);
int quarantine_bracket_open(struct quarantine *q, struct pci_dev *pdev,
			    const struct quarantine_proof *before);
void quarantine_bracket_narrow(struct quarantine *q, struct pci_dev *pdev);
void quarantine_bracket_close(struct quarantine *q, struct pci_dev *pdev,
			      int rc);
bool quarantine_answers(struct pci_dev *pdev);
void quarantine_vfs_open(struct pci_dev *pf);
void quarantine_vfs_close(struct pci_dev *pf, int rc);
void quarantine_close_deferred(struct quarantine *q, struct pci_dev *pdev, int rc);
bool quarantine_proof_holds(struct pci_dev *pdev,
			    const struct quarantine_proof *before);

void quarantine_reopen(struct quarantine *q);

u64 quarantine_counter(enum iommu_quarantine_counter counter);

#ifdef CONFIG_IOMMU_QUARANTINE_DEBUG
void quarantine_debug_hold_work(struct quarantine *q);
void quarantine_debug_release(void);
u64 quarantine_debug_wait_bound(void);
extern u64 quarantine_debug_bound_ns;
#else
static inline void quarantine_debug_hold_work(struct quarantine *q)
{
}

static inline void quarantine_debug_release(void)
{
}

static inline u64 quarantine_debug_wait_bound(void)
{
	return 0;
}
#endif

/* for tests */
#if IS_ENABLED(CONFIG_KUNIT)
ssize_t quarantine_fault_write(struct file *file, const char __user *user,
			       size_t len, loff_t *pos);
void quarantine_fault_times(int times);
#endif
int quarantine_kunit_bind(struct device *dev, struct fwnode_handle *fwnode,
			  const u32 *ids, int count, u32 flags);
struct device_attribute *quarantine_kunit_attr(const char *name);
void quarantine_kunit_settle(struct device *dev);
struct quarantine_options quarantine_kunit_options(struct quarantine_options new);
int quarantine_kunit_wait_bound(u64 ns);
int quarantine_kunit_hold_work(bool yes);
int quarantine_kunit_hold_fences(int fences);

#endif /* __IOMMU_QUARANTINE_CORE_H */
