/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: AMD IOMMU.
 *
 * Command buffer. An INVALIDATE_IOTLB_PAGES that its device does not answer is
 * a loss. A COMPLETION_WAIT behind a loss does not complete, and unless told
 * otherwise it stays at the head of the buffer. When a loss has stood for the
 * timeout, each of its device's outstanding losses becomes an event
 * IOTLB_INV_TIMEOUT with the address of its command; only then does the wait
 * complete and the buffer go on. The flags of the control device play the
 * other orders that hardware may choose.
 *
 * Event log. QEMU's own counts entries where it should count bytes, never
 * moves its tail register and never stops. Here it is a ring; when it is full,
 * logging stops until software turns it off and on again.
 *
 * Device table. Every request is decided by the entry as it was when it was
 * last cached for its DeviceID, never by memory. QEMU has no such cache.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "hw/i386/apic_internal.h"
#include "hw/i386/x86-iommu.h"
#include "hw/misc/iommu-fault.h"
#include "hw/pci/pci_device.h"
#include "iommu-fault-amd.h"
#include "system/dma.h"

/* Status register: what QEMU has no name for, and what software can clear */
#define STATUS_EVT_INT          (1ull << 1)
#define STATUS_W1C              0x67

/* Control register, and the register of the IOMMU's own interrupts in XT mode */
#define CONTROL_INTCAPXT_EN     (1ull << 51)
#define MMIO_XT_GENERAL_INTERRUPT 0x170

/* Device table entries: what of them decides about requests */
#define DTE_QWORDS              4
#define DTE_I                   (1ull << 32)    /* of qword 1 */
#define DTE_SE                  (1ull << 33)
#define DTE_SA                  (1ull << 34)

/* Events: type, and flags as the kernel counts them, from bit 48 on */
#define EVENT_TYPE(type)        ((uint64_t)(type) << 60)
#define EVENT_FLAGS(flags)      ((uint64_t)(flags) << 48)
#define EVENT_DOMID(domid)      ((uint64_t)(domid) << 32)
#define EVENT_IO_PAGE_FAULT     0x2
#define EVENT_IOTLB_INV_TIMEOUT 0x7
#define EVENT_INVALID_REQUEST   0x8
#define EVENT_FLAG_RW           (1u << 5)
#define EVENT_FLAG_TR           (1u << 8)       /* a translation request */
#define EVENT_FLAG_NO_ATS       (1u << 9)       /* refused by V or I */

/* INVALIDATE_IOTLB_PAGES, second qword */
#define INV_S                   (1ull << 0)
#define INV_GN                  (1ull << 2)
#define INV_RESERVED            (0x3full << 6 | 1ull << 3 | 1ull << 1)

/* With EVENT_LATE: how long a completed wait can be seen before the event */
#define EVENT_LATE_NS           (20 * (int64_t)SCALE_MS)

typedef struct AMDLoss {
    uint16_t sid;
    hwaddr cmd;                 /* where the command is */
    uint64_t seq;
    int64_t since;              /* virtual ns; of a late event: when it comes */
    unsigned aborted_waits;
    QSIMPLEQ_ENTRY(AMDLoss) next;
} AMDLoss;

typedef struct AMDWait {
    uint64_t cmd[2];
    uint64_t behind;            /* the last loss before it */
    QSIMPLEQ_ENTRY(AMDWait) next;
} AMDWait;

typedef struct AMDCachedDTE {
    uint64_t raw[DTE_QWORDS];   /* as in memory */
    bool faulted;               /* a page fault was logged since */
} AMDCachedDTE;

typedef struct IOMMUFaultAMD {
    IOMMUFaultBackend backend;
    AMDVIState *s;
    QEMUTimer *timer;
    QSIMPLEQ_HEAD(, AMDLoss) losses;
    QSIMPLEQ_HEAD(, AMDLoss) late;  /* expired, the event is still to come */
    QSIMPLEQ_HEAD(, AMDWait) held;  /* fetched, not completed */
    uint64_t seq;
    bool halted;                /* the command buffer, until it is restarted */
    bool log_stopped;           /* the event log, until it is restarted */
    bool enabled;               /* of the control register, as last written */
    bool event_intr;
    GHashTable *dte;            /* DeviceID -> AMDCachedDTE */
    PCIBus *buses[PCI_BUS_MAX]; /* those seen, in order; they never go away */
    QLIST_ENTRY(IOMMUFaultAMD) next;
} IOMMUFaultAMD;

