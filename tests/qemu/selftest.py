#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""selftest.py [--qemu DIR] [--firmware DIR] [--list] [PATTERN]

Proves the fault model without a kernel: drives VT-d, the AMD IOMMU or Arm's
SMMUv3, the control device and two endpoints by hand through QEMU's qtest
protocol, on the virtual clock, so that a second of hardware timeout takes no
time and is exact. Reports KTAP. PATTERN selects tests by a part of their name.

Each test runs on a fresh machine; those of VT-d once per way of setting it up.
DIR holds the binaries, qemu-system-x86_64 and qemu-system-aarch64.
"""
import argparse
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import traceback

MS = 1000000
CONNECT_SECONDS = 30
ANSWER_SECONDS = 30

# Where things are in guest memory
ROOT = 0x100000
CTX = {1: 0x101000, 2: 0x102000}
TABLES = (0x110000, 0x111000, 0x112000, 0x113000)
QUEUE = 0x120000
STATUS = 0x130000
PASID_DIR = 0x140000
PASID_TABLE = 0x141000
DEVTAB = 0x150000
EVTLOG = 0x160000
MSI = 0x170000                      # no interrupt controller: plain memory
DATA = 0x200000
STREAMS = 0x300000
CDS = 0x310000
SUBSTREAMS = 0x320000               # a table of context descriptors
PASID_TABLES = (0x114000, 0x115000, 0x116000)
IOVA = 0x10000

# Where things are in guest physical address space
VTD = 0xfed90000
AMD = 0xfed80000
SMMU = 0x09050000
FW_CFG = 0x09020000
PORT = {1: 0x10, 2: 0x18}           # 00:02.0, 00:03.0
CTL_BDF = 0x20                      # 00:04.0
SID = {1: 0x100, 2: 0x200}
VF = (0x101, 0x102)                 # of endpoint 1
DID = {1: 7, 2: 9}

# VT-d registers and fields
GCMD, GSTS, RTADDR, CCMD, FSTS, FECTL = 0x18, 0x1c, 0x20, 0x28, 0x34, 0x38
FEDATA, FEADDR = 0x3c, 0x40
IQH, IQT, IQA, IQERCD, FRCD = 0x80, 0x88, 0x90, 0xb0, 0x220
ITE, IQE, PPF = 1 << 6, 1 << 4, 1 << 1
IP = 1 << 30
TE, SRTP, QIE = 1 << 31, 1 << 30, 1 << 26
TYPE_CC, TYPE_IOTLB, TYPE_DEV, TYPE_WAIT, TYPE_PC, TYPE_PDEV = 1, 2, 3, 5, 7, 8

# AMD registers and fields
DEV_TAB, CMD_BASE, EVT_BASE, CONTROL, EXT_FEATURES = 0x00, 0x08, 0x10, 0x18, 0x30
CMD_HEAD, CMD_TAIL, EVT_HEAD, EVT_TAIL, AMD_STATUS = 0x2000, 0x2008, 0x2010, 0x2018, 0x2020
IOMMU_EN, EVT_LOG_EN, EVT_INT_EN, CMD_BUF_EN = 1 << 0, 1 << 2, 1 << 3, 1 << 12
INTCAPXT_EN, XT_INTERRUPT = 1 << 51, 0x170
EVT_OVERFLOW, EVT_INT, EVT_RUN, CMD_RUN = 1 << 0, 1 << 1, 1 << 3, 1 << 4
RUNNING = EVT_RUN | CMD_RUN
ENTRIES = 256                       # of the command buffer, and of the log
COMPLETION_WAIT, INV_DEV_TAB, INV_PAGES, INV_IOTLB, INV_ALL = 1, 2, 3, 4, 8
DTE_V, DTE_TV, DTE_IR, DTE_IW = 1 << 0, 1 << 1, 1 << 61, 1 << 62
DTE_I, DTE_SE, DTE_SA = 1 << 32, 1 << 33, 1 << 34
PAGE_FAULT, DEVICE_TABLE_ERROR, PAGE_TABLE_ERROR, ILLEGAL_COMMAND = 2, 3, 4, 5
INV_TIMEOUT, INVALID_REQUEST = 7, 8

# SMMUv3 registers and fields
IDR0, IDR1, CR0, CR0ACK, IRQ_CTRL, GERROR, GERRORN = 0x00, 0x04, 0x20, 0x24, 0x50, 0x60, 0x64
STRTAB_BASE, STRTAB_CFG, CMDQ_BASE, CMDQ_PROD, CMDQ_CONS = 0x80, 0x88, 0x90, 0x98, 0x9c
EVENTQ_BASE, EVENTQ_PROD, EVENTQ_CONS = 0xa0, 0xa8, 0xac
SMMUEN, EVENTQEN, CMDQEN, ATSCHK = 1 << 0, 1 << 2, 1 << 3, 1 << 4
CMDQ_ERR = 1 << 0
OVERFLOW = 1 << 31
EVENTS = 32                         # entries of the event queue
CERROR_ILL, CERROR_ATC_INV = 1, 3
CFGI_STE, CFGI_RANGE, CFGI_CD, CFGI_CD_ALL, TLBI_ALL, ATC_INV, SYNC = (
    0x03, 0x04, 0x05, 0x06, 0x30, 0x40, 0x46)
ABORT, BYPASS, STAGE_1 = 0, 4, 5    # STE.Config
BAD_STREAMID, BAD_STE, BAD_TREQ, STREAM_DISABLED, FORBIDDEN, TRANSLATION = (
    0x02, 0x04, 0x05, 0x06, 0x07, 0x10)
IRQ_EVENTQ, IRQ_GERROR = 0, 3

# iommu-fault-ctl
(MAGIC, TIMEOUT_MS, FLAGS, TARGET, WEDGE, INV_WEDGED, INV_TOTAL, STALE_OK, STALE_BLOCKED,
 RESETS, DOORBELL, TIMEOUTS, ABORTED, CLEAR, CTX_REFRESH, STALL_MS, INV_AFTER,
 DELAY_MS, TARGET_TIMEOUTS, ATS_AGAIN) = range(0, 0x50, 4)
(F_ZERO, F_ONES, F_NEVER, F_AHEAD, F_SILENT,
 F_EVENT_LATE, F_HALT, F_DROP_WAIT, F_LAZY, F_FORGET) = (1 << n for n in range(10))
SLOW = 5

# iommu-fault-endpoint
(E_MAGIC, E_CMD, E_STATUS, E_PERIOD, E_IOVA_LO, E_IOVA_HI, E_PATTERN, E_LEN,
 E_OK, E_BLOCKED, E_ATC, E_PASID) = range(0, 0x30, 4)
FETCH, WRITE, WRITE_UNTRANSLATED, START, STOP, FLUSH = range(1, 7)
S_OK, S_ATC, S_ATS, S_MASTER, S_PERIODIC = (1 << n for n in range(5))

COMMAND, BAR0 = 0x04, 0x10
INTX_DISABLE, MASTER, MEMORY = 0x400, 4, 2
DEVCTL = 0x48
FLR = 0x8000
ATS_CTRL, ATS_ENABLE = 0x106, 0x8000
SRIOV, SRIOV_CTRL, TOTAL_VFS, NUM_VFS, VF_DID, VF_BAR = (
    0x180, 0x188, 0x18e, 0x190, 0x19a, 0x1a4)
VFE, MSE = 1, 8
VF_MSIX_CTRL, MSIX_MASKALL = 0xa2, 0x4000
PASID_CTRL, PASID_ENABLE = 0x116, 1
ONES = 0xffffffff


class Failure(Exception):
    pass


def expect(what, got, want):
    if got != want:
        show = (hex(got), hex(want)) if isinstance(got, int) else (got, want)
        raise Failure(f"{what}: got {show[0]}, expected {show[1]}")


class Channel:
    """A line based protocol on a Unix socket that QEMU connects to."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.listener.settimeout(CONNECT_SECONDS)

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(ANSWER_SECONDS)
        self.listener.close()
        self.sock = sock
        self.file = sock.makefile("rw", encoding="ascii", newline="\n")

    def send(self, line):
        self.file.write(line + "\n")
        self.file.flush()

    def receive(self):
        line = self.file.readline()
        if not line:
            raise Failure("QEMU is gone")
        return line.strip()

    def close(self):
        self.listener.close()
        if hasattr(self, "sock"):
            self.file.close()
            self.sock.close()


class Machine:
    """What does not depend on the vendor of the IOMMU."""
    arch = "x86_64"
    # The slots are the root ports' own, not ACPI's.
    arguments = ["-machine", "q35", "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
    ram = 0
    ecam = 0xb0000000
    ctl_bar = 0xfe000000
    ep_bar = {1: 0xfd000000, 2: 0xfd100000}

    def __init__(self, options, variant):
        self.variant = variant
        self.irqs = []
        self.tail = 0
        self.waits = 0
        self.dir = tempfile.mkdtemp(prefix="iq-qtest-")
        self.qtest = Channel(os.path.join(self.dir, "qtest"))
        self.qmp = Channel(os.path.join(self.dir, "qmp"))
        self.log = open(os.path.join(self.dir, "log"), "w+", encoding="utf-8")
        command = [options.binary(self.arch)]
        for firmware in options.firmware:
            command += ["-L", firmware]
        command += self.arguments + variant.arguments + [
            "-accel", "qtest", "-m", "64", "-nodefaults", "-display", "none",
            "-qtest", f"unix:{self.dir}/qtest", "-qtest-log", "none",
            "-qmp", f"unix:{self.dir}/qmp",
            "-device", "pcie-root-port,id=rp1,chassis=1,slot=1,addr=2.0",
            "-device", "pcie-root-port,id=rp2,chassis=2,slot=2,addr=3.0",
            "-device", "iommu-fault-ctl,addr=4.0",
            "-device", "iommu-fault-endpoint,id=ep1,bus=rp1,vfs=2",
            "-device", "iommu-fault-endpoint,id=ep2,bus=rp2",
        ]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=self.log, stderr=self.log)
        except OSError:
            self.close()
            raise
        try:
            self.qtest.accept()
            self.qmp.accept()
            self.qmp.receive()
            self.monitor("qmp_capabilities")
            self.setup_pci()
            self.setup_iommu()
        except BaseException as e:
            text = self.output()
            self.close()
            raise Failure(f"the machine does not start: {e}; QEMU says: {text}") from e

    def output(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as f:
            return f.read().strip()

    def close(self):
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        self.qtest.close()
        self.qmp.close()
        self.log.close()
        shutil.rmtree(self.dir)

    # protocol

    def ask(self, line):
        self.qtest.send(line)
        while True:
            words = self.qtest.receive().split()
            if words[0] == "IRQ":
                self.irqs.append((words[1], int(words[2])))
                continue
            if words[0] != "OK":
                raise Failure(f"qtest: '{line}': {' '.join(words)}")
            return words[1] if len(words) > 1 else None

    def monitor(self, command, **arguments):
        self.qmp.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self.qmp.receive())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failure(f"QMP: {command}: {answer['error']['desc']}")

    def rl(self, addr):
        return int(self.ask(f"readl {addr:#x}"), 16)

    def wl(self, addr, value):
        self.ask(f"writel {addr:#x} {value:#x}")

    def rq(self, addr):
        return int(self.ask(f"readq {addr:#x}"), 16)

    def wq(self, addr, value):
        self.ask(f"writeq {addr:#x} {value:#x}")

    def step(self, ms):
        self.ask(f"clock_step {int(ms * MS)}")

    # PCI

    def cfg(self, bdf, reg):
        return self.ecam + (bdf << 12) + reg

    def cr(self, bdf, reg):
        return self.rl(self.cfg(bdf, reg))

    def crw(self, bdf, reg):
        return int(self.ask(f"readw {self.cfg(bdf, reg):#x}"), 16)

    def cww(self, bdf, reg, value):
        self.ask(f"writew {self.cfg(bdf, reg):#x} {value:#x}")

    def setup_ecam(self):
        # PCIEXBAR of the host bridge: everything else goes through ECAM.
        for reg, value in ((0x64, 0), (0x60, self.ecam | 1)):
            self.ask(f"outl 0xcf8 {0x80000000 | reg:#x}")
            self.ask(f"outl 0xcfc {value:#x}")

    def setup_pci(self):
        self.setup_ecam()
        for n, port in PORT.items():
            base = self.ep_bar[n] >> 16
            self.wl(self.cfg(port, 0x18), n << 16 | n << 8)
            self.wl(self.cfg(port, 0x20), base << 16 | base)
            self.cww(port, COMMAND, MASTER | MEMORY)
            self.setup_endpoint(n)
        self.wl(self.cfg(CTL_BDF, BAR0), self.ctl_bar)
        self.cww(CTL_BDF, COMMAND, MEMORY)
        self.ctl(CLEAR, 1)

    def setup_endpoint(self, n):
        self.wl(self.cfg(SID[n], BAR0), self.ep_bar[n])
        self.cww(SID[n], COMMAND, MASTER | MEMORY | INTX_DISABLE)
        self.cww(SID[n], ATS_CTRL, ATS_ENABLE)

    # our devices

    def ctl(self, reg, value=None):
        if value is None:
            return self.rl(self.ctl_bar + reg)
        return self.wl(self.ctl_bar + reg, value)

    def target(self, n, reg, value=None):
        self.ctl(TARGET, SID[n])
        return self.ctl(reg, value)

    def ep(self, n, reg, value=None):
        if value is None:
            return self.rl(self.ep_bar[n] + reg)
        return self.wl(self.ep_bar[n] + reg, value)

    def command(self, n, cmd, iova=IOVA, pattern=0xabadcafe, length=4, pasid=None):
        """Returns whether the command succeeded."""
        self.ep(n, E_IOVA_LO, iova & ONES)
        self.ep(n, E_IOVA_HI, iova >> 32)
        self.ep(n, E_PATTERN, pattern)
        self.ep(n, E_LEN, length)
        self.ep(n, E_PASID, 0 if pasid is None else 1 << 31 | pasid)
        self.ep(n, E_CMD, cmd)
        return bool(self.ep(n, E_STATUS) & S_OK)

    def data(self, iova=IOVA):
        return self.rl(self.ram + DATA + iova)

    def erase(self, iova=IOVA):
        self.wl(self.ram + DATA + iova, 0)

    def wedge(self, n, mode=1):
        self.target(n, WEDGE, mode)
        expect("WEDGE", self.target(n, WEDGE), mode)

    def fetch_all(self, *endpoints):
        for n in endpoints or (1,):
            expect("FETCH", self.command(n, FETCH), True)

    def doorbell_writes(self, n=1, iova=IOVA):
        """Rings the doorbell; whether the pattern arrived in memory."""
        self.erase(iova)
        self.target(n, DOORBELL, 1)
        return self.data(iova) != 0


