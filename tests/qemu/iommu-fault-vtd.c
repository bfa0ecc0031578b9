/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: Intel VT-d.
 *
 * Invalidation queue. A device-TLB invalidation that its device does not
 * answer is a loss. While a loss is outstanding, a wait descriptor does not
 * complete, and unless told otherwise fetching stops behind it. When the loss
 * has stood for the timeout, FSTS.ITE is set, IQERCD names the device, all
 * pending waits are aborted (their status is never written), and nothing is
 * fetched until software clears ITE. Losses of several devices expire in the
 * order in which they happened, one ITE each.
 *
 * Context cache. An ATS request is decided by the context entry as it was when
 * it was last cached for its source id, never by memory. Only an invalidation
 * that covers the entry drops it. QEMU's own context cache is no substitute:
 * it treats a domain-selective invalidation as a global one.
 *
 * PASID cache. What a request finds in its PASID entry is what was there when
 * that was last cached for its PASID table and PASID. QEMU has no such cache.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "hw/misc/iommu-fault.h"
#include "hw/pci/pci_device.h"
#include "intel_iommu_internal.h"
#include "iommu-fault-vtd.h"
#include "system/dma.h"

/* Invalidation Queue Error Record */
#define VTD_IQERCD_REG              0xb0
#define VTD_IQERCD_ITESID(sid)      ((uint64_t)(sid) << 32)

/* Context entries: what of them decides about ATS */
#define CTX_LEGACY_SIZE             16
#define CTX_SCALABLE_SIZE           32
#define CTX_P                       (1ull << 0)
#define CTX_FPD                     (1ull << 1)
#define CTX_LEGACY_TT               (3ull << 2)
#define CTX_LEGACY_TT_DEV_TLB       (1ull << 2)
#define CTX_LEGACY_DID(hi)          extract64(hi, 8, 16)
#define CTX_SCALABLE_DTE            (1ull << 2)

#define CTX_SCALABLE_PASID_DIR      MAKE_64BIT_MASK(12, 40)
#define CTX_SCALABLE_RID_PASID(hi)  extract64(hi, 0, 20)

/* PASID entries, and what invalidates them */
#define PASID_P                     (1ull << 0)
#define PASID_QWORDS                8
#define PASID_TABLE_BITS            6
#define PASID_DID(val)              extract64((val)[1], 0, 16)
#define PASID_INV_GRANULARITY(lo)   extract64(lo, 4, 2)
#define PASID_INV_DID(lo)           extract64(lo, 16, 16)
#define PASID_INV_PASID(lo)         extract64(lo, 32, 20)

/*
 * Fault reasons of blocked ATS requests. Legacy mode shares one number for
 * "translation type" between translation and translated requests.
 */
enum {
    FR_CTX_P        = 0x02,
    FR_CTX_TT       = 0x0d,
    FR_SM_CTX_P     = 0x41,
    FR_SM_CTX_DTE   = 0x44,
    FR_SM_PASID_P   = 0x59,
};

typedef struct VTDLoss {
    uint16_t sid;
    int64_t since;
    QSIMPLEQ_ENTRY(VTDLoss) next;
} VTDLoss;

typedef struct VTDCachedCtx {
    uint64_t lo;
    uint64_t hi;
    bool scalable;
} VTDCachedCtx;

typedef struct IOMMUFaultVTD {
    IOMMUFaultBackend backend;
    IntelIOMMUState *s;
    QEMUTimer *timer;
    QSIMPLEQ_HEAD(, VTDLoss) losses;
    unsigned held_waits;
    GHashTable *ctx;            /* source id -> VTDCachedCtx */
    GHashTable *pasids;         /* PASID table and PASID -> PASID entry */
    QLIST_ENTRY(IOMMUFaultVTD) next;
} IOMMUFaultVTD;

static QLIST_HEAD(, IOMMUFaultVTD) vtds = QLIST_HEAD_INITIALIZER(vtds);

static IOMMUFaultVTD *vtd_get(IntelIOMMUState *s)
{
    IOMMUFaultVTD *v;

    QLIST_FOREACH(v, &vtds, next) {
        if (v->s == s) {
            return v;
        }
    }
    g_assert_not_reached();
}

/* Registers */

