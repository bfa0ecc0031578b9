/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: registry and control device.
 *
 * Registers of iommu-fault-ctl, 32 bit, BAR 0:
 *   0x00 RO MAGIC             0x20 RO STALE_BLOCKED (target)
 *   0x04 RW TIMEOUT_MS        0x24 RO RESETS (target)
 *   0x08 RW FLAGS             0x28 WO DOORBELL (target)
 *   0x0c RW TARGET            0x2c RO TIMEOUTS
 *   0x10 RW WEDGE (target)    0x30 RO ABORTED_WAITS
 *   0x14 RO INV_WEDGED        0x34 WO CLEAR
 *   0x18 RO INV_TOTAL         0x38 RO CTX_REFRESH (target)
 *   0x1c RO STALE_OK          0x3c RO STALL_MS
 *   0x40 RO INV_QUEUED_AFTER (target)
 *   0x44 RW DELAY_MS (target) 0x48 RO TARGET_TIMEOUTS (target)
 *   0x4c RO ATS_AGAIN (target)
 *   0x50 RO INV_IN_RESET (target): between a reset and the first look at the
 *        device's configuration space after it
 *   0x54 RO PASID_LATE (target): PASID changed while ATS was on
 *   0x58 WO AER (target): report these uncorrectable errors
 *   0x5c WO STRAY: AMD's logs a timeout of this DeviceID, whoever that is
 * A register of a target that does not exist reads all ones.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "hw/misc/iommu-fault.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie_aer.h"
#include "hw/qdev-properties.h"
#include "hw/resettable.h"
#include "migration/vmstate.h"

#define TYPE_IOMMU_FAULT_CTL "iommu-fault-ctl"
OBJECT_DECLARE_SIMPLE_TYPE(IOMMUFaultCtl, IOMMU_FAULT_CTL)

#define CTL_BAR_SIZE        4096
#define CTL_TIMEOUT_DEFAULT 1000

enum {
    CTL_MAGIC           = 0x00,
    CTL_TIMEOUT_MS      = 0x04,
    CTL_FLAGS           = 0x08,
    CTL_TARGET          = 0x0c,
    CTL_WEDGE           = 0x10,
    CTL_INV_WEDGED      = 0x14,
    CTL_INV_TOTAL       = 0x18,
    CTL_STALE_OK        = 0x1c,
    CTL_STALE_BLOCKED   = 0x20,
    CTL_RESETS          = 0x24,
    CTL_DOORBELL        = 0x28,
    CTL_TIMEOUTS        = 0x2c,
    CTL_ABORTED_WAITS   = 0x30,
    CTL_CLEAR           = 0x34,
    CTL_CTX_REFRESH     = 0x38,
    CTL_STALL_MS        = 0x3c,
    CTL_INV_AFTER       = 0x40,
    CTL_DELAY_MS        = 0x44,
    CTL_TARGET_TIMEOUTS = 0x48,
    CTL_ATS_AGAIN       = 0x4c,
    CTL_INV_IN_RESET    = 0x50,
    CTL_PASID_LATE      = 0x54,
    CTL_AER             = 0x58,
    CTL_STRAY           = 0x5c,
};

struct IOMMUFaultCtl {
    PCIDevice parent_obj;

    MemoryRegion mmio;
    uint32_t timeout_property;
    bool log;

    uint32_t timeout_ms;
    uint32_t flags;
    uint16_t target;

    uint32_t timeouts;
    uint32_t aborted_waits;
    int64_t stall_ns;
};

/*
 * The one control device of the machine. Endpoints and IOMMU models work
 * without it too; nothing can be broken then.
 */
static IOMMUFaultCtl *ctl;
static QLIST_HEAD(, IOMMUFaultDev) devs = QLIST_HEAD_INITIALIZER(devs);
static QLIST_HEAD(, IOMMUFaultBackend) backends =
    QLIST_HEAD_INITIALIZER(backends);

void iommu_fault_log(const char *fmt, ...)
{
    g_autofree char *msg = NULL;
    va_list ap;

    if (!ctl || !ctl->log) {
        return;
    }
    va_start(ap, fmt);
    msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    info_report("iommu-fault: %" PRId64 " ms: %s",
                qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL), msg);
}

/* Devices. Bus numbers are the guest's: never cache a requester id. */

static uint16_t dev_sid(const IOMMUFaultDev *dev)
{
    return dev->pci ? pci_get_bdf(dev->pci) : dev->ghost_sid;
}

