# SPDX-License-Identifier: GPL-2.0-only
"""How tools/testing/kunit boots the x86 kernel: our QEMU, and one CPU of three
for the hardware that a test plays."""

import os

from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(
    linux_arch="x86_64",
    kconfig="",
    qemu_arch="x86_64",
    kernel_path="arch/x86/boot/bzImage",
    # A change of the clocksource, which the TSC would bring two seconds after the
    # start, stops all CPUs: the one that plays the hardware waits for the one
    # that waits for the hardware. A one-shot timer may be lost (tests/guest/run.py):
    # a test slept for half a minute, and what it was to see was over.
    kernel_command_line="console=ttyS0 isolcpus=2 nowatchdog panic=-1 kunit.autorun=1 "
                        "no_timer_check clocksource=hpet highres=off nohz=off " +
                        os.environ.get("IQ_KARGS", ""),
    extra_qemu_params=["-bios", "qboot.rom", "-L", "/usr/share/qemu",
                       "-machine", "q35", "-smp", "3"])