class VtdMachine(Machine):
    # The interrupts of the IOMMU go to the local APIC, which nobody can ask here.
    arguments = Machine.arguments + ["-trace", "vtd_irq_generate"]

    def messages(self):
        """(address, data) of what the IOMMU has sent"""
        return [(int(addr, 16), int(data, 16)) for addr, data in
                re.findall(r"vtd_irq_generate addr (\w+) data (\w+)", self.output())]

    def __init__(self, options, variant):
        self.scalable = variant.scalable
        super().__init__(options, variant)

    def setup_iommu(self):
        top = TABLES[0]
        for table, below in zip(TABLES, TABLES[1:]):
            self.wq(table, below | self.variant.pte)
        for page in range(IOVA >> 12, (IOVA >> 12) + 64):
            self.wq(TABLES[3] + page * 8, (DATA + (page << 12)) | self.variant.pte)
        for n, table in CTX.items():
            self.wq(ROOT + n * 16, table | 1)
            self.set_ctx(n, True)
        if self.scalable:
            self.wq(PASID_DIR, PASID_TABLE | 1)
            # Address width (second stage) or first stage pointer: 4 levels.
            for pasid in (0, 5):
                entry = PASID_TABLE + pasid * 64
                if self.variant.first_stage:
                    self.wq(entry + 16, top)
                    self.wq(entry, 1 << 6 | 1)
                else:
                    self.wq(entry, top | 2 << 6 | 2 << 2 | 1)
                self.wq(entry + 8, 7)
        self.wq(VTD + RTADDR, ROOT | (1 << 10 if self.scalable else 0))
        self.wl(VTD + GCMD, SRTP)
        self.wq(VTD + IQA, QUEUE | (1 << 11 if self.scalable else 0))
        self.wl(VTD + GCMD, QIE)
        self.wl(VTD + GCMD, QIE | TE)
        expect("GSTS", self.rl(VTD + GSTS), TE | SRTP | QIE)

    def set_ctx(self, n, ats, present=True, did=None):
        """Context entry of endpoint n in memory; does not invalidate."""
        did = DID[n] if did is None else did
        if self.scalable:
            self.wq(CTX[n] + 8, 0)
            self.wq(CTX[n], (PASID_DIR | (4 if ats else 0) | 1) if present else 0)
        else:
            self.wq(CTX[n] + 8, did << 8 | 2)
            self.wq(CTX[n], (TABLES[0] | (4 if ats else 0) | 1) if present else 0)

    def put(self, index, lo, hi):
        size = 32 if self.scalable else 16
        addr = QUEUE + index * size
        self.wq(addr, lo)
        self.wq(addr + 8, hi)
        if self.scalable:
            self.wq(addr + 16, 0)
            self.wq(addr + 24, 0)

    def submit(self, *descriptors):
        """Put descriptors behind the tail; returns the index of the first."""
        first = self.tail
        for lo, hi in descriptors:
            self.put(self.tail, lo, hi)
            self.tail += 1
        self.wq(VTD + IQT, self.tail << (5 if self.scalable else 4))
        return first

    def head(self):
        return self.rq(VTD + IQH) >> (5 if self.scalable else 4)

    def wait(self):
        """A new wait descriptor, together with where it will write what."""
        self.waits += 1
        addr = STATUS + self.waits * 8
        return (TYPE_WAIT | 1 << 5 | (0x1000 + self.waits) << 32, addr)

    def waited(self, wait):
        value = self.rl(wait[1])
        if value:
            expect("value written by a wait descriptor", value, wait[0] >> 32)
        return bool(value)

    def dev_inv(self, n, iova=IOVA, pages=1, pasid=None):
        addr = iova
        if pages > 1:
            addr = iova | ((pages // 2 - 1) << 12)
        if pasid is None:
            return (TYPE_DEV | SID[n] << 32, addr | (1 if pages > 1 else 0))
        return (TYPE_PDEV | SID[n] << 16 | pasid << 32, addr | (1 << 11 if pages > 1 else 0))

    def cc_global(self):
        return (TYPE_CC | 1 << 4, 0)

    def cc_domain(self, did):
        return (TYPE_CC | 2 << 4 | did << 16, 0)

    def cc_device(self, n, fm=0, sid=None):
        return (TYPE_CC | 3 << 4 | (SID[n] if sid is None else sid) << 32 | fm << 48, 0)

    def pc(self, granularity, did=0, pasid=0):
        return (TYPE_PC | granularity << 4 | did << 16 | pasid << 32, 0)

    def iotlb_global(self):
        return (TYPE_IOTLB | 1 << 4, 0)

    def sync(self, *descriptors):
        wait = self.wait()
        self.submit(*descriptors, wait)
        if not self.waited(wait):
            raise Failure("a wait descriptor did not complete")

    def fsts(self):
        return self.rl(VTD + FSTS)

    def clear_ite(self):
        self.wl(VTD + FSTS, ITE)

    def itesid(self):
        return self.rq(VTD + IQERCD) >> 32 & 0xffff

    def time_out(self, n=1, step=1000):
        """One lost invalidation up to its ITE; returns the aborted wait."""
        wait = self.wait()
        self.submit(self.dev_inv(n), wait)
        self.step(step)
        expect("ITE", self.fsts() & ITE, ITE)
        return wait

    def lose(self, n=1):
        """One lost invalidation: reported under the right name, cleaned up."""
        self.time_out(n)
        expect("ITESID", self.itesid(), SID[n])
        self.clear_ite()


class AmdMachine(Machine):
    control = IOMMU_EN | EVT_LOG_EN | EVT_INT_EN | CMD_BUF_EN

    def setup_iommu(self):
        for level, (table, below) in enumerate(zip(TABLES[1:], TABLES[2:])):
            self.wq(table, below | (2 - level) << 9 | DTE_IR | DTE_IW | 1)
        for page in range(IOVA >> 12, (IOVA >> 12) + 64):
            self.map(page << 12)
        for n in (1, 2):
            self.set_dte(n)
        self.setup_msi()
        self.wq(AMD + DEV_TAB, DEVTAB | 7)
        self.wq(AMD + CMD_BASE, QUEUE | 8 << 56)
        self.wq(AMD + EVT_BASE, EVTLOG | 8 << 56)
        for reg in (CMD_HEAD, CMD_TAIL, EVT_HEAD, EVT_TAIL):
            self.wl(AMD + reg, 0)
        self.wq(AMD + CONTROL, self.control)
        expect("status", self.status(), RUNNING)

    def setup_msi(self):
        """Messages of the IOMMU go to memory, where they can be seen."""
        bdf = next(bdf for bdf in range(0x08, 0x100, 8) if self.cr(bdf, 0) == 0x14191022)
        cap = self.crw(bdf, 0x34) & 0xff
        while self.crw(bdf, cap) & 0xff != 0x05:
            cap = self.crw(bdf, cap) >> 8
        self.wl(self.cfg(bdf, cap + 4), MSI)
        self.wl(self.cfg(bdf, cap + 8), 0)
        self.cww(bdf, cap + 12, 0x4321)
        self.cww(bdf, cap + 2, 1)
        self.cww(bdf, COMMAND, MASTER)

    def map(self, iova, writable=True):
        self.wq(TABLES[3] + (iova >> 12) * 8,
                (DATA + iova) | DTE_IR | (DTE_IW if writable else 0) | 1)

    def unmap(self, iova):
        self.wq(TABLES[3] + (iova >> 12) * 8, 0)

    def set_dte(self, n, flags=DTE_V | DTE_TV, ats=True, did=None, more=0):
        """Device table entry of endpoint n in memory; does not invalidate."""
        did = DID[n] if did is None else did
        entry = DEVTAB + SID[n] * 32
        self.wq(entry + 8, did | (DTE_I if ats else 0) | more)
        self.wq(entry, TABLES[1] | 3 << 9 | DTE_IR | DTE_IW | flags)

    # command buffer

    def submit(self, *commands):
        """Put commands behind the tail; returns the address of the first."""
        first = QUEUE + self.tail * 16
        for lo, hi in commands:
            self.wq(QUEUE + self.tail * 16, lo)
            self.wq(QUEUE + self.tail * 16 + 8, hi)
            self.tail = (self.tail + 1) % ENTRIES
        self.wl(AMD + CMD_TAIL, self.tail * 16)
        return first

    def head(self):
        return self.rl(AMD + CMD_HEAD) // 16

    def wait(self, addr=None):
        """A new COMPLETION_WAIT; its store is where and what it says."""
        self.waits += 1
        addr = STATUS + self.waits * 8 if addr is None else addr
        return (addr | 1 | COMPLETION_WAIT << 60, 0x1000 + self.waits)

    def waited(self, wait):
        value = self.rq(wait[0] & 0xfffffff8)
        if value:
            expect("value stored by COMPLETION_WAIT", value, wait[1])
        return bool(value)

    def dev_inv(self, n, iova=IOVA, pages=1, pasid=None):
        lo = SID[n] | 0x20 << 24 | SID[n] << 32 | INV_IOTLB << 60
        hi = iova | ((pages // 2 - 1) << 12 | 1 if pages > 1 else 0)
        if pasid is not None:
            lo |= (pasid >> 8 & 0xff) << 16 | (pasid & 0xff) << 48 | (pasid >> 16) << 56
            hi |= 4
        return (lo, hi)

    def inv_dte(self, n):
        return (SID[n] | INV_DEV_TAB << 60, 0)

    def inv_domain(self, n):
        """All pages of the domain, in the TLB of the IOMMU."""
        return (DID[n] << 32 | INV_PAGES << 60, 0x7ffffffffffff000 | 3)

    def inv_all(self):
        return (INV_ALL << 60, 0)

    def sync(self, *commands):
        wait = self.wait()
        self.submit(*commands, wait)
        if not self.waited(wait):
            raise Failure("a COMPLETION_WAIT did not complete")

    def restart(self, bit, between=lambda: None):
        """Turn off and on again what the bit of the control register is for."""
        self.wq(AMD + CONTROL, self.control & ~bit)
        between()
        self.wq(AMD + CONTROL, self.control)

    # events

    def status(self):
        return self.rl(AMD + AMD_STATUS)

    def clear(self, bits):
        self.wl(AMD + AMD_STATUS, bits)

    def interrupted(self):
        """Whether an interrupt came since the last call."""
        value = self.rl(MSI)
        if value:
            expect("data of the MSI", value, 0x4321)
        self.wl(MSI, 0)
        return bool(value)

    def events(self):
        """Takes all events out of the log: (type, DeviceID, flags, PASID, address)."""
        head, tail = self.rl(AMD + EVT_HEAD) // 16, self.rl(AMD + EVT_TAIL) // 16
        expect("the tail lies within the log", tail < ENTRIES, True)
        found = []
        while head != tail:
            info, address = self.rq(EVTLOG + head * 16), self.rq(EVTLOG + head * 16 + 8)
            found.append((info >> 60, info & 0xffff, info >> 48 & 0xfff, info >> 32 & 0xffff,
                          address))
            head = (head + 1) % ENTRIES
        self.wl(AMD + EVT_HEAD, head * 16)
        return found

    def lost(self, n, address):
        """The event that a lost invalidation becomes."""
        return (INV_TIMEOUT, SID[n], 0, 0, address)

    def lose(self, n=1):
        """One lost invalidation: reported under the right name, cleaned up."""
        wait = self.wait()
        address = self.submit(self.dev_inv(n), wait)
        self.step(self.ctl(TIMEOUT_MS))
        expect("events", self.events(), [self.lost(n, address)])
        expect("wait", self.waited(wait), True)
        self.clear(EVT_INT)


class AmdXtMachine(AmdMachine):
    """Its own interrupts come from a register and go to the local APIC."""

    control = AmdMachine.control | INTCAPXT_EN

    def setup_iommu(self):
        self.vector = 0x40
        super().setup_iommu()

    def setup_msi(self):
        super().setup_msi()
        # To the APIC whose ID is 0
        self.wq(AMD + XT_INTERRUPT, self.vector << 32)

    def interrupted(self):
        expect("a message as well", self.rl(MSI), 0)
        lapic = self.monitor("human-monitor-command", **{"command-line": "info lapic"})
        requests = re.search(r"^IRR\s+(.*)$", lapic, re.M)[1].split()
        # What is requested stays so: the next one comes with another vector.
        vector, self.vector = self.vector, self.vector + 1
        expect("another vector", [v for v in requests if v.isdigit() and int(v) > vector], [])
        self.wq(AMD + XT_INTERRUPT, self.vector << 32)
        return str(vector) in requests


class SmmuMachine(Machine):
    arch = "aarch64"
    # With ACPI there are tables to look at; the device tree is there anyway.
    arguments = ["-machine", "virt,gic-version=3,iommu=smmuv3,acpi=on,highmem-ecam=off",
                 "-cpu", "cortex-a57"]
    ram = 0x40000000
    ecam = 0x3f000000
    ctl_bar = 0x10000000
    ep_bar = {1: 0x11000000, 2: 0x12000000}
    enabled = SMMUEN | EVENTQEN | CMDQEN | ATSCHK

    def setup_ecam(self):
        pass

    def setup_iommu(self):
        top, middle, last = (self.ram + table for table in TABLES[1:])
        self.wq(top, middle | 3)
        self.wq(middle, last | 3)
        for page in range(IOVA >> 12, (IOVA >> 12) + 64):
            self.map(page << 12)
        for n in (1, 2):
            self.set_ste(n)
            self.set_cd(self.ram + CDS + n * 64, DID[n], top)
        self.wq(SMMU + STRTAB_BASE, self.ram + STREAMS)
        self.wl(SMMU + STRTAB_CFG, 10)
        self.wq(SMMU + CMDQ_BASE, self.ram + QUEUE | 8)
        self.wq(SMMU + EVENTQ_BASE, self.ram + EVTLOG | 5)
        for reg in (CMDQ_PROD, CMDQ_CONS, EVENTQ_PROD, EVENTQ_CONS):
            self.wl(SMMU + reg, 0)
        self.wl(SMMU + IRQ_CTRL, 5)
        self.cr0(self.enabled)

    def cr0(self, value):
        self.wl(SMMU + CR0, value)
        expect("CR0ACK", self.rl(SMMU + CR0ACK), value)

    def map(self, iova, writable=True):
        # a page that was accessed, by whomever
        self.wq(self.ram + TABLES[3] + (iova >> 12) * 8,
                self.ram + DATA + iova | 1 << 10 | (1 if writable else 3) << 6 | 3)

    def unmap(self, iova):
        self.wq(self.ram + TABLES[3] + (iova >> 12) * 8, 0)

    def set_ste(self, n, config=STAGE_1, eats=1, valid=True, cdmax=0, s1dss=2, s1fmt=0):
        """Stream table entry of endpoint n in memory; does not invalidate."""
        ste = self.ram + STREAMS + SID[n] * 64
        cds = self.ram + (SUBSTREAMS if cdmax else CDS + n * 64)
        self.wq(ste + 8, eats << 28 | (s1dss if cdmax else 0))
        self.wq(ste, cdmax << 59 | cds | s1fmt << 4 | config << 1 | (1 if valid else 0))

    def set_cd(self, addr, asid, top, valid=True):
        # 39 bits, 4 KiB, no second half; 44 bits out, AArch64, R, A
        self.wq(addr, 25 | 1 << 30 | (1 << 31 if valid else 0) | 4 << 32 | 0x620000000000 |
                asid << 48)
        self.wq(addr + 8, top)

    # command queue

    def submit(self, *commands):
        """Put commands behind the tail; returns the place of the first."""
        first = self.tail
        for lo, hi in commands:
            self.put(self.tail, lo, hi)
            self.tail = (self.tail + 1) % (2 * ENTRIES)
        self.wl(SMMU + CMDQ_PROD, self.tail)
        return first

    def put(self, place, lo, hi):
        addr = self.ram + QUEUE + place % ENTRIES * 16
        self.wq(addr, lo)
        self.wq(addr + 8, hi)

    def head(self):
        return self.rl(SMMU + CMDQ_CONS) & 0xfffff

    def wait(self):
        return (SYNC, 0)

    def dev_inv(self, n, iova=IOVA, pages=1, pasid=None, more=0):
        lo = ATC_INV | SID[n] << 32 | more
        if pasid is not None:
            lo |= 1 << 11 | pasid << 12
        return (lo, iova | pages.bit_length() - 1)

    def cfgi(self, n):
        return (CFGI_STE | SID[n] << 32, 1)

    def cfgi_cd(self, n, pasid):
        return (CFGI_CD | pasid << 12 | SID[n] << 32, 1)

    def cfgi_range(self, sid, bits):
        return (CFGI_RANGE | sid << 32, bits - 1)

    def tlbi(self):
        return (TLBI_ALL, 0)

    def sync(self, *commands):
        self.submit(*commands, self.wait())
        if self.head() != self.tail:
            raise Failure("a CMD_SYNC was not consumed")

    def error(self):
        """The reason why the queue has stopped, or 0."""
        active = (self.rl(SMMU + GERROR) ^ self.rl(SMMU + GERRORN)) & CMDQ_ERR
        return self.rl(SMMU + CMDQ_CONS) >> 24 & 0x7f if active else 0

    def acknowledge(self):
        self.wl(SMMU + GERRORN, self.rl(SMMU + GERROR))

    def lose(self, n=1):
        """One lost invalidation: reported at its CMD_SYNC, cleaned up."""
        at = self.submit(self.dev_inv(n), self.wait())
        self.step(self.ctl(TIMEOUT_MS))
        expect("error, head", (self.error(), self.head()),
               (CERROR_ATC_INV, (at + 1) % (2 * ENTRIES)))
        self.acknowledge()
        expect("error, head", (self.error(), self.head()), (0, self.tail))

    # events and interrupts

    def watch(self):
        path = next(f"/machine/unattached/{child['name']}"
                    for child in self.monitor("qom-list", path="/machine/unattached")
                    if child["type"] == "child<arm-smmuv3>")
        self.ask(f"irq_intercept_out {path} sysbus-irq")

    def interrupts(self):
        """Which interrupts came since the last call."""
        found = [number for what, number in self.irqs if what == "raise"]
        self.irqs.clear()
        return found

    def events(self):
        """Takes all events out of the queue: (type, StreamID, address)."""
        cons, prod = self.rl(SMMU + EVENTQ_CONS), self.rl(SMMU + EVENTQ_PROD)
        found = []
        index = cons % (2 * EVENTS)
        while index != prod % (2 * EVENTS):
            addr = self.ram + EVTLOG + index % EVENTS * 32
            info = self.rq(addr)
            found.append((info & 0xff, info >> 32, self.rq(addr + 16)))
            index = (index + 1) % (2 * EVENTS)
        self.wl(SMMU + EVENTQ_CONS, index | cons & OVERFLOW)
        return found


class Variant:
    machine = VtdMachine

    def __init__(self, name, options="", scalable=False, first_stage=False):
        self.name = name
        self.arguments = [
            "-device", f"intel-iommu,intremap=off,device-iotlb=on,aw-bits=48{options}"]
        self.scalable = scalable
        self.first_stage = first_stage
        # read + write of a second stage; present + writable + user of a first
        self.pte = 7 if first_stage else 3
        self.caching = "caching-mode=on" in options
        self.pasid = "x-pasid-mode=on" in options


class AmdVariant:
    name = "amd"
    arguments = ["-device", "amd-iommu,pt=off,device-iotlb=on,intremap=off"]
    machine = AmdMachine


class AmdXtVariant:
    name = "amd-xt"
    arguments = ["-device", "iommu-fault-fch,addr=14.0",
                 "-device", "amd-iommu,pt=off,device-iotlb=on,intremap=on,xtsup=on"]
    machine = AmdXtMachine


class SmmuVariant:
    name = "smmuv3"
    arguments = []
    machine = SmmuMachine


VARIANTS = [
    Variant("legacy"),
    Variant("legacy-cm", ",caching-mode=on"),
    Variant("scalable-fl", ",x-scalable-mode=on,x-flts=on", True, True),
    Variant("scalable-fl-cm-pasid",
            ",x-scalable-mode=on,x-flts=on,caching-mode=on,x-pasid-mode=on", True, True),
    Variant("scalable-sl", ",x-scalable-mode=on", True),
    AmdVariant(),
    AmdXtVariant(),
    SmmuVariant(),
]

TESTS = {VtdMachine: [], AmdMachine: [], SmmuMachine: []}
TESTS[AmdXtMachine] = TESTS[AmdMachine]


def test(f):
    """A test of VT-d."""
    TESTS[VtdMachine].append(f)
    return f


def test_amd(f):
    """A test of the AMD IOMMU."""
    TESTS[AmdMachine].append(f)
    return f


def test_smmu(f):
    """A test of the SMMUv3."""
    TESTS[SmmuMachine].append(f)
    return f


def test_any(f):
    """A test for whichever IOMMU."""
    return test_smmu(test_amd(test(f)))


@test_any
def identity(m):
    """ids, magics, capabilities"""
    expect("id of the control device", m.cr(CTL_BDF, 0), 0xfa171234)
    expect("magic of the control device", m.ctl(MAGIC), 0x4d465149)
    expect("default timeout", m.ctl(TIMEOUT_MS), 1000)
    for n in (1, 2):
        expect("id of the endpoint", m.cr(SID[n], 0), 0xfa181234)
        expect("magic of the endpoint", m.ep(n, E_MAGIC), 0x50455149)
        expect("ATS capability", m.cr(SID[n], 0x100) & 0xffff, 0x0f)
        expect("PASID capability", m.cr(SID[n], 0x110) & 0xffff, 0x1b)
        expect("FLR capability", m.cr(SID[n], 0x44) >> 28 & 1, 1)
    m.ctl(TARGET, 0x1234)
    expect("a target that is not there", m.ctl(WEDGE), ONES)


@test
def io_with_ats(m):
    """fetch, write, what ATS enable, bus master and LEN forbid"""
    expect("FETCH", m.command(1, FETCH), True)
    expect("STATUS", m.ep(1, E_STATUS), S_OK | S_ATC | S_ATS | S_MASTER)
    expect("WRITE", m.command(1, WRITE, pattern=0x11223344), True)
    expect("memory", m.data(), 0x11223344)
    expect("WRITE of a page", m.command(1, WRITE, pattern=0x55667788, length=4096), True)
    expect("end of the page", m.data(IOVA + 4092), 0x55667788)
    expect("next page", m.data(IOVA + 4096), 0)
    expect("WRITE across a page", m.command(1, WRITE, iova=IOVA + 8, length=4096), False)
    expect("FETCH of an unmapped page", m.command(1, FETCH, iova=0x200000), False)
    expect("a fault for it", m.fsts() & PPF, 0)
    expect("WRITE_UNTRANSLATED", m.command(1, WRITE_UNTRANSLATED, pattern=0x99), True)
    expect("memory", m.data(), 0x99)
    m.cww(SID[1], COMMAND, MEMORY)
    expect("WRITE without bus master", m.command(1, WRITE), False)
    m.cww(SID[1], COMMAND, MEMORY | MASTER)
    m.cww(SID[1], ATS_CTRL, 0)
    expect("the ATC after ATS was turned off", m.ep(1, E_ATC), 0)
    expect("FETCH without ATS", m.command(1, FETCH), False)
    expect("WRITE without ATS", m.command(1, WRITE), False)


@test
def healthy_invalidation(m):
    """a healthy device answers and drops exactly what is covered"""
    for page in range(4):
        expect("FETCH", m.command(1, FETCH, iova=IOVA + page * 4096), True)
    m.sync(m.dev_inv(1, IOVA + 4096))
    expect("ATC after one page", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(2))
    expect("ATC after another device's", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(1, IOVA + 2 * 4096, pages=2))
    expect("ATC after two pages", m.ep(1, E_ATC), 1)
    m.sync((TYPE_DEV | SID[1] << 32, 0x7ffffffffffff000 | 1))
    expect("ATC after everything", m.ep(1, E_ATC), 0)
    expect("INV_TOTAL", m.target(1, INV_TOTAL), 3)
    expect("INV_TOTAL of the other", m.target(2, INV_TOTAL), 1)
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 0)
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 0)


@test_any
def periodic_writing(m):
    """START writes through every entry, STOP ends it"""
    m.fetch_all()
    m.command(1, FETCH, iova=IOVA + 4096 + 16)
    m.ep(1, E_PERIOD, 5)
    m.ep(1, E_CMD, START)
    m.step(5)
    expect("WRITES_OK", m.ep(1, E_OK), 2)
    expect("memory", (m.data(), m.data(IOVA + 4096 + 16)), (0xabadcafe, 0xabadcafe))
    m.step(5)
    expect("WRITES_OK", m.ep(1, E_OK), 4)
    expect("STATUS", m.ep(1, E_STATUS) & S_PERIODIC, S_PERIODIC)
    m.ep(1, E_CMD, STOP)
    m.step(50)
    expect("WRITES_OK after STOP", m.ep(1, E_OK), 4)


@test
def timeout(m):
    """a lost invalidation: the wait, ITE, ITESID, interrupt, fetching"""
    m.fetch_all(1, 2)
    m.wedge(1)
    lost, behind = m.wait(), m.wait()
    first = m.submit(m.dev_inv(1), lost)
    m.submit(m.dev_inv(2), behind)
    expect("head: behind the wait that hangs", m.head(), first + 2)
    m.step(999)
    expect("FSTS before the timeout", m.fsts(), 0)
    m.step(1)
    expect("FSTS at the timeout", m.fsts(), ITE)
    expect("ITESID", m.itesid(), SID[1])
    expect("FECTL.IP (masked)", m.rl(VTD + FECTL) & IP, IP)
    expect("head", m.head(), first + 2)
    m.submit(m.wait())
    expect("head after another submission", m.head(), first + 2)
    m.step(5000)
    expect("head after a long time", m.head(), first + 2)
    expect("waits", (m.waited(lost), m.waited(behind)), (False, False))
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (1, 1))
    expect("STALL_MS", m.ctl(STALL_MS), 6000)
    m.clear_ite()
    expect("FSTS", m.fsts(), 0)
    expect("FECTL.IP", m.rl(VTD + FECTL) & IP, 0)
    expect("head after ITE was cleared", m.head(), m.tail)
    m.step(5000)
    expect("the aborted wait", m.waited(lost), False)
    expect("the wait behind", m.waited(behind), True)
    expect("ATC", (m.ep(1, E_ATC), m.ep(2, E_ATC)), (1, 0))
    expect("STALL_MS", m.ctl(STALL_MS), 6000)
    expect("INV_WEDGED, INV_QUEUED_AFTER",
           (m.target(1, INV_WEDGED), m.target(1, INV_AFTER)), (1, 0))
    m.ctl(CLEAR, 1)
    expect("counters after CLEAR",
           (m.ctl(TIMEOUTS), m.ctl(ABORTED), m.ctl(STALL_MS), m.target(1, INV_WEDGED)),
           (0, 0, 0, 0))


@test
def overwritten_descriptors(m):
    """what lies behind the head is read only after ITE was cleared"""
    m.fetch_all()
    m.wedge(1)
    m.time_out()
    other = m.wait()
    first = m.submit(m.dev_inv(1), other)
    scratch = m.wait()
    m.put(first, *scratch)
    m.clear_ite()
    expect("scratch and other wait", (m.waited(scratch), m.waited(other)), (True, True))
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 1)
    m.step(5000)
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 1)
    m.time_out()
    expect("INV_QUEUED_AFTER", m.target(1, INV_AFTER), 1)


