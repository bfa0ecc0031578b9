/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: Arm SMMUv3.
 *
 * Command queue. A CMD_ATC_INV that its device has not answered is outstanding;
 * a CMD_SYNC behind it is not consumed. It is consumed when all are answered.
 * When the oldest one has been outstanding for the timeout, the queue stops at
 * the CMD_SYNC with CERROR_ATC_INV_SYNC, in which GERROR.CMDQ_ERR does not say
 * whose invalidations failed: those whose time is up are given up and will
 * never complete, others go on. When software has acknowledged the error, the
 * same CMD_SYNC is tried again. An invalidation that times out without a
 * CMD_SYNC is reported by the next one.
 *
 * Stream table. Every request is decided by the entry as it was when it was
 * last cached for its StreamID, never by memory. QEMU caches what it makes of
 * an entry, and reads memory again where hardware need not. At each CMD_SYNC the
 * entries in memory are looked at as well, of devices that have timed out: ATS
 * that was taken away must not be visible again, not for one command.
 *
 * Substreams. QEMU has none, and refuses an entry with more than one context
 * descriptor. Here requests without PASID get what S1DSS says of them, and ATS
 * translation requests with one get its descriptor, as it was last cached.
 *
 * Event queue. QEMU takes a full one for a failed access; here it overflows.
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/misc/iommu-fault.h"
#include "hw/pci/pci_device.h"
#include "iommu-fault-smmuv3.h"

/* CR0: what QEMU has no name for */
#define CR0_ATSCHK          (1u << 4)

/* CMD_ATC_INV */
#define ATC_INV_GLOBAL(cmd) extract32((cmd)->word[0], 9, 1)
#define ATC_INV_SIZE(cmd)   extract32((cmd)->word[2], 0, 6)

/* STE.S1DSS: what becomes of a request without SubstreamID */
#define STE_S1DSS(ste)      extract32((ste)->word[2], 0, 2)
enum { S1DSS_TERMINATE, S1DSS_BYPASS, S1DSS_SSID0 };

#define SSID_BITS           8

/* STE.EATS: full ATS. The others need what is not there, or mean none. */
#define EATS_FULL           1

typedef struct SMMUInv {
    IOMMUFaultInv inv;
    int64_t since;              /* virtual ns */
    int64_t answer;             /* when it will come; INT64_MAX: never */
    bool given_up;              /* nobody waits for the answer any more */
    QSIMPLEQ_ENTRY(SMMUInv) next;
} SMMUInv;

typedef struct SMMUPutOff {
    Cmd cmd;
    QSIMPLEQ_ENTRY(SMMUPutOff) next;
} SMMUPutOff;

typedef struct IOMMUFaultSMMU {
    IOMMUFaultBackend backend;
    SMMUv3State *s;
    QEMUTimer *timer;
    QSIMPLEQ_HEAD(, SMMUInv) invs;          /* in the order of the queue */
    QSIMPLEQ_HEAD(, SMMUPutOff) put_off;    /* consumed, but not carried out */
    bool extra;                 /* the command at work is one of these */
    GHashTable *stes;           /* StreamID -> STE */
    GHashTable *cds;            /* StreamID, SubstreamID -> CD */
    QLIST_ENTRY(IOMMUFaultSMMU) next;
} IOMMUFaultSMMU;

static QLIST_HEAD(, IOMMUFaultSMMU) smmus = QLIST_HEAD_INITIALIZER(smmus);

static IOMMUFaultSMMU *smmu_get(SMMUv3State *s)
{
    IOMMUFaultSMMU *a;

    QLIST_FOREACH(a, &smmus, next) {
        if (a->s == s) {
            return a;
        }
    }
    g_assert_not_reached();
}

/* Invalidations that are not answered */

static bool smmu_never(void)
{
    return iommu_fault_flags() & IOMMU_FAULT_F_NEVER;
}

static int64_t smmu_deadline(const SMMUInv *i)
{
    return i->since + iommu_fault_timeout_ns();
}

/*
 * Its clock is coarse: what was asked of two devices almost at once, as one list of
 * commands does, expires at once. How long that takes here depends on the host.
 */
static bool smmu_is_due(const SMMUInv *i, int64_t now)
{
    int64_t tick = iommu_fault_timeout_ns() / 16;

    return smmu_deadline(i) <= now ||
           (smmu_deadline(i) <= now + tick && i->answer > smmu_deadline(i));
}