static uint32_t vtd_fsts(IOMMUFaultVTD *v)
{
    return ldl_le_p(&v->s->csr[DMAR_FSTS_REG]);
}

static bool vtd_ite(IOMMUFaultVTD *v)
{
    return vtd_fsts(v) & IOMMU_FAULT_VTD_FSTS_ITE;
}

/* Invalidation queue */

static int64_t vtd_loss_deadline(const VTDLoss *loss)
{
    return loss->since + iommu_fault_timeout_ns();
}

static void vtd_loss_drop_first(IOMMUFaultVTD *v)
{
    VTDLoss *loss = QSIMPLEQ_FIRST(&v->losses);

    QSIMPLEQ_REMOVE_HEAD(&v->losses, next);
    g_free(loss);
}

static void vtd_loss_drop_all(IOMMUFaultVTD *v)
{
    while (!QSIMPLEQ_EMPTY(&v->losses)) {
        vtd_loss_drop_first(v);
    }
    v->held_waits = 0;
}

static bool vtd_stalled(IOMMUFaultVTD *v)
{
    if (vtd_ite(v)) {
        return true;
    }
    return v->held_waits && !(iommu_fault_flags() & IOMMU_FAULT_F_AHEAD);
}

static uint16_t vtd_shown_sid(uint16_t sid)
{
    if (iommu_fault_flags() & IOMMU_FAULT_F_SID_ZERO) {
        return 0;
    }
    if (iommu_fault_flags() & IOMMU_FAULT_F_SID_ONES) {
        return UINT16_MAX;
    }
    return sid;
}

static void vtd_raise_ite(IOMMUFaultVTD *v)
{
    uint8_t *csr = v->s->csr;
    uint32_t fsts = vtd_fsts(v);
    uint16_t sid = QSIMPLEQ_FIRST(&v->losses)->sid;

    vtd_loss_drop_first(v);
    iommu_fault_stall_begin(&v->backend);
    stq_le_p(&csr[VTD_IQERCD_REG], VTD_IQERCD_ITESID(vtd_shown_sid(sid)));
    stl_le_p(&csr[DMAR_FSTS_REG], fsts | IOMMU_FAULT_VTD_FSTS_ITE);
    iommu_fault_timed_out(sid, v->held_waits);
    v->held_waits = 0;
    iommu_fault_vtd_event(v->s, fsts);
}

/* Raise what has expired; else see to it that we are called when it does. */
static void vtd_check_losses(IOMMUFaultVTD *v)
{
    int64_t deadline;

    timer_del(v->timer);
    if (!v->s->qi_enabled) {
        /* The queue was turned off: there is nobody left to be told. */
        vtd_loss_drop_all(v);
        iommu_fault_stall_end(&v->backend);
        return;
    }
    if (QSIMPLEQ_EMPTY(&v->losses) || vtd_ite(v) ||
        (iommu_fault_flags() & IOMMU_FAULT_F_NEVER)) {
        return;
    }
    deadline = vtd_loss_deadline(QSIMPLEQ_FIRST(&v->losses));
    if (deadline <= qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL)) {
        vtd_raise_ite(v);
    } else {
        timer_mod_ns(v->timer, deadline);
    }
}

/* Let the queue go on if nothing forbids it. */
static void vtd_resume(IOMMUFaultVTD *v)
{
    if (!vtd_stalled(v)) {
        iommu_fault_stall_end(&v->backend);
        iommu_fault_vtd_fetch(v->s);
    }
}

static void vtd_timer(void *opaque)
{
    vtd_check_losses(opaque);
}

static void vtd_update(IOMMUFaultBackend *be)
{
    IOMMUFaultVTD *v = container_of(be, IOMMUFaultVTD, backend);

    vtd_check_losses(v);
    vtd_resume(v);
}

static void vtd_lost(IOMMUFaultVTD *v, uint16_t sid)
{
    VTDLoss *loss;

    /* One ITE speaks for all that its device has not answered by then. */
    QSIMPLEQ_FOREACH(loss, &v->losses, next) {
        if (loss->sid == sid) {
            return;
        }
    }
    loss = g_new0(VTDLoss, 1);
    loss->sid = sid;
    loss->since = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    QSIMPLEQ_INSERT_TAIL(&v->losses, loss, next);
    if (QSIMPLEQ_FIRST(&v->losses) == loss &&
        !(iommu_fault_flags() & IOMMU_FAULT_F_NEVER)) {
        timer_mod_ns(v->timer, vtd_loss_deadline(loss));
    }
}

