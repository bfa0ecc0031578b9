#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Boot the test kernels in QEMU and run the guest's scenarios.

    run.sh scenarios [--kernel grafted|plain|module] [--vendor NAME,... | --machine NAME]
                     [--only NAME|@GROUP,...] [--again]
    run.sh demo [--only STORY,...] [--vendor NAME,...]
    run.sh mutants [--vendor NAME,...] [--only NAME|@fence,...] [--again]
    run.sh bench [--vendor NAME,...]
    run.sh list

KTAP goes to stdout, progress to stderr; serial logs and raw results stay in
$IQ_CACHE/out/guest/last. On the ungrafted kernel a scenario passes if it fails there, at
the very check that is written down for it: what passes there proves nothing. What a machine
said is kept if it was good, and judged anew as long as kernel, guest, QEMU and its command
line stay the same to the byte: where nothing changed the answer is in a minute. The KTAP
says of each when that was; --again (or IQ_AGAIN=1) boots them all the same.
"""

import argparse
import concurrent.futures
import contextlib
import copy
import dataclasses
import fcntl
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.realpath(os.environ.get("IQ_CACHE") or os.path.join(
    os.path.expanduser("~"), ".cache", "iommu-quarantine"))
OUT = os.path.join(CACHE, "out", "guest")
# Of this run alone: two may be at work at once.
RUN = os.path.join(OUT, f"run-{os.getpid()}")
KEEP_RUNS = 8
RECORDS = os.path.join(OUT, "records")
KEEP_RECORDS_DAYS = 30
VMS_AT_ONCE = os.environ.get("IQ_VMS") or "2"
if not re.fullmatch("[1-9][0-9]?", VMS_AT_ONCE):
    sys.exit(f"{os.path.basename(sys.argv[0])}: error: IQ_VMS={VMS_AT_ONCE}: say how many "
             "machines may run at a time")
VMS_AT_ONCE = int(VMS_AT_ONCE)
# This run ends early: no machine is started any more
STOPPING = threading.Event()


@dataclasses.dataclass(frozen=True)
class Arch:
    """What a guest is built with, and what boots it."""

    name: str           # as build-kernel.sh and the kernel's make call it
    prefix: str         # of the build trees' names
    cross: str          # of the compilers' names
    image: str          # below the build tree
    qemu: str
    args: tuple         # of QEMU
    append: str         # to the kernel's command line

    def make_env(self):
        """For a make in a build tree of the kernel."""
        env = {k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "KBUILD_OUTPUT")}
        return dict(env, ARCH=self.name, CROSS_COMPILE=self.cross)


# On a host that is busy with other things the timer check fails, and a CPU was
# seen to lose its one-shot APIC timer for good (in QEMU 10.0 or in 7.3's
# hrtimers: the event is programmed and never comes); a periodic one cannot be
# lost. Linux takes a Nehalem's TSC for constant, so that one CPU calibrates its
# delays for all of them: on a busy host others were wrong by a factor of three.
# Without tsc=reliable a watchdog may give the TSC up, and then every look at the
# clock is an exit.
X86 = Arch(
    name="x86", prefix="", cross="", image="arch/x86/boot/bzImage",
    qemu="qemu-system-x86_64",
    args=("-L", "/usr/share/seabios", "-L", "/usr/share/qemu",
          "-machine", "q35", "-cpu", "Nehalem,+x2apic",
          # Native hotplug; and ACPI of half the size boots seconds faster.
          "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
    append="console=ttyS0 no_timer_check highres=off nohz=off tsc=reliable "
           # Without ASPM in the kernel ACPI gives it neither AER nor hotplug.
           "pcie_ports=native")

ARM64 = Arch(
    name="arm64", prefix="arm64-", cross="aarch64-linux-gnu-", image="arch/arm64/boot/Image",
    qemu="qemu-system-aarch64",
    args=("-machine", "virt,gic-version=3,iommu=smmuv3,acpi=off", "-cpu", "cortex-a57"),
    # With a device tree Linux 6.12 asks for ACS when the ports have been set up
    # already: without it a port and what is below are one group.
    append="console=ttyAMA0 pci=config_acs=11101@pci:1b36:000c")


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine with its IOMMU."""

    arch: Arch
    iommu: tuple        # what QEMU needs for it
    append: str         # to the kernel's command line
    endpoint: str = ""  # properties that it asks of the endpoints
    functions: str = ""  # and of those two that share a slot
    vfio: str = ""      # what include/linux/iommu.h has to have for VFIO on it


def vtd(append, more="", **kw):
    device = "intel-iommu,device-iotlb=on,intremap=on,eim=on,aw-bits=48" + more
    return Machine(X86, ("-device", device), append, **kw)


MACHINES = {
    "legacy": vtd("intel_iommu=on,sm_off"),
    "scalable": vtd("intel_iommu=on,sm_on iq.pasids=1",
                    ",x-scalable-mode=on,x-flts=on,x-pasid-mode=on",
                    # It has first-stage tables only, which the kernel did not give
                    # to user space before that.
                    vfio="iommu_paging_domain_alloc_flags"),
    "legacy-cm": vtd("intel_iommu=on,sm_off", ",caching-mode=on"),
    "amd": Machine(X86, ("-device", "iommu-fault-fch,addr=14.0", "-device",
                         "amd-iommu,pt=off,device-iotlb=on,intremap=on,xtsup=on"),
                   "iq.vendor=amd", ",pasid=off"),
    # The SMMU belongs to the machine.
    "arm": Machine(ARM64, (), "iq.vendor=arm iq.intremap=0 iq.pasids=1",
                   functions=",pasid=off"),
}

# Any complaint ends the grafted guest: warnings, KASAN, oopses, RCU stalls.
STRICT = ("panic_on_warn=1 oops=panic panic=-1 sysctl.kernel.panic_on_rcu_stall=1 "
          "sysctl.kernel.hung_task_panic=1 sysctl.kernel.softlockup_panic=1")

# The first of each vendor also runs what needs a command line of its own.
VENDORS = {"intel": ("legacy", "scalable", "legacy-cm"), "amd": ("amd",), "arm": ("arm",)}

# group -> extra kernel command line; a group is a virtual machine of its own.
GROUPS = {
    # Else VFIO puts what nobody has opened to sleep, and to wake up is a reset.
    "main": "vfio_pci.disable_idle_d3=1",
    "amd": "",
    "slow": "sysctl.kernel.hung_task_timeout_secs=300",
    # QEMU's ports raise no PME, so one that is asleep sees nobody plug anything in.
    "hotplug": "pcie_port_pm=off",
    # The firmware has a reset of the first endpoint.
    "acpi": "iq.acpi=1",
    # What boots looks for an image first.
    "hibernate": "iq.resume=1",
    # Without EFI nobody keeps the memory of the GIC's LPI tables over a kexec.
    "kexec": "irqchip.gicv3_nolpi=1",
    "kdump": "crashkernel=320M",
    "report": "iommu_quarantine=report",
    "off": "iommu_quarantine=off",
    "panic": "iommu_quarantine=panic",
    "silent": "iommu_quarantine=quarantine,last_resort=none",
    "busmaster": "iommu_quarantine=quarantine,last_resort=busmaster",
    "silent-panic": "iommu_quarantine=quarantine,last_resort=panic",
    "silent-back": "iommu_quarantine=quarantine,last_resort=none",
    # The driver warns of each command that it loses: for the log, not over the serial line,
    # which took most of the time that is asked about.
    # Twenty of its flushes are one operation, of up to 15 s where the host is busy.
    "amd-full": "iommu_quarantine=quarantine,last_resort=none panic_on_warn=0 loglevel=3 "
                "iq.limit=60000",
    "arm": "",
    "arm-wide": "",
}

# Groups whose machines wait for the hardware's timeouts, most of the time
WAITING_GROUPS = ("slow", "amd-full")

# Groups whose machines go on in a second kernel, the same one
TWO_KERNELS = ("kexec", "kdump")

# With the SMMUv3 driver as a module: what it needs of the core.
MODULE = ("healthy", "wedge_unmap", "recover", "pasid", "shared_domain", "hold_attach",
          "remove_wedged", "arm_gerror_cpu")
SMMU_MODULE = "drivers/iommu/arm/arm-smmu-v3/arm_smmu_v3.ko"

# What says nothing on one machine. With caching mode a mapping is flushed, too: then what
# is aborted may be that, and nobody is asked twice.
NOT_ON = {"legacy-cm": ("neighbour_ahead",)}

# Beyond the two endpoints that every machine has.
MORE_ENDPOINTS = {"arm-wide": 30}


# Groups that only machines of one architecture have: the other's have a device tree
X86_GROUPS = ("acpi",)


def more_endpoints(names):
    """How many of them the scenarios @names need."""
    return max((MORE_ENDPOINTS.get(group, 0) for name, group in scenario_table()
                if name in names), default=0)

