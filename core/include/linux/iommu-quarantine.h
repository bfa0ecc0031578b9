/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarantine of PCIe devices that stop answering ATS invalidations.
 *
 * Four kinds of callers:
 *  - IOMMU drivers report a device: iommu_report_device_broken();
 *  - backends of this project report with evidence and verify a recovery:
 *    iommu_quarantine_report(), struct iommu_quarantine_backend;
 *  - drivers/pci and drivers/iommu/iommu.c carry the outcome of a reset, by
 *    the call-outs listed in core/callouts/manifest.
 */
#ifndef __LINUX_IOMMU_QUARANTINE_H
#define __LINUX_IOMMU_QUARANTINE_H

#include <linux/list.h>
#include <linux/types.h>

struct device;
struct iommu_ops;
struct notifier_block;
struct pci_dev;
struct vfio_pci_core_device;

/**
 * enum iommu_broken_cause - why a device is considered broken
 * @IOMMU_BROKEN_UNKNOWN: reported without a cause
 * @IOMMU_BROKEN_ATS_TIMEOUT: the IOMMU named it when an ATS invalidation
 *	timed out
 * @IOMMU_BROKEN_ATS_NARROWED: the IOMMU named nobody; narrowing proved it
 * @IOMMU_BROKEN_NO_ANSWER: neither an answer nor a timeout within the bound
 * @IOMMU_BROKEN_ADMIN: requested by the administrator
 */
enum iommu_broken_cause {
	IOMMU_BROKEN_UNKNOWN,
	IOMMU_BROKEN_ATS_TIMEOUT,
	IOMMU_BROKEN_ATS_NARROWED,
	IOMMU_BROKEN_NO_ANSWER,
	IOMMU_BROKEN_ADMIN,
};

/**
 * enum iommu_last_resort - what to do when the IOMMU itself never answers
 * @IOMMU_LAST_RESORT_NONE: go on, say that memory is no longer protected
 * @IOMMU_LAST_RESORT_BUSMASTER: turn bus mastering off at the upstream port
 * @IOMMU_LAST_RESORT_PANIC: stop the machine
 */
enum iommu_last_resort {
	IOMMU_LAST_RESORT_NONE,
	IOMMU_LAST_RESORT_BUSMASTER,
	IOMMU_LAST_RESORT_PANIC,
};

/**
 * enum iommu_quarantine_counter - what the backends count, for debugfs
 * @IOMMU_QUARANTINE_TIMEOUTS: timeouts that the hardware reported
 * @IOMMU_QUARANTINE_FENCES: devices fenced
 * @IOMMU_QUARANTINE_NARROWINGS: timeouts of which nobody was named
 * @IOMMU_QUARANTINE_SCRUBBED: commands taken out of a standing queue
 * @IOMMU_QUARANTINE_FILTERED: commands not queued
 * @IOMMU_QUARANTINE_RERUNS: commands run again for an innocent device
 * @IOMMU_QUARANTINE_LOST: waits given up, memory was not protected
 * @IOMMU_QUARANTINE_COUNTERS: their number
 */
enum iommu_quarantine_counter {
	IOMMU_QUARANTINE_TIMEOUTS,
	IOMMU_QUARANTINE_FENCES,
	IOMMU_QUARANTINE_NARROWINGS,
	IOMMU_QUARANTINE_SCRUBBED,
	IOMMU_QUARANTINE_FILTERED,
	IOMMU_QUARANTINE_RERUNS,
	IOMMU_QUARANTINE_LOST,
	IOMMU_QUARANTINE_COUNTERS
};

/**
 * enum iommu_quarantine_event - what becomes of a device, for notifiers
 * @IOMMU_QUARANTINE_EVENT_BROKEN: reported; with iommu_quarantine=report that
 *	is all
 * @IOMMU_QUARANTINE_EVENT_QUARANTINED: RID and PASIDs are blocked
 * @IOMMU_QUARANTINE_EVENT_FAILED: they could not be blocked, it stays fenced
 * @IOMMU_QUARANTINE_EVENT_RECOVERED: lifted by a reset
 */
