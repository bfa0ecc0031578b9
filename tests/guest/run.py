#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Boot the test kernels in QEMU and run the guest's scenarios.

    run.py scenarios [--kernel grafted|plain] [--machine NAME] [--only NAME,...]
    run.py demo [--quick]
    run.py mutants [--only NAME,...]
    run.py list

KTAP goes to stdout, progress to stderr; serial logs and raw results stay in
$IQ_CACHE/out. On the ungrafted kernel a scenario passes if it fails there, at
the very check that is written down for it: what passes there proves nothing.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import os
import re
import shutil
import signal
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
VMS_AT_ONCE = int(os.environ.get("IQ_VMS", "2"))

MACHINES = {
    "legacy": ("device-iotlb=on,intremap=on,aw-bits=48", "intel_iommu=on,sm_off"),
    "scalable": ("device-iotlb=on,intremap=on,aw-bits=48,x-scalable-mode=on,x-flts=on",
                 "intel_iommu=on,sm_on"),
    "legacy-cm": ("device-iotlb=on,intremap=on,aw-bits=48,caching-mode=on",
                  "intel_iommu=on,sm_off"),
}

# Any complaint ends the grafted guest: warnings, KASAN, oopses, RCU stalls.
STRICT = ("panic_on_warn=1 oops=panic panic=-1 sysctl.kernel.panic_on_rcu_stall=1 "
          "sysctl.kernel.hung_task_panic=1 sysctl.kernel.softlockup_panic=1")

# group -> extra kernel command line; a group is a virtual machine of its own.
GROUPS = {
    "main": "",
    "slow": "sysctl.kernel.hung_task_timeout_secs=300",
    "report": "iommu_quarantine=report",
    "off": "iommu_quarantine=off",
    "panic": "iommu_quarantine=panic",
}

# The first check that has to fail on the ungrafted kernel. None: a control,
# which has to pass there too. What is not here asks for an interface that
# only the graft brings, or for another command line.
PLAIN = {
    "healthy": None,
    "healthy_neighbour": None,
    "wedge_unmap": "unmap-returned",
    "wedge_irqs_off": "unmap-returned",
    "wedge_writing": "unmap-returned",
    "recover": "unmap-returned",
    "twice": "unmap-returned",
    "probe": "unmap-returned",
    "idle_reset": "unmap-returned",
    "attach_busy": "unmap-returned",
    "many": "unmap-returned",
    "four_cpus": "unmap-returned",
    "both": "unmap-returned",
    "vanished": "reused-pages-damaged",
    "old_hardware": "unmap-returned",
    "dead_read": "unmap-returned",
    "neighbour_unmaps": "unmap-returned",
    "neighbour_quiet": "unmap-returned",
    "irte": "unmap-returned",
    "hold_flush": "unmap-returned",
    "hold_attach": "unmap-returned",
    "unbind_bind": "unmap-returned",
    "unbind_wedged": "unbind-returned",
    "remove_quarantined": "unmap-returned",
    "remove_wedged": "remove-returned",
    "remove_pending": "unmap-returned",
    "failing_reset": "unmap-returned",
}


def say(text):
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def die(text):
    say(f"error: {text}")
    sys.exit(1)


def newest(pattern, what, hint):
    found = sorted(glob.glob(os.path.join(CACHE, pattern)), key=os.path.getmtime)
    if not found:
        die(f"there is no {what} below the cache; run {hint}")
    return found[-1]


def build_dir(kind):
    image = newest(f"build/linux-*-{kind}/arch/x86/boot/bzImage", f"{kind} kernel",
                   f"scripts/build-kernel.sh {kind}")
    return image[:-len("/arch/x86/boot/bzImage")]


def qemu_binary():
    return newest("build/qemu-*/build/qemu-system-x86_64", "QEMU with the fault model",
                  "scripts/build-qemu.sh")


# ---- what the guest boots ----------------------------------------------------

def run_logged(cmd, log, **kw):
    with open(log, "w", encoding="utf-8") as handle:
        status = subprocess.run(cmd, stdout=handle, stderr=subprocess.STDOUT,
                                check=False, **kw).returncode
    if status:
        with open(log, encoding="utf-8", errors="replace") as handle:
            sys.stderr.write("".join(handle.readlines()[-30:]))
        die(f"{' '.join(cmd[:3])} ... failed, see {log}")


def copy_if_changed(src, dst):
    with open(src, "rb") as handle:
        data = handle.read()
    if os.path.exists(dst):
        with open(dst, "rb") as handle:
            if handle.read() == data:
                return
    with open(dst, "wb") as handle:
        handle.write(data)