@test
def loss_without_wait(m):
    """ITE comes without a wait too, and one ITE speaks for all of a device"""
    m.wedge(1)
    m.submit(m.dev_inv(1), m.dev_inv(1, IOVA + 4096), m.dev_inv(1, IOVA + 8192))
    expect("head", m.head(), m.tail)
    m.step(1000)
    expect("FSTS", m.fsts(), ITE)
    m.clear_ite()
    m.step(5000)
    expect("FSTS", m.fsts(), 0)
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (1, 0))
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 3)
    m.sync(m.iotlb_global())


@test
def stale_writes(m):
    """only the entry that was cached last decides, whatever memory says"""
    m.fetch_all()
    m.wedge(1)
    expect("doorbell before an invalidation", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 0)
    m.time_out()
    m.clear_ite()
    m.cww(SID[1], ATS_CTRL, 0)
    m.cww(SID[1], COMMAND, MEMORY)
    m.wq(TABLES[3] + (IOVA >> 12) * 8, 0)
    m.sync(m.iotlb_global())
    expect("doorbell after unmap", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)
    refreshed = m.target(1, CTX_REFRESH)
    m.set_ctx(1, False)
    expect("doorbell with the entry changed in memory", m.doorbell_writes(), True)
    m.sync(m.cc_device(2))
    expect("... after another device's invalidation", m.doorbell_writes(), True)
    m.sync(m.cc_device(1, sid=SID[1] | 1))
    expect("... after another function's invalidation", m.doorbell_writes(), True)
    m.sync(m.cc_domain(DID[2]))
    expect("... after another domain's invalidation", m.doorbell_writes(), True)
    m.sync(m.iotlb_global())
    expect("... after an IOTLB invalidation", m.doorbell_writes(), True)
    expect("CTX_REFRESH", m.target(1, CTX_REFRESH), refreshed)
    m.sync(m.cc_device(1))
    expect("... after the matching invalidation", m.doorbell_writes(), False)
    expect("CTX_REFRESH", m.target(1, CTX_REFRESH), refreshed + 1)
    expect("STALE_OK, STALE_BLOCKED",
           (m.target(1, STALE_OK), m.target(1, STALE_BLOCKED)), (6, 1))
    expect("a new translation", m.command(1, FETCH, iova=IOVA + 4096), False)
    expect("fault", m.fsts() & PPF, PPF)
    record = m.rq(VTD + FRCD + 8)
    expect("faulting source id", record & 0xffff, SID[1])
    expect("fault reason", record >> 32 & 0xff, 0x44 if m.scalable else 0x0d)
    m.set_ctx(1, True)
    expect("the entry restored in memory only", m.doorbell_writes(), False)
    expect("the neighbour", m.command(2, WRITE, iova=IOVA + 8192), True)


@test
def context_invalidations(m):
    """which context-cache invalidation refreshes what"""
    hits = [m.cc_global(), m.cc_device(1), m.cc_device(1, fm=3, sid=SID[1] | 5)]
    # Domain-selective ones have no meaning for entries without a domain id.
    (hits if not m.scalable else []).append(m.cc_domain(DID[1]))
    for descriptor in hits:
        m.set_ctx(1, True)
        m.sync(m.cc_global(), m.iotlb_global())
        m.fetch_all()
        m.set_ctx(1, False)
        expect("before", m.doorbell_writes(), True)
        m.sync(descriptor)
        expect(f"after {descriptor[0]:#x}", m.doorbell_writes(), False)
        expect("fault is pending", m.fsts() & PPF, PPF)
        m.wl(VTD + FRCD + 12, 1 << 31)
        expect("fault is cleared", m.fsts() & PPF, 0)
    if m.scalable:
        m.set_ctx(1, True)
        m.sync(m.cc_domain(DID[1]))
        expect("domain-selective in scalable mode", m.doorbell_writes(), False)
    m.set_ctx(1, True)
    m.wl(VTD + GCMD, QIE | TE | SRTP)
    expect("after the root table pointer was set", m.doorbell_writes(), True)


@test
def not_present(m):
    """entries that are not present are cached in caching mode only"""
    m.fetch_all()
    m.set_ctx(1, False, present=False)
    m.sync(m.cc_device(1))
    expect("not present", m.doorbell_writes(), False)
    record = m.rq(VTD + FRCD + 8)
    expect("fault reason", record >> 32 & 0xff, 0x41 if m.scalable else 0x02)
    m.set_ctx(1, True)
    expect("present again, not invalidated", m.doorbell_writes(), not m.variant.caching)
    m.sync(m.cc_device(1))
    expect("present again", m.doorbell_writes(), True)


@test
def register_based_invalidation(m):
    """CCMD works as the queue's context-cache invalidation does"""
    m.fetch_all()
    m.set_ctx(1, False)
    m.sync(m.iotlb_global())
    m.wl(VTD + GCMD, TE)
    expect("QIES", m.rl(VTD + GSTS) & QIE, 0)
    m.wq(VTD + CCMD, 1 << 63 | 3 << 61 | SID[2] << 16)
    expect("another device's", m.doorbell_writes(), True)
    m.wq(VTD + CCMD, 1 << 63 | 3 << 61 | SID[1] << 16)
    expect("the device's own", m.doorbell_writes(), False)


@test
def two_devices(m):
    """two losses: in order, one ITE each, the second at once after the first"""
    m.wedge(1)
    m.wedge(2)
    wait = m.wait()
    m.submit(m.dev_inv(2), m.dev_inv(1), wait)
    m.step(1000)
    expect("FSTS, ITESID", (m.fsts(), m.itesid()), (ITE, SID[2]))
    behind = m.wait()
    m.submit(behind)
    m.clear_ite()
    expect("FSTS, ITESID", (m.fsts(), m.itesid()), (ITE, SID[1]))
    expect("the wait behind", m.waited(behind), False)
    m.clear_ite()
    expect("FSTS", m.fsts(), 0)
    expect("the wait behind", m.waited(behind), True)
    expect("the aborted wait", m.waited(wait), False)
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (2, 1))


@test
def losses_apart(m):
    """a later loss keeps its own time, and holds waits until then"""
    m.ctl(FLAGS, F_AHEAD)
    m.wedge(1)
    m.wedge(2)
    m.submit(m.dev_inv(1))
    m.step(400)
    m.submit(m.dev_inv(2))
    m.step(600)
    expect("FSTS, ITESID", (m.fsts(), m.itesid()), (ITE, SID[1]))
    m.clear_ite()
    wait = m.wait()
    m.submit(wait)
    m.step(399)
    expect("FSTS, wait", (m.fsts(), m.waited(wait)), (0, False))
    m.step(1)
    expect("FSTS, ITESID, wait", (m.fsts(), m.itesid(), m.waited(wait)), (ITE, SID[2], False))


@test
def fetch_ahead(m):
    """with AHEAD all waits fetched meanwhile are aborted together"""
    m.ctl(FLAGS, F_AHEAD)
    m.fetch_all(1, 2)
    m.wedge(1)
    first, innocent = m.wait(), m.wait()
    m.submit(m.dev_inv(1), first)
    m.submit(m.dev_inv(2), innocent)
    expect("head", m.head(), m.tail)
    expect("the innocent invalidation", m.ep(2, E_ATC), 0)
    m.step(1000)
    expect("FSTS", m.fsts(), ITE)
    m.clear_ite()
    expect("waits", (m.waited(first), m.waited(innocent)), (False, False))
    expect("ABORTED_WAITS", m.ctl(ABORTED), 2)
    m.sync()


@test
def old_hardware(m):
    """ITESID 0 and all ones"""
    for flag, sid in ((F_ZERO, 0), (F_ONES, 0xffff)):
        m.ctl(FLAGS, flag)
        m.wedge(1)
        m.time_out()
        expect("ITESID", m.itesid(), sid)
        m.clear_ite()
        expect("ITESID after ITE", m.itesid(), 0)


@test
def never(m):
    """NEVER: the queue stays stuck; without it the timeout is made up for"""
    m.ctl(FLAGS, F_NEVER)
    m.wedge(1)
    wait = m.wait()
    m.submit(m.dev_inv(1), wait)
    m.step(100000)
    expect("FSTS, wait", (m.fsts(), m.waited(wait)), (0, False))
    m.ctl(FLAGS, 0)
    expect("FSTS", m.fsts(), ITE)


@test
def settable_timeout(m):
    """TIMEOUT_MS, also while something is outstanding"""
    m.ctl(TIMEOUT_MS, 50)
    m.wedge(1)
    m.submit(m.dev_inv(1), m.wait())
    m.step(49)
    expect("FSTS", m.fsts(), 0)
    m.ctl(TIMEOUT_MS, 60)
    m.step(10)
    expect("FSTS", m.fsts(), 0)
    m.step(1)
    expect("FSTS", m.fsts(), ITE)


@test
def fault_message(m):
    """the message of the fault interrupt: one per ITE, held back while it is masked"""
    m.fetch_all()
    m.wl(VTD + FEDATA, 0x41)
    m.wl(VTD + FEADDR, 0xfee01000)
    m.wl(VTD + FECTL, 0)
    for masked in (False, True):
        m.wl(VTD + FECTL, 1 << 31 if masked else 0)
        sent = len(m.messages())
        m.wedge(1)
        m.time_out()
        expect("FECTL.IP", bool(m.rl(VTD + FECTL) & IP), masked)
        expect("messages", m.messages()[sent:], [] if masked else [(0xfee01000, 0x41)])
        m.step(5000)
        m.wl(VTD + FECTL, 0)
        expect("messages", m.messages()[sent:], [(0xfee01000, 0x41)])
        m.clear_ite()
        m.wedge(1, 0)
        m.sync(m.dev_inv(1))
        expect("messages", m.messages()[sent:], [(0xfee01000, 0x41)])


@test
def fault_and_ite(m):
    """a pending ITE suppresses another fault event, as other conditions do"""
    m.fetch_all()
    m.wedge(1)
    m.time_out()
    m.wl(VTD + FSTS, IQE)
    expect("FSTS after another condition was cleared", m.fsts(), ITE)
    expect("FECTL.IP", m.rl(VTD + FECTL) & IP, IP)
    m.wl(VTD + FECTL, 0)
    expect("FECTL.IP after unmask", m.rl(VTD + FECTL) & IP, 0)
    m.wl(VTD + FECTL, 1 << 31)
    m.set_ctx(2, False)
    expect("FETCH that is refused", m.command(2, FETCH), False)
    expect("FSTS", m.fsts() & (ITE | PPF), ITE | PPF)
    expect("FECTL.IP", m.rl(VTD + FECTL) & IP, 0)