enum iommu_quarantine_event {
	IOMMU_QUARANTINE_EVENT_BROKEN,
	IOMMU_QUARANTINE_EVENT_QUARANTINED,
	IOMMU_QUARANTINE_EVENT_FAILED,
	IOMMU_QUARANTINE_EVENT_RECOVERED,
};

/**
 * struct iommu_broken_evidence - what a backend knows about a breakage
 * @cause: see enum iommu_broken_cause
 * @epoch: iommu_quarantine_epoch() of the time when the breakage was noticed
 * @hw: register values or the command, vendor specific, for the trace event
 */
struct iommu_broken_evidence {
	enum iommu_broken_cause cause;
	u32 epoch;
	u64 hw[2];
};

/**
 * struct iommu_quarantine_backend - one IOMMU driver's half of the quarantine
 * @name: vendor name, shown in logs and trace events
 * @ops: the driver's iommu_ops, by which its devices are recognised
 * @verify: send one device-TLB invalidation to the device, alone, and wait for
 *	the answer; called under group->mutex after the device was re-attached.
 *	Returns 0 when it answered (or has nothing to answer), else a negative
 *	error after having reported the device again.
 * @blocked: RID and PASIDs of the device were attached to the blocking domain, for
 *	the quarantine or for a reset; to return when everything has been answered
 *	that the driver was about to send to it before. Called in process context,
 *	without group->mutex, while the device cannot be released. NULL where
 *	nothing outlives an attach.
 * @pretend: go the way of a timeout that names @dev, fence and report, for tests;
 *	called in process context while the device cannot be released. May be
 *	NULL. Returns 0 or a negative error.
 * @node: for the core
 */
struct iommu_quarantine_backend {
	const char *name;
	const struct iommu_ops *ops;
	int (*verify)(struct device *dev);
	void (*blocked)(struct device *dev);
	int (*pretend)(struct device *dev);
	struct list_head node;
};

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE)

void iommu_report_device_broken(struct device *dev);

int iommu_quarantine_register_notifier(struct notifier_block *nb);
int iommu_quarantine_unregister_notifier(struct notifier_block *nb);

/* for backends */
void iommu_quarantine_backend_register(struct iommu_quarantine_backend *backend);
void iommu_quarantine_backend_unregister(struct iommu_quarantine_backend *backend);
void iommu_quarantine_report(struct device *dev,
			     const struct iommu_broken_evidence *evidence);
void iommu_quarantine_fenced(struct device *dev,
			     const struct iommu_broken_evidence *evidence);
u32 iommu_quarantine_epoch(struct device *dev);
bool iommu_quarantine_enabled(void);
bool iommu_quarantine_is_awake(struct pci_dev *pdev);
bool iommu_quarantine_may_ask(struct device *dev);
bool iommu_quarantine_reports(void);
bool iommu_quarantine_condemned(struct device *dev);
enum iommu_last_resort iommu_quarantine_last_resort(void);
void iommu_quarantine_count(enum iommu_quarantine_counter counter);
void iommu_quarantine_wait_for_hardware(void);
u64 iommu_quarantine_wait_bound(u64 vendor_ns);
bool iommu_quarantine_wait_is_news(atomic64_t *said, u64 waited, u64 bound);
bool iommu_quarantine_cut_off(struct pci_dev *pdev);
void iommu_quarantine_unprotected(const char *iommu);

#ifdef CONFIG_IOMMU_QUARANTINE_DEBUG
void iommu_quarantine_hold_fence(void);
#else
static inline void iommu_quarantine_hold_fence(void)
{
}
#endif

