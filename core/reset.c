// SPDX-License-Identifier: GPL-2.0-only
/*
 * Did that reset really happen?
 *
 * A quarantine is lifted by a reset and by nothing else, and a return code of
 * 0 is no proof: a reset method may ignore the result of its inner one, talk
 * to a device that is gone, or be masked by a bridge. So the outcome is the
 * AND of all nested brackets, and the device is looked at: configuration bits
 * that were set before the reset and that a reset must clear (PCIe Base
 * Specification, 6.6.2 and 7.5.1.1.3) have to be clear when the bracket is
 * closed, which is before the PCI core restores anything.
 *
 * The Command register serves nearly always, since the PCI core sets Interrupt
 * Disable before it resets a function. Virtual functions hardwire that bit and
 * Memory Space Enable to 0; theirs are Bus Master Enable, the MSI-X Function
 * Mask and ATS. Where nothing was set that a reset could clear, the outcome is
 * "unproven" and the device stays in quarantine.
 *
 * The same bits tell whether a device that is found in a slot was reset since
 * another one, or itself, was removed there. So the PCI core's enumeration must
 * leave them alone, which is why MSI and MSI-X Enable are not among them.
 */

#define dev_fmt(fmt) "iommu-quarantine: " fmt

#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>

/* pci_restore_pasid_state(), pci_restore_ats_state() */
#include "../../../pci/pci.h"
#include "quarantine.h"

#define PROOF_COMMAND	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY |	\
			 PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)
/* Of these one or the other is set in whatever is in use, or about to be reset */
#define PROOF_IN_USE	(PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)
#define PROOF_MSIX	PCI_MSIX_FLAGS_MASKALL
#define PROOF_ATS	PCI_ATS_CTRL_ENABLE

/* @failed: what a read that fails counts as, so that it never makes a proof */
static u16 proof_read(struct pci_dev *pdev, int where, u16 mask, u16 failed)
{
	u16 val;

	if (pci_read_config_word(pdev, where, &val) || PCI_POSSIBLE_ERROR(val))
		val = failed;
	return val & mask;
}

/*
 * A virtual function has no ids, they read as all ones (PCIe Base Specification,
 * 9.3.4.1); of Command and Status bits are reserved in any function. For the
 * others it is the id, which is what may be read while they are not ready yet.
 */
bool quarantine_answers(struct pci_dev *pdev)
{
	int where = pdev->is_virtfn ? PCI_COMMAND : PCI_VENDOR_ID;
	u32 val;

	return !pci_read_config_dword(pdev, where, &val) &&
	       !PCI_POSSIBLE_ERROR(val);
}

/* Returns false if the device does not answer at all. */
static bool proof_sample(struct pci_dev *pdev, struct quarantine_proof *proof,
			 u16 failed)
{
	*proof = (struct quarantine_proof){};
	if (!quarantine_answers(pdev))
		return false;

	proof->command = proof_read(pdev, PCI_COMMAND, PROOF_COMMAND, failed);
	if (pdev->msix_cap)
		proof->msix = proof_read(pdev, pdev->msix_cap + PCI_MSIX_FLAGS,
					 PROOF_MSIX, failed);
	if (pdev->ats_cap)
		proof->ats = proof_read(pdev, pdev->ats_cap + PCI_ATS_CTRL,
					PROOF_ATS, failed);
	return true;
}

static bool proof_is_empty(const struct quarantine_proof *proof)
{
	return !(proof->command | proof->msix | proof->ats);
}

/**
 * quarantine_proof_holds() - was a device reset since a proof was sampled?
 * @pdev: the device, or the one that is in its place now
 * @before: what was sampled
 *
 * Context: process.
 * Return: true if everything that was set is clear.
 */
bool quarantine_proof_holds(struct pci_dev *pdev,
			    const struct quarantine_proof *before)
{
	struct quarantine_proof now;

	if (proof_is_empty(before))
		return false;
	if (!proof_sample(pdev, &now, 0xffff))
		return false;
	return !(now.command & before->command) &&
	       !(now.msix & before->msix) && !(now.ats & before->ats);
}

static void proof_set(struct pci_dev *pdev, int where, u16 bit)
{
	u16 val;

	if (!pci_read_config_word(pdev, where, &val) && !PCI_POSSIBLE_ERROR(val))
		pci_write_config_word(pdev, where, val | bit);
}

/* ATS is not only cleared by a reset: an IOMMU driver may turn it off as well */
static bool proof_is_weak(const struct quarantine_proof *proof)
{
	return !(proof->command | proof->msix);
}

/**
 * quarantine_proof_asleep() - what a device would forget in its sleep
 * @pdev: the device, in D0
 * @proof: what has to be clear in it afterwards if it was reset; perhaps nothing
 *
 * It is in service, and perhaps nobody restores it: nothing is set in it. Nor does ATS
 * count: should it be found dead, it is turned off.
 *
 * Context: process.
 */
