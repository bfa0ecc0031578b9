// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets of whole buses and slots, by whomever: VFIO's hot reset, reset_bus and
 * reset_subordinate in sysfs, AER, DPC, drivers. The PCI core tells the IOMMU
 * nothing of them, so the brackets around them are opened here, one for each
 * device below the port:
 *
 *  - pci_bridge_secondary_bus_reset(), which is where all secondary bus resets
 *    pass, those of hotplug slots included;
 *  - pcie_do_recovery() around the reset of what is below: with DPC the hardware
 *    has already done it.
 *
 * Within them the devices are in the blocking domain and are sent no
 * invalidation. A device that is the port's own neighbour on the link is looked
 * at when the reset is over. One further down, or a virtual function, cannot be
 * reached before what is above it was restored: its bracket stays open until
 * the PCI core restores it, or until the recovery is over.
 *
 * Virtual functions: a reset of their physical function clears VF Enable, so it
 * is one of theirs as well, and until VF Enable is restored there is nobody to
 * answer. Their brackets are opened with the one of the physical function and
 * closed when its state is restored. The same holds for its way to D3 and back,
 * but that there each virtual function which still answers was not reset.
 *
 * Power: a device that was broken when it went to D3 has a bracket as well, one
 * that stays open till it is back in D0. Whether it was D3hot, and kept what it
 * knew, or D3cold is told by the proof. One that was in service has none, as its
 * owner may attach it to what he likes. But it may be found dead while it is
 * asleep, so it is looked at before, and the bracket is made up for when it wakes
 * up. It is the same with an image of the memory, which may be restored after the
 * machine was off.
 *
 * Recovery: with DPC the link goes down before anybody is told, and drivers are
 * told before the bracket is opened. What they turn off in their devices meanwhile
 * gets lost, so the devices are looked at before.
 *
 * Locks: callers may hold device locks, the configuration access of the devices
 * and reset_lock of pciehp. Below all that comes quarantine.busy, then
 * group->mutex; under these nobody waits for any of the former. pci_bus_sem is
 * not taken: the devices are found in the table of the quarantine.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/pci.h>

#include "quarantine.h"

typedef bool bus_match(struct pci_dev *pdev, struct pci_dev *top);
typedef void bus_fn(struct quarantine *q, struct pci_dev *top, int rc);

static bool is_below(struct pci_dev *pdev, struct pci_dev *bridge)
{
	struct pci_bus *bus;

	/* The bus of a virtual function may have no bridge, but it has a parent */
	for (bus = pdev->bus; bus; bus = bus->parent)
		if (bus == bridge->subordinate)
			return true;
	return false;
}

static bool is_vf_of(struct pci_dev *pdev, struct pci_dev *pf)
{
	return pdev->is_virtfn && pci_physfn(pdev) == pf;
}

/* Can it be reached as soon as @bridge is out of the reset? */
static bool is_next_to(struct pci_dev *pdev, struct pci_dev *bridge)
{
	return pdev->bus == bridge->subordinate && !pdev->is_virtfn;
}

static void close_deferred(struct quarantine *q, struct pci_dev *pdev, int rc)
{
	lockdep_assert_held(&q->busy);

	for (; q->deferred; q->deferred--) {
		q->bus_brackets--;
		quarantine_bracket_close(q, pdev, rc);
	}
}

/*
 * Process context. The device is about to be restored, or nobody does that. @rc is not
 * 0 where somebody may have written into it since: that would look like a reset.
 */
void quarantine_close_deferred(struct quarantine *q, struct pci_dev *pdev, int rc)
{
	if (!READ_ONCE(q->deferred))
		return;
	guard(mutex)(&q->busy);
	if (quarantine_state(q) != Q_RELEASED)
		close_deferred(q, pdev, rc);
}

static void bus_open(struct quarantine *q, struct pci_dev *bridge, int unused)
{
	struct pci_dev *pdev = to_pci_dev(q->dev);
	int ret;

	/* Left by a reset after which nobody has restored the device; this one is proof */
	if (q->deferred == q->bus_brackets)
		close_deferred(q, pdev, -ECANCELED);
	WRITE_ONCE(q->slept, false);
	ret = quarantine_bracket_open(q, pdev, NULL);
	if (ret)
		pci_warn(pdev, "not blocked during a reset: %d\n", ret);
	else
		q->bus_brackets++;
}