static QLIST_HEAD(, IOMMUFaultAMD) amds = QLIST_HEAD_INITIALIZER(amds);

static IOMMUFaultAMD *amd_get(AMDVIState *s);

/* Registers */

static uint64_t amd_status(IOMMUFaultAMD *a)
{
    return ldq_le_p(&a->s->mmior[AMDVI_MMIO_STATUS]);
}

static void amd_set_status(IOMMUFaultAMD *a, uint64_t val)
{
    stq_le_p(&a->s->mmior[AMDVI_MMIO_STATUS], val);
}

/* Event log */

/*
 * Where the IOMMU does x2APIC and IntCapXTEn is set, its own interrupts are made
 * from a register and not from the MSI capability, whose message has no room
 * for an x2APIC's ID.
 */
static void amd_send_interrupt(AMDVIState *s)
{
    uint64_t xt = ldq_le_p(&s->mmior[MMIO_XT_GENERAL_INTERRUPT]);
    X86IOMMUIrq irq = {
        .vector = extract64(xt, 32, 8),
        .delivery_mode = extract64(xt, 40, 1),
        .dest_mode = extract64(xt, 2, 1),
        .dest = extract64(xt, 8, 24) | extract64(xt, 56, 8) << 24,
    };
    MSIMessage msg;

    if (!s->xtsup || !(ldq_le_p(&s->mmior[AMDVI_MMIO_CONTROL]) & CONTROL_INTCAPXT_EN)) {
        iommu_fault_amd_msi(s);
        return;
    }
    x86_iommu_irq_to_msi_message(&irq, &msg);
    apic_get_class(NULL)->send_msi(&msg);
}

/* One interrupt per condition, until software has cleared its bit. */
static void amd_interrupt(IOMMUFaultAMD *a, uint64_t bit)
{
    uint64_t status = amd_status(a);

    amd_set_status(a, status | bit);
    if (!(status & bit) && a->s->evtlog_intr) {
        amd_send_interrupt(a->s);
    }
}

void iommu_fault_amd_log_event(AMDVIState *s, const uint64_t evt[2])
{
    IOMMUFaultAMD *a = amd_get(s);
    uint64_t raw[2] = { cpu_to_le64(evt[0]), cpu_to_le64(evt[1]) };
    uint32_t size = s->evtlog_len * AMDVI_EVENT_LEN;
    uint32_t next = s->evtlog_tail + AMDVI_EVENT_LEN;

    if (a->log_stopped) {
        return;
    }
    if (next >= size) {
        next = 0;
    }
    if (next == s->evtlog_head) {
        iommu_fault_log("event log overflow");
        a->log_stopped = true;
        amd_set_status(a, amd_status(a) & ~AMDVI_MMIO_STATUS_EVT_RUN);
        amd_interrupt(a, AMDVI_MMIO_STATUS_EVT_OVF);
        return;
    }
    dma_memory_write(&address_space_memory, s->evtlog + s->evtlog_tail, raw,
                     sizeof(raw), MEMTXATTRS_UNSPECIFIED);
    s->evtlog_tail = next;
    stq_le_p(&s->mmior[AMDVI_MMIO_EVENT_TAIL], next);
    amd_interrupt(a, STATUS_EVT_INT);
}

static void amd_event(IOMMUFaultAMD *a, uint64_t info, uint64_t address)
{
    uint64_t evt[2] = { info, address };

    iommu_fault_amd_event(a->s, evt);
}