void quarantine_proof_asleep(struct pci_dev *pdev, struct quarantine_proof *proof)
{
	proof_sample(pdev, proof, 0);
	proof->ats = 0;
}

/**
 * quarantine_proof_frozen() - what a device would forget if the machine was off
 * @pdev: the device, in D0
 * @mark: it is broken; what proves a reset may be set in it
 * @proof: what has to be clear in it afterwards if it was reset; perhaps nothing
 *
 * An image of the memory is restored by another kernel, and firmware goes before
 * that. Both enable decoding in what they find, so that proves nothing. Nor does
 * Interrupt Disable alone: who thaws the device, or drives it in the other kernel,
 * may clear it. But then the device is a bus master, so both have to be clear.
 *
 * Context: process.
 */
void quarantine_proof_frozen(struct pci_dev *pdev, bool mark,
			     struct quarantine_proof *proof)
{
	if (mark) {
		proof_set(pdev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
		if (pdev->msix_cap)
			proof_set(pdev, pdev->msix_cap + PCI_MSIX_FLAGS,
				  PCI_MSIX_FLAGS_MASKALL);
	}
	quarantine_proof_asleep(pdev, proof);
	proof->command = proof->command & PROOF_IN_USE ? PROOF_IN_USE : 0;
}

/*
 * A function that nobody drives may have nothing enabled. Interrupt Disable is
 * harmless in a device that is about to be reset; a virtual function hardwires
 * it, but may have MSI-X, whose Function Mask is as harmless.
 */
static void proof_prepare(struct pci_dev *pdev, struct quarantine_proof *proof)
{
	if (!proof_sample(pdev, proof, 0) || !proof_is_weak(proof))
		return;
	proof_set(pdev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	if (!proof_sample(pdev, proof, 0) || !proof_is_weak(proof))
		return;
	if (!pdev->msix_cap)
		return;
	proof_set(pdev, pdev->msix_cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_MASKALL);
	proof_sample(pdev, proof, 0);
}

/*
 * A device that does not answer cannot be asked, so what the kernel has set in
 * it counts: bus mastering stands unless pci_dev_save_and_disable() has turned
 * it off, which sets Interrupt Disable. Both have to be clear then. What a
 * driver has turned off since the link went down has not reached the device.
 */
static void proof_assume(struct quarantine *q, struct pci_dev *pdev,
			 struct quarantine_proof *proof)
{
	if ((!pdev->is_busmaster && !READ_ONCE(q->lost_master)) ||
	    quarantine_answers(pdev))
		return;
	proof->command = PROOF_IN_USE;
}

/**
 * quarantine_proof_narrow() - take out of a proof what is clear already
 * @pdev: the device, which was not reset since
 * @proof: what was sampled of it; nothing is left if it does not answer
 *
 * Context: process.
 */
void quarantine_proof_narrow(struct pci_dev *pdev, struct quarantine_proof *proof)
{
	struct quarantine_proof now;

	proof_sample(pdev, &now, 0);
	proof->command &= now.command;
	proof->msix &= now.msix;
	proof->ats &= now.ats;
}

/**
 * quarantine_proof_leave() - mark a device that is being removed
 * @pdev: the device
 * @proof: what has to be clear in a device that was reset since
 *
 * A device that does not answer cannot be marked. What it was is assumed: in
 * use, with bus mastering and ATS on, as nobody could turn them off.
 *
 * Context: process.
 */
void quarantine_proof_leave(struct pci_dev *pdev,
			    struct quarantine_proof *proof)
{
	proof_prepare(pdev, proof);
	if (!proof_is_empty(proof))
		return;
	proof->command = PROOF_IN_USE;
	proof->ats = PROOF_ATS;
}

/**
 * quarantine_prepare() - block a device, and wait until nothing is under way to it
 * @q: its state
 * @pdev: the device
 *
 * Context: process, the device cannot be released.
 * Return: what pci_dev_reset_iommu_prepare() returns.
 */
int quarantine_prepare(struct quarantine *q, struct pci_dev *pdev)
{
	int ret = pci_dev_reset_iommu_prepare(pdev);

	if (!ret && q->backend->blocked)
		q->backend->blocked(q->dev);
	return ret;
}

/*
 * Brackets may be nested: the outermost one samples the proof and looks at it
 * in the end, and the return codes are ANDed on the way. If the reset is over
 * already, @before it was sampled what is to be clear; else that is NULL.
 */
int quarantine_bracket_open(struct quarantine *q, struct pci_dev *pdev,
			    const struct quarantine_proof *before)
{
	struct quarantine_proof proof;
	bool outermost;
	int ret;

	scoped_guard(spinlock, &q->lock) {
		outermost = !q->in_reset++;
		if (outermost) {
			q->reset_failed = false;
			q->proof = (struct quarantine_proof){};
		}
	}

	ret = quarantine_prepare(q, pdev);
	/*
	 * Now, not before: the driver may turn ATS off as it blocks the device,
	 * which would look like the work of a reset.
	 */
	if (before) {
		proof = *before;
	} else if (!ret && outermost) {
		proof_prepare(pdev, &proof);
		if (proof_is_empty(&proof))
			proof_assume(q, pdev, &proof);
	}
	scoped_guard(spinlock, &q->lock) {
		if (ret) {
			q->in_reset--;
			q->reset_failed = true;
		} else if (outermost) {
			q->proof = proof;
		}
	}
	return ret;
}

/* Nothing has reset the device since its brackets were opened */
void quarantine_bracket_narrow(struct quarantine *q, struct pci_dev *pdev)
{
	struct quarantine_proof proof;

	scoped_guard(spinlock, &q->lock)
		proof = q->proof;
	quarantine_proof_narrow(pdev, &proof);
	scoped_guard(spinlock, &q->lock)
		q->proof = proof;
}

void quarantine_bracket_close(struct quarantine *q, struct pci_dev *pdev,
			      int rc)
{
	struct quarantine_proof proof;
	bool outermost, failed, broken;

	scoped_guard(spinlock, &q->lock) {
		if (rc)
			q->reset_failed = true;
		outermost = q->in_reset == 1;
		failed = q->reset_failed;
		proof = q->proof;
	}

	broken = quarantine_state(q) != Q_HEALTHY;
	if (outermost)
		q->proven = !failed && quarantine_proof_holds(pdev, &proof);
	if (outermost && broken && !q->proven)
		pci_warn(pdev, "reset %s, no recovery\n",
			 failed ? "failed" : "did not reset the device");
	/*
	 * The re-attach turns ATS on, and PASID must not change after that
	 * (PCIe Base Specification, 10.5.1.3). The PCI core restores it later,
	 * with everything else, which then changes nothing.
	 */
	if (outermost && (q->proven || (!broken && QUARANTINE_OWN_BRACKET)))
		pci_restore_pasid_state(pdev);
	/* One in service keeps its ATS, and nobody restores virtual functions */
	if (outermost && pdev->is_virtfn && !broken)
		pci_restore_ats_state(pdev);

	pci_dev_reset_iommu_done(pdev);

	scoped_guard(spinlock, &q->lock)
		q->in_reset--;
	/* The work may have left this to us, see there */
	if (outermost && quarantine_state(q) == Q_QUARANTINED)
		iommu_quarantine_ats_off(&pdev->dev);
}

/**
 * iommu_quarantine_reset_prepare() - open the bracket around a reset
 * @pdev: the device that is to be reset
 * @probe: the caller only asks whether the method exists
 *
 * Stands where drivers/pci calls pci_dev_reset_iommu_prepare(). A probe does
 * not suspend the IOMMU. The virtual functions of @pdev are reset with it.
 *
 * Context: process.
 * Return: 0 or the error of pci_dev_reset_iommu_prepare().
 */
int iommu_quarantine_reset_prepare(struct pci_dev *pdev, bool probe)
{
	struct quarantine *q;
	int ret;

	if (probe)
		return 0;

	quarantine_vfs_open(pdev);
	q = quarantine_get(&pdev->dev);
	if (q) {
		/*
		 * Nobody has restored the device, and the PCI core has written into
		 * Command since: this reset is the proof, or none.
		 */
		quarantine_close_deferred(q, pdev, -ECANCELED);
		/* Not what it was: the PCI core writes into Command before a reset */
		WRITE_ONCE(q->slept, false);
		ret = quarantine_bracket_open(q, pdev, NULL);
		quarantine_put(q);
	} else {
		ret = pci_dev_reset_iommu_prepare(pdev);
	}
	if (ret)
		quarantine_vfs_close(pdev, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_quarantine_reset_prepare);

/**
 * iommu_quarantine_reset_done() - close the bracket around a reset
 * @pdev: the device that was reset
 * @probe: as it was given to iommu_quarantine_reset_prepare()
 * @rc: what the reset method returns
 *
 * Stands where drivers/pci calls pci_dev_reset_iommu_done().
 *
 * Context: process.
 */
void iommu_quarantine_reset_done(struct pci_dev *pdev, bool probe, int rc)
{
	struct quarantine *q;

	if (probe)
		return;

	q = quarantine_get(&pdev->dev);
	if (q) {
		quarantine_bracket_close(q, pdev, rc);
		quarantine_put(q);
	} else {
		pci_dev_reset_iommu_done(pdev);
	}
	quarantine_vfs_close(pdev, rc);
}
EXPORT_SYMBOL_GPL(iommu_quarantine_reset_done);