def build_init(work):
    sources = [os.path.join(HERE, f) for f in ("init.c", "guest.c", "scenarios.c", "demo.c")]
    init = os.path.join(work, "init")
    run_logged(["gcc", "-static", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-o", init] +
               sources, os.path.join(work, "init.log"))
    return init


def build_module(build, work):
    mod = os.path.join(work, "module")
    os.makedirs(mod, exist_ok=True)
    for name in ("iqtest.c", "iqtest.h", "Kbuild"):
        copy_if_changed(os.path.join(HERE, name), os.path.join(mod, name))
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "KBUILD_OUTPUT", "ARCH")}
    run_logged(["make", "-C", build, f"M={mod}", "modules"],
               os.path.join(work, "module.log"), env=env)
    return os.path.join(mod, "iqtest.ko")


def cpio_entry(name, mode, data=b"", rdev=(0, 0)):
    """One member of a "newc" archive; device nodes need no root this way."""
    raw = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0]
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def make_initramfs(init, module, path):
    with open(init, "rb") as handle:
        init_data = handle.read()
    with open(module, "rb") as handle:
        module_data = handle.read()
    parts = [cpio_entry(d, stat.S_IFDIR | 0o755) for d in ("dev", "proc", "sys")]
    parts += [
        cpio_entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1)),
        cpio_entry("init", stat.S_IFREG | 0o755, init_data),
        cpio_entry("iqtest.ko", stat.S_IFREG | 0o644, module_data),
        cpio_entry("TRAILER!!!", 0),
    ]
    with open(path, "wb") as handle:
        handle.write(b"".join(parts))