static void bus_close(struct quarantine *q, struct pci_dev *bridge, int rc)
{
	struct pci_dev *pdev = to_pci_dev(q->dev);

	if (q->bus_brackets == q->deferred)
		return;
	if (!rc && !is_next_to(pdev, bridge)) {
		q->deferred++;
		return;
	}
	q->bus_brackets--;
	quarantine_bracket_close(q, pdev, rc);
}

/* No driver has been told yet that its device is behind a dead link */
static void bus_begin(struct quarantine *q, struct pci_dev *bridge, int unused)
{
	struct pci_dev *pdev = to_pci_dev(q->dev);

	WRITE_ONCE(q->in_recovery, true);
	WRITE_ONCE(q->lost_master, pdev->is_busmaster &&
		   !quarantine_answers(pdev));
}

static void bus_end(struct quarantine *q, struct pci_dev *bridge, int unused)
{
	WRITE_ONCE(q->in_recovery, false);
	WRITE_ONCE(q->lost_master, false);
	if (q->deferred)
		close_deferred(q, to_pci_dev(q->dev), 0);
}

static void quarantine_walk(struct pci_dev *top, bus_match *match, bus_fn *fn, int rc)
{
	struct quarantine *q;
	unsigned long key;

	if (!iommu_quarantine_enabled())
		return;
	for (key = 0; (q = quarantine_next(&key)); key++) {
		scoped_guard(mutex, &q->busy)
			if (quarantine_state(q) != Q_RELEASED &&
			    match(to_pci_dev(q->dev), top))
				fn(q, top, rc);
		quarantine_put(q);
	}
}

static void walk_below(struct pci_dev *bridge, bus_fn *fn, int rc)
{
	if (bridge->subordinate)
		quarantine_walk(bridge, is_below, fn, rc);
}

/* Process context: a physical function is to be reset */
void quarantine_vfs_open(struct pci_dev *pf)
{
	if (pf->is_physfn)
		quarantine_walk(pf, is_vf_of, bus_open, 0);
}

/* Process context: that is over, but for its VF Enable if it succeeded */
void quarantine_vfs_close(struct pci_dev *pf, int rc)
{
	if (pf->is_physfn)
		quarantine_walk(pf, is_vf_of, bus_close, rc);
}

/**
 * iommu_quarantine_bus_prepare() - open the brackets around a reset of a bus
 * @bridge: the port below which everything is to be reset
 *
 * Context: process.
 */
void iommu_quarantine_bus_prepare(struct pci_dev *bridge)
{
	walk_below(bridge, bus_open, 0);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_bus_prepare);

/**
 * iommu_quarantine_bus_done() - the reset of a bus is over
 * @bridge: as it was given to iommu_quarantine_bus_prepare()
 * @rc: what the reset returns
 *
 * Context: process.
 * Return: @rc, which is 0 when the reset succeeded.
 */
int iommu_quarantine_bus_done(struct pci_dev *bridge, int rc)
{
	walk_below(bridge, bus_close, rc);
	return rc;
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_bus_done);

/* It is back in D0, and nothing has been written into it since */
static void power_back(struct quarantine *q, struct pci_dev *pdev)
{
	int state;

	if (!READ_ONCE(q->slept) || !iommu_quarantine_is_awake(pdev))
		return;
	guard(mutex)(&q->busy);
	if (!xchg(&q->slept, false))
		return;
	state = quarantine_state(q);
	if (state == Q_HEALTHY || state == Q_RELEASED)
		return;
	if (!quarantine_bracket_open(q, pdev, &q->asleep))
		quarantine_bracket_close(q, pdev, 0);
}

/**
 * iommu_quarantine_restoring() - the state of a device is about to be restored
 * @pdev: the device
 *
 * Called at the beginning of pci_restore_state(): what a bus reset has cleared
 * in a device far below is seen here at the latest, and what it forgot in its
 * sleep.
 *
 * Context: process after a reset or a low-power state, else any.
 */
void iommu_quarantine_restoring(struct pci_dev *pdev)
{
	struct quarantine *q = quarantine_get(&pdev->dev);

	if (!q)
		return;
	/*
	 * A virtual function may be restored before its physical one, in parallel
	 * with it: then it is not there yet, and is looked at when that one is done.
	 */
	if ((READ_ONCE(q->deferred) || READ_ONCE(q->slept)) &&
	    (!pdev->is_virtfn || quarantine_answers(pdev))) {
		quarantine_close_deferred(q, pdev, 0);
		power_back(q, pdev);
	}
	quarantine_put(q);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_restoring);

