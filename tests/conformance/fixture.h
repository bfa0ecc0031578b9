/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a conformance suite stands on: a PCI bus of three made-up functions with
 * ATS, on which the kernel's own code runs (drivers/pci, iommu.c, the IOMMU
 * driver, its backend), and a made-up IOMMU that the vendor's test provides.
 *
 * A vendor's test fills in struct iq_vendor, includes bodies.h and adds a suite.
 */
#ifndef __IQ_CONFORMANCE_FIXTURE_H
#define __IQ_CONFORMANCE_FIXTURE_H

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/pci.h>

#include "../../core/quarantine.h"

struct iq_fixture;

/* Two functions of one slot share a group; the third is nobody's sibling */
enum iq_which {
	IQ_BROKEN,
	IQ_SIBLING,
	IQ_OTHER,
	IQ_DEVS
};

/**
 * struct iq_dev - a function that does not exist
 * @fx: its fixture
 * @devfn: where it sits
 * @sid: requester id
 * @pdev: what the kernel makes of it, NULL when it is unplugged
 * @cfg: configuration space
 * @plugged: answers configuration accesses
 * @gone: ... with all ones
 * @no_ats: has no ATS capability
 * @pasids: has the PASID capability
 * @pri: and with it that of page requests
 * @mute: answers no invalidation
 * @mute_times: nor so many
 * @mute_at: the so-manieth from now on is the first that it does not answer
 * @no_intx: Interrupt Disable is hardwired
 * @virtual: configuration space is that of a virtual function
 * @flr_idle: a function level reset changes nothing
 * @flr_mute: nor does it make the function answer
 * @needs_ats: of a kind that the kernel never runs without ATS
 * @asked: invalidations that reached the function
 * @answered: those that it answered
 * @flrs: function level resets
 * @cached: the IOMMU holds an entry that lets the function use ATS; set as soon
 *	as the tables say so, cleared by the matching invalidation only
 * @fenced: the test knows that it is fenced: a permission is a violation
 * @violations: ... and how often the hardware saw one
 * @undefined: how often its PASID was changed under ATS
 * @flushed: a flush of another thread has returned
 */
struct iq_dev {
	struct iq_fixture *fx;
	u8 devfn;
	u16 sid;
	struct pci_dev *pdev;
	u8 cfg[512];
	bool plugged;
	bool gone;
	bool no_ats;
	bool pasids;
	bool pri;
	bool mute;
	int mute_times;
	int mute_at;
	bool no_intx;
	bool virtual;
	bool flr_idle;
	bool flr_mute;
	bool needs_ats;
	atomic_t asked;
	atomic_t answered;
	atomic_t flrs;
	bool cached;
	bool fenced;
	atomic_t violations;
	atomic_t undefined;
	struct completion flushed;
};

/**
 * struct iq_vendor - one IOMMU driver's part of the fixture
 * @name: as the backend calls itself
 * @start: make the IOMMU and register it with its driver's own iommu_ops
 * @stop: take it away again; no device is left
 * @probe: bind a new function to the IOMMU, where the bus does not do it
 * @allows: do the tables let the function use ATS at this moment?
 * @pasid_allows: the same of one PASID; NULL where there are none
 * @sva: a PASID is for a process only, and who has PASIDs gets an identity domain,
 *	so only a function that a body plugs in for it has them
 * @unsupported_is_answer: a function whose ATS is off answers that it does not
 *	support an invalidation, and that is an answer to this IOMMU
 * @processes: from now on the IOMMU can walk a process's own page tables (SVA);
 *	NULL where it cannot
 * @irq: its interrupt handler runs; NULL where a flush sees what there is to see
 * @step: let the hardware go on; runs in a thread on a CPU of its own. NULL
 *	where it goes on each time the driver polls.
 * @leaks: what the backend still counts when all devices are gone
 */