@test_any
def function_level_reset(m):
    """a real FLR heals a wedged device and clears what a reset clears"""
    m.fetch_all()
    m.wedge(1)
    m.lose()
    m.ep(1, E_CMD, START)
    m.cww(SID[1], PASID_CTRL, PASID_ENABLE)
    m.cww(SID[1], DEVCTL, FLR)
    expect("RESETS", m.target(1, RESETS), 1)
    expect("WEDGE", m.target(1, WEDGE), 0)
    expect("command register", m.crw(SID[1], COMMAND), 0)
    expect("BAR", m.cr(SID[1], BAR0), 0)
    expect("device control", m.crw(SID[1], DEVCTL), 0)
    expect("ATS and PASID control", (m.crw(SID[1], ATS_CTRL), m.crw(SID[1], PASID_CTRL)), (0, 0))
    m.setup_endpoint(1)
    expect("STATUS", m.ep(1, E_STATUS), S_ATS | S_MASTER)
    expect("doorbell", m.doorbell_writes(), False)
    m.fetch_all()
    m.sync(m.dev_inv(1))
    expect("ATC", m.ep(1, E_ATC), 0)
    expect("TIMEOUTS, INV_QUEUED_AFTER", (m.ctl(TIMEOUTS), m.target(1, INV_AFTER)), (1, 0))
    expect("the other device", m.target(2, RESETS), 0)


def secondary_bus_reset(m, n):
    control = m.crw(PORT[n], 0x3e)
    m.cww(PORT[n], 0x3e, control | 0x40)
    m.cww(PORT[n], 0x3e, control)


@test_any
def bus_reset(m):
    """a secondary bus reset heals too"""
    m.fetch_all()
    m.wedge(1)
    secondary_bus_reset(m, 1)
    expect("RESETS, WEDGE", (m.target(1, RESETS), m.target(1, WEDGE)), (1, 0))
    expect("command register", m.crw(SID[1], COMMAND), 0)
    expect("ATS control", m.crw(SID[1], ATS_CTRL), 0)
    m.setup_endpoint(1)
    expect("ATC", m.ep(1, E_ATC), 0)


def enable_vfs(m):
    m.wl(m.cfg(SID[1], VF_BAR), m.ep_bar[1] + 0x8000)
    m.cww(SID[1], NUM_VFS, 2)
    m.cww(SID[1], SRIOV_CTRL, VFE | MSE)


def vf_magic(m, n):
    return m.rl(m.ep_bar[1] + 0x8000 + n * 0x1000 + E_MAGIC)


@test_any
def virtual_functions(m):
    """they come and go with VF Enable, and have what the specification leaves them"""
    expect("capability", m.cr(SID[1], SRIOV) & 0xffff, 0x10)
    expect("TotalVFs, device id", (m.crw(SID[1], TOTAL_VFS), m.crw(SID[1], VF_DID)), (2, 0xfa19))
    expect("header of the PF", m.cr(SID[1], 0x0c) >> 16, 0)
    for vf in VF:
        expect("VF without VF Enable", m.cr(vf, COMMAND), ONES)
    enable_vfs(m)
    for n, vf in enumerate(VF):
        expect("ids", m.cr(vf, 0), ONES)
        m.cww(vf, COMMAND, MASTER | MEMORY | INTX_DISABLE | 1)
        expect("command register", m.crw(vf, COMMAND), MASTER)
        expect("BAR", (m.cr(vf, BAR0), vf_magic(m, n)), (0, 0x50455149))
        m.cww(vf, ATS_CTRL, ATS_ENABLE)
        m.cww(vf, VF_MSIX_CTRL, MSIX_MASKALL)
        expect("ATS, MSI-X", (m.crw(vf, ATS_CTRL), m.crw(vf, VF_MSIX_CTRL)),
               (ATS_ENABLE, MSIX_MASKALL))
    m.cww(VF[0], DEVCTL, FLR)
    expect("after its FLR", (m.crw(VF[0], COMMAND), m.crw(VF[0], ATS_CTRL),
                             m.crw(VF[0], VF_MSIX_CTRL)), (0, 0, 0))
    expect("magic after its FLR", vf_magic(m, 0), 0x50455149)
    expect("the other one", m.crw(VF[1], ATS_CTRL), ATS_ENABLE)
    expect("the physical one", m.crw(SID[1], ATS_CTRL), ATS_ENABLE)
    m.cww(SID[1], SRIOV_CTRL, 0)
    for vf in VF:
        expect("VF without VF Enable", m.cr(vf, COMMAND), ONES)


@test_any
def virtual_function_breaks(m):
    """alone; its own FLR heals it and so does one of the PF, if that happens"""
    enable_vfs(m)
    for reset, good in ((VF[0], True), (SID[1], True), (VF[1], False)):
        m.ctl(TARGET, VF[0])
        m.ctl(WEDGE, 1)
        m.cww(reset, DEVCTL, FLR)
        m.ctl(TARGET, VF[0])
        expect("WEDGE", m.ctl(WEDGE), 0 if good else 1)
        if reset == SID[1]:
            expect("VF after a reset of the PF", m.cr(VF[0], COMMAND), ONES)
            m.setup_endpoint(1)
            enable_vfs(m)
    expect("WEDGE of the others", (m.target(1, WEDGE), m.target(2, WEDGE)), (0, 0))
    m.wedge(1, 2)
    m.cww(SID[1], DEVCTL, FLR)
    expect("VFs of a PF whose reset does nothing", vf_magic(m, 0), 0x50455149)
    m.ctl(TARGET, VF[0])
    expect("WEDGE", m.ctl(WEDGE), 1)


@test_any
def wedged_forever(m):
    """mode 2: resets are counted and clear nothing"""
    m.fetch_all()
    m.wedge(1, 2)
    m.lose()
    m.ep(1, E_CMD, START)
    for count, reset in enumerate((lambda: m.cww(SID[1], DEVCTL, FLR),
                                   lambda: secondary_bus_reset(m, 1)), 1):
        before = [m.cr(SID[1], reg) for reg in range(0, 0x120, 4)]
        reset()
        expect("RESETS, WEDGE", (m.target(1, RESETS), m.target(1, WEDGE)), (count, 2))
        expect("configuration space", [m.cr(SID[1], reg) for reg in range(0, 0x120, 4)], before)
        expect("command register", m.crw(SID[1], COMMAND), MASTER | MEMORY | INTX_DISABLE)
        expect("STATUS", m.ep(1, E_STATUS) & ~S_OK, S_ATC | S_ATS | S_MASTER | S_PERIODIC)
        expect("doorbell", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 2)
    m.wedge(1, 0)
    m.cww(SID[1], DEVCTL, FLR)
    expect("RESETS once healthy", m.target(1, RESETS), 3)
    expect("command register once healthy", m.crw(SID[1], COMMAND), 0)


@test_any
def vanished(m):
    """mode 3: all ones, no answer, no DMA, and back as it was"""
    m.fetch_all()
    m.wedge(1, 3)
    expect("id", m.cr(SID[1], 0), ONES)
    expect("command register", m.crw(SID[1], COMMAND), 0xffff)
    expect("BAR", m.ep(1, E_MAGIC), ONES)
    m.lose()
    expect("doorbell", m.doorbell_writes(), False)
    m.cww(SID[1], DEVCTL, FLR)
    secondary_bus_reset(m, 1)
    expect("RESETS, WEDGE", (m.target(1, RESETS), m.target(1, WEDGE)), (0, 3))
    m.wedge(1, 0)
    expect("id", m.cr(SID[1], 0), 0xfa181234)
    expect("ATC", m.ep(1, E_ATC), 1)
    expect("doorbell", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)


@test_any
def reset_hangs(m):
    """mode 4: wedged; the next reset never completes"""
    m.fetch_all()
    m.wedge(1, 4)
    m.lose()
    expect("doorbell", m.doorbell_writes(), True)
    expect("id before the reset", m.cr(SID[1], 0), 0xfa181234)
    m.cww(SID[1], DEVCTL, FLR)
    expect("id", m.cr(SID[1], 0), ONES)
    expect("RESETS", m.target(1, RESETS), 1)
    m.step(100000)
    expect("id after a long time", m.cr(SID[1], 0), ONES)
    expect("doorbell", m.doorbell_writes(), False)
    m.wedge(1, 0)
    expect("command register", m.crw(SID[1], COMMAND), MASTER | MEMORY | INTX_DISABLE)


@test_any
def hot_unplug(m):
    """nobody answers for a device that was pulled; its successor does"""
    m.fetch_all()
    m.wedge(1)
    # Slot control: power off, indicator off; the root port's capability.
    exp = m.crw(PORT[1], 0x34) & 0xff
    while m.crw(PORT[1], exp) & 0xff != 0x10:
        exp = m.crw(PORT[1], exp) >> 8
    m.cww(PORT[1], exp + 0x18, 0x100)
    m.cww(PORT[1], exp + 0x18, 0x700)
    expect("id of the empty slot", m.cr(SID[1], 0), ONES)
    expect("WEDGE of what is gone", m.target(1, WEDGE), 3)
    m.lose()
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 1)
    m.monitor("device_add", driver="iommu-fault-endpoint", id="ep3", bus="rp1", pasid=False)
    m.cww(PORT[1], exp + 0x18, 0x100)
    expect("id of the new one", m.cr(SID[1], 0), 0xfa181234)
    expect("its PASID capability", m.cr(SID[1], 0x110), 0)
    m.setup_endpoint(1)
    expect("WEDGE", m.target(1, WEDGE), 0)
    m.fetch_all()
    m.sync(m.dev_inv(1))


@test
def machine_reset(m):
    """a reset of the machine heals everything, wedged for ever or not"""
    m.fetch_all(1, 2)
    m.wedge(1, 2)
    m.wedge(2, 3)
    m.ctl(TIMEOUT_MS, 5)
    m.time_out()
    m.monitor("system_reset")
    # The reset is carried out by the main loop: let the clock drive it there.
    for _ in range(1000):
        if not m.rl(VTD + GSTS):
            break
        m.step(1)
    expect("GSTS", m.rl(VTD + GSTS), 0)
    m.tail = 0
    m.setup_pci()
    m.setup_iommu()
    for n in (1, 2):
        expect("WEDGE, RESETS", (m.target(n, WEDGE), m.target(n, RESETS)), (0, 0))
        expect("ATC", m.ep(n, E_ATC), 0)
    expect("TIMEOUT_MS", m.ctl(TIMEOUT_MS), 1000)
    expect("FSTS", m.fsts(), 0)
    m.fetch_all(1, 2)
    m.sync(m.dev_inv(1), m.dev_inv(2))


@test
def pasid(m):
    """requests with PASID have entries and invalidations of their own"""
    if not m.variant.pasid:
        return "needs PASID support of the IOMMU"
    expect("FETCH with PASID off", m.command(1, FETCH, pasid=5), False)
    m.cww(SID[1], PASID_CTRL, PASID_ENABLE)
    expect("FETCH", m.command(1, FETCH, pasid=5), True)
    m.fetch_all()
    expect("ATC", m.ep(1, E_ATC), 2)
    m.sync(m.dev_inv(1))
    expect("ATC without the one without PASID", m.ep(1, E_ATC), 1)
    m.sync(m.dev_inv(1, pasid=6))
    expect("ATC after another PASID's", m.ep(1, E_ATC), 1)
    m.wedge(1)
    m.submit(m.dev_inv(1, pasid=5), m.wait())
    m.step(1000)
    expect("FSTS, ITESID", (m.fsts(), m.itesid()), (ITE, SID[1]))
    m.clear_ite()
    expect("doorbell", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)
    m.wedge(1, 0)
    m.sync(m.dev_inv(1, pasid=5))
    expect("ATC", m.ep(1, E_ATC), 0)


@test
def pasid_entry(m):
    """a request finds the PASID entry that was cached last, until that is invalidated"""
    if not m.scalable:
        return "legacy mode has no PASID entries"
    did, there = 7, m.rq(PASID_TABLE)
    gone = there & ~1

    def fetch():
        # Nothing else remembers the translation.
        m.sync(m.iotlb_global(), m.dev_inv(1))
        return m.command(1, FETCH)

    for name, covers in (("global", m.pc(3)), ("domain", m.pc(0, did)), ("PASID", m.pc(1, did, 0))):
        m.wq(PASID_TABLE, there)
        expect(f"{name}: FETCH, present", fetch(), True)
        m.wq(PASID_TABLE, gone)
        for other, descriptor in (("nothing", m.wait()), ("context cache", m.cc_global()),
                                  ("another domain", m.pc(0, did + 1)),
                                  ("another domain's PASID", m.pc(1, did + 1, 0)),
                                  ("another PASID", m.pc(1, did, 5))):
            m.sync(descriptor)
            expect(f"{name}: FETCH, gone, after {other}", fetch(), True)
        m.sync(covers)
        expect(f"{name}: FETCH, gone, after its own", fetch(), False)


@test
@test_amd
def slow_is_healthy(m):
    """mode 5 where the IOMMU model cannot wait: the device answers at once"""
    m.fetch_all()
    m.target(1, DELAY_MS, 300)
    m.wedge(1, SLOW)
    m.sync(m.dev_inv(1))
    expect("ATC, INV_WEDGED", (m.ep(1, E_ATC), m.target(1, INV_WEDGED)), (0, 0))


@test_amd
def amd_features(m):
    """what the kernel asks of EFR and of the capability before it uses ATS"""
    efr = m.rq(AMD + EXT_FEATURES)
    for bit, name in ((1, "PPR"), (4, "GT"), (48, "GIOSUP"), (50, "EPHSUP")):
        expect(name, efr >> bit & 1, 1)


@test_amd
def amd_io_with_ats(m):
    """fetch, write, what ATS enable, bus master and the page tables forbid"""
    expect("FETCH", m.command(1, FETCH), True)
    expect("STATUS", m.ep(1, E_STATUS), S_OK | S_ATC | S_ATS | S_MASTER)
    expect("WRITE", m.command(1, WRITE, pattern=0x11223344), True)
    expect("memory", m.data(), 0x11223344)
    expect("FETCH of an unmapped page", m.command(1, FETCH, iova=0x200000), False)
    m.map(IOVA + 4096, writable=False)
    expect("FETCH of a page not writable", m.command(1, FETCH, iova=IOVA + 4096), False)
    expect("FETCH of an interrupt address", m.command(1, FETCH, iova=0xfee00000), False)
    m.cww(SID[1], PASID_CTRL, PASID_ENABLE)
    expect("FETCH with PASID", m.command(1, FETCH, pasid=5), False)
    expect("events", m.events(), [])
    expect("WRITE_UNTRANSLATED", m.command(1, WRITE_UNTRANSLATED, pattern=0x99), True)
    expect("memory", m.data(), 0x99)
    m.cww(SID[1], COMMAND, MEMORY)
    expect("WRITE without bus master", m.command(1, WRITE), False)
    m.cww(SID[1], COMMAND, MEMORY | MASTER)
    m.cww(SID[1], ATS_CTRL, 0)
    expect("the ATC after ATS was turned off", m.ep(1, E_ATC), 0)
    expect("FETCH without ATS", m.command(1, FETCH), False)


@test_amd
def amd_own_entries(m):
    """two devices behind two ports have a device table entry each"""
    m.set_dte(2, flags=DTE_V)
    m.sync(m.inv_dte(2))
    expect("FETCH", (m.command(1, FETCH), m.command(2, FETCH)), (True, False))
    expect("untranslated", (m.command(1, WRITE_UNTRANSLATED), m.command(2, WRITE_UNTRANSLATED)),
           (True, False))
    expect("DeviceIDs of the events", [event[1] for event in m.events()], [SID[2], SID[2]])


@test_amd
def amd_healthy_invalidation(m):
    """a healthy device answers and drops exactly what is covered"""
    for page in range(4):
        expect("FETCH", m.command(1, FETCH, iova=IOVA + page * 4096), True)
    m.sync(m.dev_inv(1, IOVA + 4096))
    expect("ATC after one page", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(2))
    expect("ATC after another device's", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(1, pasid=5), m.dev_inv(1, IOVA, pages=4, pasid=0))
    expect("ATC after those of PASIDs", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(1, IOVA + 2 * 4096, pages=2))
    expect("ATC after two pages", m.ep(1, E_ATC), 1)
    m.sync((m.dev_inv(1)[0], 0x7ffffffffffff000 | 1))
    expect("ATC after everything", m.ep(1, E_ATC), 0)
    m.fetch_all()
    m.sync((m.dev_inv(1)[0], 0x7fffffffff000 | 1))
    expect("ATC after 2^52 bytes", m.ep(1, E_ATC), 0)
    expect("INV_TOTAL", (m.target(1, INV_TOTAL), m.target(2, INV_TOTAL)), (6, 1))
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 0)
    m.step(5000)
    expect("TIMEOUTS, events, interrupt", (m.ctl(TIMEOUTS), m.events(), m.interrupted()),
           (0, [], False))


@test_amd
def amd_timeout(m):
    """a lost invalidation: the wait stays at the head, then event, interrupt, completion"""
    m.fetch_all(1, 2)
    m.command(2, FETCH, iova=IOVA + 4096)
    m.wedge(1)
    lost, behind = m.wait(), m.wait()
    address = m.submit(m.dev_inv(1), m.dev_inv(2, IOVA + 4096), lost)
    m.submit(m.dev_inv(2), behind)
    expect("head: at the wait", m.head(), 2)
    expect("ATC of the neighbour: what is before the wait", m.ep(2, E_ATC), 1)
    m.step(999)
    expect("head, status", (m.head(), m.status()), (2, RUNNING))
    expect("waits", (m.waited(lost), m.waited(behind)), (False, False))
    expect("events, interrupt", (m.events(), m.interrupted()), ([], False))
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 0)
    m.step(1)
    expect("status", m.status(), RUNNING | EVT_INT)
    expect("events, interrupt", (m.events(), m.interrupted()), ([m.lost(1, address)], True))
    expect("waits", (m.waited(lost), m.waited(behind)), (True, True))
    expect("head", m.head(), m.tail)
    expect("ATC", (m.ep(1, E_ATC), m.ep(2, E_ATC)), (1, 0))
    expect("TIMEOUTS, ABORTED_WAITS, STALL_MS",
           (m.ctl(TIMEOUTS), m.ctl(ABORTED), m.ctl(STALL_MS)), (1, 0, 1000))
    expect("INV_WEDGED, INV_QUEUED_AFTER",
           (m.target(1, INV_WEDGED), m.target(1, INV_AFTER)), (1, 0))
    m.step(5000)
    expect("events after a long time", m.events(), [])
    address = m.submit(m.dev_inv(1))
    expect("INV_QUEUED_AFTER", m.target(1, INV_AFTER), 1)
    m.step(1000)
    expect("events", m.events(), [m.lost(1, address)])
    expect("STALL_MS without a wait", m.ctl(STALL_MS), 1000)


