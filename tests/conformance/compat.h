/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests expect of KUnit and not every kernel has */
#ifndef __IQ_CONFORMANCE_COMPAT_H
#define __IQ_CONFORMANCE_COMPAT_H

#include <linux/err.h>

#include "../../core/compat/compat.h"

#ifdef IQ_HAVE_KUNIT_IRQ

#include <kunit/run-in-irq-context.h>

#else

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/sched.h>

struct iq_irq_run {
	struct irq_work hard;
	struct tasklet_struct soft;
	bool (*func)(void *data);
	void *data;
	atomic_t in_hardirq;
	atomic_t in_softirq;
	atomic_t failed;
};

static void iq_run_hard(struct irq_work *work)
{
	struct iq_irq_run *run = container_of(work, struct iq_irq_run, hard);

	atomic_inc(&run->in_hardirq);
	if (!run->func(run->data))
		atomic_inc(&run->failed);
	tasklet_schedule(&run->soft);
}

static void iq_run_soft(struct tasklet_struct *soft)
{
	struct iq_irq_run *run = container_of(soft, struct iq_irq_run, soft);

	atomic_inc(&run->in_softirq);
	if (!run->func(run->data))
		atomic_inc(&run->failed);
}

/*
 * Run @func @times at least, in task context, and meanwhile in a hard irq and in
 * a softirq that it raises, until each was there at least once.
 */
static void kunit_run_irq_test(struct kunit *test, bool (*func)(void *data),
			       int times, void *data)
{
	struct iq_irq_run run = { .func = func, .data = data };
	unsigned long end = jiffies + HZ;

	run.hard = IRQ_WORK_INIT_HARD(iq_run_hard);
	tasklet_setup(&run.soft, iq_run_soft);
	do {
		irq_work_queue(&run.hard);
		if (!func(data))
			atomic_inc(&run.failed);
		cond_resched();
	} while ((--times > 0 || !atomic_read(&run.in_hardirq) ||
		  !atomic_read(&run.in_softirq)) && time_before(jiffies, end));
	irq_work_sync(&run.hard);
	tasklet_kill(&run.soft);

	KUNIT_EXPECT_GT(test, atomic_read(&run.in_hardirq), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&run.in_softirq), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&run.failed), 0);
}

#endif /* IQ_HAVE_KUNIT_IRQ */

#ifndef IQ_HAVE_KUNIT_ATTACH_MM
#include <kunit/test-bug.h>
#include <linux/mman.h>

/* A mapping of its own comes with an address space to put it into */
static inline int kunit_attach_mm(void)
{
	return kunit_vm_mmap(kunit_get_current_test(), NULL, 0, PAGE_SIZE,
			     PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, 0) ?
		0 : -ENOMEM;
}
#endif

#ifdef IQ_HAVE_NO_SVA_ON_X86
#define IQ_NO_SVA	IS_ENABLED(CONFIG_X86)
#else
#define IQ_NO_SVA	false
#endif

#ifndef IQ_HAVE_ALLOC_FLAGS
#define IOMMU_HWPT_ALLOC_PASID	0

static inline struct iommu_domain *
iommu_paging_domain_alloc_flags(struct device *dev, unsigned int flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

#endif /* __IQ_CONFORMANCE_COMPAT_H */