bool iommu_fault_amd_reg_write(AMDVIState *s, hwaddr addr, uint64_t val,
                               unsigned size)
{
    IOMMUFaultAMD *a = amd_get(s);

    switch (addr & ~7ull) {
    case AMDVI_MMIO_STATUS:
        /* Writing ones clears, zeros do not. */
        if (addr == AMDVI_MMIO_STATUS) {
            amd_set_status(a, amd_status(a) & ~(val & STATUS_W1C));
        }
        return true;
    case MMIO_XT_GENERAL_INTERRUPT:
        stn_le_p(&s->mmior[addr], size, val);
        return true;
    default:
        return false;
    }
}

/* Command buffer */

static int64_t amd_loss_deadline(const AMDLoss *loss)
{
    return loss->since + iommu_fault_timeout_ns();
}

static unsigned amd_drop_waits(IOMMUFaultAMD *a)
{
    unsigned n = 0;
    AMDWait *wait;

    while ((wait = QSIMPLEQ_FIRST(&a->held))) {
        QSIMPLEQ_REMOVE_HEAD(&a->held, next);
        g_free(wait);
        n++;
    }
    return n;
}

static void amd_drop_all(IOMMUFaultAMD *a)
{
    AMDLoss *loss;

    timer_del(a->timer);
    QSIMPLEQ_CONCAT(&a->losses, &a->late);
    while ((loss = QSIMPLEQ_FIRST(&a->losses))) {
        QSIMPLEQ_REMOVE_HEAD(&a->losses, next);
        g_free(loss);
    }
    amd_drop_waits(a);
}

static bool amd_head_is_wait(IOMMUFaultAMD *a)
{
    uint64_t cmd = 0;

    dma_memory_read(&address_space_memory, a->s->cmdbuf + a->s->cmdbuf_head,
                    &cmd, sizeof(cmd), MEMTXATTRS_UNSPECIFIED);
    return extract64(le64_to_cpu(cmd), 60, 4) == AMDVI_CMD_COMPLETION_WAIT;
}

/* Does a wait at the head of the buffer stay there for now? */
static bool amd_head_held(IOMMUFaultAMD *a)
{
    return !(iommu_fault_flags() & IOMMU_FAULT_F_AHEAD) &&
           !QSIMPLEQ_EMPTY(&a->losses) && amd_head_is_wait(a);
}

static bool amd_stalled(IOMMUFaultAMD *a)
{
    if (a->halted) {
        return true;
    }
    /* AHEAD was taken back while waits were pending. */
    if (!QSIMPLEQ_EMPTY(&a->held) &&
        !(iommu_fault_flags() & IOMMU_FAULT_F_AHEAD)) {
        return true;
    }
    return amd_head_held(a);
}

/* All waits that are pending are aborted: the one at the head is skipped. */
static unsigned amd_abort_waits(IOMMUFaultAMD *a)
{
    AMDVIState *s = a->s;
    unsigned n = amd_drop_waits(a);

    if (s->cmdbuf_enabled && s->cmdbuf_head != s->cmdbuf_tail && !a->halted &&
        amd_head_held(a)) {
        s->cmdbuf_head += AMDVI_COMMAND_SIZE;
        if (s->cmdbuf_head >= s->cmdbuf_len * AMDVI_COMMAND_SIZE) {
            s->cmdbuf_head = 0;
        }
        stq_le_p(&s->mmior[AMDVI_MMIO_COMMAND_HEAD], s->cmdbuf_head);
        n++;
    }
    return n;
}

static void amd_raise(IOMMUFaultAMD *a, AMDLoss *loss)
{
    uint16_t shown = loss->sid;

    if (iommu_fault_flags() & IOMMU_FAULT_F_SID_ZERO) {
        shown = 0;
    }
    iommu_fault_timed_out(loss->sid, loss->aborted_waits);
    if ((iommu_fault_flags() & IOMMU_FAULT_F_AMD_HALT) &&
        a->s->cmdbuf_enabled) {
        a->halted = true;
        amd_set_status(a, amd_status(a) & ~AMDVI_MMIO_STATUS_CMDBUF_RUN);
        iommu_fault_stall_begin(&a->backend);
    }
    amd_event(a, EVENT_TYPE(EVENT_IOTLB_INV_TIMEOUT) | shown, loss->cmd);
    g_free(loss);
}