@test_amd
def amd_event_first(m):
    """the event is in the log before the wait's store: the store wins the race"""
    m.wedge(1)
    address = m.submit(m.dev_inv(1), (EVTLOG + 8 | 1 | COMPLETION_WAIT << 60, 0x77))
    m.step(1000)
    expect("the event, its address overwritten", m.events(), [m.lost(1, 0x77)])
    m.ctl(FLAGS, F_EVENT_LATE)
    address = m.submit(m.dev_inv(1), (EVTLOG + 24 | 1 | COMPLETION_WAIT << 60, 0x77))
    m.step(1020)
    expect("the event, late", m.events(), [m.lost(1, address)])


@test_amd
def amd_interrupts(m):
    """EventIntEn, one message per condition, and what clears it"""
    m.wedge(1)
    m.control &= ~EVT_INT_EN
    m.wq(AMD + CONTROL, m.control)
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("status, interrupt: disabled", (m.status(), m.interrupted()),
           (RUNNING | EVT_INT, False))
    m.control |= EVT_INT_EN
    m.wq(AMD + CONTROL, m.control)
    expect("interrupt: enabled while pending", m.interrupted(), True)
    m.submit(m.dev_inv(1))
    m.step(1000)
    m.wq(AMD + CONTROL, m.control)
    expect("interrupt: already pending", m.interrupted(), False)
    m.clear(EVT_OVERFLOW)
    expect("status: another bit cleared", m.status(), RUNNING | EVT_INT)
    m.clear(EVT_INT | RUNNING)
    expect("status: cleared, what runs does", m.status(), RUNNING)
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("status, interrupt", (m.status(), m.interrupted()), (RUNNING | EVT_INT, True))
    expect("number of events", len(m.events()), 3)


@test_amd
def amd_several_losses(m):
    """those of one device expire together, an event each; another's on its own"""
    m.ctl(FLAGS, F_AHEAD)
    m.wedge(1)
    m.wedge(2)
    address = m.submit(m.dev_inv(1), m.dev_inv(1, IOVA + 4096))
    m.step(300)
    m.submit(m.dev_inv(2), m.dev_inv(1))
    m.step(100)
    m.ctl(FLAGS, 0)
    wait = m.wait()
    m.submit(wait)
    m.step(599)
    expect("events", m.events(), [])
    m.step(1)
    expect("events", m.events(),
           [m.lost(1, address), m.lost(1, address + 16), m.lost(1, address + 48)])
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 3)
    expect("the wait behind the other's", m.waited(wait), False)
    m.step(299)
    expect("the wait, events", (m.waited(wait), m.events()), (False, []))
    m.step(1)
    expect("the wait, events", (m.waited(wait), m.events()), (True, [m.lost(2, address + 32)]))
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (4, 0))


@test_amd
def amd_unfetched(m):
    """what lies behind a held wait is read later, and is a loss of its own then"""
    m.fetch_all()
    m.wedge(1)
    first, second = m.wait(), m.wait()
    m.submit(m.dev_inv(1), first, m.dev_inv(1), second)
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 1)
    m.step(1000)
    expect("waits, events", (m.waited(first), m.waited(second), len(m.events())),
           (True, False, 1))
    m.step(1000)
    expect("waits, events", (m.waited(second), len(m.events())), (True, 1))
    third = m.wait()
    m.submit(m.dev_inv(1), third, m.dev_inv(1))
    lo, hi = m.inv_dte(2)
    m.wq(QUEUE + 6 * 16, lo)
    m.wq(QUEUE + 6 * 16 + 8, hi)
    m.step(1000)
    expect("wait, events", (m.waited(third), len(m.events())), (True, 1))
    m.step(5000)
    expect("events of the overwritten one, INV_WEDGED", (m.events(), m.target(1, INV_WEDGED)),
           ([], 3))


@test_amd
def amd_event_late(m):
    """EVENT_LATE: the wait completes at the timeout, the event comes 20 ms later"""
    m.ctl(FLAGS, F_EVENT_LATE)
    m.wedge(1)
    wait = m.wait()
    address = m.submit(m.dev_inv(1), wait)
    m.step(999)
    expect("the wait", m.waited(wait), False)
    m.step(1)
    expect("the wait, events", (m.waited(wait), m.events()), (True, []))
    expect("TIMEOUTS, interrupt", (m.ctl(TIMEOUTS), m.interrupted()), (0, False))
    m.submit(m.dev_inv(1))
    expect("INV_QUEUED_AFTER before the event", m.target(1, INV_AFTER), 0)
    m.step(19)
    expect("events", m.events(), [])
    m.step(1)
    expect("events, interrupt", (m.events(), m.interrupted()), ([m.lost(1, address)], True))
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 1)
    m.step(1000)
    expect("events of the second", m.events(), [m.lost(1, address + 32)])


@test_amd
def amd_halt(m):
    """HALT: nothing is fetched after the event, until the buffer is restarted"""
    m.ctl(FLAGS, F_HALT)
    m.wedge(1)
    wait, behind = m.wait(), m.wait()
    address = m.submit(m.dev_inv(1), wait, behind)
    m.step(1000)
    expect("events", m.events(), [m.lost(1, address)])
    expect("status", m.status(), EVT_RUN | EVT_INT)
    m.clear(EVT_INT)
    m.submit(m.wait())
    m.ctl(FLAGS, 0)
    m.wq(AMD + CONTROL, m.control)
    m.step(5000)
    expect("status", m.status(), EVT_RUN)
    expect("head, waits", (m.head(), m.waited(wait), m.waited(behind)), (1, False, False))
    expect("STALL_MS", m.ctl(STALL_MS), 6000)
    m.restart(CMD_BUF_EN)
    expect("status", m.status(), RUNNING)
    expect("head, waits", (m.head(), m.waited(wait), m.waited(behind)), (m.tail, True, True))
    m.step(5000)
    expect("STALL_MS", m.ctl(STALL_MS), 6000)


@test_amd
def amd_halt_idle(m):
    """HALT: an empty buffer stands still too"""
    m.ctl(FLAGS, F_HALT)
    m.wedge(1)
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("status, STALL_MS", (m.status(), m.ctl(STALL_MS)), (EVT_RUN | EVT_INT, 0))
    m.ctl(FLAGS, 0)
    m.step(500)
    expect("STALL_MS", m.ctl(STALL_MS), 500)
    wait = m.wait()
    m.submit(wait)
    m.step(500)
    expect("the wait, STALL_MS", (m.waited(wait), m.ctl(STALL_MS)), (False, 1000))
    m.restart(CMD_BUF_EN)
    expect("the wait", m.waited(wait), True)


@test_amd
def amd_halt_reset(m):
    """HALT: restarted with head and tail 0, as the kernel does, the rest is lost"""
    m.ctl(FLAGS, F_HALT)
    m.wedge(1)
    wait = m.wait()
    m.submit(m.dev_inv(1), wait)
    m.step(1000)
    m.ctl(FLAGS, 0)
    m.tail = 0
    m.restart(CMD_BUF_EN, lambda: (m.wl(AMD + CMD_HEAD, 0), m.wl(AMD + CMD_TAIL, 0)))
    m.sync(m.inv_all())
    m.step(5000)
    expect("the wait", m.waited(wait), False)
    expect("events", len(m.events()), 1)


@test_amd
def amd_drop_wait(m):
    """DROP_WAIT: the wait that was held never completes, the next command runs"""
    m.ctl(FLAGS, F_DROP_WAIT)
    m.wedge(1)
    wait, behind = m.wait(), m.wait()
    address = m.submit(m.dev_inv(1), wait, behind)
    m.step(1000)
    expect("events", m.events(), [m.lost(1, address)])
    expect("head, waits", (m.head(), m.waited(wait), m.waited(behind)), (m.tail, False, True))
    m.step(5000)
    expect("the wait after a long time", m.waited(wait), False)
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (1, 1))
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("ABORTED_WAITS of a loss without a wait", m.ctl(ABORTED), 1)
    m.submit(m.dev_inv(1), m.dev_inv(1), m.wait())
    m.step(1000)
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (4, 2))
    m.sync(m.inv_all())


@test_amd
def amd_combined(m):
    """EVENT_LATE with HALT and DROP_WAIT: all that the event brings is late"""
    m.ctl(FLAGS, F_EVENT_LATE | F_HALT | F_DROP_WAIT)
    m.wedge(1)
    wait, behind, late = m.wait(), m.wait(), m.wait()
    address = m.submit(m.dev_inv(1), wait, behind)
    m.step(1000)
    expect("status, waits", (m.status(), m.waited(wait), m.waited(behind)),
           (RUNNING, False, True))
    expect("ABORTED_WAITS, events", (m.ctl(ABORTED), m.events()), (0, []))
    m.step(20)
    expect("ABORTED_WAITS, events", (m.ctl(ABORTED), m.events()), (1, [m.lost(1, address)]))
    m.submit(late)
    expect("status, the last wait", (m.status(), m.waited(late)), (EVT_RUN | EVT_INT, False))
    m.restart(CMD_BUF_EN)
    expect("waits", (m.waited(wait), m.waited(late)), (False, True))


@test_amd
def amd_fetch_ahead(m):
    """AHEAD: others' commands run, waits complete when what is before them is over"""
    m.ctl(FLAGS, F_AHEAD)
    m.fetch_all(1, 2)
    m.wedge(1)
    before, first, innocent = m.wait(), m.wait(), m.wait()
    m.submit(before, m.dev_inv(1), first, m.dev_inv(2), innocent)
    expect("head", m.head(), m.tail)
    expect("the innocent invalidation", m.ep(2, E_ATC), 0)
    expect("waits", (m.waited(before), m.waited(first), m.waited(innocent)),
           (True, False, False))
    m.wedge(2)
    m.step(400)
    last = m.wait()
    m.submit(m.dev_inv(2), last)
    m.step(599)
    expect("waits", (m.waited(first), m.waited(innocent)), (False, False))
    m.step(1)
    expect("waits", (m.waited(first), m.waited(innocent), m.waited(last)), (True, True, False))
    m.step(400)
    expect("the last wait, events", (m.waited(last), len(m.events())), (True, 2))
    expect("STALL_MS, ABORTED_WAITS", (m.ctl(STALL_MS), m.ctl(ABORTED)), (0, 0))


@test_amd
def amd_fetch_ahead_drop(m):
    """AHEAD with DROP_WAIT: all waits that were fetched meanwhile are aborted"""
    m.ctl(FLAGS, F_AHEAD | F_DROP_WAIT)
    m.wedge(1)
    first, innocent = m.wait(), m.wait()
    m.submit(m.dev_inv(1), first, m.dev_inv(2), innocent)
    m.step(5000)
    expect("waits", (m.waited(first), m.waited(innocent)), (False, False))
    expect("TIMEOUTS, ABORTED_WAITS", (m.ctl(TIMEOUTS), m.ctl(ABORTED)), (1, 2))
    m.sync()


@test_amd
def amd_ahead_taken_back(m):
    """AHEAD taken back and given again while a wait is pending"""
    m.ctl(FLAGS, F_AHEAD)
    m.wedge(1)
    m.submit(m.dev_inv(1), m.wait())
    m.ctl(FLAGS, 0)
    m.submit(m.inv_all())
    expect("head", m.head(), 2)
    m.ctl(FLAGS, F_AHEAD)
    expect("head", m.head(), 3)


@test_amd
def amd_shown_id(m):
    """SID_ZERO: the event names DeviceID 0; SID_ONES means nothing here"""
    m.wedge(1)
    for flag, devid in ((F_ZERO, 0), (F_ONES, SID[1]), (F_ZERO | F_EVENT_LATE, 0)):
        m.ctl(FLAGS, flag)
        address = m.submit(m.dev_inv(1))
        m.step(1020)
        expect("events", m.events(), [(INV_TIMEOUT, devid, 0, 0, address)])
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 3)


@test_amd
def amd_never(m):
    """NEVER: the wait stays; without it the timeout is made up for"""
    m.ctl(FLAGS, F_NEVER)
    m.wedge(1)
    wait = m.wait()
    m.submit(m.dev_inv(1), wait)
    m.step(100000)
    expect("wait, events", (m.waited(wait), m.events()), (False, []))
    m.ctl(FLAGS, 0)
    expect("wait, events", (m.waited(wait), len(m.events())), (True, 1))
    m.submit(m.dev_inv(1))
    m.step(999)
    m.ctl(FLAGS, F_NEVER)
    m.step(5000)
    expect("events", m.events(), [])


@test_amd
def amd_settable_timeout(m):
    """TIMEOUT_MS, also while something is outstanding; not the control register"""
    m.control |= 5 << 5
    m.wq(AMD + CONTROL, m.control)
    m.ctl(TIMEOUT_MS, 50)
    m.wedge(1)
    m.submit(m.dev_inv(1), m.wait())
    m.step(49)
    expect("events", m.events(), [])
    m.ctl(TIMEOUT_MS, 60)
    m.step(10)
    expect("events", m.events(), [])
    m.step(1)
    expect("events", len(m.events()), 1)


@test_amd
def amd_buffer_restart(m):
    """turning the buffer off and on again does not make up for an answer"""
    m.wedge(1)
    wait = m.wait()
    address = m.submit(m.dev_inv(1), wait)
    m.step(500)
    m.restart(CMD_BUF_EN)
    m.step(499)
    expect("wait, events", (m.waited(wait), m.events()), (False, []))
    m.step(1)
    expect("wait, events", (m.waited(wait), m.events()), (True, [m.lost(1, address)]))


@test_amd
def amd_buffer_restart_ahead(m):
    """AHEAD: a wait that was fetched does not survive turning the buffer off"""
    m.ctl(FLAGS, F_AHEAD)
    m.wedge(1)
    wait, behind = m.wait(), m.wait()
    m.submit(m.dev_inv(1), wait)
    m.restart(CMD_BUF_EN)
    m.submit(behind)
    m.step(1000)
    expect("waits, events", (m.waited(wait), m.waited(behind), len(m.events())), (False, True, 1))


@test_amd
def amd_turned_off(m):
    """turning the IOMMU off ends what was outstanding; what passes then"""
    m.fetch_all()
    m.wedge(1)
    wait = m.wait()
    m.submit(m.dev_inv(1), wait)

    def while_off():
        expect("a translation request", m.command(1, FETCH), False)
        m.set_dte(1, ats=False)
        expect("a translated request", m.doorbell_writes(), True)
    m.restart(IOMMU_EN, while_off)
    expect("the wait", m.waited(wait), True)
    m.step(5000)
    expect("events, TIMEOUTS", (m.events(), m.ctl(TIMEOUTS)), ([], 0))


@test_amd
def amd_rings(m):
    """command buffer and event log wrap"""
    m.wedge(1)
    for _ in range(130):
        address = m.submit(m.dev_inv(1), m.inv_all())
        m.step(1000)
        expect("events", m.events(), [m.lost(1, address)])
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 130)
    expect("tail of commands", m.tail, 4)
    m.ctl(FLAGS, F_AHEAD)
    for _ in range(130):
        m.submit(m.dev_inv(1))
    m.step(1000)
    expect("number of events", len(m.events()), 130)
    expect("tail of events", m.rl(AMD + EVT_TAIL), 4 * 16)


@test_amd
def amd_drop_at_the_end(m):
    """DROP_WAIT: a wait in the last place of the buffer"""
    while m.tail < ENTRIES - 2:
        m.submit(m.inv_all())
    m.ctl(FLAGS, F_DROP_WAIT)
    m.wedge(1)
    wait = m.wait()
    m.submit(m.dev_inv(1), wait)
    expect("head", m.head(), ENTRIES - 1)
    m.step(1000)
    expect("head, wait", (m.head(), m.waited(wait)), (0, False))
    expect("number of events", len(m.events()), 1)
    m.sync()


@test_amd
def amd_illegal(m):
    """a command with reserved bits set is no invalidation"""
    m.wedge(1)
    lo, hi = m.dev_inv(1)
    address = m.submit((lo, hi | 2))
    expect("events", [(e[0], e[4]) for e in m.events()], [(ILLEGAL_COMMAND, address)])
    m.step(5000)
    expect("INV_TOTAL, events", (m.target(1, INV_TOTAL), m.events()), (0, []))


@test_amd
def amd_stale_writes(m):
    """only the entry that was cached last decides, whatever memory says"""
    m.fetch_all()
    m.wedge(1)
    expect("doorbell before an invalidation", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 0)
    m.lose()
    m.cww(SID[1], ATS_CTRL, 0)
    m.cww(SID[1], COMMAND, MEMORY)
    m.unmap(IOVA)
    m.sync(m.inv_domain(1))
    expect("doorbell after unmap", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)
    refreshed = m.target(1, CTX_REFRESH)
    m.set_dte(1, ats=False)
    expect("doorbell with the entry changed in memory", m.doorbell_writes(), True)
    m.sync(m.inv_dte(2))
    expect("... after another device's invalidation", m.doorbell_writes(), True)
    m.sync((SID[1] + 1 | INV_DEV_TAB << 60, 0))
    expect("... after another function's invalidation", m.doorbell_writes(), True)
    m.sync(m.inv_domain(1))
    expect("... after one of pages", m.doorbell_writes(), True)
    expect("CTX_REFRESH, events", (m.target(1, CTX_REFRESH), m.events()), (refreshed, []))
    m.sync(m.inv_dte(1))
    expect("... after the matching invalidation", m.doorbell_writes(), False)
    expect("CTX_REFRESH", m.target(1, CTX_REFRESH), refreshed + 1)
    expect("STALE_OK, STALE_BLOCKED",
           (m.target(1, STALE_OK), m.target(1, STALE_BLOCKED)), (5, 1))
    m.set_dte(1)
    expect("the entry restored in memory only", m.doorbell_writes(), False)
    expect("events", m.events(), [(INVALID_REQUEST, SID[1], 0x200, 0, DATA + IOVA)] * 2)
    expect("the neighbour", m.command(2, WRITE, iova=IOVA + 8192), True)