static IOMMUFaultDev *dev_find(uint16_t sid)
{
    IOMMUFaultDev *dev;

    QLIST_FOREACH(dev, &devs, next) {
        if (dev_sid(dev) == sid) {
            return dev;
        }
    }
    return NULL;
}

static void ghost_drop(IOMMUFaultDev *dev)
{
    assert(!dev->pci);
    QLIST_REMOVE(dev, next);
    g_free(dev);
}

void iommu_fault_dev_register(IOMMUFaultDev *dev)
{
    IOMMUFaultDev *old = dev_find(pci_get_bdf(dev->pci));

    if (old && !old->pci) {
        ghost_drop(old);
    }
    QLIST_INSERT_HEAD(&devs, dev, next);
}

/*
 * Nobody answers an invalidation that is sent after the device was pulled: its
 * port drops the request. So leave a ghost behind, which also keeps the
 * counters readable.
 */
void iommu_fault_dev_unregister(IOMMUFaultDev *dev)
{
    IOMMUFaultDev *ghost;

    ghost = g_memdup2(dev, sizeof(*dev));
    ghost->ghost_sid = pci_get_bdf(dev->pci);
    ghost->pci = NULL;
    ghost->ops = NULL;
    QLIST_REMOVE(dev, next);
    QLIST_INSERT_HEAD(&devs, ghost, next);
    iommu_fault_log("%04x unplugged", ghost->ghost_sid);
}

/* Plugged in; a virtual function is there while VF Enable of its PF is set. */
static bool dev_there(const IOMMUFaultDev *dev)
{
    return dev->pci && (!pci_is_vf(dev->pci) || dev->pci->enabled);
}

bool iommu_fault_dev_answers(const IOMMUFaultDev *dev)
{
    return dev_there(dev) && (dev->mode == IOMMU_FAULT_HEALTHY ||
                               dev->mode == IOMMU_FAULT_SLOW);
}

/* Off the bus: configuration space and BARs read all ones, no DMA. */
bool iommu_fault_dev_absent(const IOMMUFaultDev *dev)
{
    return !dev_there(dev) || dev->gone || dev->mode == IOMMU_FAULT_VANISHED;
}

/* Would a reset at this moment clear nothing? */
bool iommu_fault_dev_keeps_state(const IOMMUFaultDev *dev)
{
    return dev->gone || dev->mode == IOMMU_FAULT_FOREVER ||
           dev->mode == IOMMU_FAULT_VANISHED ||
           dev->mode == IOMMU_FAULT_HANGS;
}

/* A reset reached the device. True: it must go back to its initial state. */
bool iommu_fault_dev_reset(IOMMUFaultDev *dev)
{
    bool keep = iommu_fault_dev_keeps_state(dev);

    if (!iommu_fault_dev_absent(dev)) {
        dev->resets++;
    }
    if (dev->mode == IOMMU_FAULT_HANGS) {
        dev->gone = true;
    }
    iommu_fault_log("%04x reset%s", dev_sid(dev), keep ? ", no effect" : "");
    if (!keep) {
        dev->mode = IOMMU_FAULT_HEALTHY;
        dev->timed_out = false;
        dev->ats_gone = false;
        dev->in_reset = true;
    }
    return !keep;
}

static void dev_clear_counters(IOMMUFaultDev *dev)
{
    dev->inv_wedged = 0;
    dev->inv_total = 0;
    dev->inv_after = 0;
    dev->stale_ok = 0;
    dev->stale_blocked = 0;
    dev->resets = 0;
    dev->ctx_refresh = 0;
    dev->timeouts = 0;
    dev->timed_out = false;
    dev->ats_gone = false;
    dev->ats_again = 0;
    dev->inv_in_reset = 0;
    dev->pasid_late = 0;
}

static void dev_set_mode(IOMMUFaultDev *dev, uint32_t mode)
{
    if (mode >= IOMMU_FAULT_MODES) {
        qemu_log_mask(LOG_GUEST_ERROR, "iommu-fault: no mode %u\n", mode);
        return;
    }
    if (!dev->pci) {
        if (mode == IOMMU_FAULT_HEALTHY) {
            ghost_drop(dev);
        }
        return;
    }
    dev->mode = mode;
    dev->gone = false;
    iommu_fault_log("%04x mode %u", dev_sid(dev), mode);
}

/* IOMMU models */

void iommu_fault_backend_register(IOMMUFaultBackend *be)
{
    QLIST_INSERT_HEAD(&backends, be, next);
}