/* The first loss has expired; with it go all others of its device. */
static void amd_expire(IOMMUFaultAMD *a)
{
    uint32_t flags = iommu_fault_flags();
    uint16_t sid = QSIMPLEQ_FIRST(&a->losses)->sid;
    unsigned aborted = 0;
    AMDLoss *loss, *tmp;

    if (flags & IOMMU_FAULT_F_AMD_DROP_WAIT) {
        aborted = amd_abort_waits(a);
    }
    QSIMPLEQ_FOREACH_SAFE(loss, &a->losses, next, tmp) {
        if (loss->sid != sid) {
            continue;
        }
        QSIMPLEQ_REMOVE(&a->losses, loss, AMDLoss, next);
        loss->aborted_waits = aborted;
        aborted = 0;
        if (flags & IOMMU_FAULT_F_AMD_EVENT_LATE) {
            loss->since = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                          EVENT_LATE_NS;
            QSIMPLEQ_INSERT_TAIL(&a->late, loss, next);
        } else {
            amd_raise(a, loss);
        }
    }
}

/* Raise what has expired, and see to it that we are called for the rest. */
static void amd_check_losses(IOMMUFaultAMD *a)
{
    bool never = iommu_fault_flags() & IOMMU_FAULT_F_NEVER;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    AMDLoss *loss;

    timer_del(a->timer);
    while ((loss = QSIMPLEQ_FIRST(&a->late)) && loss->since <= now) {
        QSIMPLEQ_REMOVE_HEAD(&a->late, next);
        amd_raise(a, loss);
    }
    while (!never && (loss = QSIMPLEQ_FIRST(&a->losses)) &&
           amd_loss_deadline(loss) <= now) {
        amd_expire(a);
    }
    loss = QSIMPLEQ_FIRST(&a->late);
    if (loss) {
        timer_mod_anticipate_ns(a->timer, loss->since);
    }
    loss = QSIMPLEQ_FIRST(&a->losses);
    if (loss && !never) {
        timer_mod_anticipate_ns(a->timer, amd_loss_deadline(loss));
    }
}

/* Complete the waits whose losses are all over; let the buffer go on. */
static void amd_resume(IOMMUFaultAMD *a)
{
    AMDLoss *loss = QSIMPLEQ_FIRST(&a->losses);
    AMDWait *wait;

    while ((wait = QSIMPLEQ_FIRST(&a->held)) &&
           (!loss || loss->seq > wait->behind)) {
        QSIMPLEQ_REMOVE_HEAD(&a->held, next);
        iommu_fault_amd_complete(a->s, wait->cmd);
        g_free(wait);
    }
    if (!a->halted) {
        /* What cannot go on begins a stall again, at the same moment. */
        iommu_fault_stall_end(&a->backend);
        iommu_fault_amd_run(a->s);
    }
}

static void amd_update(IOMMUFaultBackend *be)
{
    IOMMUFaultAMD *a = container_of(be, IOMMUFaultAMD, backend);

    amd_check_losses(a);
    amd_resume(a);
}

static void amd_timer(void *opaque)
{
    IOMMUFaultAMD *a = opaque;

    amd_update(&a->backend);
}

static void amd_lost(IOMMUFaultAMD *a, uint16_t sid)
{
    AMDLoss *loss = g_new0(AMDLoss, 1);

    loss->sid = sid;
    loss->cmd = a->s->cmdbuf + a->s->cmdbuf_head;
    loss->seq = ++a->seq;
    loss->since = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    QSIMPLEQ_INSERT_TAIL(&a->losses, loss, next);
    if (!(iommu_fault_flags() & IOMMU_FAULT_F_NEVER)) {
        timer_mod_anticipate_ns(a->timer, amd_loss_deadline(loss));
    }
}

bool iommu_fault_amd_stalled(AMDVIState *s)
{
    IOMMUFaultAMD *a = amd_get(s);

    if (!amd_stalled(a)) {
        return false;
    }
    iommu_fault_stall_begin(&a->backend);
    return true;
}