@test_amd
def amd_entry_refreshed(m):
    """what refreshes the cached entry besides its own invalidation"""
    def off_and_on():
        m.restart(IOMMU_EN)
    for what in (lambda: m.sync(m.inv_all()), lambda: m.wq(AMD + DEV_TAB, DEVTAB | 7), off_and_on):
        m.set_dte(1)
        m.sync(m.inv_dte(1))
        m.fetch_all()
        m.set_dte(1, ats=False)
        m.restart(CMD_BUF_EN)
        m.restart(EVT_LOG_EN)
        expect("before", m.doorbell_writes(), True)
        what()
        expect("after", m.doorbell_writes(), False)


@test_amd
def amd_refused(m):
    """which entries permit which ATS requests, and what refusal logs"""
    m.fetch_all()
    for flags, ats, translated, translation in (
            (DTE_V | DTE_TV, True, True, True),
            (DTE_V, True, True, False),
            (DTE_V | DTE_TV, False, False, False),
            (DTE_V, False, False, False),
            (DTE_TV, True, False, False),
            (0, False, False, False)):
        m.set_dte(1, flags, ats)
        m.sync(m.inv_dte(1))
        expect("translated request", m.doorbell_writes(), translated)
        expect("event", m.events(),
               [] if translated else [(INVALID_REQUEST, SID[1], 0x200, 0, DATA + IOVA)])
        expect("translation request", m.command(1, FETCH), translation)
        expect("event", m.events(),
               [] if translation else [(INVALID_REQUEST, SID[1], 0x300, 0, IOVA)])
    m.set_dte(1, ats=False, more=DTE_SA | DTE_SE)
    m.sync(m.inv_dte(1))
    m.doorbell_writes()
    m.doorbell_writes()
    expect("events with suppressed page faults", len(m.events()), 2)
    m.ctl(FLAGS, F_SILENT)
    expect("SILENT", (m.doorbell_writes(), m.command(1, FETCH), m.events()), (False, False, []))


@test_amd
def amd_untranslated(m):
    """untranslated requests obey the cached entry too"""
    write = lambda iova=IOVA: m.command(1, WRITE_UNTRANSLATED, iova=iova)
    fault = (PAGE_FAULT, SID[1], 0x20, DID[1], IOVA)
    expect("mapped", write(), True)
    m.set_dte(1, flags=DTE_V, ats=False)
    expect("changed in memory only", write(), True)
    m.sync(m.inv_dte(1))
    expect("TV = 0", (write(), write(), m.events()), (False, False, [fault] * 2))
    m.set_dte(1, flags=DTE_V, more=DTE_SE)
    m.sync(m.inv_dte(1))
    expect("SE: the first one only", (write(), write(), m.events()), (False, False, [fault]))
    m.sync(m.inv_dte(1))
    expect("SE: once more after an invalidation", (write(), m.events()), (False, [fault]))
    m.set_dte(1, flags=DTE_V, more=DTE_SA)
    m.sync(m.inv_dte(1))
    expect("SA", (write(), m.events()), (False, []))
    m.set_dte(1)
    m.sync(m.inv_dte(1))
    expect("mapped again", (write(), m.events()), (True, []))
    expect("unmapped", (write(0x200000), m.events()),
           (False, [(PAGE_FAULT, SID[1], 0x20, DID[1], 0x200000)]))
    m.wq(DEVTAB + SID[1] * 32, TABLES[0] | 3 << 9 | DTE_IR | DTE_IW | DTE_V | DTE_TV)
    expect("another page table in memory only", write(IOVA + 4096), True)
    m.sync(m.inv_dte(1))
    expect("another page table", write(IOVA + 8192), False)
    m.events()
    m.wq(TABLES[1], TABLES[2] | 2 << 9 | DTE_IR | 1)
    m.set_dte(1)
    m.sync(m.inv_dte(1), m.inv_domain(1))
    expect("write protected", (write(), m.events()), (False, [fault]))


@test_amd
def amd_iotlb(m):
    """the IOMMU's own TLB: not the devices' invalidations clear it, and it has domains"""
    write = lambda: m.command(1, WRITE_UNTRANSLATED)
    expect("mapped", write(), True)
    m.unmap(IOVA)
    m.sync(m.dev_inv(1), m.dev_inv(1, 0, pages=1 << 20), m.inv_dte(1), m.inv_domain(2))
    expect("still in the TLB", write(), True)
    m.set_dte(1, did=DID[1] + 1)
    m.sync(m.inv_dte(1))
    expect("an entry of another domain", write(), False)
    m.set_dte(1)
    m.sync(m.inv_dte(1))
    expect("the domain it was cached for", write(), True)
    m.sync(m.inv_domain(1))
    expect("after its own invalidation", write(), False)


@test_amd
def amd_unreadable(m):
    """tables outside memory: the events name the device, bus number included"""
    nowhere = 0x70000000
    m.wq(TABLES[1], nowhere | 2 << 9 | DTE_IR | DTE_IW | 1)
    expect("a page table", m.command(1, WRITE_UNTRANSLATED), False)
    expect("event", m.events()[0], (PAGE_TABLE_ERROR, SID[1], 0, 0, nowhere))
    m.wq(AMD + DEV_TAB, nowhere | 7)
    expect("the device table", m.command(1, WRITE_UNTRANSLATED), False)
    expect("event", m.events()[0], (DEVICE_TABLE_ERROR, SID[1], 0, 0, nowhere + SID[1] * 32))


@test_amd
def amd_log_overflow(m):
    """a fenced device that goes on writing fills the log; then nothing is logged"""
    m.fetch_all()
    m.set_dte(1, ats=False)
    m.sync(m.inv_dte(1))
    m.wedge(1)
    m.ep(1, E_PERIOD, 1)
    m.ep(1, E_CMD, START)
    m.step(ENTRIES - 1)
    expect("status", m.status(), RUNNING | EVT_INT)
    m.clear(EVT_INT)
    m.interrupted()
    m.step(1)
    m.ep(1, E_CMD, STOP)
    expect("status, interrupt", (m.status(), m.interrupted()), (CMD_RUN | EVT_OVERFLOW, True))
    wait = m.wait()
    m.submit(m.dev_inv(1), wait)
    m.step(1000)
    expect("the wait, TIMEOUTS", (m.waited(wait), m.ctl(TIMEOUTS)), (True, 1))
    expect("events", m.events(),
           [(INVALID_REQUEST, SID[1], 0x200, 0, DATA + IOVA)] * (ENTRIES - 1))
    m.submit(m.dev_inv(1))
    m.step(1000)
    m.clear(EVT_OVERFLOW)
    m.submit(m.dev_inv(1))
    m.step(1000)
    m.wq(AMD + CONTROL, m.control)
    expect("not restarted: status, events", (m.status(), m.events()), (CMD_RUN, []))
    m.restart(EVT_LOG_EN)
    address = m.submit(m.dev_inv(1))
    m.step(1000)
    expect("restarted: status, events", (m.status(), m.events()),
           (RUNNING | EVT_INT, [m.lost(1, address)]))
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 4)


@test_amd
def amd_overflow_pending(m):
    """while the overflow bit is set, a restart alone logs nothing"""
    m.wedge(1)
    m.ctl(FLAGS, F_AHEAD)
    for _ in range(ENTRIES - 1):
        m.submit(m.dev_inv(1))
    m.step(1000)
    expect("status: just full", m.status(), RUNNING | EVT_INT)
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("status", m.status(), CMD_RUN | EVT_OVERFLOW | EVT_INT)
    expect("number of events", len(m.events()), ENTRIES - 1)
    m.restart(EVT_LOG_EN)
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("events", m.events(), [])
    m.clear(EVT_OVERFLOW)
    m.submit(m.dev_inv(1))
    m.step(1000)
    expect("number of events", len(m.events()), 1)


@test_amd
def amd_counters(m):
    """who is counted for what, and CLEAR"""
    m.fetch_all(1, 2)
    m.wedge(1)
    m.lose()
    m.sync(m.dev_inv(2))
    expect("of the device", (m.target(1, INV_TOTAL), m.target(1, INV_WEDGED)), (1, 1))
    expect("of the neighbour", (m.target(2, INV_TOTAL), m.target(2, INV_WEDGED)), (1, 0))
    m.submit(m.dev_inv(1), m.wait())
    m.step(100)
    m.ctl(CLEAR, 1)
    m.step(50)
    expect("STALL_MS since CLEAR", m.ctl(STALL_MS), 50)
    expect("TIMEOUTS, INV_WEDGED, INV_QUEUED_AFTER",
           (m.ctl(TIMEOUTS), m.target(1, INV_WEDGED), m.target(1, INV_AFTER)), (0, 0, 0))


@test_amd
def amd_machine_reset(m):
    """a reset of the machine heals everything and forgets what was outstanding"""
    m.fetch_all(1, 2)
    m.ctl(FLAGS, F_HALT)
    m.wedge(1, 2)
    m.submit(m.dev_inv(1), m.wait())
    m.step(1000)
    m.ctl(FLAGS, F_EVENT_LATE | F_AHEAD)
    m.restart(CMD_BUF_EN)
    m.submit(m.dev_inv(1), m.wait())
    m.monitor("system_reset")
    # The reset is carried out by the main loop: let the clock drive it there.
    for _ in range(1000):
        if not m.rq(AMD + CONTROL):
            break
        m.step(1)
    expect("CONTROL, status", (m.rq(AMD + CONTROL), m.status()), (0, 0))
    m.tail = 0
    m.setup_pci()
    m.setup_iommu()
    m.step(5000)
    expect("events, TIMEOUTS", (m.events(), m.ctl(TIMEOUTS)), ([], 0))
    for n in (1, 2):
        expect("WEDGE, RESETS", (m.target(n, WEDGE), m.target(n, RESETS)), (0, 0))
    m.fetch_all(1, 2)
    m.sync(m.dev_inv(1), m.dev_inv(2))


@test_smmu
def smmu_features(m):
    """what the kernel asks of the registers and of the device tree before it uses ATS"""
    idr0 = m.rl(SMMU + IDR0)
    for bit, name, value in ((10, "ATS", 1), (11, "NS1ATS", 1), (13, "MSI", 0), (16, "PRI", 0)):
        expect(name, idr0 >> bit & 1, value)
    expect("IDR1.SSIDSIZE", m.rl(SMMU + IDR1) >> 6 & 0x1f, 8)
    expect("IDR0.CD2L", idr0 >> 19 & 1, 0)
    expect("CR0ACK.ATSCHK", m.rl(SMMU + CR0ACK) & ATSCHK, ATSCHK)
    tree = bytes.fromhex(m.ask(f"read {m.ram:#x} 0x10000")[2:])
    expect("magic of the device tree", tree[:4].hex(), "d00dfeed")
    expect("ats-supported", tree.count(b"ats-supported\0"), 1)


def firmware_file(m, name):
    """A file that QEMU has for the firmware."""
    def select(key):
        # big endian, as all of this device
        m.ask(f"writew {FW_CFG + 8:#x} {(key & 0xff) << 8 | key >> 8:#x}")

    def take(size):
        return b"".join(m.rq(FW_CFG).to_bytes(8, "little") for _ in range(0, size, 8))[:size]

    select(0x19)
    count = struct.unpack(">I", bytes(int(m.ask(f"readb {FW_CFG:#x}"), 16) for _ in range(4)))[0]
    entries = [struct.unpack(">IHH56s", take(64)) for _ in range(count)]
    size, key = next((size, key) for size, key, _, file in entries
                     if file.rstrip(b"\0") == name.encode())
    select(key)
    return take(size)


@test_smmu
def smmu_iort(m):
    """ACPI says that the root complex supports ATS"""
    tables = firmware_file(m, "etc/acpi/tables")
    iort = tables[tables.index(b"IORT"):]
    count, offset = struct.unpack_from("<II", iort, 36)
    attributes = []
    for _ in range(count):
        kind, length = struct.unpack_from("<BH", iort, offset)
        if kind == 2:
            attributes.append(struct.unpack_from("<I", iort, offset + 24)[0])
        offset += length
    expect("ATS attributes of root complexes", attributes, [1])


@test_smmu
def smmu_io_with_ats(m):
    """fetch, write, what ATS enable, bus master and the page tables forbid"""
    expect("FETCH", m.command(1, FETCH), True)
    expect("STATUS", m.ep(1, E_STATUS), S_OK | S_ATC | S_ATS | S_MASTER)
    expect("WRITE", m.command(1, WRITE, pattern=0x11223344), True)
    expect("memory", m.data(), 0x11223344)
    expect("FETCH of an unmapped page", m.command(1, FETCH, iova=0x200000), False)
    m.map(IOVA + 4096, writable=False)
    expect("FETCH of a page not writable", m.command(1, FETCH, iova=IOVA + 4096), False)
    m.cww(SID[1], PASID_CTRL, PASID_ENABLE)
    expect("FETCH with PASID", m.command(1, FETCH, pasid=5), False)
    expect("events", m.events(), [])
    expect("WRITE_UNTRANSLATED", m.command(1, WRITE_UNTRANSLATED, pattern=0x99), True)
    expect("memory", m.data(), 0x99)
    m.cww(SID[1], COMMAND, MEMORY)
    expect("WRITE without bus master", m.command(1, WRITE), False)
    m.cww(SID[1], COMMAND, MEMORY | MASTER)
    m.cww(SID[1], ATS_CTRL, 0)
    expect("the ATC after ATS was turned off", m.ep(1, E_ATC), 0)
    expect("FETCH without ATS", m.command(1, FETCH), False)


@test_smmu
def smmu_healthy_invalidation(m):
    """a healthy device answers and drops exactly what is covered"""
    for page in range(4):
        expect("FETCH", m.command(1, FETCH, iova=IOVA + page * 4096), True)
    m.sync(m.dev_inv(1, IOVA + 4096))
    expect("ATC after one page", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(2), (ATC_INV | (SID[1] | 1 << 16) << 32, 52))
    expect("ATC after others'", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(1, pasid=5), m.dev_inv(1, pasid=0, pages=4),
           m.dev_inv(1, pasid=0, pages=4, more=1 << 9))
    expect("ATC after those of PASIDs", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(1, IOVA + 2 * 4096, pages=2))
    expect("ATC after two pages", m.ep(1, E_ATC), 1)
    m.sync(m.dev_inv(1, 0, pages=1 << 52))
    expect("ATC after everything", m.ep(1, E_ATC), 0)
    expect("INV_TOTAL", (m.target(1, INV_TOTAL), m.target(2, INV_TOTAL)), (6, 1))
    expect("INV_WEDGED", m.target(1, INV_WEDGED), 0)
    m.step(5000)
    expect("TIMEOUTS, events", (m.ctl(TIMEOUTS), m.events()), (0, []))


@test_smmu
def smmu_timeout(m):
    """a lost invalidation: the CMD_SYNC stays, the error, its interrupt, the repetition"""
    m.watch()
    m.fetch_all(1, 2)
    m.wedge(1)
    at = m.submit(m.dev_inv(1), m.wait())
    m.submit(m.dev_inv(2), m.wait())
    expect("head: at the CMD_SYNC", m.head(), at + 1)
    m.step(999)
    expect("head, error, interrupts", (m.head(), m.error(), m.interrupts()), (at + 1, 0, []))
    expect("TIMEOUTS", m.ctl(TIMEOUTS), 0)
    m.step(1)
    expect("error, head, interrupts", (m.error(), m.head(), m.interrupts()),
           (CERROR_ATC_INV, at + 1, [IRQ_GERROR]))
    m.submit(m.wait())
    expect("head after another submission", m.head(), at + 1)
    m.step(5000)
    expect("error, head, interrupts after a long time",
           (m.error(), m.head(), m.interrupts()), (CERROR_ATC_INV, at + 1, []))
    expect("what was not fetched", (m.target(2, INV_TOTAL), m.ep(2, E_ATC)), (0, 1))
    expect("TIMEOUTS, ABORTED_WAITS, STALL_MS",
           (m.ctl(TIMEOUTS), m.ctl(ABORTED), m.ctl(STALL_MS)), (1, 0, 6000))
    m.acknowledge()
    expect("error, head, without a write to PROD", (m.error(), m.head()), (0, m.tail))
    expect("ATC", (m.ep(1, E_ATC), m.ep(2, E_ATC)), (1, 0))
    m.step(5000)
    expect("TIMEOUTS, STALL_MS, interrupts",
           (m.ctl(TIMEOUTS), m.ctl(STALL_MS), m.interrupts()), (1, 6000, []))
    expect("INV_WEDGED, INV_QUEUED_AFTER, TARGET_TIMEOUTS",
           [m.target(1, reg) for reg in (INV_WEDGED, INV_AFTER, TARGET_TIMEOUTS)], [1, 0, 1])
    expect("TARGET_TIMEOUTS of the neighbour", m.target(2, TARGET_TIMEOUTS), 0)
    m.lose()
    expect("INV_QUEUED_AFTER, TARGET_TIMEOUTS",
           (m.target(1, INV_AFTER), m.target(1, TARGET_TIMEOUTS)), (1, 2))