static void vtd_dev_invalidate(IOMMUFaultVTD *v, IOMMUFaultInv *inv, bool size)
{
    uint64_t len = VTD_PAGE_SIZE;

    /* With the S bit, the lowest clear address bit tells the size. */
    if (size) {
        unsigned ones = cto64(inv->addr >> VTD_PAGE_SHIFT);

        len = ones + VTD_PAGE_SHIFT + 1 < 64 ?
              (VTD_PAGE_SIZE * 2) << ones : 0;
    }
    inv->mask = len - 1;
    if (!iommu_fault_invalidate(inv, NULL)) {
        vtd_lost(v, inv->sid);
    }
}

bool iommu_fault_vtd_hold_wait(IntelIOMMUState *s)
{
    IOMMUFaultVTD *v = vtd_get(s);

    if (QSIMPLEQ_EMPTY(&v->losses)) {
        return false;
    }
    v->held_waits++;
    if (vtd_stalled(v)) {
        iommu_fault_stall_begin(&v->backend);
    }
    return true;
}

bool iommu_fault_vtd_stalled(IntelIOMMUState *s)
{
    return vtd_stalled(vtd_get(s));
}

void iommu_fault_vtd_fsts_written(IntelIOMMUState *s)
{
    IOMMUFaultVTD *v = vtd_get(s);

    if (vtd_ite(v)) {
        return;
    }
    if (ldq_le_p(&s->csr[VTD_IQERCD_REG])) {
        /* ITESID means something only while ITE is set. */
        stq_le_p(&s->csr[VTD_IQERCD_REG], 0);
    }
    /* First the next one that has expired meanwhile, only then the queue. */
    vtd_check_losses(v);
    vtd_resume(v);
}

/* Context cache */

static bool vtd_read_phys(hwaddr addr, uint64_t val[2])
{
    uint64_t raw[2];

    if (dma_memory_read(&address_space_memory, addr, raw, sizeof(raw),
                        MEMTXATTRS_UNSPECIFIED) != MEMTX_OK) {
        return false;
    }
    val[0] = le64_to_cpu(raw[0]);
    val[1] = le64_to_cpu(raw[1]);
    return true;
}

/* What memory says now; all zero, that is not present, if it says nothing. */
static VTDCachedCtx vtd_ctx_walk(IntelIOMMUState *s, uint16_t sid)
{
    VTDCachedCtx ctx = { .scalable = s->root_scalable };
    uint8_t devfn = sid & 0xff;
    uint64_t root[2], entry[2], half;
    hwaddr addr;

    if (!vtd_read_phys(s->root + (sid >> 8) * sizeof(root), root)) {
        return ctx;
    }
    half = s->root_scalable && devfn > INT8_MAX ? root[1] : root[0];
    if (!(half & VTD_ROOT_ENTRY_P)) {
        return ctx;
    }
    addr = half & VTD_ROOT_ENTRY_CTP;
    if (s->root_scalable) {
        addr += (devfn & INT8_MAX) * CTX_SCALABLE_SIZE;
    } else {
        addr += devfn * CTX_LEGACY_SIZE;
    }
    if (vtd_read_phys(addr, entry)) {
        ctx.lo = entry[0];
        ctx.hi = entry[1];
    }
    return ctx;
}

static VTDCachedCtx vtd_ctx_get(IOMMUFaultVTD *v, uint16_t sid)
{
    gpointer key = GUINT_TO_POINTER((guint)sid);
    VTDCachedCtx *cached = g_hash_table_lookup(v->ctx, key);
    VTDCachedCtx ctx;

    if (cached) {
        return *cached;
    }
    ctx = vtd_ctx_walk(v->s, sid);
    /* Entries that are not present are cached in caching mode only. */
    if ((ctx.lo & CTX_P) || v->s->caching_mode) {
        g_hash_table_insert(v->ctx, key, g_memdup2(&ctx, sizeof(ctx)));
        iommu_fault_ctx_refreshed(sid);
    }
    return ctx;
}

typedef struct VTDCtxInv {
    enum { CTX_INV_GLOBAL, CTX_INV_DOMAIN, CTX_INV_DEVICE } what;
    uint16_t did;
    uint16_t sid;
    uint16_t sid_mask;          /* bits of the source id that count */
} VTDCtxInv;