IOMMUFaultBackend *iommu_fault_backend(PCIDevice *pci)
{
    IOMMUFaultBackend *be;

    QLIST_FOREACH(be, &backends, next) {
        if (be->ops->owns(be, pci)) {
            return be;
        }
    }
    return NULL;
}

/*
 * What an IOMMU's own translation makes of an ATS request that is permitted. A
 * page that is not mapped is an answer to such a request, and no fault.
 */
bool iommu_fault_translate_muted(IOMMUFaultBackend *be, AddressSpace *as,
                                 hwaddr iova, MemTxAttrs attrs, hwaddr *gpa)
{
    IOMMUTLBEntry entry;

    RCU_READ_LOCK_GUARD();
    be->mute = true;
    entry = address_space_get_iotlb_entry(as, iova, true, attrs);
    be->mute = false;
    if (!(entry.perm & IOMMU_WO)) {
        return false;
    }
    *gpa = (entry.translated_addr | (iova & entry.addr_mask)) &
           ~(hwaddr)0xfff;
    return true;
}

/*
 * Returns whether the device answers (or none of ours is there at all). An
 * IOMMU model that can wait passes @delay: it is set to the time (ns) that a
 * slow device takes, and to 0 if no answer will come. For one that cannot, a
 * slow device answers at once.
 */
bool iommu_fault_invalidate(const IOMMUFaultInv *inv, int64_t *delay)
{
    IOMMUFaultDev *dev = dev_find(inv->sid);

    if (delay) {
        *delay = 0;
    }
    if (!dev) {
        return true;
    }
    dev->inv_total++;
    if (dev->timed_out) {
        dev->inv_after++;
    }
    if (dev->in_reset) {
        dev->inv_in_reset++;
    }
    if (iommu_fault_dev_answers(dev)) {
        if (delay && dev->mode == IOMMU_FAULT_SLOW && dev->delay_ms) {
            *delay = dev->delay_ms * (int64_t)SCALE_MS;
            return false;
        }
        dev->ops->invalidate(dev, inv);
        return true;
    }
    dev->inv_wedged++;
    if (dev->pci) {
        dev->ops->lost(dev, inv);
    }
    return false;
}

/* The delay is over. False: the device has broken meanwhile, or is gone. */
bool iommu_fault_answer(const IOMMUFaultInv *inv)
{
    IOMMUFaultDev *dev = dev_find(inv->sid);

    if (!dev || !iommu_fault_dev_answers(dev)) {
        return false;
    }
    dev->ops->invalidate(dev, inv);
    return true;
}

/* The IOMMU has stopped waiting for the answer to @inv. */
void iommu_fault_given_up(const IOMMUFaultInv *inv)
{
    IOMMUFaultDev *dev = dev_find(inv->sid);

    if (dev && dev->pci) {
        dev->ops->lost(dev, inv);
    }
}

/* One report may cover several devices: this is for all but the first. */
void iommu_fault_timed_out_too(uint16_t sid)
{
    IOMMUFaultDev *dev = dev_find(sid);

    if (dev) {
        dev->timed_out = true;
        dev->timeouts++;
    }
    iommu_fault_log("%04x timeout", sid);
}

void iommu_fault_each_timed_out(void (*fn)(uint16_t sid, void *opaque),
                                void *opaque)
{
    IOMMUFaultDev *dev;

    QLIST_FOREACH(dev, &devs, next) {
        if (dev->timed_out) {
            fn(dev_sid(dev), opaque);
        }
    }
}

/*
 * What the tables in memory give to a device that has timed out. Once they have
 * refused it ATS, they do so until it is reset, at every look.
 */
void iommu_fault_ats_seen(uint16_t sid, bool on)
{
    IOMMUFaultDev *dev = dev_find(sid);

    if (!dev || !dev->timed_out) {
        return;
    }
    if (on && dev->ats_gone) {
        dev->ats_again++;
        iommu_fault_log("%04x is given ATS again", sid);
    }
    dev->ats_gone |= !on;
}

void iommu_fault_timed_out(uint16_t sid, unsigned aborted_waits)
{
    iommu_fault_timed_out_too(sid);
    if (ctl) {
        ctl->timeouts++;
        ctl->aborted_waits += aborted_waits;
    }
    if (aborted_waits) {
        iommu_fault_log("%u waits aborted", aborted_waits);
    }
}