@test_smmu
def smmu_interrupts(m):
    """the interrupt of an error comes only where it is enabled"""
    m.watch()
    m.wl(SMMU + IRQ_CTRL, 4)
    m.wedge(1)
    m.lose()
    expect("disabled", m.interrupts(), [])
    m.wl(SMMU + IRQ_CTRL, 5)
    m.lose()
    expect("enabled", m.interrupts(), [IRQ_GERROR])


@test_smmu
def smmu_overwritten_commands(m):
    """what lies behind the head is read only after the error was acknowledged"""
    m.wedge(1)
    at = m.submit(m.dev_inv(1), m.wait(), m.dev_inv(1), m.wait())
    m.step(1000)
    expect("error, head", (m.error(), m.head()), (CERROR_ATC_INV, at + 1))
    m.put(at + 2, *m.cfgi(1))
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, m.tail))
    m.step(5000)
    expect("INV_WEDGED, TIMEOUTS", (m.target(1, INV_WEDGED), m.ctl(TIMEOUTS)), (1, 1))


@test_smmu
def smmu_sync_replaced(m):
    """an invalidation in the place of the CMD_SYNC is carried out as such"""
    m.wedge(1)
    at = m.submit(m.dev_inv(1), m.wait())
    m.step(1000)
    m.put(at + 1, *m.dev_inv(2))
    m.acknowledge()
    expect("head, INV_TOTAL", (m.head(), m.target(2, INV_TOTAL)), (m.tail, 1))


@test_smmu
def smmu_loss_without_sync(m):
    """without a CMD_SYNC there is no error; the next one fails, once, at once"""
    m.wedge(1)
    m.submit(m.dev_inv(1), m.dev_inv(1, IOVA + 4096))
    expect("head", m.head(), m.tail)
    m.step(5000)
    expect("error, TIMEOUTS", (m.error(), m.ctl(TIMEOUTS)), (0, 0))
    at = m.submit(m.wait(), m.wait())
    expect("error, head", (m.error(), m.head()), (CERROR_ATC_INV, at))
    expect("TIMEOUTS, TARGET_TIMEOUTS, STALL_MS",
           (m.ctl(TIMEOUTS), m.target(1, TARGET_TIMEOUTS), m.ctl(STALL_MS)), (1, 1, 0))
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, m.tail))


def one_error_for_both(m):
    """What targets 1 and 2 were sent has expired at once, and is over by that."""
    expect("error", m.error(), CERROR_ATC_INV)
    expect("TIMEOUTS, and of each",
           (m.ctl(TIMEOUTS), m.target(1, TARGET_TIMEOUTS), m.target(2, TARGET_TIMEOUTS)),
           (1, 1, 1))
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, m.tail))


@test_smmu
def smmu_two_devices(m):
    """one error for two devices, which names neither"""
    m.wedge(1)
    m.wedge(2)
    m.submit(m.dev_inv(1), m.dev_inv(2), m.dev_inv(1), m.wait())
    m.step(1000)
    one_error_for_both(m)
    m.submit(m.dev_inv(1), m.dev_inv(2))
    expect("INV_QUEUED_AFTER", (m.target(1, INV_AFTER), m.target(2, INV_AFTER)), (1, 1))


@test_smmu
def smmu_coarse_clock(m):
    """what was lost almost at once expires at once; not what is still to be answered"""
    m.wedge(1)
    m.submit(m.dev_inv(1))
    m.step(50)
    m.wedge(2)
    m.submit(m.dev_inv(2), m.wait())
    m.step(950)
    one_error_for_both(m)
    slow(m, 2, 990)
    m.submit(m.dev_inv(1))
    m.step(50)
    m.submit(m.dev_inv(2), m.wait())
    m.step(950)
    expect("error", m.error(), CERROR_ATC_INV)
    m.acknowledge()
    m.step(40)
    expect("error, head", (m.error(), m.head()), (0, m.tail))
    expect("TIMEOUTS, of the slow one", (m.ctl(TIMEOUTS), m.target(2, TARGET_TIMEOUTS)), (2, 1))


@test_smmu
def smmu_losses_apart(m):
    """a later loss keeps its own time: the repeated CMD_SYNC waits, and fails again"""
    m.wedge(1)
    m.wedge(2)
    m.submit(m.dev_inv(1))
    m.step(400)
    at = m.submit(m.dev_inv(2), m.wait())
    m.step(600)
    expect("error", m.error(), CERROR_ATC_INV)
    expect("TARGET_TIMEOUTS", (m.target(1, TARGET_TIMEOUTS), m.target(2, TARGET_TIMEOUTS)),
           (1, 0))
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, at + 1))
    m.step(399)
    expect("error, head", (m.error(), m.head()), (0, at + 1))
    m.step(1)
    expect("error, head", (m.error(), m.head()), (CERROR_ATC_INV, at + 1))
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, m.tail))
    expect("TIMEOUTS, and of each",
           (m.ctl(TIMEOUTS), m.target(1, TARGET_TIMEOUTS), m.target(2, TARGET_TIMEOUTS)),
           (2, 1, 1))
    expect("STALL_MS", m.ctl(STALL_MS), 1000)


def slow(m, n, ms):
    m.target(n, DELAY_MS, ms)
    expect("DELAY_MS", m.target(n, DELAY_MS), ms)
    m.wedge(n, SLOW)


@test_smmu
def smmu_slow(m):
    """a slow device's answer lets the CMD_SYNC go on, and drops the entry, then"""
    m.fetch_all(1, 2)
    slow(m, 1, 300)
    at = m.submit(m.dev_inv(1), m.wait())
    m.step(299)
    expect("head, ATC", (m.head(), m.ep(1, E_ATC)), (at + 1, 1))
    m.step(1)
    expect("head, ATC", (m.head(), m.ep(1, E_ATC)), (m.tail, 0))
    m.step(5000)
    expect("error, TIMEOUTS, INV_WEDGED, INV_TOTAL",
           (m.error(), m.ctl(TIMEOUTS), m.target(1, INV_WEDGED), m.target(1, INV_TOTAL)),
           (0, 0, 0, 1))
    m.target(1, DELAY_MS, 0)
    m.fetch_all()
    m.sync(m.dev_inv(1))
    expect("ATC without a delay", m.ep(1, E_ATC), 0)


@test_smmu
def smmu_slow_beside_dead(m):
    """after the error of a dead device, a slow one's invalidation is still completing"""
    m.fetch_all(1, 2)
    m.wedge(1)
    slow(m, 2, 700)
    m.submit(m.dev_inv(1))
    m.step(500)
    at = m.submit(m.dev_inv(2), m.wait())
    m.step(500)
    expect("error", m.error(), CERROR_ATC_INV)
    m.acknowledge()
    m.step(199)
    expect("error, head, ATC", (m.error(), m.head(), m.ep(2, E_ATC)), (0, at + 1, 1))
    m.step(1)
    expect("error, head, ATC", (m.error(), m.head(), m.ep(2, E_ATC)), (0, m.tail, 0))
    expect("TIMEOUTS, and of each",
           (m.ctl(TIMEOUTS), m.target(1, TARGET_TIMEOUTS), m.target(2, TARGET_TIMEOUTS)),
           (1, 1, 0))


@test_smmu
def smmu_ats_again(m):
    """ATS that is visible again in memory is counted at each CMD_SYNC"""
    m.fetch_all()
    m.wedge(1)
    m.submit(m.dev_inv(1), m.wait())
    m.step(1000)
    m.acknowledge()
    m.sync()
    expect("ATS_AGAIN before it was taken", m.target(1, ATS_AGAIN), 0)
    m.set_ste(1, eats=0)
    m.sync(m.cfgi(1))
    expect("ATS_AGAIN when it was taken", m.target(1, ATS_AGAIN), 0)
    m.set_ste(1)
    m.set_ste(1, eats=0)
    m.sync()
    expect("ATS_AGAIN, seen at no CMD_SYNC", m.target(1, ATS_AGAIN), 0)
    m.set_ste(1)
    m.sync()
    expect("ATS_AGAIN of both", (m.target(1, ATS_AGAIN), m.target(2, ATS_AGAIN)), (1, 0))


@test_smmu
def smmu_slow_during_error(m):
    """a slow device answers while the queue stands at the error"""
    m.fetch_all(1, 2)
    m.wedge(1)
    slow(m, 2, 700)
    m.submit(m.dev_inv(1))
    m.step(500)
    at = m.submit(m.dev_inv(2), m.wait())
    m.step(1000)
    expect("error, head, ATC", (m.error(), m.head(), m.ep(2, E_ATC)),
           (CERROR_ATC_INV, at + 1, 0))
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, m.tail))


@test_smmu
def smmu_too_slow(m):
    """an answer after the timeout is none, though the device does what it was told"""
    m.fetch_all()
    slow(m, 1, 1500)
    m.submit(m.dev_inv(1), m.wait())
    expect("doorbell", m.doorbell_writes(), True)
    expect("STALE_OK before the timeout", m.target(1, STALE_OK), 0)
    m.step(1000)
    expect("error, TARGET_TIMEOUTS", (m.error(), m.target(1, TARGET_TIMEOUTS)),
           (CERROR_ATC_INV, 1))
    m.acknowledge()
    expect("head, ATC", (m.head(), m.ep(1, E_ATC)), (m.tail, 1))
    expect("doorbell", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)
    m.step(499)
    expect("ATC", m.ep(1, E_ATC), 1)
    m.step(1)
    expect("ATC", m.ep(1, E_ATC), 0)
    m.fetch_all()
    m.submit(m.dev_inv(1))
    m.step(1500)
    expect("ATC", m.ep(1, E_ATC), 0)
    m.submit(m.wait())
    expect("error of the next CMD_SYNC", m.error(), CERROR_ATC_INV)


@test_smmu
def smmu_too_slow_beside_dead(m):
    """a later error covers nothing that an earlier one has covered"""
    m.fetch_all()
    slow(m, 1, 2500)
    m.wedge(2)
    m.submit(m.dev_inv(1), m.wait())
    m.step(1000)
    m.acknowledge()
    m.lose(2)
    expect("TIMEOUTS, and of each",
           (m.ctl(TIMEOUTS), m.target(1, TARGET_TIMEOUTS), m.target(2, TARGET_TIMEOUTS)),
           (2, 1, 1))
    m.step(500)
    expect("ATC", m.ep(1, E_ATC), 0)


@test_smmu
def smmu_slow_then_dead(m):
    """a slow device that breaks, or is reset, before it answers"""
    m.fetch_all()
    slow(m, 1, 300)
    m.submit(m.dev_inv(1), m.wait())
    m.step(100)
    m.wedge(1)
    m.step(899)
    expect("error, ATC", (m.error(), m.ep(1, E_ATC)), (0, 1))
    m.step(1)
    expect("error", m.error(), CERROR_ATC_INV)
    m.acknowledge()
    slow(m, 1, 300)
    m.submit(m.dev_inv(1), m.wait())
    m.cww(SID[1], DEVCTL, FLR)
    expect("WEDGE after a reset", m.target(1, WEDGE), 0)
    m.step(300)
    expect("error, head", (m.error(), m.head()), (0, m.tail))


@test_smmu
def smmu_forget(m):
    """FORGET: an error ends all that is outstanding, a slow device's too"""
    m.ctl(FLAGS, F_FORGET)
    m.fetch_all(1, 2)
    m.wedge(1)
    slow(m, 2, 700)
    m.submit(m.dev_inv(1))
    m.step(500)
    m.submit(m.dev_inv(2), m.wait())
    m.step(500)
    one_error_for_both(m)
    m.step(5000)
    expect("ATC of the slow one", m.ep(2, E_ATC), 1)
    expect("doorbell, STALE_OK", (m.doorbell_writes(2), m.target(2, STALE_OK)), (True, 1))
    at = m.submit(m.dev_inv(2), m.wait())
    m.step(700)
    expect("head, ATC after another try", (m.head(), m.ep(2, E_ATC)), (at + 2, 0))


@test_smmu
def smmu_lazy(m):
    """LAZY: CFGI and TLBI work when a CMD_SYNC behind them is consumed, not before"""
    write = lambda: m.command(2, WRITE_UNTRANSLATED)
    expect("mapped", write(), True)
    m.unmap(IOVA)
    m.submit(m.tlbi())
    expect("not LAZY: TLBI", write(), False)
    m.map(IOVA)
    m.submit(m.tlbi())
    m.fetch_all(1, 2)
    m.ctl(FLAGS, F_LAZY)
    m.wedge(1)
    expect("mapped", write(), True)
    m.unmap(IOVA)
    m.set_ste(1, eats=0)
    m.submit(m.tlbi(), m.cfgi(1), m.dev_inv(1), m.dev_inv(2), m.wait())
    m.step(1000)
    expect("error, ATC of the neighbour", (m.error(), m.ep(2, E_ATC)), (CERROR_ATC_INV, 0))
    expect("TLBI, CFGI during the error", (write(), m.doorbell_writes()), (True, True))
    m.ctl(FLAGS, 0)
    m.acknowledge()
    expect("error, head", (m.error(), m.head()), (0, m.tail))
    expect("TLBI, CFGI afterwards", (write(), m.doorbell_writes()), (False, False))
    m.ctl(FLAGS, F_LAZY)
    m.set_ste(1)
    m.submit(m.cfgi_range(0, 32))
    expect("head, CFGI without a CMD_SYNC", (m.head(), m.doorbell_writes()), (m.tail, False))
    m.sync()
    expect("with one", m.doorbell_writes(), True)


@test_smmu
def smmu_lazy_off(m):
    """without LAZY the same commands work before the error"""
    m.fetch_all()
    m.wedge(1)
    m.set_ste(1, eats=0)
    m.submit(m.cfgi(1), m.dev_inv(1), m.wait())
    expect("doorbell", m.doorbell_writes(), False)
    m.step(1000)
    expect("error", m.error(), CERROR_ATC_INV)


@test_smmu
def smmu_never(m):
    """NEVER: the CMD_SYNC stays; without it the timeout is made up for"""
    m.ctl(FLAGS, F_NEVER)
    m.wedge(1)
    at = m.submit(m.dev_inv(1), m.wait())
    m.step(100000)
    expect("error, head", (m.error(), m.head()), (0, at + 1))
    m.ctl(FLAGS, 0)
    expect("error, head", (m.error(), m.head()), (CERROR_ATC_INV, at + 1))


@test_smmu
def smmu_settable_timeout(m):
    """TIMEOUT_MS, also while something is outstanding"""
    m.ctl(TIMEOUT_MS, 50)
    m.wedge(1)
    m.submit(m.dev_inv(1), m.wait())
    m.step(49)
    expect("error", m.error(), 0)
    m.ctl(TIMEOUT_MS, 60)
    m.step(10)
    expect("error", m.error(), 0)
    m.step(1)
    expect("error", m.error(), CERROR_ATC_INV)


@test_smmu
def smmu_queue_restart(m):
    """turning the queue off and on again does not make up for an answer"""
    m.wedge(1)
    at = m.submit(m.dev_inv(1), m.wait())
    m.step(500)
    m.cr0(m.enabled & ~CMDQEN)
    m.step(400)
    m.cr0(m.enabled)
    m.step(99)
    expect("error, head", (m.error(), m.head()), (0, at + 1))
    m.step(1)
    expect("error, STALL_MS", (m.error(), m.ctl(STALL_MS)), (CERROR_ATC_INV, 600))
    m.acknowledge()
    expect("head", m.head(), m.tail)


@test_smmu
def smmu_ring(m):
    """the command queue wraps"""
    m.wedge(1)
    for count in range(1, 201):
        m.submit(m.cfgi(2), m.dev_inv(1), m.wait())
        m.step(1000)
        expect("error", m.error(), CERROR_ATC_INV)
        m.acknowledge()
        expect("head, TIMEOUTS", (m.head(), m.ctl(TIMEOUTS)), (m.tail, count))
    expect("tail", m.tail, 600 - 2 * ENTRIES)


@test_smmu
def smmu_illegal(m):
    """commands for Secure streams are illegal, and no invalidations"""
    m.wedge(1)
    m.fetch_all()
    m.set_ste(1, eats=0)
    for lo, hi in (m.dev_inv(1), m.cfgi(1), m.cfgi_range(0, 32)):
        at = m.submit((lo | 1 << 10, hi))
        expect("error, head", (m.error(), m.head()), (CERROR_ILL, at))
        m.put(at, *m.wait())
        m.acknowledge()
        expect("error, head", (m.error(), m.head()), (0, m.tail))
    m.step(5000)
    expect("INV_TOTAL, TIMEOUTS, doorbell",
           (m.target(1, INV_TOTAL), m.ctl(TIMEOUTS), m.doorbell_writes()), (0, 0, True))


@test_smmu
def smmu_stale_writes(m):
    """only the entry that was cached last decides, whatever memory says"""
    m.fetch_all()
    m.wedge(1)
    expect("doorbell before an invalidation", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 0)
    m.lose()
    m.cww(SID[1], ATS_CTRL, 0)
    m.cww(SID[1], COMMAND, MEMORY)
    m.unmap(IOVA)
    m.sync(m.tlbi())
    expect("doorbell after unmap", m.doorbell_writes(), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)
    refreshed = m.target(1, CTX_REFRESH)
    m.set_ste(1, eats=0)
    expect("doorbell with the entry changed in memory", m.doorbell_writes(), True)
    m.sync(m.cfgi(2))
    expect("... after another device's CFGI", m.doorbell_writes(), True)
    m.sync((CFGI_STE | (SID[1] + 1) << 32, 1), m.cfgi_range(SID[1] + 8, 3))
    expect("... after other functions' CFGI", m.doorbell_writes(), True)
    m.sync((CFGI_CD | SID[1] << 32, 1), m.tlbi())
    expect("... after CFGI_CD and TLBI", m.doorbell_writes(), True)
    m.command(1, WRITE_UNTRANSLATED)
    expect("CTX_REFRESH, events", (m.target(1, CTX_REFRESH), m.events()), (refreshed, []))
    m.sync(m.cfgi(1))
    expect("... after its own CFGI", m.doorbell_writes(), False)
    expect("CTX_REFRESH", m.target(1, CTX_REFRESH), refreshed + 1)
    expect("STALE_OK, STALE_BLOCKED",
           (m.target(1, STALE_OK), m.target(1, STALE_BLOCKED)), (5, 1))
    m.set_ste(1)
    expect("the entry restored in memory only", m.doorbell_writes(), False)
    expect("events", m.events(), [(FORBIDDEN, SID[1], m.ram + DATA + IOVA)] * 2)
    expect("the neighbour", m.command(2, WRITE, iova=IOVA + 8192), True)