static gboolean vtd_ctx_covered(gpointer key, gpointer value, gpointer data)
{
    uint16_t sid = GPOINTER_TO_UINT(key);
    const VTDCachedCtx *ctx = value;
    const VTDCtxInv *inv = data;

    switch (inv->what) {
    case CTX_INV_GLOBAL:
        return true;
    case CTX_INV_DOMAIN:
        /*
         * Entries of scalable mode have no domain id. What is not present is
         * tagged with 0 in caching mode.
         */
        return !ctx->scalable &&
               (ctx->lo & CTX_P ? CTX_LEGACY_DID(ctx->hi) : 0) == inv->did;
    case CTX_INV_DEVICE:
        return (sid & inv->sid_mask) == (inv->sid & inv->sid_mask);
    default:
        g_assert_not_reached();
    }
}

static void vtd_ctx_invalidate(IOMMUFaultVTD *v, unsigned granularity,
                               uint16_t did, uint16_t sid, unsigned fm)
{
    static const uint16_t masks[] = { 0xffff, 0xfffb, 0xfff9, 0xfff8 };
    VTDCtxInv inv = { .did = did, .sid = sid, .sid_mask = masks[fm & 3] };

    switch (granularity) {
    case 1:
        inv.what = CTX_INV_GLOBAL;
        break;
    case 2:
        inv.what = CTX_INV_DOMAIN;
        break;
    case 3:
        inv.what = CTX_INV_DEVICE;
        break;
    default:
        return;
    }
    g_hash_table_foreach_remove(v->ctx, vtd_ctx_covered, &inv);
}

/* PASID cache */

/* Tables are aligned to 4 KiB, a PASID has 20 bits. */
static uint64_t vtd_pasid_key(uint64_t table, uint32_t pasid)
{
    return table >> 12 << 20 | pasid;
}

static uint64_t *vtd_pasid_cached(IOMMUFaultVTD *v, uint64_t table,
                                  uint32_t pasid)
{
    uint64_t key = vtd_pasid_key(table, pasid);

    return g_hash_table_lookup(v->pasids, &key);
}

static void vtd_pasid_cache(IOMMUFaultVTD *v, uint64_t table, uint32_t pasid,
                            const uint64_t *val)
{
    uint64_t key = vtd_pasid_key(table, pasid);

    g_hash_table_insert(v->pasids, g_memdup2(&key, sizeof(key)),
                        g_memdup2(val, PASID_QWORDS * sizeof(*val)));
}

int iommu_fault_vtd_pasid_entry(IntelIOMMUState *s, uint64_t table,
                                uint32_t pasid, uint64_t *val, int ret)
{
    IOMMUFaultVTD *v = vtd_get(s);
    uint64_t *cached = vtd_pasid_cached(v, table, pasid);

    if (cached) {
        memcpy(val, cached, PASID_QWORDS * sizeof(*val));
        return 0;
    }
    /* What is not present is not cached, in caching mode either. [unverified] */
    if (!ret) {
        vtd_pasid_cache(v, table, pasid, val);
    }
    return ret;
}

static bool vtd_pasid_present(IOMMUFaultVTD *v, uint64_t table, uint32_t pasid)
{
    uint64_t entry[PASID_QWORDS], dir;
    hwaddr addr = table + (pasid >> PASID_TABLE_BITS) * sizeof(dir);
    unsigned i;

    if (vtd_pasid_cached(v, table, pasid)) {
        return true;
    }
    if (dma_memory_read(&address_space_memory, addr, &dir, sizeof(dir),
                        MEMTXATTRS_UNSPECIFIED)) {
        return false;
    }
    dir = le64_to_cpu(dir);
    addr = (dir & CTX_SCALABLE_PASID_DIR) +
           extract32(pasid, 0, PASID_TABLE_BITS) * sizeof(entry);
    if (!(dir & PASID_P) ||
        dma_memory_read(&address_space_memory, addr, entry, sizeof(entry),
                        MEMTXATTRS_UNSPECIFIED)) {
        return false;
    }
    for (i = 0; i < PASID_QWORDS; i++) {
        entry[i] = le64_to_cpu(entry[i]);
    }
    if (!(entry[0] & PASID_P)) {
        return false;
    }
    vtd_pasid_cache(v, table, pasid, entry);
    return true;
}