void iommu_fault_ctx_refreshed(uint16_t sid)
{
    IOMMUFaultDev *dev = dev_find(sid);

    if (dev) {
        dev->ctx_refresh++;
    }
}

void iommu_fault_stall_begin(IOMMUFaultBackend *be)
{
    if (!be->stalled) {
        be->stalled = true;
        be->stall_since = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    }
}

void iommu_fault_stall_end(IOMMUFaultBackend *be)
{
    if (be->stalled && ctl) {
        ctl->stall_ns += qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) -
                         be->stall_since;
    }
    be->stalled = false;
}

int64_t iommu_fault_timeout_ns(void)
{
    return (ctl ? ctl->timeout_ms : CTL_TIMEOUT_DEFAULT) * (int64_t)SCALE_MS;
}

uint32_t iommu_fault_flags(void)
{
    return ctl ? ctl->flags : 0;
}

/* Control device */

static void ctl_update_backends(void)
{
    IOMMUFaultBackend *be;

    QLIST_FOREACH(be, &backends, next) {
        be->ops->update(be);
    }
}

static uint32_t ctl_stall_ms(IOMMUFaultCtl *s)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    int64_t ns = s->stall_ns;
    IOMMUFaultBackend *be;

    QLIST_FOREACH(be, &backends, next) {
        if (be->stalled) {
            ns += now - be->stall_since;
        }
    }
    return ns / SCALE_MS;
}

static void ctl_clear(IOMMUFaultCtl *s)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    IOMMUFaultBackend *be;
    IOMMUFaultDev *dev;

    s->timeouts = 0;
    s->aborted_waits = 0;
    s->stall_ns = 0;
    QLIST_FOREACH(be, &backends, next) {
        be->stall_since = now;
    }
    QLIST_FOREACH(dev, &devs, next) {
        dev_clear_counters(dev);
    }
}

static uint32_t ctl_read_target(IOMMUFaultCtl *s, hwaddr addr)
{
    IOMMUFaultDev *dev = dev_find(s->target);

    if (!dev) {
        return UINT32_MAX;
    }
    switch (addr) {
    case CTL_WEDGE:
        return dev->pci ? dev->mode : IOMMU_FAULT_VANISHED;
    case CTL_INV_WEDGED:
        return dev->inv_wedged;
    case CTL_INV_TOTAL:
        return dev->inv_total;
    case CTL_STALE_OK:
        return dev->stale_ok;
    case CTL_STALE_BLOCKED:
        return dev->stale_blocked;
    case CTL_RESETS:
        return dev->resets;
    case CTL_CTX_REFRESH:
        return dev->ctx_refresh;
    case CTL_INV_AFTER:
        return dev->inv_after;
    case CTL_DELAY_MS:
        return dev->delay_ms;
    case CTL_TARGET_TIMEOUTS:
        return dev->timeouts;
    case CTL_ATS_AGAIN:
        return dev->ats_again;
    case CTL_INV_IN_RESET:
        return dev->inv_in_reset;
    case CTL_PASID_LATE:
        return dev->pasid_late;
    default:
        g_assert_not_reached();
    }
}

static uint64_t ctl_read(void *opaque, hwaddr addr, unsigned size)
{
    IOMMUFaultCtl *s = opaque;

    switch (addr) {
    case CTL_MAGIC:
        return IOMMU_FAULT_CTL_MAGIC;
    case CTL_TIMEOUT_MS:
        return s->timeout_ms;
    case CTL_FLAGS:
        return s->flags;
    case CTL_TARGET:
        return s->target;
    case CTL_WEDGE:
    case CTL_INV_WEDGED:
    case CTL_INV_TOTAL:
    case CTL_STALE_OK:
    case CTL_STALE_BLOCKED:
    case CTL_RESETS:
    case CTL_CTX_REFRESH:
    case CTL_INV_AFTER:
    case CTL_DELAY_MS:
    case CTL_TARGET_TIMEOUTS:
    case CTL_ATS_AGAIN:
    case CTL_INV_IN_RESET:
    case CTL_PASID_LATE:
        return ctl_read_target(s, addr);
    case CTL_TIMEOUTS:
        return s->timeouts;
    case CTL_ABORTED_WAITS:
        return s->aborted_waits;
    case CTL_STALL_MS:
        return ctl_stall_ms(s);
    default:
        return 0;
    }
}