/* for drivers/iommu/iommu.c */
void iommu_quarantine_probe(struct device *dev);
void iommu_quarantine_probed(struct device *dev);
void iommu_quarantine_release(struct device *dev);
bool iommu_quarantine_stale(struct device *dev);
bool iommu_quarantine_lift(struct device *dev, unsigned int reset_depth);
void iommu_quarantine_reattached(struct device *dev);
void iommu_quarantine_ats_off(struct device *dev);
void iommu_quarantine_left_group(struct device *dev, bool blocked);
bool iommu_quarantine_was_blocked(struct device *dev);

/* for drivers/pci */
int iommu_quarantine_reset_prepare(struct pci_dev *pdev, bool probe);
void iommu_quarantine_reset_done(struct pci_dev *pdev, bool probe, int rc);
void iommu_quarantine_bus_prepare(struct pci_dev *bridge);
int iommu_quarantine_bus_done(struct pci_dev *bridge, int rc);
void iommu_quarantine_restoring(struct pci_dev *pdev);
void iommu_quarantine_restored(struct pci_dev *pdev);
void iommu_quarantine_slot_reset(struct pci_dev *pdev);
void iommu_quarantine_recovery_begin(struct pci_dev *bridge);
void iommu_quarantine_recovery_end(struct pci_dev *bridge);
void iommu_quarantine_power_down(struct pci_dev *pdev, bool locked);
void iommu_quarantine_freeze(struct pci_dev *pdev);
void iommu_quarantine_power_wake(struct pci_dev *pdev, bool locked);
int iommu_quarantine_power_up(struct pci_dev *pdev, bool locked, int rc);

#else /* !CONFIG_IOMMU_QUARANTINE */

static inline void iommu_report_device_broken(struct device *dev)
{
}

static inline int
iommu_quarantine_register_notifier(struct notifier_block *nb)
{
	return 0;
}

static inline int
iommu_quarantine_unregister_notifier(struct notifier_block *nb)
{
	return 0;
}

static inline void iommu_quarantine_probe(struct device *dev)
{
}

static inline void iommu_quarantine_probed(struct device *dev)
{
}

static inline void iommu_quarantine_release(struct device *dev)
{
}

static inline bool iommu_quarantine_stale(struct device *dev)
{
	return false;
}

static inline void iommu_quarantine_reattached(struct device *dev)
{
}

/* Macros, as what they stand for is declared after this file is included */
#define iommu_quarantine_reset_prepare(pdev, probe) \
	((void)(probe), pci_dev_reset_iommu_prepare(pdev))
#define iommu_quarantine_reset_done(pdev, probe, rc) \
	((void)(probe), (void)(rc), pci_dev_reset_iommu_done(pdev))
#define iommu_quarantine_bus_done(bridge, rc) ((void)(bridge), (rc))
#define iommu_quarantine_power_up(pdev, locked, rc) \
	((void)(pdev), (void)(locked), (rc))

static inline void iommu_quarantine_bus_prepare(struct pci_dev *bridge)
{
}

static inline void iommu_quarantine_restoring(struct pci_dev *pdev)
{
}

static inline void iommu_quarantine_restored(struct pci_dev *pdev)
{
}

static inline void iommu_quarantine_slot_reset(struct pci_dev *pdev)
{
}

static inline void iommu_quarantine_recovery_begin(struct pci_dev *bridge)
{
}

static inline void iommu_quarantine_recovery_end(struct pci_dev *bridge)
{
}

static inline void iommu_quarantine_power_down(struct pci_dev *pdev,
					       bool locked)
{
}

static inline void iommu_quarantine_freeze(struct pci_dev *pdev)
{
}

static inline void iommu_quarantine_power_wake(struct pci_dev *pdev,
					       bool locked)
{
}

#endif /* CONFIG_IOMMU_QUARANTINE */

/* for drivers/vfio/pci */
#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_VFIO)
void iommu_quarantine_vfio_register(struct vfio_pci_core_device *vdev);
#else
static inline void
iommu_quarantine_vfio_register(struct vfio_pci_core_device *vdev)
{
}
#endif

#endif /* __LINUX_IOMMU_QUARANTINE_H */