# The first check that has to fail on the ungrafted kernel (of two that race,
# either). None: a control, which has to pass there too. What is not here asks
# for an interface that only the graft brings, or for another command line, or it
# begins with the unmap that others have been seen not to return from.
PLAIN = {
    "healthy": None,
    "healthy_neighbour": None,
    "hotplug_healthy": None,
    "wedge_unmap": "unmap-returned",
    "wedge_irqs_off": "unmap-returned",
    "wedge_writing": "unmap-returned",
    "recover": "unmap-returned",
    "twice": "unmap-returned",
    "probe": "unmap-returned",
    "wedge_reset": "reset-returned",
    "idle_reset": "unmap-returned",
    "attach_fenced": "unmap-returned",
    "attach_busy": "unmap-returned",
    "many": "unmap-returned",
    "four_cpus": "unmap-returned",
    "both": "unmap-returned",
    "vanished": "pages-intact",
    "old_hardware": "unmap-returned",
    "dead_read": "reused-pages-damaged",
    "neighbour_unmaps": "unmap-returned",
    "neighbour_ahead": "unmap-returned",
    "neighbour_quiet": "unmap-returned",
    "shared_domain": "unmap-returned",
    "irte": "unmap-returned",
    "hold_flush": "unmap-returned",
    "hold_attach": "unmap-returned|attach-returned",
    "unbind_bind": "unmap-returned",
    "unbind_wedged": "unbind-returned",
    "remove_quarantined": "unmap-returned",
    "remove_wedged": "remove-returned",
    "remove_pending": "unmap-returned",
    "unbind_pending": "unmap-returned",
    "rescan_quarantined": "unmap-returned",
    "rescan_wedged": "remove-returned",
    "pasid": "unmap-returned",
    "pasid_busy": "unmap-returned",
    "failing_reset": "unmap-returned",
    "silent_none": "unmap-returned",
    "silent_busmaster": "unmap-returned",
    "watchdogs": "unmap-returned",
    # All begin with the same unmap: one stands for them.
    "kind_hot_reset": "unmap-returned",
    "hotplug_wedged": "remove-returned",
    "poweroff": "unmap-returned",
    # One that is sent into the reset may never be answered: then the flush hangs
    "bus_quiet": "invalidations-in-reset|unmap-returned",
    "kind_pf_flr": "unmap-returned",
    "vf_quiet": "invalidations-in-reset|unmap-returned",
    "vfio_reset": "unmap-returned",
    "vfio_dies": "close-returned",
}

# Where AMD's flush fails instead: it returns, and the page is somebody else's.
PLAIN_AMD = {
    "healthy": None,
    "healthy_neighbour": None,
    "hotplug_healthy": None,
    "wedge_unmap": "reused-pages-damaged",
    "wedge_irqs_off": "reused-pages-damaged",
    "wedge_writing": "stale-writes-after-return",
    "recover": "reused-pages-damaged",
    "twice": "reused-pages-damaged",
    "probe": "reused-pages-damaged",
    "idle_reset": "reused-pages-damaged",
    "attach_fenced": "reused-pages-damaged",
    "attach_busy": "reused-pages-damaged",
    "four_cpus": "reused-pages-damaged",
    "both": "reused-pages-damaged",
    "vanished": "pages-intact",
    "old_hardware": "reused-pages-damaged",
    "slow_hardware": "reused-pages-damaged",
    "neighbour_unmaps": "state-quarantined",
    "neighbour_quiet": "state-quarantined",
    "shared_domain": "stale-writes-through|reused-pages-damaged",
    "hold_flush": "second-page-damaged|reused-pages-damaged",
    "hold_attach": "stale-writes-after-attach",
    "irte": "timeouts|state-quarantined",
    "unbind_bind": "reused-pages-damaged",
    "unbind_wedged": "pages-of-the-driver-intact",
    "remove_quarantined": "reused-pages-damaged",
    "remove_wedged": "pages-of-the-driver-intact",
    "remove_pending": "reused-pages-damaged",
    "unbind_pending": "reused-pages-damaged",
    "rescan_quarantined": "state-quarantined",
    "rescan_wedged": "page-intact",
    "hotplug_quarantined": "state-quarantined",
    "remove_sibling": "reused-pages-damaged",
    "poweroff": "reused-pages-damaged",
    "amd_event_before": "reused-pages-damaged",
    "amd_event_after": "reused-pages-damaged",
    "amd_halt": "reused-pages-damaged",
    "amd_drop_wait": "reused-pages-damaged",
    "amd_lines": "completion-wait-lines",
    "amd_overflow": "reused-pages-damaged",
    "failing_reset": "reused-pages-damaged",
    "silent_none": "wait-was-said",
    "silent_busmaster": "port-stopped",
    "kind_flr": "reused-pages-damaged",
    "kind_acpi": "reused-pages-damaged",
    "kind_af_flr": "reused-pages-damaged",
    "kind_pm": "reused-pages-damaged",
    "kind_bus": "reused-pages-damaged",
    "kind_device_specific": "reused-pages-damaged",
    "kind_slot": "reused-pages-damaged",
    "kind_hot_reset": "reused-pages-damaged",
    "kind_subordinate": "reused-pages-damaged",
    "kind_aer": "reused-pages-damaged",
    "kind_power": "reused-pages-damaged",
    "siblings": "reused-pages-damaged",
    "reset_then_dead": "reused-pages-damaged",
    "suspend": "reused-pages-damaged",
    "hibernate": "reused-pages-damaged",
    "kexec": "reused-pages-damaged",
    "kdump": "reused-pages-damaged",
    "bus_quiet": "invalidations-in-reset|unmap-returned",
    "kind_vf_flr": "reused-pages-damaged",
    "kind_pf_flr": "reused-pages-damaged",
    "pf_broken": "reused-pages-damaged",
    "vf_disabled": "reused-pages-damaged",
    "vf_quiet": "invalidations-in-reset|unmap-returned",
    "vfio_reset": "reused-pages-damaged",
    "vfio_hot_reset": "reused-pages-damaged",
    "vfio_close": "reused-pages-damaged",
    "vfio_dies": "reused-pages-damaged",
    # A hundred milliseconds for each of a thousand
    "many": "unmap-returned",
    "watchdogs": "reused-pages-damaged",
    "silent_back": "tainted",
    "amd_silent_full": "tainted",
}

# As AMD's: the flush returns. Its driver's remove() takes half a second for each
# mapping, since its poller doubles its steps.
PLAIN_ARM = {name: check for name, check in PLAIN_AMD.items()
             if not name.startswith("amd_") and name != "irte"} | {
    "hold_attach": "stale-writes-through|stale-writes-after-attach|reused-pages-damaged",
    "unbind_wedged": "unbind-returned",
    "remove_wedged": "remove-returned",
    "arm_gerror_cpu": "reused-pages-damaged",
    "arm_flood": "reused-pages-damaged",
    "arm_lazy": "reused-pages-damaged",
    "arm_slow_neighbour": "reused-pages-damaged",
    "arm_two_dead": "reused-pages-damaged",
    "arm_batch": "reused-pages-damaged",
    "arm_batch_two": "reused-pages-damaged",
    "pasid": "reused-pages-damaged",
    "pasid_busy": "reused-pages-damaged",
}

# What the ungrafted kernel is asked on another machine than its vendor's first.
PLAIN_MACHINE = {("legacy", "pasid"): "scalable", ("legacy", "pasid_busy"): "scalable"}


def say(text):
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def remark(text):
    """A line of the KTAP, in one piece: several machines write."""
    sys.stdout.write(f"# {text}\n")
    sys.stdout.flush()


def die(text):
    say(f"error: {text}")
    sys.exit(1)