static SMMUInv *smmu_oldest(IOMMUFaultSMMU *a)
{
    SMMUInv *i;

    QSIMPLEQ_FOREACH(i, &a->invs, next) {
        if (!i->given_up) {
            return i;
        }
    }
    return NULL;
}

static void smmu_drop(IOMMUFaultSMMU *a, SMMUInv *i)
{
    QSIMPLEQ_REMOVE(&a->invs, i, SMMUInv, next);
    g_free(i);
}

/*
 * Slow devices do what it is time for by now. An answer that comes after the
 * timeout is none: the next CMD_SYNC still fails.
 */
static void smmu_take_answers(IOMMUFaultSMMU *a)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    SMMUInv *i, *tmp;

    QSIMPLEQ_FOREACH_SAFE(i, &a->invs, next, tmp) {
        bool in_time = smmu_never() || i->answer <= smmu_deadline(i);

        if (i->answer > now) {
            continue;
        }
        i->answer = INT64_MAX;
        if ((iommu_fault_answer(&i->inv) && in_time) || i->given_up) {
            smmu_drop(a, i);
        }
    }
}

/* Must a CMD_SYNC wait? */
static bool smmu_outstanding(IOMMUFaultSMMU *a)
{
    smmu_take_answers(a);
    return smmu_oldest(a);
}

/* See to it that we are called when something becomes due. */
static void smmu_arm_timer(IOMMUFaultSMMU *a)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    SMMUInv *oldest = smmu_oldest(a);
    SMMUInv *i;

    timer_del(a->timer);
    QSIMPLEQ_FOREACH(i, &a->invs, next) {
        if (i->answer != INT64_MAX) {
            timer_mod_anticipate_ns(a->timer, i->answer);
        }
    }
    /* What has expired already waits for a CMD_SYNC, not for us. */
    if (oldest && !smmu_never() && smmu_deadline(oldest) > now) {
        timer_mod_anticipate_ns(a->timer, smmu_deadline(oldest));
    }
}

/* An error is raised: one timeout of every device that it covers. */
static void smmu_expire(IOMMUFaultSMMU *a)
{
    bool forget = iommu_fault_flags() & IOMMU_FAULT_F_SMMU_FORGET;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    g_autoptr(GHashTable) sids = g_hash_table_new(NULL, NULL);
    SMMUInv *i, *tmp;

    QSIMPLEQ_FOREACH_SAFE(i, &a->invs, next, tmp) {
        if (i->given_up || (!smmu_is_due(i, now) && !forget)) {
            continue;
        }
        if (!g_hash_table_size(sids)) {
            iommu_fault_timed_out(i->inv.sid, 0);
        } else if (!g_hash_table_contains(sids,
                                          GUINT_TO_POINTER(i->inv.sid))) {
            iommu_fault_timed_out_too(i->inv.sid);
        }
        g_hash_table_add(sids, GUINT_TO_POINTER(i->inv.sid));
        if (i->answer == INT64_MAX) {
            smmu_drop(a, i);
            continue;
        }
        iommu_fault_given_up(&i->inv);
        if (forget) {
            smmu_drop(a, i);
        } else {
            i->given_up = true;
        }
    }
}

/* Command queue */

static void smmu_timer(void *opaque)
{
    IOMMUFaultSMMU *a = opaque;

    smmu_take_answers(a);
    iommu_fault_smmuv3_consume(a->s);
    smmu_arm_timer(a);
}

static void smmu_update(IOMMUFaultBackend *be)
{
    smmu_timer(container_of(be, IOMMUFaultSMMU, backend));
}

static void smmu_atc_inv(IOMMUFaultSMMU *a, Cmd *cmd)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    IOMMUFaultInv inv = {
        .sid = CMD_SID(cmd),
        .pasid = CMD_SSV(cmd) ? CMD_SSID(cmd) : PCI_NO_PASID,
        .all_pasids = CMD_SSV(cmd) && ATC_INV_GLOBAL(cmd),
        .addr = CMD_ADDR(cmd),
        .mask = (4096ull << ATC_INV_SIZE(cmd)) - 1, /* from 52 on: all */
    };
    int64_t delay;
    SMMUInv *i;

    /* A StreamID that is no requester id of ours has nobody behind it. */
    if (CMD_SID(cmd) > UINT16_MAX || iommu_fault_invalidate(&inv, &delay)) {
        return;
    }
    i = g_new0(SMMUInv, 1);
    i->inv = inv;
    i->since = now;
    i->answer = delay ? now + delay : INT64_MAX;
    QSIMPLEQ_INSERT_TAIL(&a->invs, i, next);
    smmu_arm_timer(a);
}