struct iq_vendor {
	const char *name;
	int (*start)(struct iq_fixture *fx);
	void (*stop)(struct iq_fixture *fx);
	int (*probe)(struct iq_fixture *fx, struct pci_dev *pdev);
	bool (*allows)(struct iq_dev *d);
	bool (*pasid_allows)(struct iq_dev *d, u32 pasid);
	bool sva;
	bool unsupported_is_answer;
	void (*processes)(struct iq_fixture *fx);
	void (*irq)(struct iq_fixture *fx);
	void (*step)(struct iq_fixture *fx);
	int (*leaks)(struct iq_fixture *fx);
};

/* What was told about the devices of a fixture */
struct iq_told {
	atomic_t fenced;	/* trace events */
	atomic_t broken;
	atomic_t quarantined;
	atomic_t recovered;
	int fenced_first;	/* what @fenced was at the last @broken */
	int cause;		/* of the last one */
	int error;
	u32 epoch;
	u64 hw[2];
	char device[32];
	char vendor[32];
	atomic_t uevents;	/* with IOMMU_QUARANTINE= */
	atomic_t uevent_broken;
	atomic_t uevent_quarantined;
	atomic_t uevent_recovered;
	atomic_t uevent_failed;
	int uevent_error;	/* what becomes of a uevent; a body's choice */
};

struct iq_fixture {
	struct kunit *test;
	const struct iq_vendor *vendor;
	void *hw;		/* the vendor's */
	int nr;			/* differs from test to test */
	u8 busnr;
	struct pci_bus *bus;
	struct iq_dev dev[IQ_DEVS];
	struct task_struct *thread;
	struct iq_told told;
	void *page;		/* what is mapped */
	struct quarantine_options options;	/* of the boot */
	u64 lost;		/* flushes without protection before the test */
	struct pci_dev *port;	/* above the functions; there is no such thing */
	struct pci_bus *above;
};

struct iq_fixture *iq_start(struct kunit *test, const struct iq_vendor *vendor);
void iq_stop(struct kunit *test);
void iq_power_on(struct iq_dev *d);
int iq_plug(struct iq_dev *d);
int iq_plug_pasids(struct iq_dev *d);
void iq_unplug(struct iq_dev *d);

/* for the vendor's hardware */
struct iq_dev *iq_find(struct iq_fixture *fx, u16 sid);
bool iq_ask(struct iq_dev *d);
void iq_look(struct iq_fixture *fx);
void iq_forget(struct iq_dev *d);

/* what bodies do */
int iq_map(struct iq_dev *d, unsigned long iova);
void iq_unmap(struct iq_dev *d, unsigned long iova);
int iq_flush(struct iq_dev *d);
bool iq_may_translate(struct iq_dev *d);
bool iq_ats_on(struct iq_dev *d);
bool iq_pri_on(struct iq_dev *d);
const char *iq_state(struct iq_dev *d);
const char *iq_show(struct iq_dev *d, const char *attr);
int iq_store(struct iq_dev *d, const char *attr, const char *text);
int iq_count(struct iq_dev *d);
bool iq_wait_state(struct iq_dev *d, const char *state);
bool iq_wait_ats_off(struct iq_dev *d);
int iq_reset(struct iq_dev *d);
void iq_settle(struct iq_dev *d);
void iq_blocking_fails(struct iq_dev *d, bool fails);
int iq_pretend(struct iq_dev *d, const char *name, int times);
void iq_watch_uevents(struct iq_dev *d, bool watch);
void iq_policy(enum quarantine_policy policy);
void iq_last_resort(struct kunit *test, enum iommu_last_resort last_resort);
int iq_lost(struct kunit *test);
int iq_hold_work(bool yes);
int iq_hold_fences(int fences);
struct pci_dev *iq_port(struct kunit *test, bool far);
void iq_port_gone(struct kunit *test);

static inline struct device *iq_device(struct iq_dev *d)
{
	return &d->pdev->dev;
}

#endif /* __IQ_CONFORMANCE_FIXTURE_H */