def script(*command):
    """The path that one of our scripts prints."""
    done = subprocess.run([os.path.join(ROOT, "scripts", command[0]), *command[1:]],
                          check=False, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        die(f"{' '.join(command)} failed, see above")
    return done.stdout.strip()


@functools.cache
def build_dir(kind, arch):
    """Of the kernel that this run is about: KERNEL's, or Debian's."""
    source = os.path.basename(script("sources.sh", "path", "kernel"))
    build = os.path.join(CACHE, "build", f"{source}-{arch.prefix}{kind}")
    if not os.path.exists(os.path.join(build, arch.image)):
        die(f"there is no {kind} kernel for {arch.name}, no {build}/{arch.image}; run "
            f"scripts/build-kernel.sh {kind} --arch {arch.name}")
    return build


@functools.cache
def qemu_build():
    return os.path.dirname(script("build-qemu.sh"))


def qemu_binary(arch):
    return os.path.join(qemu_build(), arch.qemu)


# ---- what the guest boots ----------------------------------------------------

def run_logged(cmd, log, **kw):
    with open(log, "w", encoding="utf-8") as handle:
        status = subprocess.run(cmd, stdout=handle, stderr=subprocess.STDOUT,
                                check=False, **kw).returncode
    if status:
        with open(log, encoding="utf-8", errors="replace") as handle:
            sys.stderr.write("".join(handle.readlines()[-30:]))
        die(f"{' '.join(cmd[:3])} ... failed, see {log}")


def tool(name):
    """Not everybody has /usr/sbin in his path."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return path or die(f"missing: {name}; run scripts/deps.sh")


def build_rst(work):
    """A table for ACPI that gives an endpoint a reset method."""
    base = os.path.join(work, "rst")
    run_logged([tool("iasl"), "-p", base, os.path.join(HERE, "rst.asl")], base + ".log")
    return base + ".aml"


def copy_if_changed(src, dst):
    with open(src, "rb") as handle:
        data = handle.read()
    if os.path.exists(dst):
        with open(dst, "rb") as handle:
            if handle.read() == data:
                return
    with open(dst, "wb") as handle:
        handle.write(data)


def build_init(work, cross):
    sources = [os.path.join(HERE, f) for f in ("init.c", "guest.c", "scenarios.c", "vfio.c",
                                                 "demo.c", "bench.c")]
    init = os.path.join(work, "init")
    run_logged([cross + "gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o",
                init] + sources, os.path.join(work, "init.log"))
    return init


@functools.cache
def listing():
    """What init calls its scenarios, asked on this machine."""
    return subprocess.run([build_init(RUN, ""), "--list"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def scenario_table():
    return [tuple(line.split()) for line in listing().splitlines()]


def build_module(build, work, arch):
    mod = os.path.join(work, "module")
    os.makedirs(mod, exist_ok=True)
    for name in ("iqtest.c", "iqtest.h", "Kbuild"):
        copy_if_changed(os.path.join(HERE, name), os.path.join(mod, name))
    run_logged(["make", "-C", build, f"M={mod}", "modules"],
               os.path.join(work, "module.log"), env=arch.make_env())
    return os.path.join(mod, "iqtest.ko")


def cpio_entry(name, mode, data=b"", rdev=(0, 0)):
    """One member of a "newc" archive; device nodes need no root this way."""
    raw = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0]
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def make_initramfs(init, modules, path):
    with open(init, "rb") as handle:
        init_data = handle.read()
    parts = [cpio_entry(d, stat.S_IFDIR | 0o755) for d in ("dev", "proc", "sys")]
    parts += [
        cpio_entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1)),
        cpio_entry("init", stat.S_IFREG | 0o755, init_data),
    ]
    for module in modules:
        with open(module, "rb") as handle:
            parts.append(cpio_entry(os.path.basename(module), stat.S_IFREG | 0o644,
                                    handle.read()))
    parts.append(cpio_entry("TRAILER!!!", 0))
    with open(path, "wb") as handle:
        handle.write(b"".join(parts))


@functools.cache
def content_hash(path):
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Guest:
    """Kernel and initramfs of one kind, for one architecture."""

    def __init__(self, kind, arch):
        self.kind = kind
        self.build = build_dir(kind, arch)
        self.kernel = os.path.join(self.build, arch.image)
        work = os.path.join(RUN, arch.prefix + kind)
        os.makedirs(work, exist_ok=True)
        self.initramfs = os.path.join(work, "initramfs.cpio")
        modules = [build_module(self.build, work, arch)]
        if kind == "module":
            modules.append(os.path.join(self.build, SMMU_MODULE))
        make_initramfs(build_init(work, arch.cross), modules, self.initramfs)
        self.rst = build_rst(work) if arch is X86 else None
        self.kernel_is = content_hash(self.kernel)
        with open(os.path.join(self.source, "include/linux/iommu.h"), encoding="utf-8") as handle:
            self.api = handle.read()
        qemu_build()    # before there are threads that ask for it, all at once

    @functools.cached_property
    def source(self):
        """The tree that it was built from."""
        with open(os.path.join(self.build, "Makefile"), encoding="utf-8") as handle:
            return re.search(r"^include (\S+)/Makefile$", handle.read(), re.M)[1]

    @functools.cached_property
    def with_kernel(self):
        """An initramfs with a second kernel in it, and with the first one's."""
        path = os.path.join(os.path.dirname(self.initramfs), "with-kernel.cpio")
        with open(self.initramfs, "rb") as handle:
            first = handle.read()
        with open(self.kernel, "rb") as handle:
            kernel = handle.read()
        # The kernel unpacks one archive after the other.
        with open(path + ".new", "wb") as handle:
            for part in (first, *(cpio_entry(name, stat.S_IFREG | 0o644, data) for name, data in
                                  (("kernel", kernel), ("second.cpio", first),
                                   ("TRAILER!!!", b"")))):
                handle.write(part)
        os.replace(path + ".new", path)
        return path

    def initrd(self, group):
        return self.with_kernel if group in TWO_KERNELS else self.initramfs

    def mutant(self, name, path, text):
        """The same with another text of one source, still to be built."""
        mutant = copy.copy(self)
        mutant.kernel = os.path.join(RUN, f"mutant-{name}.image")
        # All that the kernel is made of, with no need to make it.
        mutant.kernel_is = hashlib.sha256(
            "\0".join((self.kernel_is, path, text)).encode()).hexdigest()
        return mutant


# ---- one virtual machine -----------------------------------------------------

class Monitor:
    """QEMU's machine protocol, over a pair of sockets."""

    def __init__(self):
        self.sock, self.theirs = socket.socketpair()
        self.rest = b""
        self.shutdown = None     # why the machine ended
        self.text = None         # the answer to a human's command
        self.errors = []

    def args(self):
        fd = self.theirs.fileno()
        return ["-chardev", f"socket,id=qmp,fd={fd}", "-mon", "chardev=qmp,mode=control"]

    def started(self):
        self.theirs.close()
        self.sock.setblocking(False)
        self.tell("qmp_capabilities")

    def tell(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command,
                                      "arguments": arguments}).encode() + b"\n")

    def read(self):
        try:
            while data := self.sock.recv(65536):
                self.rest += data
        except (BlockingIOError, ConnectionResetError):
            pass
        *lines, self.rest = self.rest.split(b"\n")
        for message in map(json.loads, lines):
            if message.get("event") == "SHUTDOWN":
                self.shutdown = message["data"]["reason"]
            elif "error" in message:
                self.errors.append(message["error"]["desc"])
            elif isinstance(message.get("return"), str):
                self.text = message["return"]

    def registers(self):
        """Of all CPUs, as text: where each one is, and whether it lets interrupts in."""
        self.tell("human-monitor-command", **{"command-line": "info registers -a"})
        deadline = time.monotonic() + 10
        while self.text is None and time.monotonic() < deadline:
            self.read()
            time.sleep(0.01)
        return self.text or "QEMU does not answer\n"

NO_POWER_OFF = "the guest did not power off"
ANOTHER_KERNEL = "# iq: another kernel goes on"