static bool smmu_ste_gives_ats(STE *ste)
{
    return STE_VALID(ste) && !STE_CFG_ABORT(STE_CONFIG(ste)) &&
           !STE_CFG_BYPASS(STE_CONFIG(ste)) && STE_EATS(ste) == EATS_FULL;
}

/* An SMMU may read an entry at any time. Here it does so at each CMD_SYNC. */
static void smmu_look_at_ste(uint16_t sid, void *opaque)
{
    IOMMUFaultSMMU *a = opaque;
    SMMUEventInfo event = { .inval_ste_allowed = true };
    STE ste;

    iommu_fault_ats_seen(sid, !iommu_fault_smmuv3_walk(a->s, sid, &ste,
                                                       &event) &&
                              smmu_ste_gives_ats(&ste));
}

/* A CMD_SYNC is at the head: does the queue stop at it? */
static bool smmu_sync(IOMMUFaultSMMU *a, SMMUCmdError *err)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    if (!smmu_outstanding(a)) {
        iommu_fault_stall_end(&a->backend);
        iommu_fault_each_timed_out(smmu_look_at_ste, a);
        return false;
    }
    iommu_fault_stall_begin(&a->backend);
    if (!smmu_never() && smmu_deadline(smmu_oldest(a)) <= now) {
        smmu_expire(a);
        smmu_arm_timer(a);
        *err = SMMU_CERROR_ATC_INV_SYNC;
    }
    return true;
}

static gboolean smmu_ste_covered(gpointer key, gpointer value, gpointer data)
{
    const SMMUSIDRange *range = data;
    uint32_t sid = GPOINTER_TO_UINT(key);

    return sid >= range->start && sid <= range->end;
}

static gpointer smmu_cd_key(uint32_t sid, uint32_t ssid)
{
    return (gpointer)((uintptr_t)sid << 20 | ssid);
}

static gboolean smmu_cd_covered(gpointer key, gpointer value, gpointer data)
{
    const SMMUSIDRange *range = data;
    uint32_t sid = (uintptr_t)key >> 20;

    return sid >= range->start && sid <= range->end;
}

static void smmu_cfgi(IOMMUFaultSMMU *a, uint32_t sid, unsigned bits)
{
    uint32_t mask = (1ull << bits) - 1;
    SMMUSIDRange range = { .start = sid & ~mask, .end = sid | mask };

    g_hash_table_foreach_remove(a->stes, smmu_ste_covered, &range);
    g_hash_table_foreach_remove(a->cds, smmu_cd_covered, &range);
}

static void smmu_cfgi_cd(IOMMUFaultSMMU *a, Cmd *cmd)
{
    SMMUSIDRange range = { .start = CMD_SID(cmd), .end = CMD_SID(cmd) };

    if (CMD_TYPE(cmd) == SMMU_CMD_CFGI_CD) {
        g_hash_table_remove(a->cds, smmu_cd_key(CMD_SID(cmd), CMD_SSID(cmd)));
    } else {
        g_hash_table_foreach_remove(a->cds, smmu_cd_covered, &range);
    }
}

bool iommu_fault_smmuv3_stop(SMMUv3State *s, Cmd *cmd, SMMUCmdError *err)
{
    IOMMUFaultSMMU *a = smmu_get(s);

    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_SYNC:
        return smmu_sync(a, err);
    case SMMU_CMD_CFGI_CD:
    case SMMU_CMD_CFGI_CD_ALL:
        if (!CMD_SSEC(cmd)) {
            smmu_cfgi_cd(a, cmd);
        }
        return false;
    case SMMU_CMD_ATC_INV:
    case SMMU_CMD_CFGI_STE:
    case SMMU_CMD_CFGI_STE_RANGE:
        break;
    default:
        return false;
    }
    if (CMD_SSEC(cmd)) {
        *err = SMMU_CERROR_ILL;
        return true;
    }
    if (CMD_TYPE(cmd) == SMMU_CMD_ATC_INV) {
        smmu_atc_inv(a, cmd);
    } else if (CMD_TYPE(cmd) == SMMU_CMD_CFGI_STE) {
        smmu_cfgi(a, CMD_SID(cmd), 0);
    } else {
        smmu_cfgi(a, CMD_SID(cmd), CMD_STE_RANGE(cmd) + 1);
    }
    return false;
}