bool iommu_fault_amd_hold_wait(AMDVIState *s, const uint64_t cmd[2])
{
    IOMMUFaultAMD *a = amd_get(s);
    AMDWait *wait;

    if (QSIMPLEQ_EMPTY(&a->losses)) {
        return false;
    }
    wait = g_new0(AMDWait, 1);
    memcpy(wait->cmd, cmd, sizeof(wait->cmd));
    wait->behind = a->seq;
    QSIMPLEQ_INSERT_TAIL(&a->held, wait, next);
    return true;
}

bool iommu_fault_amd_inval_iotlb(AMDVIState *s, const uint64_t cmd[2])
{
    IOMMUFaultInv inv = {
        .sid = extract64(cmd[0], 0, 16),
        .pasid = PCI_NO_PASID,
        .addr = cmd[1] & AMDVI_PAGE_MASK_4K,
        .mask = AMDVI_PAGE_SIZE - 1,
    };

    if (cmd[1] & INV_RESERVED) {
        return false;
    }
    if (cmd[1] & INV_GN) {
        inv.pasid = extract64(cmd[0], 48, 8) |
                    extract64(cmd[0], 16, 8) << 8 |
                    extract64(cmd[0], 56, 4) << 16;
    }
    if (cmd[1] & INV_S) {
        /* The lowest clear address bit tells the size. */
        unsigned ones = cto64(inv.addr >> AMDVI_PAGE_SHIFT);

        inv.mask = ones + AMDVI_PAGE_SHIFT + 1 < 64 ?
                   ((AMDVI_PAGE_SIZE * 2) << ones) - 1 : UINT64_MAX;
    }
    if (!iommu_fault_invalidate(&inv, NULL)) {
        amd_lost(amd_get(s), inv.sid);
    }
    return true;
}

/* Device table */

static gpointer amd_dte_key(uint16_t devid)
{
    return GUINT_TO_POINTER((guint)devid);
}

/* NULL when the table cannot be read. QEMU says NpCache: V = 0 is cached too */
static AMDCachedDTE *amd_dte_get(IOMMUFaultAMD *a, uint16_t devid)
{
    AMDCachedDTE *dte = g_hash_table_lookup(a->dte, amd_dte_key(devid));

    if (dte) {
        return dte;
    }
    dte = g_new0(AMDCachedDTE, 1);
    if (dma_memory_read(&address_space_memory,
                        a->s->devtab + devid * AMDVI_DEVTAB_ENTRY_SIZE,
                        dte->raw, sizeof(dte->raw),
                        MEMTXATTRS_UNSPECIFIED) != MEMTX_OK) {
        g_free(dte);
        return NULL;
    }
    g_hash_table_insert(a->dte, amd_dte_key(devid), dte);
    iommu_fault_ctx_refreshed(devid);
    return dte;
}

static uint64_t amd_dte_qword(IOMMUFaultAMD *a, uint16_t devid, unsigned n)
{
    AMDCachedDTE *dte = amd_dte_get(a, devid);

    return dte ? le64_to_cpu(dte->raw[n]) : 0;
}

static bool amd_dte_translates(IOMMUFaultAMD *a, uint16_t devid)
{
    uint64_t both = AMDVI_DEV_VALID | AMDVI_DEV_TRANSLATION_VALID;

    return (amd_dte_qword(a, devid, 0) & both) == both;
}

bool iommu_fault_amd_read_dte(AMDVIState *s, uint16_t devid, void *entry)
{
    AMDCachedDTE *dte = amd_dte_get(amd_get(s), devid);

    if (dte) {
        memcpy(entry, dte->raw, sizeof(dte->raw));
    }
    return dte;
}

void iommu_fault_amd_inval_dte(AMDVIState *s, const uint64_t cmd[2])
{
    g_hash_table_remove(amd_get(s)->dte,
                        amd_dte_key(extract64(cmd[0], 0, 16)));
}

void iommu_fault_amd_dte_flush(AMDVIState *s)
{
    g_hash_table_remove_all(amd_get(s)->dte);
}