/**
 * iommu_quarantine_slot_reset() - a driver is to be told that its device was reset
 * @pdev: the device
 *
 * Called by pcie_do_recovery() before error_handlers.slot_reset(), as many drivers
 * enable their device there before they restore it. Ports are told before what is below
 * them, so it can be reached; if not, pci_restore_state() comes later.
 *
 * Context: process.
 */
void iommu_quarantine_slot_reset(struct pci_dev *pdev)
{
	struct quarantine *q = quarantine_get(&pdev->dev);

	if (!q)
		return;
	if (READ_ONCE(q->deferred) && quarantine_answers(pdev))
		quarantine_close_deferred(q, pdev, 0);
	quarantine_put(q);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_slot_reset);

/**
 * iommu_quarantine_restored() - the state of a device has been restored
 * @pdev: the device
 *
 * Called at the end of pci_restore_state(): a physical function has its virtual
 * ones again.
 *
 * Context: process after a reset, else any.
 */
void iommu_quarantine_restored(struct pci_dev *pdev)
{
	struct quarantine *q;
	unsigned long key;
	bool vf;

	if (!pdev->is_physfn || !iommu_quarantine_enabled())
		return;
	for (key = 0; (q = quarantine_next(&key)); key++) {
		/* Once it is released its device lasts as long as readers of RCU */
		scoped_guard(rcu)
			vf = quarantine_state(q) != Q_RELEASED &&
			     is_vf_of(to_pci_dev(q->dev), pdev);
		if (vf)
			quarantine_close_deferred(q, to_pci_dev(q->dev), 0);
		quarantine_put(q);
	}
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_restored);

/**
 * iommu_quarantine_recovery_begin() - pcie_do_recovery() is about to tell the drivers
 * @bridge: the port
 *
 * Context: process.
 */
void iommu_quarantine_recovery_begin(struct pci_dev *bridge)
{
	walk_below(bridge, bus_begin, 0);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_recovery_begin);

/**
 * iommu_quarantine_recovery_end() - pcie_do_recovery() is about to return
 * @bridge: the port
 *
 * Whom no driver has restored is looked at now.
 *
 * Context: process.
 */
void iommu_quarantine_recovery_end(struct pci_dev *bridge)
{
	walk_below(bridge, bus_end, 0);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_recovery_end);

static void power_open(struct quarantine *q, struct pci_dev *pdev, bool image)
{
	int state = quarantine_state(q);
	struct quarantine_proof frozen;

	/* From D3hot to D3cold there is one already */
	if (state == Q_RELEASED || q->deferred)
		return;
	if (state == Q_HEALTHY) {
		if (!iommu_quarantine_is_awake(pdev))
			return;
		if (image)
			quarantine_proof_frozen(pdev, false, &q->asleep);
		else
			quarantine_proof_asleep(pdev, &q->asleep);
		WRITE_ONCE(q->slept, true);
		return;
	}
	/* Found dead since it sleeps: what it was before counts */
	if (READ_ONCE(q->slept) && !iommu_quarantine_is_awake(pdev))
		return;
	WRITE_ONCE(q->slept, false);
	if (image)
		quarantine_proof_frozen(pdev, true, &frozen);
	if (quarantine_bracket_open(q, pdev, image ? &frozen : NULL))
		return;
	q->bus_brackets++;
	q->deferred++;
}

/* Healthy or not: nobody is there to answer until VF Enable is set again */
static void vf_power_open(struct quarantine *q, struct pci_dev *pf, int unused)
{
	struct pci_dev *pdev = to_pci_dev(q->dev);
	struct quarantine_proof asleep;
	int ret;

	/* Its own way to D3, or its physical function's from D3hot to D3cold */
	if (q->deferred)
		return;
	/* What is in service and may forget nothing is not written into */
	quarantine_proof_asleep(pdev, &asleep);
	ret = quarantine_bracket_open(q, pdev, quarantine_state(q) == Q_HEALTHY ?
				      &asleep : NULL);
	if (ret) {
		dev_warn(q->dev, "iommu-quarantine: not blocked while %s sleeps: %d\n",
			 pci_name(pf), ret);
		return;
	}
	q->bus_brackets++;
	q->deferred++;
}