@test_smmu
def smmu_entry_refreshed(m):
    """what refreshes the cached entry besides its own CFGI, and what does not"""
    def off_and_on(bit):
        m.cr0(m.enabled & ~bit)
        m.cr0(m.enabled)
    for command in (m.cfgi_range(SID[1] + 5, 3), m.cfgi_range(0, 32), m.cfgi_range(SID[1], 1)):
        m.set_ste(1)
        m.sync(m.cfgi(1))
        m.fetch_all()
        m.set_ste(1, eats=0)
        for bit in (SMMUEN, CMDQEN, EVENTQEN, ATSCHK):
            off_and_on(bit)
        m.wq(SMMU + STRTAB_BASE, m.ram + STREAMS)
        expect("before", m.doorbell_writes(), True)
        m.sync(command)
        expect("after", m.doorbell_writes(), False)


@test_smmu
def smmu_refused(m):
    """which entries permit which ATS requests, and what refusal records"""
    m.fetch_all()
    page = m.ram + DATA + IOVA
    for ste, translated, translation in (
            ({}, None, None),
            ({"eats": 0}, FORBIDDEN, BAD_TREQ),
            ({"eats": 2}, FORBIDDEN, BAD_TREQ),
            ({"eats": 3}, FORBIDDEN, BAD_TREQ),
            ({"config": BYPASS}, FORBIDDEN, BAD_TREQ),
            ({"config": BYPASS, "eats": 0}, FORBIDDEN, BAD_TREQ),
            ({"config": ABORT}, 0, 0),
            ({"valid": False}, BAD_STE, 0)):
        m.set_ste(1, **ste)
        m.sync(m.cfgi(1))
        expect(f"{ste}: translated request", m.doorbell_writes(), translated is None)
        address = 0 if translated == BAD_STE else page
        expect("event", m.events(), [(translated, SID[1], address)] if translated else [])
        expect(f"{ste}: translation request", m.command(1, FETCH), translation is None)
        expect("event", m.events(), [(translation, SID[1], IOVA)] if translation else [])
    m.wl(SMMU + STRTAB_CFG, 8)
    m.sync(m.cfgi(1))
    expect("no such stream", (m.doorbell_writes(), m.command(1, FETCH), m.events()),
           (False, False, [(BAD_STREAMID, SID[1], 0)]))
    m.wl(SMMU + STRTAB_CFG, 10)
    m.ctl(FLAGS, F_SILENT)
    for ste in ({"eats": 0}, {"valid": False}):
        m.set_ste(1, **ste)
        m.sync(m.cfgi(1))
        expect("SILENT", (m.doorbell_writes(), m.command(1, FETCH), m.events()),
               (False, False, []))


@test_smmu
def smmu_atschk(m):
    """with ATSCHK = 0 no entry stops a translated request; with SMMUEN = 0 it is stopped"""
    m.fetch_all()
    m.set_ste(1, eats=0)
    m.sync(m.cfgi(1))
    expect("ATSCHK = 1", m.doorbell_writes(), False)
    m.events()
    m.cr0(m.enabled & ~ATSCHK)
    expect("ATSCHK = 0", m.doorbell_writes(), True)
    expect("a translation request", m.command(1, FETCH), False)
    expect("events", m.events(), [(BAD_TREQ, SID[1], IOVA)])
    m.set_ste(1, ABORT)
    m.sync(m.cfgi(1))
    expect("ATSCHK = 0, Config = abort", m.doorbell_writes(), True)
    m.set_ste(1)
    m.sync(m.cfgi(1))
    m.cr0(m.enabled & ~SMMUEN)
    expect("SMMUEN = 0", (m.doorbell_writes(), m.command(1, FETCH)), (False, False))
    expect("events", m.events(),
           [(FORBIDDEN, SID[1], m.ram + DATA + IOVA), (BAD_TREQ, SID[1], IOVA)])
    m.cr0(m.enabled)
    expect("and back", (m.doorbell_writes(), m.command(1, FETCH), m.events()), (True, True, []))


@test_smmu
def smmu_untranslated(m):
    """untranslated requests obey the cached entry too, an invalid one as well"""
    write = lambda iova=IOVA: m.command(1, WRITE_UNTRANSLATED, iova=iova)
    expect("mapped", write(), True)
    m.set_ste(1, valid=False)
    expect("changed in memory only", write(), True)
    m.sync((CFGI_CD | SID[1] << 32, 1))
    expect("after CFGI_CD, for which QEMU reads the entry again", write(), True)
    m.sync(m.cfgi(1))
    expect("not valid", (write(), m.events()), (False, [(BAD_STE, SID[1], 0)]))
    m.set_ste(1)
    expect("valid in memory only", (write(), m.events()), (False, [(BAD_STE, SID[1], 0)]))
    m.sync(m.cfgi(1))
    expect("mapped again", (write(), m.events()), (True, []))
    m.set_ste(1, ABORT)
    m.sync(m.cfgi(1))
    expect("abort", (write(), m.events()), (False, []))
    m.set_ste(1)
    m.sync(m.cfgi(1))
    expect("unmapped", (write(0x200000), m.events()),
           (False, [(TRANSLATION, SID[1], 0x200000)]))
    expect("a translation request for it", (m.command(1, FETCH, iova=0x200000), m.events()),
           (False, []))


def substreams(m):
    """Two PASIDs of endpoint 1, each with a context of its own; those of PASID 1 and of
    requests without PASID map the same address to different pages."""
    top, middle, last = (m.ram + table for table in PASID_TABLES)
    m.wq(top, middle | 3)
    m.wq(middle, last | 3)
    m.wq(last + (IOVA >> 12) * 8, m.ram + DATA + OTHER | 1 << 10 | 1 << 6 | 3)
    m.set_cd(m.ram + SUBSTREAMS, DID[1], m.ram + TABLES[1])
    m.set_cd(m.ram + SUBSTREAMS + 64, 21, top)
    m.set_cd(m.ram + SUBSTREAMS + 128, 22, m.ram + TABLES[1])
    m.set_cd(m.ram + SUBSTREAMS + 192, 23, top, valid=False)
    m.set_ste(1, cdmax=2)
    m.sync(m.cfgi(1))
    m.cww(SID[1], PASID_CTRL, PASID_ENABLE)


OTHER = IOVA + (40 << 12)


@test_smmu
def smmu_substreams(m):
    """a PASID has its own context, as it was last cached; what there is no context for"""
    substreams(m)
    expect("WRITE with PASID 1", m.command(1, WRITE, pasid=1, pattern=0x111), True)
    expect("WRITE without", m.command(1, WRITE, pattern=0x222), True)
    expect("memory", (m.data(OTHER), m.data()), (0x111, 0x222))
    expect("FETCH with PASID 2", m.command(1, FETCH, pasid=2), True)
    for pasid in (0, 3, 4, 1 << 19):
        expect(f"FETCH with PASID {pasid}", m.command(1, FETCH, pasid=pasid), False)
    expect("ATC, events", (m.ep(1, E_ATC), m.events()), (3, []))

    def fetch(pasid=1):
        m.ep(1, E_CMD, FLUSH)
        return m.command(1, FETCH, pasid=pasid)
    for command, dropped in ((m.cfgi_cd(1, 2), False), (m.cfgi_cd(2, 1), False), (m.tlbi(), False),
                             (m.cfgi_cd(1, 1), True), ((CFGI_CD_ALL | SID[1] << 32, 0), True),
                             (m.cfgi(1), True)):
        m.set_cd(m.ram + SUBSTREAMS + 64, 21, m.ram + PASID_TABLES[0], valid=False)
        expect("cleared in memory only", fetch(), True)
        m.sync(command)
        expect("after the command", fetch(), not dropped)
        m.set_cd(m.ram + SUBSTREAMS + 64, 21, m.ram + PASID_TABLES[0])
        expect("restored in memory only", fetch(), not dropped)
        m.sync(m.cfgi_cd(1, 1))
        expect("after its own CFGI_CD", fetch(), True)


@test_smmu
def smmu_no_substream(m):
    """S1DSS decides what becomes of a request without PASID"""
    substreams(m)
    write = lambda: m.command(1, WRITE_UNTRANSLATED, pattern=0x77)
    for s1dss, works, events in ((0, False, [(STREAM_DISABLED, SID[1], 0)]), (2, True, []),
                                 (3, False, [(BAD_STE, SID[1], 0)])):
        m.set_ste(1, cdmax=2, s1dss=s1dss)
        m.sync(m.cfgi(1))
        m.ep(1, E_CMD, FLUSH)
        m.erase()
        expect(f"S1DSS {s1dss}: untranslated", (write(), m.events()), (works, events))
        expect("memory", m.data(), 0x77 if works else 0)
        expect("a translation request", m.command(1, FETCH), works)
        expect("one with PASID", m.command(1, FETCH, pasid=1), True)
        m.events()
    m.set_ste(1, cdmax=2, s1dss=1)
    m.sync(m.cfgi(1))
    m.erase()
    expect("bypass", m.command(1, WRITE_UNTRANSLATED, iova=m.ram + DATA + IOVA, pattern=0x99),
           True)
    expect("memory, events", (m.data(), m.events()), (0x99, []))
    for bad in ({"cdmax": 9}, {"cdmax": 2, "s1fmt": 1}):
        m.set_ste(1, **bad)
        m.sync(m.cfgi(1))
        expect(f"{bad}", (write(), m.events()), (False, [(BAD_STE, SID[1], 0)]))


@test_smmu
def smmu_substreams_fenced(m):
    """invalidations of a PASID's entries; EATS is that of all substreams"""
    substreams(m)
    m.fetch_all()
    for pasid in (1, 2):
        expect("FETCH", m.command(1, FETCH, pasid=pasid), True)
    m.sync(m.dev_inv(1, pasid=3))
    expect("ATC", m.ep(1, E_ATC), 3)
    m.sync(m.dev_inv(1, pasid=2))
    expect("ATC", m.ep(1, E_ATC), 2)
    m.wedge(1)
    m.submit(m.dev_inv(1, pasid=1), m.wait())
    m.step(1000)
    expect("error", m.error(), CERROR_ATC_INV)
    m.acknowledge()
    expect("doorbell", m.doorbell_writes(iova=OTHER), True)
    expect("STALE_OK", m.target(1, STALE_OK), 1)
    m.set_ste(1, cdmax=2, eats=0)
    m.sync(m.cfgi(1))
    m.events()
    expect("doorbell", (m.doorbell_writes(iova=OTHER), m.doorbell_writes()), (False, False))
    expect("events", m.events(), [(FORBIDDEN, SID[1], m.ram + DATA + IOVA),
                                  (FORBIDDEN, SID[1], m.ram + DATA + OTHER)] * 2)
    expect("translation request", (m.command(1, FETCH, pasid=1), m.events()),
           (False, [(BAD_TREQ, SID[1], IOVA)]))


@test_smmu
def smmu_own_entries(m):
    """two devices behind two ports have a stream table entry each"""
    m.set_ste(2, ABORT)
    m.sync(m.cfgi(2))
    expect("FETCH", (m.command(1, FETCH), m.command(2, FETCH)), (True, False))
    expect("untranslated", (m.command(1, WRITE_UNTRANSLATED), m.command(2, WRITE_UNTRANSLATED)),
           (True, False))


@test_smmu
def smmu_event_overflow(m):
    """a fenced device that goes on writing fills the event queue: no error, a flag"""
    def flags():
        return (m.rl(SMMU + EVENTQ_PROD) & OVERFLOW, m.rl(SMMU + EVENTQ_CONS) & OVERFLOW)
    m.watch()
    m.fetch_all()
    m.set_ste(1, eats=0)
    m.sync(m.cfgi(1))
    m.wedge(1)
    m.ep(1, E_PERIOD, 1)
    m.ep(1, E_CMD, START)
    m.step(EVENTS)
    expect("flags, interrupts: full", (flags(), m.interrupts()), ((0, 0), [IRQ_EVENTQ] * EVENTS))
    m.step(6)
    m.ep(1, E_CMD, STOP)
    expect("flags, GERROR, interrupts", (flags(), m.rl(SMMU + GERROR), m.interrupts()),
           ((OVERFLOW, 0), 0, []))
    events = [(FORBIDDEN, SID[1], m.ram + DATA + IOVA)]
    expect("events", m.events(), events * EVENTS)
    m.doorbell_writes()
    expect("flags, events: not acknowledged", (flags(), m.events()), ((OVERFLOW, 0), events))
    m.wl(SMMU + EVENTQ_CONS, m.rl(SMMU + EVENTQ_CONS) | OVERFLOW)
    for _ in range(EVENTS + 1):
        m.doorbell_writes()
    expect("flags: another one", flags(), (0, OVERFLOW))
    expect("number of events", len(m.events()), EVENTS)
    m.lose()


@test_smmu
def smmu_counters(m):
    """who is counted for what, and CLEAR"""
    m.fetch_all(1, 2)
    m.wedge(1)
    m.lose()
    m.sync(m.dev_inv(2))
    expect("of the device", (m.target(1, INV_TOTAL), m.target(1, INV_WEDGED)), (1, 1))
    expect("of the neighbour", (m.target(2, INV_TOTAL), m.target(2, INV_WEDGED)), (1, 0))
    m.submit(m.dev_inv(1), m.wait())
    m.step(100)
    m.ctl(CLEAR, 1)
    m.step(50)
    expect("STALL_MS since CLEAR", m.ctl(STALL_MS), 50)
    expect("TIMEOUTS, INV_WEDGED, INV_QUEUED_AFTER, TARGET_TIMEOUTS",
           (m.ctl(TIMEOUTS), m.target(1, INV_WEDGED), m.target(1, INV_AFTER),
            m.target(1, TARGET_TIMEOUTS)), (0, 0, 0, 0))


@test_smmu
def smmu_machine_reset(m):
    """a reset of the machine heals everything and forgets what was outstanding"""
    m.fetch_all(1, 2)
    m.set_ste(1, ABORT)
    m.sync(m.cfgi(1))
    expect("FETCH", m.command(1, FETCH), False)
    m.ctl(FLAGS, F_LAZY)
    m.wedge(1, 2)
    slow(m, 2, 700)
    m.submit(m.tlbi(), m.dev_inv(1), m.dev_inv(2), m.wait())
    m.monitor("system_reset")
    # The reset is carried out by the main loop: let the clock drive it there.
    for _ in range(1000):
        if not m.rl(SMMU + CR0):
            break
        m.step(1)
    expect("CR0", m.rl(SMMU + CR0), 0)
    m.tail = 0
    m.setup_pci()
    m.setup_iommu()
    m.step(5000)
    expect("error, TIMEOUTS", (m.error(), m.ctl(TIMEOUTS)), (0, 0))
    for n in (1, 2):
        expect("WEDGE, RESETS, DELAY_MS",
               (m.target(n, WEDGE), m.target(n, RESETS), m.target(n, DELAY_MS)), (0, 0, 0))
    m.fetch_all(1, 2)
    m.sync(m.dev_inv(1), m.dev_inv(2))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qemu", metavar="DIR", help="directory with the binaries (PATH)")
    parser.add_argument("--firmware", action="append",
                        help="directory with SeaBIOS and QEMU's option ROMs")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    options.firmware = options.firmware or ["/usr/share/seabios", "/usr/share/qemu"]
    cases = [(v, t) for v in VARIANTS for t in TESTS[v.machine]
             if options.pattern in f"{v.name}/{t.__name__}"]
    if options.list:
        for variant, func in cases:
            print(f"{variant.name}/{func.__name__}: {func.__doc__}")
        return 0
    if not cases:
        sys.exit(f"selftest.py: error: no test has '{options.pattern}' in its name; see --list")
    binaries = {arch: shutil.which(f"qemu-system-{arch}", path=options.qemu)
                for arch in {variant.machine.arch for variant, _ in cases}}
    for arch, path in binaries.items():
        if not path:
            sys.exit(f"selftest.py: error: no qemu-system-{arch} in "
                     f"'{options.qemu or os.environ.get('PATH')}'; give --qemu DIR, "
                     f"scripts/build-qemu.sh prints what is in it")
    options.binary = binaries.get

    failed = 0
    print(f"KTAP version 1\n1..{len(cases)}", flush=True)
    for number, (variant, func) in enumerate(cases, 1):
        name = f"{variant.name}/{func.__name__}"
        reason = None
        machine = None
        try:
            machine = variant.machine(options, variant)
            skip = func(machine)
        except Exception as e:
            # A bug of the test is a failure too, not the end of all tests.
            skip = None
            reason = str(e) if isinstance(e, Failure) else traceback.format_exc()
            if machine:
                reason += f"\nQEMU says:\n{machine.output()}"
        finally:
            if machine:
                machine.close()
        if reason is None:
            print(f"ok {number} {name}" + (f" # SKIP {skip}" if skip else ""), flush=True)
        else:
            failed += 1
            for line in reason.strip().split("\n"):
                print(f"# {line}")
            print(f"not ok {number} {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