bool iommu_fault_amd_hit(AMDVIState *s, uint16_t devid, uint16_t domid)
{
    IOMMUFaultAMD *a = amd_get(s);

    return amd_dte_translates(a, devid) &&
           (amd_dte_qword(a, devid, 1) & AMDVI_DEV_DOMID_ID_MASK) == domid;
}

bool iommu_fault_amd_blocked(AMDVIState *s, uint16_t devid, hwaddr addr,
                             bool is_write)
{
    if (amd_dte_translates(amd_get(s), devid)) {
        return false;
    }
    iommu_fault_amd_page_fault(s, devid, addr, is_write);
    return true;
}

void iommu_fault_amd_page_fault(AMDVIState *s, uint16_t devid, hwaddr addr,
                                bool is_write)
{
    IOMMUFaultAMD *a = amd_get(s);
    AMDCachedDTE *dte = amd_dte_get(a, devid);
    uint64_t qword = amd_dte_qword(a, devid, 1);

    if (a->backend.mute || (qword & DTE_SA) ||
        ((qword & DTE_SE) && dte->faulted)) {
        return;
    }
    if (dte) {
        dte->faulted = true;
    }
    amd_event(a, EVENT_TYPE(EVENT_IO_PAGE_FAULT) |
                 EVENT_FLAGS(is_write ? EVENT_FLAG_RW : 0) |
                 EVENT_DOMID(qword & AMDVI_DEV_DOMID_ID_MASK) | devid, addr);
}

/* ATS requests */

static bool amd_owns(IOMMUFaultBackend *be, PCIDevice *pci)
{
    IOMMUFaultAMD *a = container_of(be, IOMMUFaultAMD, backend);

    return iommu_fault_amd_as(a->s, pci_get_bus(pci), pci->devfn) ==
           pci_device_iommu_address_space(pci);
}

/* Page faults can be suppressed by the device table entry, this cannot. */
static void amd_refuse(IOMMUFaultAMD *a, uint16_t devid, hwaddr addr,
                       unsigned flags)
{
    if (!(iommu_fault_flags() & IOMMU_FAULT_F_SILENT)) {
        amd_event(a, EVENT_TYPE(EVENT_INVALID_REQUEST) |
                     EVENT_FLAGS(EVENT_FLAG_NO_ATS | flags) | devid, addr);
    }
}

static bool amd_ats_enabled(IOMMUFaultAMD *a, uint16_t devid)
{
    return (amd_dte_qword(a, devid, 0) & AMDVI_DEV_VALID) &&
           (amd_dte_qword(a, devid, 1) & DTE_I);
}

static bool amd_translate(IOMMUFaultBackend *be, PCIDevice *pci,
                          uint32_t pasid, hwaddr iova, hwaddr *gpa)
{
    IOMMUFaultAMD *a = container_of(be, IOMMUFaultAMD, backend);
    uint16_t devid = pci_get_bdf(pci);
    MemTxAttrs attrs = { .requester_id = devid };

    /* QEMU's amd-iommu has no tables for requests with PASID. */
    if (!a->s->enabled || pasid != PCI_NO_PASID) {
        return false;
    }
    if (!amd_ats_enabled(a, devid) || !amd_dte_translates(a, devid)) {
        amd_refuse(a, devid, iova, EVENT_FLAG_TR);
        return false;
    }
    /* The interrupt address range is not translated: nothing to cache. */
    if (iova >= AMDVI_INT_ADDR_FIRST && iova <= AMDVI_INT_ADDR_LAST) {
        return false;
    }
    return iommu_fault_translate_muted(be, pci_device_iommu_address_space(pci),
                                       iova, attrs, gpa);
}

static bool amd_translated(IOMMUFaultBackend *be, PCIDevice *pci, hwaddr gpa)
{
    IOMMUFaultAMD *a = container_of(be, IOMMUFaultAMD, backend);
    uint16_t devid = pci_get_bdf(pci);

    /*
     * With the IOMMU turned off nothing is looked up, so nothing stops a
     * request that claims to be translated. Nor does TV = 0, since no table
     * is needed. [unverified]
     */
    if (!a->s->enabled || amd_ats_enabled(a, devid)) {
        return true;
    }
    amd_refuse(a, devid, gpa, 0);
    return false;
}