/* One that answers was not reset, and nobody may restore what is above it */
static void vf_power_back(struct quarantine *q, struct pci_dev *pf, int unused)
{
	struct pci_dev *pdev = to_pci_dev(q->dev);

	if (q->deferred && quarantine_answers(pdev))
		close_deferred(q, pdev, 0);
}

static void power_down(struct pci_dev *pdev, bool image)
{
	struct quarantine *q;

	if (!iommu_quarantine_enabled())
		return;
	if (pdev->is_physfn)
		quarantine_walk(pdev, is_vf_of, vf_power_open, 0);
	q = quarantine_get(&pdev->dev);
	if (!q)
		return;
	scoped_guard(mutex, &q->busy)
		power_open(q, pdev, image);
	quarantine_put(q);
}

/**
 * iommu_quarantine_power_down() - a device is about to go to a low-power state
 * @pdev: the device
 * @locked: pci_bus_sem is held; then nothing is done
 *
 * Not only for D3cold: that may come later, when the port above is turned off.
 * The virtual functions of @pdev sleep with it.
 *
 * Context: process.
 */
void iommu_quarantine_power_down(struct pci_dev *pdev, bool locked)
{
	if (!locked)
		power_down(pdev, false);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_power_down);

/**
 * iommu_quarantine_freeze() - an image of the memory is about to be made
 * @pdev: a device that nobody uses until it is thawed or restored
 *
 * Like a low-power state, as the machine may be off before the image is restored.
 * Whatever goes on from here begins with pci_restore_state().
 *
 * Context: process.
 */
void iommu_quarantine_freeze(struct pci_dev *pdev)
{
	power_down(pdev, true);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_freeze);

/* It is in a low-power state, by its own word: nothing has reset it since it went there */
static bool is_asleep(struct pci_dev *pdev)
{
	u16 pmcsr;

	return pdev->pm_cap &&
	       !pci_read_config_word(pdev, pdev->pm_cap + PCI_PM_CTRL, &pmcsr) &&
	       !PCI_POSSIBLE_ERROR(pmcsr) && pmcsr & PCI_PM_CTRL_STATE_MASK;
}

static void power_wake(struct quarantine *q, struct pci_dev *pdev)
{
	guard(mutex)(&q->busy);
	if (quarantine_state(q) == Q_RELEASED || !is_asleep(pdev))
		return;
	quarantine_proof_narrow(pdev, &q->asleep);
	if (q->deferred)
		quarantine_bracket_narrow(q, pdev);
}

/**
 * iommu_quarantine_power_wake() - a device is about to be set to D0
 * @pdev: the device
 * @locked: pci_bus_sem is held; then nothing is done
 *
 * In D3hot configuration space can be written, and VFIO lets its user do so. What is
 * clear in a device that still sleeps was not cleared by a reset, and proves none.
 *
 * Context: process.
 */
void iommu_quarantine_power_wake(struct pci_dev *pdev, bool locked)
{
	struct quarantine *q;

	/* Without power it is not there yet */
	if (locked || pdev->current_state == PCI_D3cold)
		return;
	q = quarantine_get(&pdev->dev);
	if (!q)
		return;
	if (READ_ONCE(q->deferred) || READ_ONCE(q->slept))
		power_wake(q, pdev);
	quarantine_put(q);
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_power_wake);

/**
 * iommu_quarantine_power_up() - a device may be back in D0
 * @pdev: the device
 * @locked: pci_bus_sem is held; then nothing is done, and whoever restores the
 *	device or resets it next closes the bracket
 * @rc: what came of it
 *
 * Context: process.
 * Return: @rc, which is 0 when the device is in D0.
 */
int iommu_quarantine_power_up(struct pci_dev *pdev, bool locked, int rc)
{
	struct quarantine *q;

	if (rc)
		return rc;
	if (!locked) {
		iommu_quarantine_restoring(pdev);
		if (pdev->is_physfn)
			quarantine_walk(pdev, is_vf_of, vf_power_back, 0);
		return 0;
	}
	/* Whoever restores it may have written into it before */
	q = quarantine_get(&pdev->dev);
	if (q) {
		WRITE_ONCE(q->slept, false);
		quarantine_put(q);
	}
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(iommu_quarantine_power_up);