static void ctl_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    IOMMUFaultCtl *s = opaque;
    IOMMUFaultBackend *be;
    IOMMUFaultDev *dev;

    switch (addr) {
    case CTL_TIMEOUT_MS:
        s->timeout_ms = val;
        ctl_update_backends();
        break;
    case CTL_FLAGS:
        s->flags = val & IOMMU_FAULT_F_ALL;
        ctl_update_backends();
        break;
    case CTL_TARGET:
        s->target = val;
        break;
    case CTL_WEDGE:
        dev = dev_find(s->target);
        if (dev) {
            dev_set_mode(dev, val);
        }
        break;
    case CTL_DOORBELL:
        dev = dev_find(s->target);
        if (dev && dev->pci) {
            dev->ops->doorbell(dev);
        }
        break;
    case CTL_CLEAR:
        ctl_clear(s);
        break;
    case CTL_DELAY_MS:
        dev = dev_find(s->target);
        if (dev) {
            dev->delay_ms = val;
        }
        break;
    case CTL_AER:
        dev = dev_find(s->target);
        if (dev && dev->pci) {
            PCIEAERErr err = {
                .status = val,
                .source_id = dev_sid(dev),
            };

            pcie_aer_inject_error(dev->pci, &err);
        }
        break;
    case CTL_STRAY:
        QLIST_FOREACH(be, &backends, next) {
            if (be->ops->stray) {
                be->ops->stray(be, val);
            }
        }
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR,
                      "iommu-fault-ctl: write to 0x%" HWADDR_PRIx "\n", addr);
        break;
    }
}

static const MemoryRegionOps ctl_ops = {
    .read = ctl_read,
    .write = ctl_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/*
 * Only a reset of the whole machine comes here. All enter phases run before
 * any other phase, so the endpoints find themselves healthy in theirs and
 * really reset; all hold phases (which count) run before any exit phase.
 */
static void ctl_reset_enter(Object *obj, ResetType type)
{
    IOMMUFaultCtl *s = IOMMU_FAULT_CTL(obj);
    IOMMUFaultDev *dev, *tmp;

    s->timeout_ms = s->timeout_property;
    s->flags = 0;
    s->target = 0;
    QLIST_FOREACH_SAFE(dev, &devs, next, tmp) {
        if (!dev->pci) {
            ghost_drop(dev);
            continue;
        }
        dev->mode = IOMMU_FAULT_HEALTHY;
        dev->gone = false;
        dev->delay_ms = 0;
    }
}

static void ctl_reset_exit(Object *obj, ResetType type)
{
    ctl_clear(IOMMU_FAULT_CTL(obj));
}

static void ctl_realize(PCIDevice *pci, Error **errp)
{
    IOMMUFaultCtl *s = IOMMU_FAULT_CTL(pci);

    if (ctl) {
        error_setg(errp, "there can be only one " TYPE_IOMMU_FAULT_CTL);
        return;
    }
    memory_region_init_io(&s->mmio, OBJECT(s), &ctl_ops, s,
                          TYPE_IOMMU_FAULT_CTL, CTL_BAR_SIZE);
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->mmio);
    s->timeout_ms = s->timeout_property;
    ctl = s;
}

static void ctl_exit(PCIDevice *pci)
{
    ctl = NULL;
}

static const Property ctl_props[] = {
    DEFINE_PROP_UINT32("timeout-ms", IOMMUFaultCtl, timeout_property,
                       CTL_TIMEOUT_DEFAULT),
    DEFINE_PROP_BOOL("log", IOMMUFaultCtl, log, true),
};

static const VMStateDescription ctl_vmstate = {
    .name = TYPE_IOMMU_FAULT_CTL,
    .unmigratable = 1,
};

static void ctl_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    pc->realize = ctl_realize;
    pc->exit = ctl_exit;
    pc->vendor_id = PCI_VENDOR_ID_QEMU;
    pc->device_id = IOMMU_FAULT_CTL_DEVICE_ID;
    pc->class_id = PCI_CLASS_OTHERS;
    rc->phases.enter = ctl_reset_enter;
    rc->phases.exit = ctl_reset_exit;
    dc->hotpluggable = false;
    dc->vmsd = &ctl_vmstate;
    dc->desc = "Control of broken ATS endpoints";
    device_class_set_props(dc, ctl_props);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo ctl_info = {
    .name = TYPE_IOMMU_FAULT_CTL,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(IOMMUFaultCtl),
    .class_init = IOMMU_FAULT_CLASS_INIT(ctl_class_init),
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void ctl_register_types(void)
{
    type_register_static(&ctl_info);
}
type_init(ctl_register_types)