/* Commands of which only a CMD_SYNC says that they have worked. */
static bool smmu_can_put_off(const Cmd *cmd)
{
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_CFGI_STE ... SMMU_CMD_CFGI_CD_ALL:
    case SMMU_CMD_TLBI_NH_ALL ... SMMU_CMD_TLBI_NH_VAA:
    case SMMU_CMD_TLBI_S12_VMALL:
    case SMMU_CMD_TLBI_S2_IPA:
    case SMMU_CMD_TLBI_NSNH_ALL:
        return true;
    default:
        return false;
    }
}

MemTxResult iommu_fault_smmuv3_fetch(SMMUv3State *s, Cmd *cmd)
{
    IOMMUFaultSMMU *a = smmu_get(s);
    MemTxResult res = iommu_fault_smmuv3_read_head(s, cmd);
    SMMUPutOff *p = QSIMPLEQ_FIRST(&a->put_off);

    a->extra = false;
    if (res != MEMTX_OK) {
        return res;
    }
    if (p && CMD_TYPE(cmd) == SMMU_CMD_SYNC && !smmu_outstanding(a)) {
        /* It will be consumed: all that was put off comes before it. */
        *cmd = p->cmd;
        a->extra = true;
        QSIMPLEQ_REMOVE_HEAD(&a->put_off, next);
        g_free(p);
    } else if ((iommu_fault_flags() & IOMMU_FAULT_F_SMMU_LAZY) &&
               smmu_can_put_off(cmd)) {
        p = g_new0(SMMUPutOff, 1);
        p->cmd = *cmd;
        QSIMPLEQ_INSERT_TAIL(&a->put_off, p, next);
        *cmd = (Cmd) { .word = { SMMU_CMD_PREFETCH_CONFIG } };
    }
    return MEMTX_OK;
}

bool iommu_fault_smmuv3_consumed(SMMUv3State *s)
{
    return !smmu_get(s)->extra;
}

/* Stream table */

int iommu_fault_smmuv3_find_ste(SMMUv3State *s, uint32_t sid, STE *ste,
                                SMMUEventInfo *event)
{
    IOMMUFaultSMMU *a = smmu_get(s);
    STE *cached = g_hash_table_lookup(a->stes, GUINT_TO_POINTER(sid));
    int ret;

    if (cached) {
        *ste = *cached;
        return 0;
    }
    ret = iommu_fault_smmuv3_walk(s, sid, ste, event);
    if (!ret) {
        /* Invalid entries too: software must not rely on the contrary. */
        g_hash_table_insert(a->stes, GUINT_TO_POINTER(sid),
                            g_memdup2(ste, sizeof(*ste)));
        iommu_fault_ctx_refreshed(sid);
    }
    return ret;
}

/* Substreams */

bool iommu_fault_smmuv3_bad_cds(STE *ste)
{
    /* Linear tables only, as IDR0.CD2L says. */
    return STE_S1CDMAX(ste) > SSID_BITS ||
           (STE_S1CDMAX(ste) && STE_S1FMT(ste));
}

int iommu_fault_smmuv3_decode_ste(SMMUv3State *s, SMMUTransCfg *cfg, STE *ste,
                                  SMMUEventInfo *event)
{
    int ret = iommu_fault_smmuv3_own_decode_ste(s, cfg, ste, event);

    if (ret || cfg->stage != SMMU_STAGE_1 || !STE_S1CDMAX(ste)) {
        return ret;
    }
    switch (STE_S1DSS(ste)) {
    case S1DSS_TERMINATE:
        event->type = SMMU_EVT_F_STREAM_DISABLED;
        return -EINVAL;
    case S1DSS_BYPASS:
        cfg->bypassed = true;
        return 0;
    case S1DSS_SSID0:
        return 0;
    default:
        event->type = SMMU_EVT_C_BAD_STE;
        return -EINVAL;
    }
}