class Guest:
    """Kernel and initramfs of one kind."""

    def __init__(self, kind, build=None):
        self.kind = kind
        self.build = build or build_dir(kind)
        self.kernel = os.path.join(self.build, "arch/x86/boot/bzImage")
        # Two build directories of one kind (mutants) must not share a module.
        tag = hashlib.sha256(self.build.encode()).hexdigest()[:8]
        work = os.path.join(OUT, f"{kind}-{tag}")
        os.makedirs(work, exist_ok=True)
        self.init = build_init(work)
        self.initramfs = os.path.join(work, "initramfs.cpio")
        make_initramfs(self.init, build_module(self.build, work), self.initramfs)

    def table(self):
        text = subprocess.run([self.init, "--list"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        return [tuple(line.split()) for line in text.splitlines()]


# ---- one virtual machine -----------------------------------------------------

class Vm:
    """Runs QEMU to its end or to our deadlines, and collects the lines."""

    def __init__(self, guest, machine, tag, args, cpus=4, deadline=300, idle=60,
                 on_line=None):
        self.lines = []
        self.why = None          # why it did not come to a proper end
        self.on_line = on_line
        self.guest, self.machine, self.args = guest, machine, args
        self.cpus, self.deadline, self.idle = cpus, deadline, idle
        self.base = os.path.join(OUT, f"{guest.kind}-{machine}-{tag}")
        self.serial = self.base + ".serial"
        self.ktap = self.base + ".ktap"

    def command(self):
        iommu, kernel_iommu = MACHINES[self.machine]
        strict = STRICT if self.guest.kind == "grafted" else "panic=-1"
        append = (f"console=ttyS0 loglevel=6 {kernel_iommu} iommu.strict=1 "
                  f"iommu.passthrough=0 {strict} {self.args}")
        return [
            qemu_binary(), "-L", "/usr/share/seabios", "-L", "/usr/share/qemu",
            "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+x2apic",
            "-smp", str(self.cpus), "-m", "1024", "-nodefaults", "-no-reboot",
            "-display", "none", "-serial", f"file:{self.serial}",
            "-device", f"intel-iommu,{iommu}",
            "-device", "iommu-fault-ctl",
            "-device", "pcie-root-port,id=rp1,chassis=1,slot=1",
            "-device", "pcie-root-port,id=rp2,chassis=2,slot=2",
            "-device", "iommu-fault-endpoint,bus=rp1",
            "-device", "iommu-fault-endpoint,bus=rp2",
            "-device", "virtio-serial-pci",
            "-chardev", f"file,id=ktap,path={self.ktap}",
            "-device", "virtserialport,chardev=ktap,name=iq.ktap",
            "-kernel", self.guest.kernel, "-initrd", self.guest.initramfs,
            "-append", append,
        ]

    def run(self):
        for path in (self.serial, self.ktap):
            if os.path.exists(path):
                os.unlink(path)
        with open(self.base + ".qemu", "w", encoding="utf-8") as log:
            log.write(" ".join(self.command()) + "\n")
            log.flush()
            proc = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=subprocess.STDOUT)
            try:
                self.watch(proc)
            finally:
                if proc.poll() is None:
                    proc.kill()
                proc.wait()
        self.take()
        return self

    def watch(self, proc):
        start = fresh = time.monotonic()
        done_at = None
        while True:
            ended = proc.poll() is not None
            if self.take():
                fresh = time.monotonic()
            if ended:
                if not self.done():
                    self.why = f"the machine ended early (QEMU status {proc.returncode})"
                return
            now = time.monotonic()
            if self.done():
                done_at = done_at or now
                if self.lines[-1].endswith("lost") or "# iq: done lost" in self.lines:
                    return
                if now - done_at > 30:
                    self.why = "the guest did not power off"
                    return
            elif now - start > self.deadline:
                self.why = f"not finished after {self.deadline} s"
                return
            elif now - fresh > self.idle:
                self.why = f"silent for {self.idle} s"
                return
            time.sleep(0.05)

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
            if self.on_line:
                self.on_line(line)
        return len(fresh)


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
    if vm.why == "the guest did not power off":
        out[-1].good = False
        out[-1].text += " " + vm.why
    return out


# ---- scenarios ---------------------------------------------------------------

class Ktap:
    """Results in the order of their end, numbered when they are printed."""

    def __init__(self, total):
        self.n = self.failed = 0
        self.lock = threading.Lock()
        print("KTAP version 1")
        print(f"1..{total}", flush=True)

    def add(self, prefix, result):
        with self.lock:
            self.n += 1
            for line in result.detail:
                print(line)
            text = f"{'ok' if result.good else 'not ok'} {self.n} {prefix}{result.name}"
            if result.skip is not None:
                text += f" # SKIP {result.skip}"
            elif result.text and not result.good:
                print(f"# {prefix}{result.name}: {result.text}")
            self.failed += not result.good
            print(text, flush=True)
            say(text)


def in_parallel(jobs):
    """Runs callables, two machines at a time; the first exception counts."""
    with concurrent.futures.ThreadPoolExecutor(VMS_AT_ONCE) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def grafted_jobs(guest, machines, only):
    """(machine, group, names) for each virtual machine to boot."""
    plan = []
    for machine in machines:
        for group in GROUPS:
            if group != "main" and machine != machines[0]:
                continue
            names = [n for n, g in guest.table() if g == group and (not only or n in only)]
            if names:
                plan.append((machine, group, names))
    # The slow ones first, so that they do not run alone at the end.
    return sorted(plan, key=lambda p: p[1] != "slow")


def run_grafted(machines, only):
    guest = Guest("grafted")
    plan = grafted_jobs(guest, machines, only)
    ktap = Ktap(sum(len(names) for _, _, names in plan))

    def job(machine, group, names):
        vm = Vm(guest, machine, group, f"iq.run={','.join(names)} {GROUPS[group]}",
                deadline=420, idle=200 if group == "slow" else 75).run()
        for result in results_of(vm, names):
            ktap.add(f"{machine}/", result)

    in_parallel([lambda p=p: job(*p) for p in plan])
    return ktap.failed


def judge_plain(result, want):
    """Turns what happened on the ungrafted kernel into a verdict."""
    if want is None:
        return result
    first = next((line.split(" FAIL ")[1].split(":")[0] for line in result.detail
                  if " FAIL " in line), None)
    good = not result.good and first == want
    text = ("" if good else "passes on the ungrafted kernel: it proves nothing"
            if result.good else f"fails at {first or 'no check'}, not at {want}")
    return Result(result.name, good, text or result.text, None,
                  result.detail + [f"# {result.name}: red without the graft at {first}"])


def run_plain(machines, only):
    guest = Guest("plain")
    names = [n for n, _ in guest.table() if n in PLAIN and (not only or n in only)]
    controls = [n for n in names if PLAIN[n] is None]
    plan = []
    for machine in machines:
        if controls:
            plan.append((machine, "controls", controls))
        plan += [(machine, n, [n]) for n in names if n not in controls]
    ktap = Ktap(sum(len(p[2]) for p in plan))

    def job(machine, tag, todo):
        vm = Vm(guest, machine, tag, f"iq.run={','.join(todo)} iq.limit=4000",
                deadline=90, idle=45).run()
        for result in results_of(vm, todo):
            ktap.add(f"plain/{machine}/", judge_plain(result, PLAIN[result.name]))

    in_parallel([lambda p=p: job(*p) for p in plan])
    return ktap.failed


def cmd_scenarios(args):
    only = args.only.split(",") if args.only else None
    if args.kernel == "plain":
        machines = [args.machine] if args.machine else ["legacy"]
        return run_plain(machines, only)
    machines = [args.machine] if args.machine else list(MACHINES)
    return run_grafted(machines, only)


def cmd_list(_args):
    work = os.path.join(OUT, "list")
    os.makedirs(work, exist_ok=True)
    sys.stdout.write(subprocess.run([build_init(work), "--list"], check=True, text=True,
                                    stdout=subprocess.PIPE).stdout)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("scenarios")
    p.add_argument("--kernel", choices=("grafted", "plain"), default="grafted")
    p.add_argument("--machine", choices=tuple(MACHINES))
    p.add_argument("--only", metavar="NAME,...")
    p.set_defaults(fn=cmd_scenarios)
    p = sub.add_parser("list")
    p.set_defaults(fn=cmd_list)
    args = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(1 if args.fn(args) else 0)


if __name__ == "__main__":
    main()
