#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Take out a lock, a fence, a check or a count: KUnit must see it.

    mutants.py [--arch um|x86_64|arm64] [--only NAME,...]

Builds each mutant of the table below in a copy of the KUnit kernel's build tree,
runs the suites that are to kill it, and says which test did. KTAP on stdout. A
mutant that survives is a failure unless the table SURVIVORS says why it may, and
so is it if more than one in twenty survive.
The patterns and the way a mutant is built are those of tests/guest/run.py.
"""

import argparse
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/guest"))
import run as guest  # noqa: E402  pylint: disable=wrong-import-position

CORE = "drivers/iommu/quarantine/core/quarantine.c"
RESET = "drivers/iommu/quarantine/core/reset.c"
SYSFS = "drivers/iommu/quarantine/core/sysfs.c"
BUS = "drivers/iommu/quarantine/core/bus.c"
BACKEND = "drivers/iommu/quarantine/core/backend.c"
FAULT = "drivers/iommu/quarantine/core/fault.c"
VTD, AMD, SMMU = guest.VTD, guest.AMD, guest.SMMU
SMMU_FOLDER = "drivers/iommu/quarantine/arm-smmu-v3/"
FEATURES = "drivers/iommu/quarantine/core/compat/features.h"
MOCK_SUITE = "iommu_quarantine_mock"
VTD_SUITES = "*intel_vtd*"
VTD_OWN = "intel_vtd*"
AMD_SUITES = "*amd_iommu*"
AMD_OWN = "amd_iommu_quarantine"
SMMU_SUITES = "*arm_smmu*"

# name, file, pattern (one match), what takes its place, suites, architecture
MUTANTS = [
    # ---- core ----
    ("core-report-twice", CORE, r"if \(state != Q_HEALTHY && state != Q_RECOVERING\)\n\t\t\treturn;",
     "if (false)\n\t\t\treturn;", MOCK_SUITE, "um"),
    ("core-stale-epoch", CORE,
     r"if \(evidence->epoch != quarantine_epoch_of\(old\)\)\n\t\t\treturn;",
     ";", MOCK_SUITE, "um"),
    ("core-epoch-stands", CORE, r"lifted = old \+ BIT\(Q_STATE_BITS\);", "lifted = old;",
     MOCK_SUITE, "um"),
    ("core-alias-not-told", CORE, r"\n\t\t\tquarantine_tell_aliases\(q\);", "\n\t\t\t;",
     MOCK_SUITE, "um"),
    ("core-recovered-last", CORE,
     r"if \(broken == quarantine_breakage\(q\)\)\n\t\tquarantine_tell_recovered\(q\);", ";",
     MOCK_SUITE, "um"),
    ("core-no-block", CORE, r"ret = quarantine_prepare\(q, pdev\);", "ret = 0;",
     MOCK_SUITE, "um"),
    ("core-still-under-way", RESET, r"if \(!ret && q->backend->blocked\)", "if (false)",
     MOCK_SUITE, "um"),
    ("core-ats-stays-on", CORE,
     r"\n\t\tiommu_quarantine_ats_off\(q->dev\);", "\n\t\t;",
     MOCK_SUITE, "um"),
    ("core-lift-unproven", CORE, r"if \(!q \|\| !q->proven\)\n\t\treturn false;",
     "if (!q)\n\t\treturn false;", MOCK_SUITE, "um"),
    ("core-vf-ids", RESET, r"pdev->is_virtfn \? PCI_COMMAND : PCI_VENDOR_ID;",
     "PCI_VENDOR_ID;", MOCK_SUITE, "um"),
    ("core-no-depth", CORE, r"return held && reset_depth > 1;", "return false;",
     MOCK_SUITE, "um"),
    ("core-held-stays", CORE, r"\n\tq->held = false;\n", "\n", MOCK_SUITE, "um"),
    ("core-early-report-lost", CORE, r"else if \(READ_ONCE\(quarantine_early\)\)",
     "else if (false)", MOCK_SUITE, "um"),
    ("core-epoch-forgotten", CORE, r"q = quarantine_at\(dev\);\n(\treturn q && q->dev == dev \? quarantine_epoch)",
     "q = quarantine_find(dev);\n\treturn q && q->dev == dev ? quarantine_epoch", MOCK_SUITE, "um"),
    ("core-asks-nobody", CORE, r"if \(!iommu_quarantine_enabled\(\) \|\| pci_dev_is_disconnected",
     "if (true || pci_dev_is_disconnected", AMD_SUITES, "x86_64"),
    ("core-frozen-for-ever", CORE, r"return !pci_channel_offline\(pf\)[^;]*;",
     "return !pci_channel_offline(pf);", AMD_SUITES, "x86_64"),
    ("core-driver-not-told", CORE,
     r"if \(ops->reset_device_done\)\n\t\tops->reset_device_done\(dev\);", ";",
     MOCK_SUITE, "um"),
    ("core-no-verify", CORE, r"if \(q->backend->verify && q->backend->verify\(dev\)\) \{",
     "if (false) {", MOCK_SUITE, "um"),
    ("core-left-blocked", CORE, r"q->left_blocked = blocked;", ";", MOCK_SUITE, "um"),
    ("core-left-for-ever", CORE, r"q->left_blocked = blocked;", "q->left_blocked |= blocked;",
     MOCK_SUITE, "um"),
    ("core-pasid-after-ats", RESET, r"\n\t\tpci_restore_pasid_state\(pdev\);", "\n\t\t;",
     SMMU_SUITES, "arm64"),
    ("core-not-condemned", CORE,
     r"if \(quarantine_release\(q\) != Q_HEALTHY\)",
     "if (quarantine_release(q) == Q_HEALTHY)", MOCK_SUITE, "um"),
    ("core-release-does-not-wait", CORE, r"disable_work_sync\(&q->work\);",
     "disable_work(&q->work);", MOCK_SUITE, "um"),
    ("core-condemned-for-ever", CORE, r"WRITE_ONCE\(q->condemned, false\);", ";",
     MOCK_SUITE, "um"),
    ("core-recovered-silently", CORE, r"set_bit\(IOMMU_QUARANTINE_EVENT_RECOVERED, &q->events\);", ";",
     MOCK_SUITE, "um"),
    ("core-blocked-before-told", CORE, r"return \(q->told - 1\) << Q_STATE_BITS \| Q_REPORTED;",
     "return (atomic_read(&q->word) & ~Q_STATE_MASK) | Q_REPORTED;", MOCK_SUITE, "x86_64"),
    ("core-fence-untold", CORE, r"\n\ttrace_iommu_device_fenced\(dev, evidence\);", "",
     MOCK_SUITE, "um"),
    ("core-no-uevent", CORE, r"\n\t\tquarantine_tell\(q, IOMMU_QUARANTINE_EVENT_QUARANTINED\);", "\n\t\t;",
     MOCK_SUITE, "um"),
    ("core-no-irq-work", CORE, r"irq_work_queue\(&q->irq_work\);",
     # Lockdep says it, which user mode Linux has not
     "quarantine_irq_work(&q->irq_work);", MOCK_SUITE, "x86_64"),
    ("core-report-blocks", CORE,
     r"if \(iommu_quarantine_enabled\(\) &&\n\t    atomic_read",
     "if (true &&\n\t    atomic_read",
     MOCK_SUITE, "um"),
    ("core-off-reports", CORE, r"if \(policy == Q_POLICY_OFF\)\n\t\treturn;\n\n\tguard",
     ";\n\n\tguard", MOCK_SUITE, "um"),
    ("core-admin-ignores-policy", SYSFS,
     r"if \(!iommu_quarantine_enabled\(\)\)\n\t\treturn -EOPNOTSUPP;", ";", MOCK_SUITE, "um"),
    ("core-uevent-first", CORE, r"if \(ret\)\n\t\tdev_warn_ratelimited\(q->dev, \"uevent",
     'if (ret)\n\t\treturn;\n\tif (ret)\n\t\tdev_warn_ratelimited(q->dev, "uevent',
     MOCK_SUITE, "um"),
    # ---- resets of buses ----
    ("bus-of-all", BUS, r"if \(bus == bridge->subordinate\)", "if (true)", MOCK_SUITE, "um"),
    ("bus-failure-forgotten", BUS, r"\n\tquarantine_bracket_close\(q, pdev, rc\);",
     "\n\tquarantine_bracket_close(q, pdev, 0);", MOCK_SUITE, "um"),
    ("bus-looks-too-early", BUS, r"if \(!rc && !is_next_to\(pdev, bridge\)\) \{", "if (false) {",
     MOCK_SUITE, "um"),
    ("bus-bracket-left-open", BUS,
     r"if \(q->deferred\)\n\t\tclose_deferred\(q, to_pci_dev\(q->dev\), 0\);", ";",
     MOCK_SUITE, "um"),
    ("bus-bracket-forgotten", BUS,
     r"if \(q->deferred == q->bus_brackets\)\n\t\tclose_deferred\(q, pdev, -ECANCELED\);", ";",
     MOCK_SUITE, "um"),
    ("bus-left-over-is-proof", BUS, r"close_deferred\(q, pdev, -ECANCELED\);",
     "close_deferred(q, pdev, 0);", MOCK_SUITE, "um"),
    ("bus-told-too-late", BUS, r"if \(READ_ONCE\(q->deferred\) && quarantine_answers\(pdev\)\)",
     "if (false)", MOCK_SUITE, "um"),
    ("bus-told-too-early", BUS, r"if \(READ_ONCE\(q->deferred\) && quarantine_answers\(pdev\)\)",
     "if (READ_ONCE(q->deferred))", MOCK_SUITE, "um"),
    ("bus-forged-awake", BUS, r"\n\t\tpower_wake\(q, pdev\);", "\n\t\t;", MOCK_SUITE, "um"),
    ("bus-forged-asleep", BUS, r"\n\tquarantine_proof_narrow\(pdev, &q->asleep\);", "\n\t;",
     MOCK_SUITE, "um"),
    ("bus-always-asleep", BUS, r" && pmcsr & PCI_PM_CTRL_STATE_MASK;", ";", MOCK_SUITE, "um"),
    ("bus-unlocked", BUS, r"guard\(mutex\)\(&q->busy\);(?=\n\tif \(quarantine_state\(q\) != Q_RELEASED)", ";",
     MOCK_SUITE, "um"),
    ("bus-freeze-forgotten", BUS, r"\tpower_down\(pdev, true\);\n", "", MOCK_SUITE, "um"),
    ("bus-lost-master-forgotten", BUS, r"WRITE_ONCE\(q->lost_master, pdev[^;]*;", ";",
     MOCK_SUITE, "um"),
    ("bus-lost-master-for-ever", BUS, r"WRITE_ONCE\(q->lost_master, false\);", ";", MOCK_SUITE, "um"),
    ("reset-decoding-is-use", RESET, r"proof->command = proof->command & PROOF_IN_USE[^;]*;", ";",
     MOCK_SUITE, "um"),
    ("reset-driver-is-a-reset", RESET, r"proof->command = proof->command & PROOF_IN_USE[^;]*;",
     "proof->command &= PCI_COMMAND_INTX_DISABLE;", MOCK_SUITE, "um"),
    ("bus-sleep-forgotten", BUS, r"WRITE_ONCE\(q->slept, true\);", ";", MOCK_SUITE, "um"),
    ("bus-vf-restored-too-early", BUS, r"\(!pdev->is_virtfn \|\| quarantine_answers\(pdev\)\)", "true",
     MOCK_SUITE, "um"),
    ("bus-vf-awake", BUS, r"quarantine_walk\(pdev, is_vf_of, vf_power_open, 0\);", ";",
     MOCK_SUITE, "um"),
    # ---- the fault attribute ----
    ("fault-unasked", FAULT, r"else if \(!should_fail\(&fail_ats, 1\)\)", "else if (false)",
     MOCK_SUITE, "um"),
    # ---- the last resort ----
    ("backend-lost-silently", BACKEND, r"iommu_quarantine_count\(IOMMU_QUARANTINE_LOST\);", ";",
     AMD_SUITES, "x86_64"),
    ("backend-gone-is-cut-off", BACKEND, r" \|\|\n\t    PCI_POSSIBLE_ERROR\(command\)", "",
     MOCK_SUITE, "um"),
    ("backend-cuts-nothing-off", BACKEND, r"command &= ~PCI_COMMAND_MASTER;", ";",
     VTD_SUITES, "x86_64"),
    # ---- reset ----
    ("reset-left-over-is-proof", RESET, r"quarantine_close_deferred\(q, pdev, -ECANCELED\);",
     "quarantine_close_deferred(q, pdev, 0);", MOCK_SUITE, "um"),
    ("reset-probe-suspends", RESET, r"if \(probe\)\n\t\treturn 0;", ";", MOCK_SUITE, "um"),
    ("reset-probe-lifts", RESET, r"if \(probe\)\n\t\treturn;", ";", MOCK_SUITE, "um"),
    ("reset-rc-ignored", RESET, r"if \(rc\)\n\t\t\tq->reset_failed = true;", ";",
     MOCK_SUITE, "um"),
    ("reset-inner-forgotten", RESET, r"failed = q->reset_failed;", "failed = rc;",
     MOCK_SUITE, "um"),
    ("reset-no-look", RESET, r"!failed && quarantine_proof_holds\(pdev, &proof\)", "!failed",
     MOCK_SUITE, "um"),
    ("reset-dead-read", RESET, r"if \(!proof_sample\(pdev, &now, 0xffff\)\)\n\t\treturn false;",
     "proof_sample(pdev, &now, 0xffff);", MOCK_SUITE, "um"),
    ("reset-ats-is-proof", RESET, r"return !\(proof->command \| proof->msix\);",
     "return proof_is_empty(proof);", AMD_SUITES, "x86_64"),
    ("reset-ats-left-on", RESET, r"iommu_quarantine_ats_off\(&pdev->dev\);", ";",
     MOCK_SUITE, "um"),
    ("reset-open-failure-leaks", RESET, r"\t\t\tq->in_reset--;\n\t\t\tq->reset_failed = true;",
     "\t\t\tq->reset_failed = true;", MOCK_SUITE, "um"),
    ("reset-depth-leaks", RESET,
     r"scoped_guard\(spinlock, &q->lock\)\n\t\tq->in_reset--;", ";", MOCK_SUITE, "um"),
    # ---- virtual functions ----
    ("vf-asked-while-gone", RESET, r"\n\tquarantine_vfs_open\(pdev\);\n", "\n", MOCK_SUITE, "um"),
    ("vf-looked-at-too-early", BUS,
     r"&& !pdev->is_virtfn;", ";", MOCK_SUITE, "um"),
    ("vf-failure-forgotten", RESET, r"quarantine_vfs_close\(pdev, rc\);",
     "quarantine_vfs_close(pdev, 0);", MOCK_SUITE, "um"),
    # ---- sysfs ----
    ("sysfs-zero-quarantines", SYSFS, r"if \(!yes\)\n\t\treturn -EINVAL;", ";",
     MOCK_SUITE, "um"),
    ("sysfs-no-resetting", SYSFS, r'READ_ONCE\(q->in_reset\) \? "resetting" :', "false ? NULL :",
     MOCK_SUITE, "um"),
    # ---- VT-d ----
    ("vtd-no-fence", VTD, r"if \(vtd_is_fenced\(vdev\) && context_present\(context\)\) \{",
     "if (false) {", VTD_SUITES, "x86_64"),
    ("vtd-no-context-flush", VTD, r"\n\trc = vtd_invalidate_contexts\(iommu\);\n",
     "\n\trc = 0;\n", VTD_SUITES, "x86_64"),
    ("vtd-no-scrub", VTD, r"\n\tvtd_scrub\(iommu, head\);\n", "\n", VTD_SUITES, "x86_64"),
    ("vtd-zero-is-a-name", VTD, r"bool named = sid && sid != 0xffff;",
     "bool named = sid != 0xffff;", VTD_SUITES, "x86_64"),
    ("vtd-ones-is-a-name", VTD, r"bool named = sid && sid != 0xffff;", "bool named = sid;",
     VTD_SUITES, "x86_64"),
    ("vtd-blames-the-last", VTD, r"if \(win.devices == 1 && win.last && !unit->murky\)",
     "if (win.last)", VTD_SUITES, "x86_64"),
    ("vtd-store-not-masked", VTD,
     r"if \(vtd_is_fenced\(vdev\)\)\n\t\tcontext->lo = vtd_masked\(vdev, n, context->lo\);\n"
     r"(\tstore\(context\);\n)[^;]*;\n", "\tstore(context);\n", VTD_SUITES, "x86_64"),
    ("vtd-pf-is-a-name", VTD, r"if \(win.pf_named \|\|", "if ((win.pf_named && !win.named) ||",
     VTD_SUITES, "x86_64"),
    ("vtd-believes-any-name", VTD, r"\(win.devices && !win.named && \(!vdev \|\| vtd_is_fenced\(vdev\)\)\)",
     "false", VTD_SUITES, "x86_64"),
    ("vtd-undecided-is-done", VTD, r"if \(state != VTD_HEALTHY && state != VTD_FENCED\) \{",
     "if (false) {", VTD_SUITES, "x86_64"),
    ("vtd-unseen-not-asked", VTD, r"return iommu_quarantine_may_ask\(dev\);", "return false;",
     VTD_SUITES, "x86_64"),
    ("vtd-held-back-is-lost", VTD,
     r"if \(state < VTD_FENCING\)\n\t\t\twait->dropped = true;", ";", VTD_SUITES, "x86_64"),
    ("vtd-permission-lost", VTD, r"lo \|= vdev->sids\[i\].taken;", ";", VTD_SUITES, "x86_64"),
    ("vtd-no-verify", VTD, r"\n\treturn state == VTD_HEALTHY \? 0 : -ETIMEDOUT;\n",
     "\n\treturn 0;\n", VTD_SUITES, "x86_64"),
    ("vtd-condemned-forgotten", VTD, r"!ret && iommu_quarantine_condemned\(",
     "!ret && false && iommu_quarantine_condemned(",
     VTD_SUITES, "x86_64"),
    ("vtd-leaks-a-count", VTD,
     r"if \(atomic_read\(&vdev->state\) != VTD_HEALTHY\)\n\t\tatomic_dec\(&intel_quarantine_active\);",
     ";", VTD_SUITES, "x86_64"),
    ("vtd-mask-unlocked", VTD,
     r"raw_spin_lock_irqsave\(&vdev->lock, flags\);\n(\t\t/\* A reset[^}]*\}\n)"
     r"\t\traw_spin_unlock_irqrestore\(&vdev->lock, flags\);",
     "local_irq_save(flags);\n\t\tif (vtd_is_fenced(vdev) && context_present(context))\n"
     "\t\t\tWRITE_ONCE(context->lo, vtd_masked(vdev, i, context->lo));\n"
     "\t\tlocal_irq_restore(flags);", VTD_SUITES, "x86_64"),
    ("vtd-id-of-another", VTD, r"return vdev && vdev->info == info \? vdev : NULL;",
     "return vdev;", VTD_SUITES, "x86_64"),
    ("vtd-leaves-ids-behind", VTD, r"xa_cmpxchg\(&vtd_devs,[^;]*;", ";", VTD_SUITES, "x86_64"),
    ("vtd-alias-not-fenced", VTD,
     r"for \(i = 0; i < vdev->nr_sids; i\+\+\) \{\n\t\tsid", "for (i = 0; i < 1; i++) {\n\t\tsid",
     VTD_SUITES, "x86_64"),
    ("vtd-pretends-anyway", VTD,
     r"if \(!iommu_quarantine_enabled\(\)\)\n\t\treturn -EOPNOTSUPP;", ";", VTD_SUITES, "x86_64"),
    ("vtd-waits-for-room-for-ever", "drivers/iommu/intel/dmar.c",
     r"if \(intel_quarantine_lost\(iommu\)\)\n(?=\t\t\treturn intel_quarantine_settle)", "if (false)\n",
     VTD_SUITES, "x86_64"),
    ("vtd-pasid-cache-stays", VTD,
     r"desc\[n\+\+\]\.qw0 = QI_PC_GRAN\(QI_PC_GLOBAL\) \| QI_PC_TYPE;", ";", VTD_OWN, "x86_64"),
    ("vtd-iotlb-stays", VTD,
     r"qi_desc_iotlb\(iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &desc\[n\+\+\]\);", ";",
     VTD_OWN, "x86_64"),
    ("vtd-invalidates-in-any-order", VTD, r"desc\[n\+\+\]\.qw0 \|= QI_IWD_FENCE;", "n++;",
     VTD_OWN, "x86_64"),
    ("vtd-lift-still-cached", VTD, r"if \(lifted\)\n\t\tvtd_invalidate_contexts\(iommu\);", ";",
     VTD_OWN, "x86_64"),
    ("vtd-drain-forgotten", "drivers/iommu/intel/dmar.c", r"if \(rc == -EAGAIN\)\n\t\tgoto restart;",
     "if (rc == -EAGAIN) {\n\t\toptions &= ~QI_OPT_WAIT_DRAIN;\n\t\tgoto restart;\n\t}",
     VTD_OWN, "x86_64"),
    # Where others are held back and run again as well, it is they who are missed first
    ("vtd-innocents-dropped", VTD, r"iommu_quarantine_count\(IOMMU_QUARANTINE_RERUNS\);", "rc = 0;",
     VTD_OWN + ".vtd_test_mixed_batch", "x86_64"),
    ("vtd-aborted-is-done", VTD,
     r"(?<=\*wait = \(struct intel_quarantine_wait\)\{\};\n\t\treturn rc;\n\t\}\n)",
     "\tif (rc == -EAGAIN)\n\t\trc = 0;\n",
     VTD_OWN + ".vtd_test_mixed_batch", "x86_64"),
    # ---- AMD ----
    ("amd-no-fence", AMD, r"if \(amd_is_fenced\(adev\)\)\n\t\t\tWRITE_ONCE\(dte",
     "if (false)\n\t\t\tWRITE_ONCE(dte", AMD_SUITES, "x86_64"),
    ("amd-no-dte-flush", AMD, r"amd_quarantine_submit\(adev->iommu, cmd, i, &data\)",
     "amd_quarantine_submit(adev->iommu, NULL, 0, &data)", AMD_SUITES, "x86_64"),
    ("amd-store-not-masked", AMD, r"if \(amd_is_fenced\(adev\)\)\n\t\tmasked.data\[1\] =",
     "if (false)\n\t\tmasked.data[1] =", AMD_SUITES, "x86_64"),
    ("amd-trust-the-wait", AMD, r"if \(slow \|\| atomic_read\(&unit->slow\) \|\|",
     "if (", AMD_SUITES, "x86_64"),
    ("amd-no-restart", AMD,
     r"writeq\(readq\(control\) & ~enable, control\);\n\twriteq\(readq\(control\) \| enable, control\);",
     ";", AMD_SUITES, "x86_64"),
    ("amd-wait-once", AMD, r"amd_quarantine_submit\(iommu, NULL, 0, &again\);", ";",
     AMD_SUITES, "x86_64"),
    ("amd-thread-blind", AMD, r"unit->seen = slot;\n\t\t\tamd_take_event\([^;]*;", "unit->seen = slot;",
     AMD_SUITES, "x86_64"),
    ("amd-events-counted-twice", AMD,
     r"if \(\(slot - unit->taken\) % size >=\n\t\t    \(unit->seen - unit->taken\) % size\) \{",
     "if (true) {", AMD_SUITES, "x86_64"),
    ("amd-nobody-suspected", AMD, r"\n\t\tamd_suspect\(adev\);\n(\t\tunit->window)",
     "\n\t\tunit->window", AMD_SUITES, "x86_64"),
    ("amd-full-in-silence", AMD,
     r"\tamd_declare_lost\(iommu\);\n(?=\t/\* What it was not told)", "", AMD_OWN, "x86_64"),
    ("amd-wakes-the-sleeping", AMD,
     r"if \(\(s64\)\(oldest - slow\) < 0 && !iommu_quarantine_may_ask\(adev->dev\)\)", "if (false)",
     AMD_OWN, "x86_64"),
    ("amd-wakes-them-all", AMD,
     r"if \(iommu_quarantine_is_awake\(to_pci_dev\(adev->dev\)\)\)\n\t\t\tamd_suspect",
     "if (true)\n\t\t\tamd_suspect", AMD_OWN, "x86_64"),
    ("amd-verify-blind", AMD, r"return state == AMD_HEALTHY \? 0 : -ETIMEDOUT;", "return 0;",
     AMD_SUITES, "x86_64"),
    ("amd-condemned-forgotten", AMD, r"!ret && iommu_quarantine_condemned\(",
     "!ret && false && iommu_quarantine_condemned(",
     AMD_SUITES, "x86_64"),
    ("amd-lost-ones-not-sent-again", AMD,
     r"rc = amd_run\(adev->iommu, &unit->window\[i\], 1\);", "rc = 0;", AMD_OWN, "x86_64"),
    ("amd-missed-forgotten", AMD, r"WRITE_ONCE\(unit->missed, true\);", ";", AMD_OWN, "x86_64"),
    ("amd-silent-fence-is-none", AMD, r"if \(amd_invalidate_dtes\(adev\)\) \{\n\t\tamd_cut_off\(adev\);",
     "if (amd_invalidate_dtes(adev)) {", AMD_OWN, "x86_64"),
    ("amd-id-of-another", AMD, r"return adev && adev->dev_data == dev_data \? adev : NULL;",
     "return adev;", AMD_OWN, "x86_64"),
    ("amd-leaves-ids-behind", AMD, r"xa_cmpxchg\(&amd_devs,[^;]*;", ";", AMD_OWN, "x86_64"),
    ("amd-alias-not-fenced", AMD,
     r"for \(i = 0; i < adev->nr_sids; i\+\+\) \{\n\t\tdte", "for (i = 0; i < 1; i++) {\n\t\tdte",
     AMD_OWN, "x86_64"),
    ("amd-pretends-anyway", AMD,
     r"if \(!iommu_quarantine_enabled\(\)\)\n\t\treturn -EOPNOTSUPP;", ";", AMD_SUITES, "x86_64"),
    ("amd-index-not-emptied", AMD,
     r"xa_erase\(&amd_devs, amd_key\(iommu, adev->sids\[i\]\)\);", ";", AMD_OWN, "x86_64"),
    ("amd-slow-is-dead", AMD, r"if \(took < \(s64\)amd_timeout_ns\(iommu\) / 2 &&",
     "if (false &&", AMD_OWN, "x86_64"),
    ("amd-full-log-trusted", AMD, r"amd_log_complete\(iommu, restarts\)\)\n", "true)\n",
     AMD_OWN, "x86_64"),
    ("amd-events-not-muted", "drivers/iommu/amd/iommu.c",
     r"if \(amd_quarantine_muted\(iommu, devid\)\)", "if (false)", AMD_OWN, "x86_64"),
    ("amd-nameless-short", AMD, r" && READ_ONCE\(unit->nameless\) == nameless\)", ")",
     AMD_OWN, "x86_64"),
    ("amd-pasids-not-asked", AMD, r"if \(!amd_unit\(adev->iommu\)->overwritten\)", "if (true)",
     AMD_OWN, "x86_64"),
    ("amd-pasid-table-gone", AMD, r"if \(dev_data->gcr3_info.gcr3_tbl\) \{", "if (true) {",
     AMD_OWN, "x86_64"),
    ("amd-pasid-left-in-tlb", AMD,
     r"amd_iommu_dev_flush_pasid_pages\(dev_data, pasid, 0, U64_MAX\);", ";", AMD_OWN, "x86_64"),
    ("amd-pasid-not-given-back", AMD, r"return old && old->type != IOMMU_DOMAIN_BLOCKED;",
     "return old;", AMD_OWN, "x86_64"),
    ("amd-restart-unlocked", AMD,
     r"scoped_guard\(raw_spinlock_irqsave, &iommu->lock\)\n\t\t\tamd_restart\(iommu\);",
     "amd_restart(iommu);", AMD_SUITES, "x86_64"),
    ("amd-gives-up-for-nobody", AMD,
     r" \|\| !READ_ONCE\(unit->window\) \|\|\n\t    timekeeping_suspended\)", ")", AMD_OWN, "x86_64"),
    # But of a device that has a state: its own entry
    ("amd-suppressed-for-ever", AMD,
     r"\tflags &= ~AMD_DTE_SUPPRESS;\n\tguard\(rcu\)\(\);\n\tadev = amd_find\(iommu, devid\);\n",
     "\tguard(rcu)();\n\tadev = amd_find(iommu, devid);\n\tif (adev)\n"
     "\t\tflags &= ~AMD_DTE_SUPPRESS;\n", AMD_OWN, "x86_64"),
    ("amd-control-unlocked", AMD,
     r"guard\(raw_spinlock_irqsave\)\(&amd_unit\(iommu\)->control_lock\);", ";", AMD_OWN, "x86_64"),
    ("amd-nest-forgotten", AMD, r"again = adev->parent == parent;", "again = false;", AMD_OWN,
     "x86_64"),
    ("amd-serves-the-fenced", AMD, r"return adev && \(amd_is_fenced\(adev\) \|\|",
     "return false && (amd_is_fenced(adev) ||", AMD_OWN, "x86_64"),
    ("amd-one-ask-more", AMD, r"asks < AMD_ASKS;", "asks <= AMD_ASKS;", AMD_OWN, "x86_64"),
    ("amd-never-back", AMD, r"if \(xchg\(&unit->lost, false\)\) \{", "if (false) {",
     AMD_SUITES, "x86_64"),
    ("amd-back-in-spite", AMD, r"if \(READ_ONCE\(unit->dropped\)\)\n\t\treturn;", ";",
     AMD_SUITES, "x86_64"),
    ("amd-no-event-barrier", AMD,
     r"/\* Hardware logs first and stores then \*/\n\tdma_rmb\(\);", ";", AMD_SUITES, "x86_64"),
    # ---- SMMUv3 ----
    ("arm-no-fence", SMMU, r"if \(smmu_is_fenced\(sdev\)\)\n\t\t\tWRITE_ONCE\(ste",
     "if (false)\n\t\t\tWRITE_ONCE(ste", SMMU_SUITES, "arm64"),
    ("arm-no-cfgi", SMMU, r"issue_cmdlist\(smmu, &smmu->cmdq, &cmd, 1,",
     "issue_cmdlist(smmu, &smmu->cmdq, NULL, 0,", SMMU_SUITES, "arm64"),
    ("arm-store-not-masked", SMMU, r"if \(smmu_is_fenced\(sdev\)\)\n\t\tval &=",
     "if (false)\n\t\tval &=", SMMU_SUITES, "arm64"),
    ("arm-trust-the-sync", SMMU,
     r"if \(READ_ONCE\(smmu_quarantine_word\) >> 1 == wait->word >> 1\)", "if (true)",
     SMMU_SUITES, "arm64"),
    ("arm-blames-the-last", SMMU, r"if \(!sdev \|\| \(only && only != sdev\)\)\n\t\t\treturn NULL;",
     ";", SMMU_SUITES, "arm64"),
    ("arm-acks-all", SMMU,
     r"(?<=others that are active stay so \*/\n)\twritel\(gerrorn \^ GERROR_CMDQ_ERR,",
     "\twritel(gerror,", SMMU_SUITES, "arm64"),
    ("arm-waits-for-itself", SMMU,
     r"\tsmmu_take_error\(smmu, cmdq\);\n(?=\tiommu_quarantine_wait_for_hardware\(\);\n\t/\*)", "",
     SMMU_SUITES, "arm64"),
    ("arm-skips-anything", SMMU, r"GERROR_CMDQ_ERR\) \|\| readl_relaxed[^;]*!= cons\)\n\t\treturn true;",
     "GERROR_CMDQ_ERR) && false)\n\t\treturn true;", SMMU_SUITES, "arm64"),
    ("arm-refetches-nothing", SMMU, r"error != CMDQ_ERR_CERROR_ABT_IDX &&\n", "true &&\n",
     SMMU_SUITES, "arm64"),
    ("arm-off-is-lost", SMMU, r"return !\(readl_relaxed\(smmu->base \+ ARM_SMMU_CR0ACK\)[^;]*;",
     "return false;", SMMU_SUITES, "arm64"),
    ("arm-acks-others", SMMU,
     r"if \(FIELD_GET\(CMDQ_CONS_ERR, cons\) != CMDQ_ERR_CERROR_ATC_INV_IDX\)\n\t\treturn true;", ";",
     SMMU_SUITES, "arm64"),
    ("arm-acts-twice", SMMU,
     r"if \(!\(\(gerror \^ gerrorn\) & GERROR_CMDQ_ERR\)\)\n\t\treturn true;", ";", SMMU_SUITES,
     "arm64"),
    ("arm-no-scrub", SMMU, r"\n\tsmmu_scrub\(smmu, &cmdq->q, cons\);\n", "\n", SMMU_SUITES,
     "arm64"),
    ("arm-vcmdq-irq-only", SMMU,
     r"\tif \(!iommu_quarantine_reports\(\)\)(?=\n\t\treturn;)",
     "\tif (!iommu_quarantine_reports() || cmdq != &smmu->cmdq)", SMMU_SUITES, "arm64"),
    ("arm-acks-what-it-saw", SMMU,
     r"gerror &= ~GERROR_CMDQ_ERR;\n\t\tgerror \|= now & GERROR_CMDQ_ERR;\n", ";\n",
     SMMU_SUITES, "arm64"),
    ("arm-guest-not-told", SMMU, r"return -EIO;", "continue;", SMMU_SUITES, "arm64"),
    ("arm-no-check", SMMU,
     r"if \(!\(readl_relaxed\(master->smmu->base \+ ARM_SMMU_CR0ACK\) & CR0_ATSCHK\)\)",
     "if (false)", SMMU_SUITES, "arm64"),
    ("arm-condemned-forgotten", SMMU, r"!ret && iommu_quarantine_condemned\(",
     "!ret && false && iommu_quarantine_condemned(",
     SMMU_SUITES, "arm64"),
    ("arm-no-verify", SMMU,
     r"return atomic_read\(&sdev->state\) == SMMU_HEALTHY \? 0 : -ETIMEDOUT;", "return 0;",
     SMMU_SUITES, "arm64"),
    ("arm-aliases-not-fenced", SMMU,
     r"for \(i = 0; i < master->num_streams; i\+\+\) \{\n\t\tste =",
     "for (i = 0; i < 1; i++) {\n\t\tste =", SMMU_SUITES, "arm64"),
    ("arm-aliases-still-cached", SMMU, r"i < master->num_streams && !rc", "i < 1 && !rc",
     SMMU_SUITES, "arm64"),
    ("arm-one-sync-for-all", SMMU_FOLDER + "quarantine.h",
     r"return cmds->num == CMDQ_BATCH_ENTRIES &&", "return false &&", SMMU_SUITES, "arm64"),
    ("arm-silent-fence-is-none", SMMU,
     r"if \(smmu_mask_and_sync\(sdev\)\)\n\t\tsmmu_cut_off\(sdev\);",
     "smmu_mask_and_sync(sdev);", SMMU_SUITES, "arm64"),
    ("arm-asks-beside", SMMU,
     r"while \(atomic_read\(&unit->narrower\) != -1 && !READ_ONCE\(unit->lost\)\)",
     "while (false)", SMMU_SUITES, "arm64"),
    ("arm-not-asked-not-suspect", SMMU, r"\n\tsmmu_suspect\(sdev\);\n", "\n", SMMU_SUITES,
     "arm64"),
    ("arm-stuck-without-ats", SMMU,
     r"if \(!master->ats_enabled\)\n\t\treturn smmu_is_fenced\(sdev\) \? -ETIMEDOUT : 0;", ";",
     SMMU_SUITES, "arm64"),
    ("arm-id-of-another", SMMU, r"return sdev && sdev->master == master \? sdev : NULL;",
     "return sdev;", SMMU_SUITES, "arm64"),
    ("arm-asked-in-vain", SMMU, r"if \(rc == -ETIME\) \{\n\t\tscoped_guard",
     "if (false) {\n\t\tscoped_guard", SMMU_SUITES, "arm64"),
    ("arm-mutes-all", SMMU, r"muted = sdev && smmu_is_fenced\(sdev\);", "muted = sdev;",
     SMMU_SUITES, "arm64"),
    ("arm-user-error-lost", SMMU,
     r"if \(ret \|\| !iommu_quarantine_enabled\(\)\)\n\t\treturn ret;",
     "if (!iommu_quarantine_enabled())\n\t\treturn ret;", SMMU_SUITES, "arm64"),
    ("arm-pretends-anyway", SMMU,
     r"if \(!iommu_quarantine_enabled\(\)\)\n\t\treturn -EOPNOTSUPP;", ";", SMMU_SUITES, "arm64"),
    ("arm-leaks-a-count", SMMU,
     r"if \(atomic_read\(&sdev->state\) != SMMU_HEALTHY\)\n\t\tsmmu_count_unhealthy\(-1\);", ";",
     SMMU_SUITES, "arm64"),
    ("arm-fence-tears", SMMU, r"ste->data\[1\] &\n\t\t\t\t   ~cpu_to_le64\(STRTAB_STE_1_EATS\)",
     "0", SMMU_SUITES, "arm64"),
    ("arm-gerror-unlocked", SMMU,
     r"scoped_guard\(raw_spinlock_irqsave, &smmu_lock\)\n(?=\t\tknown = )", "", SMMU_SUITES, "arm64"),
    ("arm-not-looked-at-again", SMMU_FOLDER + "quarantine.h",
     r"if \(!wait->atc \|\| READ_ONCE\(smmu_quarantine_word\) == wait->word\)", "if (true)",
     SMMU_SUITES, "arm64"),
    ("arm-asked-without-ats", SMMU_FOLDER + "access.h",
     r"if \(iommu_quarantine_may_ask\(master->dev\)\)", "if (false)", SMMU_SUITES, "arm64"),
    ("arm-guest-told-of-the-last", SMMU, r"\*back = n - i;", ";", SMMU_SUITES, "arm64"),
    ("arm-asks-once", SMMU, r"#define SMMU_ASKS\t\t8", "#define SMMU_ASKS\t\t1", SMMU_SUITES,
     "arm64"),
    ("arm-fenced-twice", SMMU,
     r"if \(atomic_read\(&sdev->state\) != SMMU_FENCING \|\|\n\t\t    sdev->accused != accused\)",
     "if (sdev->accused != accused)", SMMU_SUITES, "arm64"),
    ("arm-never-back", SMMU, r"if \(xchg\(&unit->lost, false\)\) \{", "if (false) {",
     SMMU_SUITES, "arm64"),
    ("arm-back-in-spite", SMMU, r"if \(READ_ONCE\(unit->dropped\)\)\n\t\treturn;", ";",
     SMMU_SUITES, "arm64"),
    ("arm-accuse-no-release", SMMU,
     r"atomic_set_release\(&sdev->state, SMMU_FENCING\);",
     "atomic_set(&sdev->state, SMMU_FENCING);", SMMU_SUITES, "arm64"),
]

# name: why no KUnit test can kill it
ORDER = ("orders what one CPU does as another one sees it: the made-up hardware takes turns "
         "with the driver or runs on a host that does not reorder it")
SURVIVORS = {
    "core-held-stays": "where it is read the depth says the same: more than one bracket is open "
                       "only while one is the quarantine's own",
    "vtd-undecided-is-done": "it takes an IOMMU that falls silent while one CPU narrows and "
                             "another one, whose part was held back, waits for it",
    "amd-suppressed-for-ever": "it is for drivers that write an entry by the word; with "
                               "KERNEL=<Linux 6.12> it is killed",
    "amd-no-event-barrier": ORDER,
    "arm-accuse-no-release": ORDER,
}

# A test that failed, as the kernel says it
RED = re.compile(r"(\[[ .0-9]+\] ?)?    not ok \d+ \w+\s*$")
GREEN = re.compile(r"(\[[ .0-9]+\] ?)?    ok \d+ \w+")
# Of a boot: on a machine with much else to do the suites of AMD need two minutes
TIMEOUT = 240
# Of a test, which needs some seconds at most: who is not done by then never will be
HANGS = 60
ARCHS = ("um", "x86_64", "arm64")


UM = dataclasses.replace(guest.X86, name="um", prefix="um-", image="linux")


def make_arch(name):
    return {"um": UM, "x86_64": guest.X86, "arm64": guest.ARM64}[name]


def base_tree(name):
    """The KUnit kernel, built."""
    subprocess.run([os.path.join(ROOT, "scripts/kunit.sh"), "--build-only", name],
                   check=True, stdout=sys.stderr)
    version = os.path.basename(subprocess.run(
        [os.path.join(ROOT, "scripts/sources.sh"), "path", "kernel"], check=True,
        stdout=subprocess.PIPE, text=True).stdout.strip())
    return (os.path.join(guest.CACHE, "grafted/src", version),
            os.path.join(guest.CACHE,
                         f"grafted/build/{version}-{make_arch(name).prefix}kunit"))


def build_header_mutant(arch, source, build, path, before, text):
    """Who includes it looks beside itself, in the source tree: it has to be changed there.

    Returns the objects that must not be taken for those of another mutant.
    """
    header = os.path.join(source, path)
    # That of build-kernel.sh, so that nobody builds from it meanwhile
    with guest.locked(f"kernel-grafted-{os.path.basename(source)}"):
        was = os.stat(header)
        with open(header, encoding="utf-8") as handle:
            if handle.read() != before:
                guest.die(f"{header} was changed by somebody else; start again")
        try:
            with open(header, "w", encoding="utf-8") as handle:
                handle.write(text)
            compiled = guest.make_mutant(arch, source, build)
        finally:
            with open(header, "w", encoding="utf-8") as handle:
                handle.write(before)
            os.utime(header, ns=(was.st_atime_ns, was.st_mtime_ns))
    if not compiled:
        guest.die(f"nothing was compiled with the mutated {path}, see {build}/mutant.log")
    return [os.path.join(build, name) for name in compiled]


def boot(source, build, name, suites, log):
    """Run the suites. Returns what killed the mutant, or None."""
    for _ in range(3):
        by = boot_once(source, build, name, suites, log)
        with open(log, encoding="utf-8", errors="replace") as said:
            # Else it did not come to the tests, and says nothing of them: see kunit.sh
            if "KTAP version" in said.read():
                return by
    return "the boot, three times"


def boot_once(source, build, name, suites, log):
    env, machine = dict(os.environ), ["--kernel_args", "kunit.autorun=1"]
    if name != "um":
        qemu = subprocess.run([os.path.join(ROOT, "scripts/build-qemu.sh")], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()
        env["PATH"] = os.path.dirname(qemu) + ":" + env["PATH"]
        machine = ["--qemu_config", os.path.join(HERE, f"{name}.py")]
    env["PYTHONUNBUFFERED"] = "1"
    with open(log, "w", encoding="utf-8") as handle:
        kunit = subprocess.Popen([sys.executable, "-B", "tools/testing/kunit/kunit.py", "exec",
                                  "--build_dir", build, "--timeout", str(TIMEOUT),
                                  "--raw_output=all", "--arch", name, *machine, suites],
                                 cwd=source, env=env, stdout=handle,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        try:
            watch(kunit, log)
        finally:
            if kunit.poll() is None:
                os.killpg(kunit.pid, signal.SIGKILL)
                kunit.wait()
    judge = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "scripts/kunit-ktap.py"),
                            "--features", os.path.join(source, FEATURES),
                            "--partial", f"{name}={log}"], stdout=subprocess.PIPE,
                           text=True, check=False)
    red = re.findall(r"^not ok \d+ \S+?/(.*)$", judge.stdout, re.M)
    if judge.returncode != bool(red):
        guest.die(f"kunit-ktap.py ended with {judge.returncode} on {log}")
    return red[0] if red else None


def watch(kunit, log):
    """Until it ends, a test is red, which is enough, or one never ends."""
    with open(log, encoding="utf-8", errors="replace") as said:
        rest, fresh = "", time.monotonic()
        while kunit.poll() is None:
            *lines, rest = (rest + said.read()).split("\n")
            if any(GREEN.match(line) for line in lines):
                fresh = time.monotonic()
            if any(RED.match(line) for line in lines) or time.monotonic() - fresh > HANGS:
                return
            try:
                kunit.wait(0.5)
            except subprocess.TimeoutExpired:
                pass


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=ARCHS)
    parser.add_argument("--only", metavar="NAME,...")
    args = parser.parse_args()
    only = args.only.split(",") if args.only else None
    chosen = [m for m in MUTANTS if (not only or m[0] in only) and
              (not args.arch or m[5] == args.arch)]
    if not chosen:
        guest.die(f"no such mutant; there are: {', '.join(m[0] for m in MUTANTS)}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with guest.locked("kunit-mutants"):
        return run(chosen, not only)


def run(chosen, whole):
    logs = os.path.join(guest.CACHE, "out/kunit/mutants")
    os.makedirs(logs, exist_ok=True)
    print(f"KTAP version 1\n1..{len(chosen)}")
    number = killed = unexplained = 0
    for arch in ARCHS:
        mine = [m for m in chosen if m[5] == arch]
        if not mine:
            continue
        source, base = base_tree(arch)
        texts = [guest.mutated(source, *mutant[:4]) for mutant in mine]
        # What is red without a mutant says nothing of any
        for suites in sorted({m[4] for m in mine}):
            by = boot(source, base, arch, suites, os.path.join(logs, f"{arch}-control.log"))
            if by:
                guest.die(f"{by} is red without a mutant, see {logs}/{arch}-control.log")
        build = guest.mutant_build(base)
        for (before, text), (name, path, _, _, suites, _) in zip(texts, mine):
            objects = []
            if path.endswith(".h"):
                objects = build_header_mutant(make_arch(arch), source, build, path,
                                              before, text)
            else:
                guest.build_mutant(make_arch(arch), source, build, path, text)
            by = boot(source, build, arch, suites, os.path.join(logs, f"{name}.log"))
            for stale in filter(os.path.exists, objects):
                os.unlink(stale)
            number += 1
            killed += bool(by)
            if by:
                print(f"ok {number} {name} # killed by {by}", flush=True)
            elif name in SURVIVORS:
                print(f"ok {number} {name} # SKIP survives: {SURVIVORS[name]}", flush=True)
            else:
                unexplained += 1
                print(f"not ok {number} {name} # survives", flush=True)
        shutil.rmtree(build)
    print(f"# {killed} of {number} killed")
    return 1 if unexplained or (whole and killed < number * 95 / 100) else 0


if __name__ == "__main__":
    sys.exit(main())