/* Invalid ones are cached too: software must not rely on the contrary. */
static bool smmu_find_cd(IOMMUFaultSMMU *a, uint32_t sid, uint32_t ssid,
                         STE *ste, CD *cd)
{
    gpointer key = smmu_cd_key(sid, ssid);
    CD *cached = g_hash_table_lookup(a->cds, key);
    unsigned i;

    if (cached) {
        *cd = *cached;
        return true;
    }
    if (dma_memory_read(&address_space_memory,
                        STE_CTXPTR(ste) + ssid * sizeof(*cd), cd, sizeof(*cd),
                        MEMTXATTRS_UNSPECIFIED) != MEMTX_OK) {
        return false;
    }
    for (i = 0; i < ARRAY_SIZE(cd->word); i++) {
        le32_to_cpus(&cd->word[i]);
    }
    g_hash_table_insert(a->cds, key, g_memdup2(cd, sizeof(*cd)));
    return true;
}

/* The stream's entry gives it ATS. */
static bool smmu_translate_substream(IOMMUFaultSMMU *a, uint32_t sid,
                                     uint32_t ssid, hwaddr iova, hwaddr *gpa)
{
    SMMUEventInfo event = { .inval_ste_allowed = true };
    SMMUTransCfg cfg = { .asid = -1 };
    STE ste;
    CD cd;

    if (iommu_fault_smmuv3_find_ste(a->s, sid, &ste, &event) ||
        iommu_fault_smmuv3_own_decode_ste(a->s, &cfg, &ste, &event) ||
        cfg.stage != SMMU_STAGE_1 || !STE_S1CDMAX(&ste) ||
        ssid >= 1u << STE_S1CDMAX(&ste)) {
        return false;
    }
    if (!ssid && STE_S1DSS(&ste) == S1DSS_SSID0) {
        /* That one is for requests without. */
        return false;
    }
    return smmu_find_cd(a, sid, ssid, &ste, &cd) &&
           iommu_fault_smmuv3_translate(a->s, &cfg, &cd, iova, gpa);
}

/* ATS requests */

static bool smmu_owns(IOMMUFaultBackend *be, PCIDevice *pci)
{
    IOMMUFaultSMMU *a = container_of(be, IOMMUFaultSMMU, backend);
    AddressSpace *as = pci_device_iommu_address_space(pci);

    return object_dynamic_cast(OBJECT(as->root),
                               TYPE_SMMUV3_IOMMU_MEMORY_REGION) &&
           container_of(as, SMMUDevice, as)->smmu == a->s;
}

static bool smmu_silent(void)
{
    return iommu_fault_flags() & IOMMU_FAULT_F_SILENT;
}

/* QEMU has no such events, or not with these fields. */
static void smmu_refuse(IOMMUFaultSMMU *a, SMMUEventType type, uint16_t sid,
                        hwaddr addr)
{
    Evt evt = {};

    if (smmu_silent()) {
        return;
    }
    EVT_SET_TYPE(&evt, type);
    EVT_SET_SID(&evt, sid);
    EVT_SET_ADDR(&evt, addr);
    iommu_fault_smmuv3_event(a->s, &evt);
}

typedef enum {
    SMMU_ATS_OK,
    SMMU_ATS_OFF,               /* not for this stream: an event says so */
    SMMU_ATS_ABORT,             /* terminated without an event */
    SMMU_ATS_ERROR,             /* no usable entry: @event says why */
} SMMUATSVerdict;

static SMMUATSVerdict smmu_ats_verdict(IOMMUFaultSMMU *a, uint16_t sid,
                                       SMMUEventInfo *event)
{
    STE ste;

    *event = (SMMUEventInfo) { .sid = sid, .inval_ste_allowed = true };
    if (iommu_fault_smmuv3_find_ste(a->s, sid, &ste, event)) {
        return SMMU_ATS_ERROR;
    }
    if (!STE_VALID(&ste)) {
        event->type = SMMU_EVT_C_BAD_STE;
        return SMMU_ATS_ERROR;
    }
    if (STE_CFG_ABORT(STE_CONFIG(&ste))) {
        return SMMU_ATS_ABORT;
    }
    return smmu_ste_gives_ats(&ste) ? SMMU_ATS_OK : SMMU_ATS_OFF;
}

static bool smmu_translate_request(IOMMUFaultBackend *be, PCIDevice *pci,
                                   uint32_t pasid, hwaddr iova, hwaddr *gpa)
{
    IOMMUFaultSMMU *a = container_of(be, IOMMUFaultSMMU, backend);
    uint16_t sid = pci_get_bdf(pci);
    MemTxAttrs attrs = { .requester_id = sid };
    SMMUATSVerdict verdict = SMMU_ATS_OFF;
    SMMUEventInfo event;

    if (smmu_enabled(a->s)) {
        verdict = smmu_ats_verdict(a, sid, &event);
    }
    if (verdict == SMMU_ATS_OFF) {
        smmu_refuse(a, SMMU_EVT_F_BAD_ATS_TREQ, sid, iova);
    }
    /* Other errors are answers to such a request, and are not recorded. */
    if (verdict != SMMU_ATS_OK) {
        return false;
    }
    if (pasid != PCI_NO_PASID) {
        return smmu_translate_substream(a, sid, pasid, iova, gpa);
    }
    return iommu_fault_translate_muted(be, pci_device_iommu_address_space(pci),
                                       iova, attrs, gpa);
}