static gboolean vtd_pasid_covered(gpointer key, gpointer value, gpointer data)
{
    uint32_t pasid = extract64(*(uint64_t *)key, 0, 20);
    uint64_t lo = *(uint64_t *)data;

    switch (PASID_INV_GRANULARITY(lo)) {
    case 0:     /* all of a domain */
        return PASID_DID((uint64_t *)value) == PASID_INV_DID(lo);
    case 1:     /* one of a domain */
        return PASID_DID((uint64_t *)value) == PASID_INV_DID(lo) &&
               pasid == PASID_INV_PASID(lo);
    case 3:
        return true;
    default:
        return false;
    }
}

void iommu_fault_vtd_ccmd(IntelIOMMUState *s, uint64_t ccmd)
{
    vtd_ctx_invalidate(vtd_get(s), extract64(ccmd, 61, 2),
                       VTD_CCMD_DID(ccmd), VTD_CCMD_SID(ccmd),
                       VTD_CCMD_FM(ccmd));
}

void iommu_fault_vtd_ctx_flush(IntelIOMMUState *s)
{
    g_hash_table_remove_all(vtd_get(s)->ctx);
    g_hash_table_remove_all(vtd_get(s)->pasids);
}

void iommu_fault_vtd_processed(IntelIOMMUState *s, uint64_t lo, uint64_t hi)
{
    IOMMUFaultVTD *v = vtd_get(s);
    IOMMUFaultInv inv = { .pasid = PCI_NO_PASID };

    switch (VTD_INV_DESC_TYPE(lo)) {
    case VTD_INV_DESC_CC:
        vtd_ctx_invalidate(v, extract64(lo, 4, 2), VTD_INV_DESC_CC_DID(lo),
                           VTD_INV_DESC_CC_SID(lo), VTD_INV_DESC_CC_FM(lo));
        break;
    case VTD_INV_DESC_PC:
        g_hash_table_foreach_remove(v->pasids, vtd_pasid_covered, &lo);
        break;
    case VTD_INV_DESC_DEVICE:
        inv.sid = VTD_INV_DESC_DEVICE_IOTLB_SID(lo);
        inv.addr = VTD_INV_DESC_DEVICE_IOTLB_ADDR(hi);
        vtd_dev_invalidate(v, &inv, VTD_INV_DESC_DEVICE_IOTLB_SIZE(hi));
        break;
    case VTD_INV_DESC_DEV_PIOTLB:
        inv.sid = VTD_INV_DESC_PASID_DEVICE_IOTLB_SID(lo);
        inv.addr = VTD_INV_DESC_PASID_DEVICE_IOTLB_ADDR(hi);
        inv.pasid = VTD_INV_DESC_PASID_DEVICE_IOTLB_PASID(lo);
        inv.all_pasids = VTD_INV_DESC_PASID_DEVICE_IOTLB_GLOBAL(hi);
        vtd_dev_invalidate(v, &inv, VTD_INV_DESC_PASID_DEVICE_IOTLB_SIZE(hi));
        break;
    default:
        break;
    }
}

/* ATS requests */

static bool vtd_owns(IOMMUFaultBackend *be, PCIDevice *pci)
{
    IOMMUFaultVTD *v = container_of(be, IOMMUFaultVTD, backend);
    VTDAddressSpace *as = vtd_find_add_as(v->s, pci_get_bus(pci), pci->devfn,
                                          PCI_NO_PASID);

    return &as->as == pci_device_iommu_address_space(pci);
}

/*
 * Do the cached entries permit ATS? If not, log it as hardware does. What is
 * translated needs no PASID entry any more.
 */
