# SPDX-License-Identifier: GPL-2.0-only
"""How tools/testing/kunit boots the arm64 kernel."""

import os

from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(
    linux_arch="arm64",
    kconfig="",
    qemu_arch="aarch64",
    kernel_path="arch/arm64/boot/Image",
    kernel_command_line="console=ttyAMA0 isolcpus=2 nowatchdog panic=-1 kunit.autorun=1 " +
                        os.environ.get("IQ_KARGS", ""),
    extra_qemu_params=["-machine", "virt,gic-version=3",
                       "-cpu", "cortex-a57", "-smp", "3"])