static bool smmu_translated(IOMMUFaultBackend *be, PCIDevice *pci, hwaddr gpa)
{
    IOMMUFaultSMMU *a = container_of(be, IOMMUFaultSMMU, backend);
    uint16_t sid = pci_get_bdf(pci);
    SMMUATSVerdict verdict = SMMU_ATS_OFF;
    SMMUEventInfo event;

    if (smmu_enabled(a->s)) {
        if (!(a->s->cr0ack & CR0_ATSCHK)) {
            return true;
        }
        verdict = smmu_ats_verdict(a, sid, &event);
    }
    if (verdict == SMMU_ATS_OFF) {
        smmu_refuse(a, SMMU_EVT_F_TRANS_FORBIDDEN, sid, gpa);
    } else if (verdict == SMMU_ATS_ERROR && !smmu_silent()) {
        smmuv3_record_event(a->s, &event);
    }
    return verdict == SMMU_ATS_OK;
}

static void smmu_untranslated(IOMMUFaultBackend *be, PCIDevice *pci)
{
    IOMMUFaultSMMU *a = container_of(be, IOMMUFaultSMMU, backend);
    SMMUEventInfo event = { .inval_ste_allowed = true };
    STE ste;

    if (smmu_enabled(a->s)) {
        iommu_fault_smmuv3_find_ste(a->s, pci_get_bdf(pci), &ste, &event);
    }
}

bool iommu_fault_smmuv3_muted(SMMUv3State *s)
{
    return smmu_get(s)->backend.mute;
}

static const IOMMUFaultBackendOps smmu_backend_ops = {
    .owns = smmu_owns,
    .translate = smmu_translate_request,
    .translated = smmu_translated,
    .untranslated = smmu_untranslated,
    .update = smmu_update,
};

/* Event queue */

/* Software acknowledges by making OVACKFLG of the other register equal. */
void iommu_fault_smmuv3_overflow(SMMUv3State *s)
{
    if (!((s->eventq.prod ^ s->eventq.cons) & EVT_Q_OVERFLOW)) {
        iommu_fault_log("event queue overflow");
        s->eventq.prod ^= EVT_Q_OVERFLOW;
    }
}

/* Life */

void iommu_fault_smmuv3_cr0(SMMUv3State *s)
{
    /* What is outstanding stays so, but nothing stands still for it. */
    if (!smmuv3_cmdq_enabled(s)) {
        iommu_fault_stall_end(&smmu_get(s)->backend);
    }
}

void iommu_fault_smmuv3_reset(SMMUv3State *s)
{
    IOMMUFaultSMMU *a;
    SMMUPutOff *p;
    SMMUInv *i;

    QLIST_FOREACH(a, &smmus, next) {
        if (a->s == s) {
            break;
        }
    }
    if (!a) {
        a = g_new0(IOMMUFaultSMMU, 1);
        a->s = s;
        a->backend.ops = &smmu_backend_ops;
        a->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, smmu_timer, a);
        a->stes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        a->cds = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        QSIMPLEQ_INIT(&a->invs);
        QSIMPLEQ_INIT(&a->put_off);
        QLIST_INSERT_HEAD(&smmus, a, next);
        iommu_fault_backend_register(&a->backend);
    }
    timer_del(a->timer);
    while ((i = QSIMPLEQ_FIRST(&a->invs))) {
        smmu_drop(a, i);
    }
    while ((p = QSIMPLEQ_FIRST(&a->put_off))) {
        QSIMPLEQ_REMOVE_HEAD(&a->put_off, next);
        g_free(p);
    }
    iommu_fault_stall_end(&a->backend);
    g_hash_table_remove_all(a->stes);
    g_hash_table_remove_all(a->cds);

    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, ATS, 1);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, NS1ATS, 1);
    s->idr[1] = FIELD_DP32(s->idr[1], IDR1, SSIDSIZE, SSID_BITS);
}