class Vm:
    """Runs QEMU to its end or to our deadlines, and collects the lines."""

    def __init__(self, guest, machine, tag, args, cpus=4, deadline=300, idle=60,
                 on_line=None, accel=("-accel", "tcg,thread=multi"), more=0, initrd=None):
        self.lines = []
        self.why = None          # why it did not come to a proper end
        self.on_line = on_line
        self.accel, self.more = accel, more
        self.initrd = initrd or guest.initramfs
        self.guest, self.machine, self.args = guest, machine, args
        self.cpus, self.deadline, self.idle = cpus, deadline, idle
        self.base = os.path.join(RUN, f"{guest.kind}-{machine}-{tag}")
        self.serial = self.base + ".serial"
        # A disk to swap to, which is there again after the machine was reset
        self.acpi = "iq.acpi=1" in args.split()
        self.swap = self.base + ".swap" if "iq.resume=1" in args.split() else None
        self.monitor = None
        self.ktap = self.base + ".ktap"

    def command(self):
        machine = MACHINES[self.machine]
        strict = STRICT if self.guest.kind != "plain" else "panic=-1"
        vfio = "" if machine.vfio in self.guest.api else "iq.vfio=0 "
        append = (f"{machine.arch.append} loglevel=6 {machine.append} {vfio}iommu.strict=1 "
                  f"iommu.passthrough=0 {strict} {self.args} {os.environ.get('IQ_KARGS', '')}")
        return [
            qemu_binary(machine.arch), *machine.arch.args, *self.accel,
            "-smp", str(self.cpus), "-m", "1024", "-nodefaults",
            "-display", "none", "-serial", f"file:{self.serial}",
            *machine.iommu,
            "-device", "iommu-fault-ctl,addr=4.0",
            "-device", "pcie-root-port,id=rp1,chassis=1,slot=1,addr=5.0",
            "-device", "pcie-root-port,id=rp2,chassis=2,slot=2,addr=6.0",
            "-device", "iommu-fault-endpoint,bus=rp1,vfs=2" + machine.endpoint,
            "-device", "iommu-fault-endpoint,bus=rp2" + machine.endpoint,
            # No hotplug slot: a reset of this bus is none of a slot. Two functions
            # without ACS; the kernel has a reset method of its own for the first.
            "-device", "pcie-root-port,id=rpm,chassis=99,slot=99,hotplug=off,addr=7.0",
            "-device", "iommu-fault-endpoint,bus=rpm,addr=0.0,multifunction=on,"
                       "x-vendor=0x8086,x-device=0x0953" + machine.endpoint +
                       machine.functions,
            "-device", "iommu-fault-endpoint,bus=rpm,addr=0.1" + machine.endpoint +
                       machine.functions,
            *(word for n in range(3, 3 + self.more) for word in (
                # Ports as functions: the root bus has 32 slots.
                "-device", f"pcie-root-port,id=rp{n},chassis={n},slot={n},"
                           f"multifunction=on,addr={0x10 + (n - 3) // 8:#x}.{(n - 3) % 8}",
                "-device", f"iommu-fault-endpoint,bus=rp{n}" + machine.endpoint)),
            "-device", "virtio-serial-pci",
            "-chardev", f"file,id=ktap,path={self.ktap}",
            "-device", "virtserialport,chardev=ktap,name=iq.ktap",
            *(("-drive", f"if=none,id=swap,format=raw,file={self.swap}",
               "-device", "virtio-blk-pci,drive=swap") if self.swap else ("-no-reboot",)),
            *(("-acpitable", f"file={self.guest.rst}") if self.acpi else ()),
            "-kernel", self.guest.kernel, "-initrd", self.initrd,
            "-append", append,
        ]

    def run(self):
        """Boot, and again, twice at most, if the boot proves nothing."""
        for attempt in range(3):
            if STOPPING.is_set():
                raise InterruptedError("the run ends")
            self.lines, self.why = [], None
            self.boot()
            reason = ("nothing was tested yet" if self.unborn() else
                      "an idle CPU lost its timer" if self.deaf() else None)
            if not reason or attempt == 2:
                return self
            kept = f"{self.serial}.discarded{attempt + 1}"
            say(f"{self.base}: {self.why}, {reason}; starting the machine again, "
                f"see {kept}")
            remark(f"discarded boot {attempt + 1} of {os.path.basename(self.base)}: "
                   f"{self.why}, {reason}")
            os.rename(self.serial, kept)
            if os.path.exists(self.ktap):
                os.unlink(self.ktap)
        return self

    def key(self):
        """What the lines of this machine depend on, all of it, as one hash."""
        digest = hashlib.sha256()
        command = self.command()
        for content in (content_hash(command[0]), self.guest.kernel_is,
                        content_hash(self.initrd),
                        content_hash(self.guest.rst) if self.acpi else ""):
            digest.update(content.encode())
        # Without the names of this run's own files.
        told = [re.sub(r"/\S*/(run-\d+/)?", "", word) for word in command]
        digest.update(repr((told, self.deadline, self.idle)).encode())
        return digest.hexdigest()

    def recall(self):
        """Lines from an earlier run of the very same machine, if there is one."""
        try:
            with open(os.path.join(RECORDS, self.key()), encoding="utf-8") as handle:
                record = json.load(handle)
        except FileNotFoundError:
            return False
        os.utime(handle.name)
        self.lines, self.why = record["lines"], record["why"]
        for line in self.lines if self.on_line else ():
            self.on_line(line)
        remark(f"{os.path.basename(self.base)}: said on {record['when']}, "
               "by the same kernel, guest and QEMU")
        return True

    def record(self):
        os.makedirs(RECORDS, exist_ok=True)
        path = os.path.join(RECORDS, self.key())
        with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as handle:
            json.dump({"when": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
                       "lines": self.lines, "why": self.why}, handle)
        os.replace(f"{path}.{os.getpid()}", path)

    def unborn(self):
        """Did it end before init had a machine, so that nothing was tested?

        A kernel that does not get there fails all three times. Of two kernels it is
        the second one, if that has said why.
        """
        first, handed_over, second = (part.splitlines() for part in
                                      "\n".join(self.lines).partition(ANOTHER_KERNEL))
        if handed_over and not second:
            return False
        return self.why is not None and all(line.startswith("# iq: broken ") for line in
                                            (second if handed_over else first) if line)

    def deaf(self):
        """Did an idle CPU lose its timer, so that this boot proves nothing?

        Seen with several TCG threads on a busy host (tests/qemu/README.md): the
        watchdog finds a CPU locked up, and that CPU is idle. The cause is not
        known; QEMU is suspected, not convicted. A CPU that spins in a flush is
        not idle, so that is never taken for it. A machine that has
        said "not ok" is never started again, but for the ungrafted kernel, which
        is to say that. A hang that comes now and then may be hidden by this, so
        every such boot stands in the KTAP and its log is kept.
        """
        return (self.why is not None and self.idle_cpu_locked_up() and
                (self.guest.kind == "plain" or
                 not any(line.startswith("not ok") for line in self.lines)))

    def idle_cpu_locked_up(self):
        with open(self.serial, encoding="utf-8", errors="replace") as handle:
            text = handle.read()
        return any(f"NMI backtrace for cpu {cpu} skipped: idling" in text
                   for cpu in re.findall(r"hard LOCKUP on cpu (\d+)", text))

    def boot(self):
        self.monitor = Monitor()
        command = self.command() + self.monitor.args()
        if self.swap:
            with open(self.swap, "wb") as disk:
                disk.truncate(1 << 30)
            run_logged([tool("mkswap"), self.swap], self.swap + ".log")
        with open(self.base + ".qemu", "w", encoding="utf-8") as log:
            log.write(" ".join(command) + "\n")
            log.flush()
            proc = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=subprocess.STDOUT,
                                    pass_fds=[self.monitor.theirs.fileno()])
            try:
                self.monitor.started()
                self.watch(proc)
                if proc.poll() is None:
                    with open(self.base + ".cpus", "w", encoding="utf-8") as cpus:
                        cpus.write(self.monitor.registers())
            finally:
                if proc.poll() is None:
                    proc.kill()
                proc.wait()
                if self.swap:
                    os.unlink(self.swap)
        self.take()

    def watch(self, proc):
        start = fresh = time.monotonic()
        done_at = None
        while True:
            ended = proc.poll() is not None
            if self.take():
                fresh = time.monotonic()
            self.monitor.read()
            if ended:
                if not self.done():
                    self.why = f"the machine ended early (QEMU status {proc.returncode})"
                elif self.monitor.shutdown != "guest-shutdown":
                    self.why = NO_POWER_OFF
                return
            now = time.monotonic()
            broken = [line for line in self.lines if line.startswith("# iq: broken ")]
            if broken:
                self.why = f"init gave up: {broken[0][len('# iq: broken '):]}"
                return
            if self.booted_anew():
                self.why = "the machine was reset and began anew"
                return
            if self.done():
                done_at = done_at or now
                if self.lines[-1].endswith("lost") or "# iq: done lost" in self.lines:
                    return
                if now - done_at > 30:
                    self.why = NO_POWER_OFF
                    return
            elif now - start > self.deadline:
                self.why = f"not finished after {self.deadline} s"
                return
            elif now - fresh > 40 and self.idle_cpu_locked_up():
                self.why = "a CPU no longer gets its timer"
                return
            elif now - fresh > (self.idle if self.lines else 2 * self.idle):
                self.why = f"silent for {self.idle} s"
                return
            time.sleep(0.05)

    def booted_anew(self):
        """Did it crash where a reset does not end it?"""
        return (ANOTHER_KERNEL not in self.lines and
                sum(line.startswith("# iq: booted ") for line in self.lines) > 1)

    def endpoint(self):
        """Its properties, as the monitor wants them."""
        words = MACHINES[self.machine].endpoint.strip(",").split(",")
        return {key: value == "on" if value in ("on", "off") else value
                for key, value in (word.split("=") for word in words if word)}

    def done(self):
        return any(line.startswith("# iq: done") for line in self.lines)

    def take(self):
        """Complete lines that came since the last call."""
        if not os.path.exists(self.ktap):
            return 0
        with open(self.ktap, encoding="utf-8", errors="replace") as handle:
            text = handle.read()
        lines = text.split("\n")[:-1]
        fresh = lines[len(self.lines):]
        for line in fresh:
            self.lines.append(line)
            if line.startswith("# iq: host plug "):
                self.monitor.tell("device_add", driver="iommu-fault-endpoint",
                                  bus=line.split()[-1], **self.endpoint())
            if self.on_line:
                self.on_line(line)
        return len(fresh)


def asked_again(args):
    return args.again or os.environ.get("IQ_AGAIN", "0") not in ("", "0")


def run_or_recall(vm, again, judge):
    """Verdicts on what a machine says, or said when nothing that it depends on was different.

    It is kept when all of them are good.
    """
    recalled = not again and vm.recall()
    if not recalled:
        vm.run()
    verdicts = judge()
    if not recalled and all(verdict.good for verdict in verdicts):
        vm.record()
    return verdicts


class Result:
    def __init__(self, name, good, text="", skip=None, detail=()):
        self.name, self.good, self.text = name, good, text
        self.skip, self.detail = skip, list(detail)


RESULT = re.compile(r"(ok|not ok) \d+ (\S+)(?: # (.*))?$")


def results_of(vm, expected):
    """One result for each expected scenario, whatever became of the machine."""
    found, detail, panic = {}, {}, None
    for line in vm.lines:
        match = RESULT.match(line)
        if match:
            name, text = match[2], match[3] or ""
            skip = text[5:] if text.startswith("SKIP ") else None
            found[name] = Result(name, match[1] == "ok", text, skip, detail.get(name, []))
        elif line.startswith("# iq: expect-panic "):
            panic = line.split()[-1]
        elif line.startswith("# ") and ":" in line:
            detail.setdefault(line[2:].split(":")[0], []).append(line)
    out = []
    for name in expected:
        if name in found:
            out.append(found[name])
        elif name == panic and vm.why and vm.why.startswith("the machine ended early"):
            out.append(Result(name, True, detail=detail.get(name, [])))
        else:
            out.append(Result(name, False, f"no result: {vm.why or 'the guest said none'}; "
                              f"see {vm.serial}", detail=detail.get(name, [])))
    if vm.why == NO_POWER_OFF:
        out[-1].good = False
        out[-1].text += " " + vm.why
    return out


# ---- scenarios ---------------------------------------------------------------

class Ktap:
    """Results in the order of their end, numbered when they are printed."""

    def __init__(self):
        self.n = self.failed = 0
        self.lock = threading.Lock()

    @staticmethod
    def plan(total):
        print("KTAP version 1")
        print(f"1..{total}", flush=True)

    def add(self, prefix, result):
        with self.lock:
            self.n += 1
            for line in result.detail:
                # What went well stays in the machine's own file.
                if " ok " not in line:
                    print(line)
            text = f"{'ok' if result.good else 'not ok'} {self.n} {prefix}{result.name}"
            if result.skip is not None:
                text += f" # SKIP {result.skip}"
            elif result.text and not result.good:
                print(f"# {prefix}{result.name}: {result.text}")
            self.failed += not result.good
            print(text, flush=True)
            say(text)