static bool vtd_ats_permitted(IOMMUFaultVTD *v, uint16_t sid, hwaddr addr,
                              bool translated, uint32_t pasid)
{
    VTDCachedCtx ctx = vtd_ctx_get(v, sid);
    unsigned reason;
    bool allowed;

    if (ctx.scalable) {
        allowed = ctx.lo & CTX_SCALABLE_DTE;
        reason = FR_SM_CTX_DTE;
    } else {
        allowed = (ctx.lo & CTX_LEGACY_TT) == CTX_LEGACY_TT_DEV_TLB;
        reason = FR_CTX_TT;
    }
    if (!(ctx.lo & CTX_P)) {
        allowed = false;
        reason = ctx.scalable ? FR_SM_CTX_P : FR_CTX_P;
    }
    if (allowed && ctx.scalable && !translated &&
        !vtd_pasid_present(v, ctx.lo & CTX_SCALABLE_PASID_DIR,
                           pasid == PCI_NO_PASID ?
                           CTX_SCALABLE_RID_PASID(ctx.hi) : pasid)) {
        allowed = false;
        reason = FR_SM_PASID_P;
    }
    if (!allowed && !(ctx.lo & CTX_FPD) &&
        !(iommu_fault_flags() & IOMMU_FAULT_F_SILENT)) {
        iommu_fault_vtd_record(v->s, sid, addr & VTD_PAGE_MASK_4K, reason,
                               true);
    }
    return allowed;
}

static bool vtd_translate(IOMMUFaultBackend *be, PCIDevice *pci,
                          uint32_t pasid, hwaddr iova, hwaddr *gpa)
{
    IOMMUFaultVTD *v = container_of(be, IOMMUFaultVTD, backend);
    MemTxAttrs attrs = { .requester_id = pci_get_bdf(pci) };
    VTDAddressSpace *as;

    /* With translation off, a translation request is unsupported. */
    if (!v->s->dmar_enabled ||
        !vtd_ats_permitted(v, pci_get_bdf(pci), iova, false, pasid)) {
        return false;
    }
    /* The interrupt address range is not translated: nothing to cache. */
    if (iova >= VTD_INTERRUPT_ADDR_FIRST && iova <= VTD_INTERRUPT_ADDR_LAST) {
        return false;
    }
    as = vtd_find_add_as(v->s, pci_get_bus(pci), pci->devfn, pasid);
    return iommu_fault_translate_muted(be, &as->as, iova, attrs, gpa);
}

static bool vtd_translated(IOMMUFaultBackend *be, PCIDevice *pci, hwaddr gpa)
{
    IOMMUFaultVTD *v = container_of(be, IOMMUFaultVTD, backend);

    /*
     * With translation off nothing is looked up, so nothing stops a request
     * that claims to be translated. [unverified]
     */
    if (!v->s->dmar_enabled) {
        return true;
    }
    return vtd_ats_permitted(v, pci_get_bdf(pci), gpa, true, PCI_NO_PASID);
}

static void vtd_untranslated(IOMMUFaultBackend *be, PCIDevice *pci)
{
    IOMMUFaultVTD *v = container_of(be, IOMMUFaultVTD, backend);

    if (v->s->dmar_enabled) {
        vtd_ctx_get(v, pci_get_bdf(pci));
    }
}

bool iommu_fault_vtd_muted(IntelIOMMUState *s)
{
    return vtd_get(s)->backend.mute;
}

static const IOMMUFaultBackendOps vtd_backend_ops = {
    .owns = vtd_owns,
    .translate = vtd_translate,
    .translated = vtd_translated,
    .untranslated = vtd_untranslated,
    .update = vtd_update,
};

void iommu_fault_vtd_reset(IntelIOMMUState *s)
{
    IOMMUFaultVTD *v;
    uint32_t w1c;

    QLIST_FOREACH(v, &vtds, next) {
        if (v->s == s) {
            break;
        }
    }
    if (!v) {
        v = g_new0(IOMMUFaultVTD, 1);
        v->s = s;
        v->backend.ops = &vtd_backend_ops;
        v->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, vtd_timer, v);
        v->ctx = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        v->pasids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                          g_free);
        QSIMPLEQ_INIT(&v->losses);
        QLIST_INSERT_HEAD(&vtds, v, next);
        iommu_fault_backend_register(&v->backend);
    }
    timer_del(v->timer);
    vtd_loss_drop_all(v);
    iommu_fault_stall_end(&v->backend);
    iommu_fault_vtd_ctx_flush(s);

    /* QEMU never sets ITE, so it does not let software clear it either. */
    w1c = ldl_le_p(&s->w1cmask[DMAR_FSTS_REG]);
    stl_le_p(&s->w1cmask[DMAR_FSTS_REG], w1c | IOMMU_FAULT_VTD_FSTS_ITE);
}