static void amd_untranslated(IOMMUFaultBackend *be, PCIDevice *pci)
{
    IOMMUFaultAMD *a = container_of(be, IOMMUFaultAMD, backend);

    if (a->s->enabled) {
        amd_dte_get(a, pci_get_bdf(pci));
    }
}

static void amd_stray(IOMMUFaultBackend *be, uint16_t sid)
{
    IOMMUFaultAMD *a = container_of(be, IOMMUFaultAMD, backend);

    amd_event(a, EVENT_TYPE(EVENT_IOTLB_INV_TIMEOUT) | sid, a->s->cmdbuf);
}

static const IOMMUFaultBackendOps amd_backend_ops = {
    .owns = amd_owns,
    .translate = amd_translate,
    .translated = amd_translated,
    .untranslated = amd_untranslated,
    .update = amd_update,
    .stray = amd_stray,
};

/* Address spaces */

unsigned iommu_fault_amd_slot(AMDVIState *s, PCIBus *bus)
{
    IOMMUFaultAMD *a = amd_get(s);
    unsigned i;

    for (i = 0; i < PCI_BUS_MAX; i++) {
        if (!a->buses[i]) {
            a->buses[i] = bus;
        }
        if (a->buses[i] == bus) {
            return i;
        }
    }
    g_assert_not_reached();
}

uint16_t iommu_fault_amd_devid(AMDVIState *s, unsigned slot, uint8_t devfn)
{
    return PCI_BUILD_BDF(pci_bus_num(amd_get(s)->buses[slot]), devfn);
}

/* Life */

static IOMMUFaultAMD *amd_get(AMDVIState *s)
{
    IOMMUFaultAMD *a;

    QLIST_FOREACH(a, &amds, next) {
        if (a->s == s) {
            return a;
        }
    }
    a = g_new0(IOMMUFaultAMD, 1);
    a->s = s;
    a->backend.ops = &amd_backend_ops;
    a->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, amd_timer, a);
    a->dte = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    QSIMPLEQ_INIT(&a->losses);
    QSIMPLEQ_INIT(&a->late);
    QSIMPLEQ_INIT(&a->held);
    QLIST_INSERT_HEAD(&amds, a, next);
    iommu_fault_backend_register(&a->backend);
    return a;
}

void iommu_fault_amd_control(AMDVIState *s)
{
    IOMMUFaultAMD *a = amd_get(s);
    uint64_t pending = AMDVI_MMIO_STATUS_EVT_OVF | STATUS_EVT_INT;

    if (s->enabled != a->enabled) {
        g_hash_table_remove_all(a->dte);
    }
    if (!s->enabled) {
        /* There is nobody left to be told. */
        amd_drop_all(a);
    }
    if (!s->cmdbuf_enabled) {
        a->halted = false;
        amd_drop_waits(a);
        iommu_fault_stall_end(&a->backend);
    }
    if (!s->evtlog_enabled) {
        a->log_stopped = false;
    }
    /* QEMU has just derived the Run bits from the Enable bits alone. */
    if (a->halted) {
        amd_set_status(a, amd_status(a) & ~AMDVI_MMIO_STATUS_CMDBUF_RUN);
    }
    if (a->log_stopped) {
        amd_set_status(a, amd_status(a) & ~AMDVI_MMIO_STATUS_EVT_RUN);
    }
    if (s->evtlog_intr && !a->event_intr && (amd_status(a) & pending)) {
        amd_send_interrupt(s);
    }
    a->enabled = s->enabled;
    a->event_intr = s->evtlog_intr;
}

void iommu_fault_amd_reset(AMDVIState *s)
{
    IOMMUFaultAMD *a = amd_get(s);

    amd_drop_all(a);
    iommu_fault_stall_end(&a->backend);
    a->halted = false;
    a->log_stopped = false;
    a->enabled = false;
    a->event_intr = false;
    g_hash_table_remove_all(a->dte);
}