class Matrix:
    """Kind of reset x vendor: was the quarantine lifted? Filled by the guests."""

    KINDS = ("flr", "acpi", "af_flr", "pm", "bus", "device_specific", "slot", "hot_reset",
             "reset_subordinate", "aer", "power", "suspend", "hibernate", "vf_flr", "pf_flr",
             "vfio_reset", "vfio_hot_reset", "vfio_close")
    # What no guest can do, and why that is no gap that a scenario could fill.
    ELSEWHERE = {
        "cxl_bus": "no CXL port in these machines; the inner reset is that of 'bus'",
        "dpc": "QEMU 10.0 has no port with DPC; the call-outs in pcie_do_recovery() are "
               "those of 'aer', which runs them",
        "d3cold": "nothing here turns a slot's power off and on under a bound driver; 'power' "
                  "asks for D3cold, gets D3hot, and goes by the same call-outs; KUnit cuts the "
                  "power (iq_body_power_cut)",
    }
    NO_ACPI = "the machine has a device tree; what _RST is bracketed with is the same everywhere"
    # The same of single cells
    ARGUED = {
        ("acpi", "reset", "arm"): NO_ACPI,
        ("acpi", "no-reset", "arm"): NO_ACPI,
        ("hibernate", "reset", "arm"):
            "the SMMUv3's driver has no resume: after an image was restored the registers are "
            "those of the kernel that has read it, quarantine or not",
    }
    EXPECTED = {"reset": "lifted", "no-reset": "kept"}

    def __init__(self, vendors):
        self.vendors = vendors
        self.cells = {}
        self.lock = threading.Lock()

    def take(self, vendor, line):
        words = line.split()
        if words[:3] == ["#", "iq:", "matrix"]:
            with self.lock:
                self.cells.setdefault((words[3], words[4], vendor), set()).add(words[5])

    def cell(self, kind, happened, vendor):
        """(text, whether it is as it has to be)"""
        found = self.cells.get((kind, happened, vendor))
        if not found and (kind, happened, vendor) in self.ARGUED:
            return "see below", True
        text = "/".join(sorted(found or {"not run"}))
        return text, text == self.EXPECTED[happened]

    def table(self):
        rows, good = [], True
        rows.append(f"{'kind of reset':20}{'':14}{'expected':10}" +
                    "".join(f"{vendor:10}" for vendor in self.vendors))
        for kind in self.KINDS:
            for happened, expected in self.EXPECTED.items():
                cells = [self.cell(kind, happened, vendor) for vendor in self.vendors]
                good = good and all(right for _, right in cells)
                what = "happened" if happened == "reset" else "did nothing"
                rows.append(f"{kind:20}{what:14}{expected:10}" +
                            "".join(f"{text + ('' if right else ' (!)'):10}"
                                    for text, right in cells))
        for (kind, vendor), why in {(k, v): why for (k, _, v), why in self.ARGUED.items()
                                    if v in self.vendors}.items():
            rows.append(f"{kind + ', ' + vendor:20}not run here: {why}")
        for kind, why in self.ELSEWHERE.items():
            rows.append(f"{kind:20}not run here: {why}")
        return [row.rstrip() for row in rows], good

    def result(self):
        rows, good = self.table()
        for row in rows:
            say(row)
        return Result("reset_matrix", good, "a cell is not as expected, or was not run",
                      detail=[f"# {row}" for row in rows])


def in_parallel(jobs, waiting=()):
    """Runs callables, two machines at a time, and beside them one of those that mostly wait;
    the first exception counts."""
    with concurrent.futures.ThreadPoolExecutor(VMS_AT_ONCE) as pool, \
            concurrent.futures.ThreadPoolExecutor(1) as beside:
        # Who asks for one at a time gets one
        extra = beside if VMS_AT_ONCE > 1 else pool
        for future in [extra.submit(job) for job in waiting] + [pool.submit(job) for job in jobs]:
            future.result()


def vendor_of(machine):
    return next(v for v, machines in VENDORS.items() if machine in machines)


def grafted_jobs(guest, machines, only, ktap, again, matrix):
    """(names, callable, whether it mostly waits) for each virtual machine to boot.

    With the SMMUv3 driver as a module, which init loads, it is a choice of them by default.
    """
    prefix = ""
    if guest.kind == "module":
        prefix, only = "module/", only or scenarios_named(MODULE)
    table = scenario_table()
    jobs = []
    firsts = [next(m for m in machines if m in of)
              for of in VENDORS.values() if set(of) & set(machines)]

    def job(machine, group, names):
        vm = Vm(guest, machine, group, f"iq.run={','.join(names)} {GROUPS[group]}",
                deadline=600, idle=240 if group == "slow" else 120,
                more=more_endpoints(names), initrd=guest.initrd(group),
                on_line=functools.partial(matrix.take, vendor_of(machine)))
        for result in run_or_recall(vm, again, lambda: results_of(vm, names)):
            ktap.add(f"{prefix}{machine}/", result)

    for group in GROUPS:
        for machine in machines:
            names = [n for n, g in table if g == group and (not only or n in only) and
                     n not in NOT_ON.get(machine, ())]
            if group in X86_GROUPS and MACHINES[machine].arch is not X86:
                continue
            if names and (group == "main" or machine in firsts and
                          group.split("-")[0] not in set(VENDORS) - {vendor_of(machine)}):
                jobs.append((names, functools.partial(job, machine, group, names),
                             group in WAITING_GROUPS))
    return jobs


def judge_plain(result, want):
    """Turns what happened on the ungrafted kernel into a verdict."""
    if want is None:
        return result
    first = next((line.split(" FAIL ")[1].split(":")[0] for line in result.detail
                  if " FAIL " in line), None)
    good = not result.good and first in want.split("|")
    text = ("" if good else "passes on the ungrafted kernel: it proves nothing"
            if result.good else f"fails at {first}, not at {want}" if first else result.text)
    return Result(result.name, good, text or result.text, None,
                  result.detail + [f"# {result.name}: red without the graft at {first}"])


PLAIN_VMS = 4
# Leaves a command buffer that stands still for ever, or one that takes longer to
# come back than the next scenario waits.
PLAIN_ALONE = {"amd_halt", "silent_none", "silent_busmaster", "silent_back", "amd_silent_full",
               "watchdogs",
               "arm_gerror_cpu", "arm_flood", "arm_lazy", "arm_slow_neighbour", "arm_two_dead",
               "arm_batch", "arm_batch_two"}


def plain_table(machine):
    return {"intel": PLAIN, "amd": PLAIN_AMD, "arm": PLAIN_ARM}[vendor_of(machine)]


def begun(vm, names):
    """Those that the machine came to before one left it in no state for the next; all, if
    it came to none."""
    lines = set(vm.lines)
    return [name for name in names if f"# iq: start {name}" in lines] or names


def plain_jobs(guest, machines, only, ktap, again, _matrix):
    """A machine that a scenario has locked up is of no use to the next ones: they get another."""
    jobs = []
    groups = dict(scenario_table())

    def job(machine, todo):
        while todo:
            ports = GROUPS["hotplug"] if any(groups[name] == "hotplug" for name in todo) else ""
            vm = Vm(guest, machine, todo[0],
                    f"iq.run={','.join(todo)} iq.limit=3000 {ports}".rstrip(),
                    deadline=300, idle=100, more=more_endpoints(todo))
            for verdict in run_or_recall(vm, again, lambda vm=vm, todo=todo: [
                    judge_plain(result, plain_table(machine)[result.name])
                    for result in results_of(vm, begun(vm, todo))]):
                ktap.add(f"plain/{machine}/", verdict)
            todo = [name for name in todo if name not in begun(vm, todo)]

    for machine in machines:
        table = plain_table(machine)
        names = [n for n, _ in scenario_table() if n in table and (not only or n in only)]
        controls = [n for n in names if table[n] is None]
        broken = [n for n in names if n not in controls]
        alone = [n for n in broken if n in PLAIN_ALONE or (machine, n) in PLAIN_MACHINE]
        rest = [n for n in broken if n not in alone]
        shares = [controls] + [rest[i::PLAIN_VMS] for i in range(PLAIN_VMS)]
        jobs += [([n], functools.partial(job, PLAIN_MACHINE.get((machine, n), machine), [n]),
                  False) for n in alone]
        jobs += [(share, functools.partial(job, machine, share), False)
                 for share in shares if share]
    return jobs


def scenarios_named(words):
    """Those of a group for @GROUP."""
    names = []
    for word in words:
        of_word = [name for name, group in scenario_table() if word in (name, "@" + group)]
        if not of_word:
            die(f"no such scenario or group: {word}; see run.py list")
        names += of_word
    return names


def cmd_scenarios(args):
    only = scenarios_named(args.only.split(",")) if args.only else None
    again = asked_again(args)
    vendors = vendors_asked(args)
    kinds = [args.kernel] if args.kernel else ["grafted", "plain"]
    jobs, waiting, total = [], [], 0
    ktap, matrix = Ktap(), Matrix(vendors)
    for kind in kinds:
        make = plain_jobs if kind == "plain" else grafted_jobs
        machines = ["arm"] if kind == "module" else [args.machine] if args.machine else [
            m for v in vendors for m in (VENDORS[v] if kind == "grafted" else VENDORS[v][:1])]
        for arch in (X86, ARM64):
            of_arch = [m for m in machines if MACHINES[m].arch is arch]
            if not of_arch:
                continue
            for names, job, waits in make(Guest(kind, arch), of_arch, only, ktap, again,
                                          matrix):
                (waiting if waits else jobs).append(job)
                total += len(names)
    if not total:
        die("none of these scenarios is one of these machines")
    # A part of the machines or of the scenarios cannot fill it.
    whole = "grafted" in kinds and not only and not args.machine
    ktap.plan(total + whole)
    in_parallel(jobs, waiting)
    if whole:
        ktap.add("", matrix.result())
    elif matrix.cells:
        for row in matrix.table()[0]:
            say(row)
    return ktap.failed


# ---- mutants -----------------------------------------------------------------

VTD = "drivers/iommu/quarantine/intel-vtd/quarantine.c"
AMD = "drivers/iommu/quarantine/amd-iommu/quarantine.c"
CORE = "drivers/iommu/quarantine/core/"
# As the driver's Makefile names what becomes a part of it.
SMMU = "drivers/iommu/arm/arm-smmu-v3/../../quarantine/arm-smmu-v3/quarantine.c"

# name, file, regular expression (must match exactly once), replacement,
# scenario that has to go red, the check (or one of a|b) that has to fail in it, machines
MUTANTS = [
    ("no-context-flush", VTD,
     r"\n\trc = vtd_invalidate_contexts\(iommu\);\n", "\n\trc = 0;\n", "wedge_unmap",
     "reused-pages-damaged", ("legacy", "scalable")),
    # The report goes out, the worker blocks the device soon after.
    ("fence-after-return", VTD,
     r"\t\t\tif \(state == VTD_FENCING\)\n\t\t\t\tvtd_fence\(vdev\);\n\t\t\telse\n",
     "\t\t\tif (state == VTD_FENCING) {\n"
     "\t\t\t\tiommu_quarantine_report(vdev->info->dev, &vdev->evidence);\n"
     "\t\t\t\tstate = VTD_FENCED;\n"
     "\t\t\t\tbreak;\n\t\t\t} else\n", "wedge_unmap", "reused-pages-damaged",
     ("legacy", "scalable")),
    ("no-rerun", VTD, r"\tif \(rc == -EAGAIN\) \{\n", "\tif (rc == -EAGAIN)\n\t\trc = 0;\n\tif (false) {\n",
     "neighbour_ahead", "neighbour-invalidations", ("legacy",)),
    # The fenced device is asked once more, and the neighbour waits for it once more.
    ("fenced-is-asked", VTD,
     r"\t\tstate = atomic_read\(&vdev->state\);\n(?=\t\tif \(state == VTD_HEALTHY\)\n\t\t\treturn false;)",
     "\t\tstatic atomic_t once;\n\n"
     "\t\tstate = atomic_read(&vdev->state);\n"
     "\t\tif (state == VTD_FENCED && !atomic_xchg(&once, 1))\n\t\t\treturn false;\n",
     "neighbour_unmaps", "neighbour-stalls", ("legacy",)),
    # A second CPU takes somebody else's fence, not finished yet, for done.
    ("fencing-is-fenced", VTD,
     r"\t\t\tif \(state == VTD_FENCING\)\n\t\t\t\tvtd_fence\(vdev\);\n\t\t\telse\n",
     "\t\t\tif (state == VTD_FENCING) {\n"
     "\t\t\t\tstatic atomic_t busy;\n\n"
     "\t\t\t\tif (atomic_xchg(&busy, 1)) {\n"
     "\t\t\t\t\tstate = VTD_FENCED;\n\t\t\t\t\tbreak;\n\t\t\t\t}\n"
     "\t\t\t\tvtd_fence(vdev);\n\t\t\t\tatomic_set(&busy, 0);\n"
     "\t\t\t} else\n", "hold_flush", "second-page-damaged", ("scalable",)),
    ("writer-not-masked", VTD,
     r"\tif \(vtd_is_fenced\(vdev\)\)\n\t\tcontext->lo = vtd_masked\(vdev, n, context->lo\);\n"
     r"(\tstore\(context\);\n)[^;]*;\n",
     "\tstore(context);\n", "hold_attach", "stale-writes-through",
     ("legacy",)),
    ("no-scrub", VTD, r"\n\tvtd_scrub\(iommu, head\);\n", "\n", "four_cpus", "timeouts",
     ("scalable",)),
    ("amd-no-dte-flush", AMD, r"amd_quarantine_submit\(adev->iommu, cmd, i, &data\)",
     "amd_quarantine_submit(adev->iommu, NULL, 0, &data)", "wedge_unmap",
     "reused-pages-damaged", ("amd",)),
    # The permission stays in the table until the driver's blocking attach.
    ("amd-fence-later", AMD, r"if \(amd_is_fenced\(adev\)\)\n\t\t\tWRITE_ONCE\(dte",
     "if (false)\n\t\t\tWRITE_ONCE(dte", "wedge_unmap", "reused-pages-damaged", ("amd",)),
    ("amd-writer-not-masked", AMD,
     r"if \(amd_is_fenced\(adev\)\)\n\t\tmasked.data\[1\] =",
     "if (false)\n\t\tmasked.data[1] =", "hold_attach", "stale-writes-through", ("amd",)),
    # A wait that has completed is taken for an answer.
    ("amd-trust-the-wait", AMD,
     r"if \(slow \|\| atomic_read\(&unit->slow\) \|\|", "if (", "old_hardware",
     "reused-pages-damaged", ("amd",)),
    ("arm-no-cfgi", SMMU, r"issue_cmdlist\(smmu, &smmu->cmdq, &cmd, 1,",
     "issue_cmdlist(smmu, &smmu->cmdq, NULL, 0,", "wedge_unmap", "reused-pages-damaged",
     ("arm",)),
    ("arm-fence-later", SMMU, r"if \(smmu_is_fenced\(sdev\)\)\n\t\t\tWRITE_ONCE\(ste",
     "if (false)\n\t\t\tWRITE_ONCE(ste", "wedge_unmap", "reused-pages-damaged", ("arm",)),
    ("arm-writer-not-masked", SMMU, r"if \(smmu_is_fenced\(sdev\)\)\n\t\tval &=",
     "if (false)\n\t\tval &=", "attach_fenced", "stale-writes-through", ("arm",)),
    # A CMD_SYNC that was repeated is taken for an answer, unless one device was alone.
    ("arm-trust-the-sync", SMMU,
     r"if \(READ_ONCE\(smmu_quarantine_word\) >> 1 == wait->word >> 1\)", "if (true)",
     "shared_domain", "stale-writes-through", ("arm",)),
    ("core-freeze-forgotten", CORE + "bus.c", r"\tpower_down\(pdev, true\);\n", "",
     "hibernate", "recovered", ("amd",)),
    # An index that finds somebody for every DeviceID
    ("amd-blames-the-next", AMD,
     r"\treturn xa_load\(&amd_devs, amd_key\(iommu, devid\)\);\n",
     "\tunsigned long key = amd_key(iommu, devid);\n\n"
     "\treturn xa_find(&amd_devs, &key, ULONG_MAX, XA_PRESENT);\n", "amd_event_gone",
     "neighbour-healthy", ("amd",)),
    ("amd-loses-silently", AMD, r"\n\tiommu_quarantine_unprotected\(name\);", "\n\t;",
     "amd_silent_full", "losses-counted", ("amd",)),
    ("amd-lost-for-ever", AMD,
     r"if \(unlikely\(READ_ONCE\(unit->lost\)\)\)\n", "if (false)\n", "silent_back",
     "recovered", ("amd",)),
    ("arm-lost-for-ever", SMMU,
     r"if \(unlikely\(READ_ONCE\(unit->lost\)\)\)\n", "if (false)\n", "silent_back",
     "no-losses-later", ("arm",)),
    ("arm-lost-in-silence", SMMU,
     r"\t\tsmmu_declare_lost\(unit\);\n\t\treturn -ETIMEDOUT;\n",
     "\t\tif (!READ_ONCE(unit->lost))\n\t\t\tsmmu_declare_lost(unit);\n\t\treturn -ETIMEDOUT;\n",
     "silent_back", "second-loss-counted", ("arm",)),
    ("arm-irq-only", SMMU,
     r"\tif \(!iommu_quarantine_reports\(\)\)(?=\n\t\treturn;)", "\tif (!iommu_quarantine_reports() || !in_hardirq())",
     "arm_gerror_cpu", "unmap-returned", ("arm",)),
    ("arm-not-muted", SMMU, r"\treturn muted;\n", "\treturn false;\n", "arm_flood",
     "neighbour-event-told", ("arm",)),
    ("no-bus-bracket", CORE + "bus.c", r"\twalk_below\(bridge, bus_open, 0\);",
     "\tif (false)\n\t\twalk_below(bridge, bus_open, 0);", "kind_hot_reset", "recovered",
     ("amd",)),
    ("no-bus-block", CORE + "bus.c", r"\twalk_below\(bridge, bus_open, 0\);",
     "\tif (false)\n\t\twalk_below(bridge, bus_open, 0);", "bus_quiet",
     "invalidations-in-reset", ("amd",)),
    ("ids-of-a-vf", CORE + "reset.c", r"pdev->is_virtfn \? PCI_COMMAND : PCI_VENDOR_ID;",
     "PCI_VENDOR_ID;", "kind_vf_flr", "recovered", ("amd",)),
    ("no-vf-bracket", CORE + "bus.c",
     r"\t\tquarantine_walk\(pf, is_vf_of, bus_open, 0\);", "\t\t;", "kind_pf_flr", "recovered",
     ("amd",)),
    ("no-vf-block", CORE + "bus.c",
     r"\t\tquarantine_walk\(pf, is_vf_of, bus_open, 0\);", "\t\t;", "vf_quiet",
     "invalidations-in-reset", ("amd",)),
    # Nothing that happened is taken for a reset.
    ("no-lift", CORE + "quarantine.c", r"if \(!q \|\| !q->proven\)\n\t\treturn false;",
     "if (true)\n\t\treturn false;", "reset_meanwhile", "recovered", ("amd",)),
    ("recovery-count-leaks", "drivers/iommu/iommu.c",
     r"(?<=list_del\(&device->list\);\n)\t\tquarantine_gdev_remove\(group, device\);\n", "",
     "remove_sibling", "sibling-attach", ("amd",)),
    # Whatever is found in the slot is taken for what was removed.
    ("no-proof-of-a-new-one", CORE + "quarantine.c",
     r"if \(quarantine_proof_holds\(to_pci_dev\(dev\), &q->proof\)\)", "if (false)",
     "hotplug_quarantined", "state-healthy", ("amd",)),
    ("no-power-bracket", CORE + "bus.c",
     r"\tif \(state == Q_RELEASED \|\| q->deferred\)\n", "\tif (state >= 0)\n",
     "kind_power", "recovered", ("amd",)),
    ("admin-not-heard", CORE + "sysfs.c", r"\n\tiommu_quarantine_report\(dev, &evidence\);", "\n\t;",
     "admin", "quarantined", ("amd",)),
    ("fence-untold", CORE + "quarantine.c", r"\n\ttrace_iommu_device_fenced\(dev, evidence\);", "",
     "events", "iommu_device_fenced", ("amd",)),
    ("report-blocks", CORE + "quarantine.c",
     r"if \(iommu_quarantine_enabled\(\) &&\n\t    atomic_read", "if (true &&\n\t    atomic_read",
     # Blocked before its state is looked at for the first time, or afterwards
     "param_report", "state-reported|not-quarantined", ("amd",)),
    ("option-unknown", CORE + "quarantine.c", r'= "off",', '= "of",', "param_off", "page-damaged",
     ("amd",)),
    ("report-does-not-panic", CORE + "quarantine.c", r"if \(policy == Q_POLICY_PANIC\)", "if (false)",
     "param_panic", "panicked", ("amd",)),
    ("amd-silence-does-not-panic", AMD,
     r"if \(iommu_quarantine_last_resort\(\) == IOMMU_LAST_RESORT_PANIC\)", "if (false)",
     "silent_panic", "panicked", ("amd",)),
    ("port-stays-shut", CORE + "quarantine.c", r"\tquarantine_reopen\(q\);\n", "",
     "silent_busmaster", "port-works-again", ("amd",)),
    ("vfio-owner-not-told", CORE + "vfio.c", r"\tquarantine_vfio_signal\(owner->vdev\);\n", "\t;\n",
     "vfio_reset", "owner-told", ("amd",)),
    # A reset that says 0 is taken for one: only the first invalidation, which is not
    # answered, sends the device back.
    ("trust-the-result", CORE + "reset.c", r"!failed && quarantine_proof_holds\(pdev, &proof\)",
     "!failed", "kind_device_specific", "timeouts-still", ("amd",)),
]

# "@fence": what memory is protected by, on each vendor. They are a part of make check.
FENCE_MUTANTS = {
    "no-context-flush", "fence-after-return", "fencing-is-fenced", "writer-not-masked",
    "amd-no-dte-flush", "amd-fence-later", "amd-writer-not-masked", "amd-trust-the-wait",
    "arm-no-cfgi", "arm-fence-later", "arm-writer-not-masked", "arm-trust-the-sync",
}


@contextlib.contextmanager
def locked(name, how=fcntl.LOCK_EX):
    """As take_lock of scripts/lib.sh has it, and until the block ends."""
    path = os.path.join(CACHE, "lock", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run ({name})")
            fcntl.flock(lock, how)
        yield


def mutant_build(base):
    """A copy of a build tree: the shared one stays as it is."""
    # Beside the original: the objects know their sources by a relative path.
    tree = base + "-mutant"
    if os.path.exists(tree):
        shutil.rmtree(tree)
    subprocess.run(["cp", "-a", base, tree], check=True)
    # The commands of the kernel's tools name it: else objtool is built anew, and all by it.
    old, new = (f"/{os.path.basename(path)}/" for path in (base, tree))
    for path in glob.iglob(os.path.join(tree, "tools", "**", ".*.cmd"), recursive=True):
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
        if old in text:
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(text.replace(old, new))
    return tree


def make_mutant(arch, source, build):
    """Build; returns what was compiled."""
    env = dict(arch.make_env(), CCACHE_DIR=os.path.join(CACHE, "ccache"), CCACHE_BASEDIR=CACHE,
               CCACHE_NOHASHDIR="1", CCACHE_NOCPP2="1")
    # As build-kernel.sh has set them: else all would be out of date.
    try:
        with open(os.path.join(build, ".iq-make"), encoding="utf-8") as handle:
            variables = handle.read().splitlines()
    except FileNotFoundError:
        die(f"{build} is of an older version; run scripts/build-kernel.sh grafted "
            f"--arch {arch.name}")
    log = os.path.join(build, "mutant.log")
    run_logged(["make", "-C", source, f"O={build}", *variables,
                f"-j{os.environ.get('IQ_JOBS', '2')}", os.path.basename(arch.image)], log,
               env=env)
    with open(log, encoding="utf-8") as handle:
        return re.findall(r"^  CC      (.*)$", handle.read(), re.M)


def build_mutant(arch, source, build, path, text):
    """Kbuild prefers a source in the build tree to the one in the source tree."""
    shadow = os.path.join(build, path)
    with open(shadow, "w", encoding="utf-8") as handle:
        handle.write(text)
    # It looks for its headers beside itself first, and these for theirs.
    compat = "drivers/iommu/quarantine/core/compat"
    os.makedirs(os.path.join(build, compat), exist_ok=True)
    # The lock of build-kernel.sh: nobody changes the source meanwhile
    with locked(f"kernel-grafted-{os.path.basename(source)}"):
        headers = [shutil.copy(header, to) for of, to in (
            (os.path.dirname(path), os.path.dirname(shadow)),
            (compat, os.path.join(build, compat)))
                   for header in glob.glob(os.path.join(source, of, "*.h"))]
        compiled = make_mutant(arch, source, build)
    for name in [shadow] + headers:
        os.unlink(name)
    if path[:-2] + ".o" not in compiled:
        die(f"{path} was not compiled from the mutated source, see {build}/mutant.log")


def mutated(source, name, path, pattern, replacement):
    """The text of PATH, and with the mutant in it."""
    with open(os.path.join(source, path), encoding="utf-8") as handle:
        before = handle.read()
    text, hits = re.subn(pattern, lambda _: replacement, before)
    if hits != 1:
        die(f"mutant {name}: its pattern matches {hits} times in {path}, not once; "
            "bring the table of mutants up to date")
    return before, text


def run_mutants(arch, chosen, ktap, again):
    """Mutants whose machines are all of one architecture."""
    guest = Guest("grafted", arch)
    source = guest.source
    build, pending = None, []
    # All that there are, before anything is built: one that does not fit ends the run
    texts = {mutant[0]: mutated(source, *mutant[:4])[1] for mutant in MUTANTS
             if MACHINES[mutant[6][0]].arch is arch}
    # Asked before there are threads: who asks first builds the program that answers.
    groups = dict(scenario_table())

    def judge(vm, name, scenario, check):
        result = results_of(vm, [scenario])[0]
        # A machine that died is no proof: the check has to have seen it.
        good = not result.good and any(f" FAIL {c}:" in l for c in check.split("|")
                                       for l in result.detail)
        return Result(name, good,
                      "" if good else f"{scenario} is not red at {check}: "
                                      f"{result.text or 'passed'}",
                      detail=result.detail)

    def job(vm, name, scenario, check):
        # Some go wrong in a race only, and that one is not lost each time.
        for attempt in range(1, 4):
            verdict = judge(vm.run(), name, scenario, check)
            if verdict.good:
                vm.record()
                break
            remark(f"{vm.machine}/mutant/{name}: not red, boot {attempt} of 3 at most")
        ktap.add(f"{vm.machine}/mutant/", verdict)

    with concurrent.futures.ThreadPoolExecutor(VMS_AT_ONCE) as pool:
        for name, path, _, _, scenario, check, machines in chosen:
            text = texts[name]
            mutant = guest.mutant(name, path, text)
            todo = []
            for machine in machines:
                vm = Vm(mutant, machine, name, f"iq.run={scenario} {GROUPS[groups[scenario]]}",
                        deadline=240, idle=100, more=more_endpoints([scenario]))
                if not again and vm.recall():
                    ktap.add(f"{machine}/mutant/", judge(vm, name, scenario, check))
                else:
                    todo.append(vm)
            if not todo:
                continue
            say(f"building mutant {name}")
            build = build or mutant_build(os.path.realpath(guest.build))
            build_mutant(arch, source, build, path, text)
            shutil.copyfile(os.path.join(build, arch.image), mutant.kernel)
            # The next one builds while this one runs.
            pending += [pool.submit(job, vm, name, scenario, check) for vm in todo]
        for future in pending:
            future.result()
    if build:
        shutil.rmtree(build)


def cmd_mutants(args):
    names = {m[0] for m in MUTANTS}
    only = set(args.only.split(",")) if args.only else names
    if "@fence" in only:
        only = only - {"@fence"} | FENCE_MUTANTS
    if not only <= names:
        die(f"no such mutant: {', '.join(sorted(only - names))}; there are: @fence, "
            f"{', '.join(m[0] for m in MUTANTS)}")
    machines = {m for v in vendors_asked(args) for m in VENDORS[v]}
    chosen = [m for m in MUTANTS if m[0] in only and machines & set(m[6])]
    if not chosen:
        die("none of these mutants is of these vendors")
    ktap = Ktap()
    with locked("mutants"):
        ktap.plan(sum(len(m[6]) for m in chosen))
        for arch in (X86, ARM64):
            of_arch = [m for m in chosen if MACHINES[m[6][0]].arch is arch]
            if of_arch:
                run_mutants(arch, of_arch, ktap, asked_again(args))
    return ktap.failed


# ---- demo --------------------------------------------------------------------

STEPS = {
    "io": "I/O with ATS on",
    "wedged": "device stops answering",
    "vanished": "device vanishes from the bus",
    "timeout": "hardware timeout",
    "fenced": "fenced",
    "reported": "reported",
    "quarantined": "quarantined",
    "unmapped": "unmap returned",
    "link-back": "link is back",
    "reused-pages": "what was reused meanwhile",
    "reset": "reset requested",
    "reset-done": "reset returned",
    "recovered": "recovered",
    "io-again": "I/O with ATS on again",
    "end": "end of the observation",
}

KINDS = ("plain", "grafted")

STORIES = {
    "wedged": "A device stops answering ATS invalidations",
    "vanished": "A device vanishes from the bus and comes back",
}


class Story:
    """What one kernel made of one breakage, on one vendor's machine."""

    def __init__(self, vendor, kind):
        self.vendor, self.kind = vendor, kind
        self.steps, self.figures = [], {}
        self.why = None

    def take(self, line):
        words = line.split(" ", 4)
        if line.startswith("# T "):
            when, name = int(words[2]), words[3]
            self.steps.append((when, name, words[4] if len(words) > 4 else ""))
        elif line.startswith("# N "):
            self.figures[words[2]] = int(words[3])

    def timeline(self):
        rows, shown, start = [], 0, None
        for when, name, text in sorted(self.steps, key=lambda s: s[0]):
            start = start if start is not None else when
            if name == "timeout":
                shown += 1
                if shown > 3:
                    continue
            rows.append(f"  {when / 1e9:10.3f} s  {STEPS.get(name, name):28} {text}".rstrip())
        if shown > 3:
            rows.append(f"  {'':12}  ... {shown - 3} more hardware timeouts")
        if self.why:
            rows.append(f"  {'':12}  stopped by the host: {self.why}")
        return rows

    def get(self, name, scale=None):
        if name not in self.figures:
            return "not known"
        value = self.figures[name]
        return f"{value / scale:.1f} ms" if scale else str(value)

    def column(self):
        fig = self.figures
        returned = fig.get("unmap_returned", 0)
        ops = fig.get("neighbour_ops", 0) - fig.get("neighbour_ops_before", 0)
        seconds = (fig.get("at_ns", 0) - fig.get("broke_ns", 0)) / 1e9
        return {
            "hardware timeouts suffered": self.get("timeouts"),
            "invalidations sent to it after its timeout": self.get("after_timeout"),
            "longest time a CPU sat with irqs off":
                ("more than " if not returned else "") + self.get("irqs_off_ns", 1e6),
            "pages corrupted by stale DMA":
                f"{fig.get('damaged_pages', 0)} of {fig.get('reused_pages', 0)} reused"
                + ("" if returned else ", unmap hangs"),
            "stale writes that went through": self.get("stale_through"),
            "neighbour's completed I/O": f"{ops} in {seconds:.1f} s",
            "neighbour's longest I/O": self.get("neighbour_max_ns", 1e6),
            "recovered": "yes" if fig.get("recovered") else "no",
        }


def tell(guests, what, vendors):
    stories = [Story(vendor, kind) for vendor in vendors for kind in KINDS]

    def job(story):
        machine = VENDORS[story.vendor][0]
        vm = Vm(guests[story.kind, MACHINES[machine].arch], machine, f"demo-{what}",
                f"iq.mode=demo iq.run={what} iq.timeout=1000", deadline=240, idle=90,
                on_line=story.take).run()
        say(f"{story.vendor}, {story.kind} kernel: {vm.why or 'told'}")
        if vm.why and story.figures:
            story.why = vm.why
        elif not story.figures:
            die(f"the {story.kind} guest showed nothing: {vm.why}; see {vm.serial}")

    say(f"{STORIES[what]}: {len(stories)} machines, {VMS_AT_ONCE} at a time")
    in_parallel([functools.partial(job, story) for story in stories])
    print(f"\n== {STORIES[what]} ==")
    for story in stories:
        print(f"\n{story.vendor}, {story.kind} kernel (guest time)")
        print("\n".join(story.timeline()))
    columns = [story.column() for story in stories]
    width = max(len(v) for c in columns for v in c.values()) + 2
    print()
    for heads in ([s.vendor for s in stories], [s.kind for s in stories]):
        print(f"  {'':44}" + "".join(f"{head:{width}}" for head in heads).rstrip())
    for row in columns[0]:
        print(f"  {row:44}" + "".join(f"{c[row]:{width}}" for c in columns).rstrip())
    sys.stdout.flush()
    return all(column["recovered"] == "yes" and column["hardware timeouts suffered"] == "1"
               for story, column in zip(stories, columns) if story.kind == "grafted")


def vendors_asked(args):
    vendors = args.vendor.split(",") if args.vendor else list(VENDORS)
    unknown = set(vendors) - set(VENDORS)
    if unknown:
        die(f"no such vendor: {', '.join(sorted(unknown))}; there are: {', '.join(VENDORS)}")
    return vendors


def cmd_demo(args):
    vendors = vendors_asked(args)
    archs = {MACHINES[VENDORS[v][0]].arch for v in vendors}
    guests = {(kind, arch): Guest(kind, arch) for kind in KINDS for arch in archs}
    good = True
    for what in STORIES:
        if not args.only or what in args.only.split(","):
            good = tell(guests, what, vendors) and good
    if not good:
        say("the grafted kernel did not do what it should")
    return 0 if good else 1


# ---- bench -------------------------------------------------------------------

# One instruction is one nanosecond, on one host thread: what the host does
# beside it hardly matters.
ICOUNT = ("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on")

BENCH = {
    "unmap": "strict unmap, one device",
    "unmap_shared": "strict unmap, domain of two devices",
}


def cmd_bench(args):
    """Ratios, grafted against ungrafted; kernels without debugging aids."""
    vendors = vendors_asked(args)
    machines = [m for v in vendors for m in VENDORS[v][:2]]
    guests = {(kind, MACHINES[m].arch): Guest(f"{kind}-bench", MACHINES[m].arch)
              for kind in KINDS for m in machines}
    figures = {}

    def job(kind, machine):
        vm = Vm(guests[kind, MACHINES[machine].arch], machine, "bench",
                "iq.run=@bench nowatchdog", deadline=600, idle=300, accel=ICOUNT).run()
        for line in vm.lines:
            if line.startswith("# B "):
                _, _, name, value = line.split()
                figures[machine, kind, name] = int(value)
        missing = [n for n in BENCH if (machine, kind, n) not in figures]
        if missing:
            die(f"no figure of {', '.join(missing)} from {machine}, {kind}: {vm.why}; "
                f"see {vm.serial}")

    in_parallel([functools.partial(job, kind, machine)
                 for machine in machines for kind in KINDS])
    print("Instructions that one operation takes, waiting included; a healthy device\n")
    print(f"{'':36}{'machine':12}{'ungrafted':>12}{'grafted':>12}{'ratio':>9}")
    for name, text in BENCH.items():
        for machine in machines:
            plain, grafted = (figures[machine, kind, name] / 1000 for kind in KINDS)
            print(f"{text:36}{machine:12}{plain:12.0f}{grafted:12.0f}{grafted / plain:9.3f}")
    return 0


def cmd_list(_args):
    sys.stdout.write(listing())
    return 0


def start_run():
    """A folder for this run, "last" points to it; old ones go."""
    runs = sorted(glob.glob(os.path.join(OUT, "run-*")), key=os.path.getmtime)
    for old in runs[:-KEEP_RUNS]:
        if not os.path.exists(f"/proc/{old.rsplit('-', 1)[1]}"):
            shutil.rmtree(old)
    for record in glob.glob(os.path.join(RECORDS, "*")):
        if time.time() - os.path.getmtime(record) > KEEP_RECORDS_DAYS * 86400:
            os.unlink(record)
    if os.path.exists(RUN):
        shutil.rmtree(RUN)
    os.makedirs(RUN)
    link = os.path.join(OUT, f"last-{os.getpid()}")
    os.symlink(os.path.basename(RUN), link)
    os.replace(link, os.path.join(OUT, "last"))


def stop(*_):
    """A signal: the pools wait for what is left, which begins nothing any more."""
    STOPPING.set()
    sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("scenarios")
    p.add_argument("--kernel", choices=("grafted", "plain", "module"),
                   help="default: the first two")
    vendor = {"metavar": "NAME,...", "help": "default: all there are"}
    which = p.add_mutually_exclusive_group()
    which.add_argument("--vendor", **vendor)
    which.add_argument("--machine", choices=tuple(MACHINES))
    p.add_argument("--only", metavar="NAME|@GROUP,...")
    p.set_defaults(fn=cmd_scenarios)
    again = {"action": "store_true",
             "help": "boot also where the record of an earlier run would do"}
    p.add_argument("--again", **again)
    p = sub.add_parser("mutants")
    p.add_argument("--vendor", **vendor)
    p.add_argument("--only", metavar="NAME|@fence,...")
    p.add_argument("--again", **again)
    p.set_defaults(fn=cmd_mutants)
    p = sub.add_parser("demo")
    p.add_argument("--only", metavar="STORY,...")
    p.add_argument("--vendor", **vendor)
    p.set_defaults(fn=cmd_demo)
    p = sub.add_parser("bench")
    p.add_argument("--vendor", **vendor)
    p.set_defaults(fn=cmd_bench)
    p = sub.add_parser("list")
    p.set_defaults(fn=cmd_list)
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # Any number at a time, but not while scripts/clean.sh removes what they boot
    with locked("guest", fcntl.LOCK_SH):
        start_run()
        sys.exit(1 if args.fn(args) else 0)


if __name__ == "__main__":
    main()
