/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: an endpoint that can break.
 *
 * It fetches translations into an address translation cache (ATC) and writes a
 * pattern through them. Told by iommu-fault-ctl to wedge, it ignores
 * invalidations, keeps its entries, and keeps writing.
 *
 * Registers, 32 bit, BAR 0:
 *   0x00 RO MAGIC        0x14 RW IOVA_HI
 *   0x04 WO CMD          0x18 RW PATTERN
 *   0x08 RO STATUS       0x1c RW LEN
 *   0x0c RW PERIOD_MS    0x20 RO WRITES_OK
 *   0x10 RW IOVA_LO      0x24 RO WRITES_BLOCKED
 *                        0x28 RO ATC_ENTRIES
 *                        0x2c RW PASID (bit 31: requests carry bits 19:0)
 * The registers go on working while the device is wedged: its front end is
 * alive, what does not answer is its ATC.
 *
 * With "vfs=N" it is a physical function with N virtual ones, at the function
 * numbers that follow. These are endpoints like it, each with an ATC of its own
 * that can break; what the SR-IOV chapter of the PCIe specification hardwires
 * in them is hardwired, and of resets they have but the FLR.
 */
#include "qemu/osdep.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "hw/misc/iommu-fault.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/pci/pcie_sriov.h"
#include "hw/qdev-properties.h"
#include "hw/resettable.h"
#include "migration/vmstate.h"

#define TYPE_IOMMU_FAULT_ENDPOINT "iommu-fault-endpoint"
#define TYPE_IOMMU_FAULT_VF "iommu-fault-vf"
OBJECT_DECLARE_SIMPLE_TYPE(IOMMUFaultEndpoint, IOMMU_FAULT_ENDPOINT)

#define EP_BAR_SIZE         4096
#define EP_PAGE_SIZE        4096
#define EP_PAGE_MASK        (~(hwaddr)(EP_PAGE_SIZE - 1))
#define EP_PERIOD_DEFAULT   10

#define EP_EXP_OFFSET       0x40
#define EP_ATS_OFFSET       0x100
#define EP_PASID_OFFSET     0x110
#define EP_PASID_SIZE       8
#define EP_PASID_WIDTH      20
#define EP_AER_OFFSET       0x120
#define EP_PM_OFFSET        0x80
#define EP_AF_OFFSET        0x90
#define EP_AF_SIZE          6
#define EP_MSIX_OFFSET      0xa0
#define EP_MSIX_SIZE        12
#define EP_MSIX_TABLE       0x800
#define EP_MSIX_PBA         0xc00
#define EP_SRIOV_OFFSET     0x180
#define EP_VF_OFFSET        1
#define EP_VF_STRIDE        1
#define EP_VFS_MAX          7

enum {
    EP_MAGIC            = 0x00,
    EP_CMD              = 0x04,
    EP_STATUS           = 0x08,
    EP_PERIOD_MS        = 0x0c,
    EP_IOVA_LO          = 0x10,
    EP_IOVA_HI          = 0x14,
    EP_PATTERN          = 0x18,
    EP_LEN              = 0x1c,
    EP_WRITES_OK        = 0x20,
    EP_WRITES_BLOCKED   = 0x24,
    EP_ATC_ENTRIES      = 0x28,
    EP_PASID            = 0x2c,
};

enum {
    EP_CMD_FETCH        = 1,
    EP_CMD_WRITE        = 2,
    EP_CMD_UNTRANSLATED = 3,
    EP_CMD_START        = 4,
    EP_CMD_STOP         = 5,
    EP_CMD_FLUSH        = 6,
};

enum {
    EP_STATUS_OK        = 1u << 0,
    EP_STATUS_ATC       = 1u << 1,
    EP_STATUS_ATS       = 1u << 2,
    EP_STATUS_MASTER    = 1u << 3,
    EP_STATUS_PERIODIC  = 1u << 4,
};

#define EP_PASID_VALID      (1u << 31)
#define EP_PASID_MASK       ((1u << EP_PASID_WIDTH) - 1)

typedef struct ATCEntry {
    hwaddr iova;                /* page aligned */
    hwaddr gpa;                 /* page aligned */
    uint32_t pasid;
    uint32_t offset;            /* of the IOVA it was fetched for */
    bool stale;                 /* an invalidation of it was ignored */
    QTAILQ_ENTRY(ATCEntry) next;
} ATCEntry;

struct IOMMUFaultEndpoint {
    PCIDevice parent_obj;

    MemoryRegion mmio;
    QEMUTimer *timer;
    IOMMUFaultDev fault;
    uint32_t atc_size;
    bool pasid_cap;
    uint16_t vendor;            /* 0: our own */
    uint16_t device;
    uint16_t vfs;

    QTAILQ_HEAD(, ATCEntry) atc;
    uint32_t atc_entries;

    bool running;               /* the reset of the power-on is behind us */
    bool reset_real;
    uint8_t *config_default;
    uint8_t header_kept[PCI_CONFIG_HEADER_SIZE];

    uint32_t status;
    uint32_t period_ms;
    uint64_t iova;
    uint32_t pattern;
    uint32_t len;
    uint32_t pasid;
    uint32_t writes_ok;
    uint32_t writes_blocked;
};

/* Configuration space */

static bool ep_master(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);

    return pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static bool ep_ats(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);

    return pci_get_word(pci->config + EP_ATS_OFFSET + PCI_ATS_CTRL) &
           PCI_ATS_CTRL_ENABLE;
}

static bool ep_pasid_enabled(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);

    return pci_get_word(pci->config + EP_PASID_OFFSET + PCI_PASID_CTRL) &
           PCI_PASID_CTRL_ENABLE;
}

/*
 * May the device send ATS requests? Broken hardware does not care for what
 * configuration space says: once wedged, it goes on with bus mastering, ATS
 * and PASID turned off, until a reset really happened.
 */
static bool ep_may_use_ats(IOMMUFaultEndpoint *ep, uint32_t pasid)
{
    if (iommu_fault_dev_absent(&ep->fault)) {
        return false;
    }
    if (!iommu_fault_dev_answers(&ep->fault)) {
        return true;
    }
    return ep_master(ep) && ep_ats(ep) &&
           (pasid == PCI_NO_PASID || ep_pasid_enabled(ep));
}

static uint32_t ep_current_pasid(IOMMUFaultEndpoint *ep)
{
    return ep->pasid & EP_PASID_VALID ? ep->pasid & EP_PASID_MASK :
                                        PCI_NO_PASID;
}

/* ATC */

static ATCEntry *atc_find(IOMMUFaultEndpoint *ep, hwaddr iova, uint32_t pasid)
{
    ATCEntry *e;

    QTAILQ_FOREACH(e, &ep->atc, next) {
        if (e->iova == (iova & EP_PAGE_MASK) && e->pasid == pasid) {
            return e;
        }
    }
    return NULL;
}

static void atc_drop(IOMMUFaultEndpoint *ep, ATCEntry *e)
{
    QTAILQ_REMOVE(&ep->atc, e, next);
    ep->atc_entries--;
    g_free(e);
}

static void atc_flush(IOMMUFaultEndpoint *ep)
{
    ATCEntry *e, *tmp;

    QTAILQ_FOREACH_SAFE(e, &ep->atc, next, tmp) {
        atc_drop(ep, e);
    }
}

static bool atc_covered(const ATCEntry *e, const IOMMUFaultInv *inv)
{
    if (inv->all_pasids ? e->pasid == PCI_NO_PASID : e->pasid != inv->pasid) {
        return false;
    }
    return (e->iova & ~inv->mask) == (inv->addr & ~inv->mask);
}

static IOMMUFaultEndpoint *ep_from_fault(IOMMUFaultDev *dev)
{
    return container_of(dev, IOMMUFaultEndpoint, fault);
}

static void ep_invalidate(IOMMUFaultDev *dev, const IOMMUFaultInv *inv)
{
    IOMMUFaultEndpoint *ep = ep_from_fault(dev);
    ATCEntry *e, *tmp;

    QTAILQ_FOREACH_SAFE(e, &ep->atc, next, tmp) {
        if (atc_covered(e, inv)) {
            atc_drop(ep, e);
        }
    }
}

static void ep_lost(IOMMUFaultDev *dev, const IOMMUFaultInv *inv)
{
    IOMMUFaultEndpoint *ep = ep_from_fault(dev);
    ATCEntry *e;

    QTAILQ_FOREACH(e, &ep->atc, next) {
        if (atc_covered(e, inv)) {
            e->stale = true;
        }
    }
}

static ATCEntry *ep_fetch(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);
    IOMMUFaultBackend *be = iommu_fault_backend(pci);
    uint32_t pasid = ep_current_pasid(ep);
    ATCEntry *e;
    hwaddr gpa;

    if (!be || !ep_may_use_ats(ep, pasid) ||
        !be->ops->translate(be, pci, pasid, ep->iova, &gpa)) {
        return NULL;
    }
    e = atc_find(ep, ep->iova, pasid);
    if (!e) {
        if (ep->atc_entries == ep->atc_size) {
            atc_drop(ep, QTAILQ_FIRST(&ep->atc));
        }
        e = g_new0(ATCEntry, 1);
        e->iova = ep->iova & EP_PAGE_MASK;
        e->pasid = pasid;
        QTAILQ_INSERT_TAIL(&ep->atc, e, next);
        ep->atc_entries++;
    }
    e->gpa = gpa;
    e->offset = ep->iova & ~EP_PAGE_MASK;
    e->stale = false;
    return e;
}

/* Writing */

static void ep_fill(IOMMUFaultEndpoint *ep, uint8_t *buf)
{
    uint32_t i;

    for (i = 0; i < EP_PAGE_SIZE; i += sizeof(uint32_t)) {
        stl_le_p(buf + i, ep->pattern);
    }
}

static bool ep_len_valid(IOMMUFaultEndpoint *ep, uint32_t offset)
{
    return ep->len && ep->len <= EP_PAGE_SIZE - offset;
}

static bool ep_write_translated(IOMMUFaultEndpoint *ep, ATCEntry *e)
{
    PCIDevice *pci = PCI_DEVICE(ep);
    IOMMUFaultBackend *be = iommu_fault_backend(pci);
    MemTxAttrs attrs = { .requester_id = pci_get_bdf(pci) };
    uint8_t buf[EP_PAGE_SIZE];

    if (!be || !ep_may_use_ats(ep, e->pasid) || !ep_len_valid(ep, e->offset)) {
        return false;
    }
    ep_fill(ep, buf);
    if (!be->ops->translated(be, pci, e->gpa) ||
        address_space_write(&address_space_memory, e->gpa + e->offset, attrs,
                            buf, ep->len) != MEMTX_OK) {
        ep->writes_blocked++;
        if (e->stale) {
            ep->fault.stale_blocked++;
        }
        return false;
    }
    ep->writes_ok++;
    if (e->stale) {
        ep->fault.stale_ok++;
    }
    return true;
}

static bool ep_write(IOMMUFaultEndpoint *ep)
{
    ATCEntry *e = atc_find(ep, ep->iova, ep_current_pasid(ep));

    if (e) {
        e->offset = ep->iova & ~EP_PAGE_MASK;
    } else {
        e = ep_fetch(ep);
    }
    return e && ep_write_translated(ep, e);
}

static bool ep_write_untranslated(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);
    IOMMUFaultBackend *be = iommu_fault_backend(pci);
    uint8_t buf[EP_PAGE_SIZE];

    if (iommu_fault_dev_absent(&ep->fault) || !ep_master(ep) ||
        !ep_len_valid(ep, ep->iova & ~EP_PAGE_MASK)) {
        return false;
    }
    if (be) {
        be->ops->untranslated(be, pci);
    }
    ep_fill(ep, buf);
    if (pci_dma_write(pci, ep->iova, buf, ep->len) != MEMTX_OK) {
        ep->writes_blocked++;
        return false;
    }
    ep->writes_ok++;
    return true;
}

static void ep_write_all(IOMMUFaultEndpoint *ep)
{
    ATCEntry *e;

    QTAILQ_FOREACH(e, &ep->atc, next) {
        ep_write_translated(ep, e);
    }
}

static void ep_doorbell(IOMMUFaultDev *dev)
{
    ep_write_all(ep_from_fault(dev));
}

static const IOMMUFaultDevOps ep_fault_ops = {
    .invalidate = ep_invalidate,
    .lost = ep_lost,
    .doorbell = ep_doorbell,
};

static void ep_timer_arm(IOMMUFaultEndpoint *ep)
{
    timer_mod(ep->timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) +
                         MAX(ep->period_ms, 1));
}

static void ep_timer(void *opaque)
{
    IOMMUFaultEndpoint *ep = opaque;

    ep_write_all(ep);
    ep_timer_arm(ep);
}

/* Registers */

static void ep_command(IOMMUFaultEndpoint *ep, uint32_t cmd)
{
    bool ok = true;

    switch (cmd) {
    case EP_CMD_FETCH:
        ok = ep_fetch(ep);
        break;
    case EP_CMD_WRITE:
        ok = ep_write(ep);
        break;
    case EP_CMD_UNTRANSLATED:
        ok = ep_write_untranslated(ep);
        break;
    case EP_CMD_START:
        ep_timer_arm(ep);
        break;
    case EP_CMD_STOP:
        timer_del(ep->timer);
        break;
    case EP_CMD_FLUSH:
        atc_flush(ep);
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR,
                      "iommu-fault-endpoint: no command %u\n", cmd);
        ok = false;
        break;
    }
    ep->status = ok ? EP_STATUS_OK : 0;
}

static uint64_t ep_read(void *opaque, hwaddr addr, unsigned size)
{
    IOMMUFaultEndpoint *ep = opaque;

    if (iommu_fault_dev_absent(&ep->fault)) {
        return UINT32_MAX;
    }
    switch (addr) {
    case EP_MAGIC:
        return IOMMU_FAULT_ENDPOINT_MAGIC;
    case EP_STATUS:
        return ep->status |
               (ep->atc_entries ? EP_STATUS_ATC : 0) |
               (ep_ats(ep) ? EP_STATUS_ATS : 0) |
               (ep_master(ep) ? EP_STATUS_MASTER : 0) |
               (timer_pending(ep->timer) ? EP_STATUS_PERIODIC : 0);
    case EP_PERIOD_MS:
        return ep->period_ms;
    case EP_IOVA_LO:
        return extract64(ep->iova, 0, 32);
    case EP_IOVA_HI:
        return extract64(ep->iova, 32, 32);
    case EP_PATTERN:
        return ep->pattern;
    case EP_LEN:
        return ep->len;
    case EP_WRITES_OK:
        return ep->writes_ok;
    case EP_WRITES_BLOCKED:
        return ep->writes_blocked;
    case EP_ATC_ENTRIES:
        return ep->atc_entries;
    case EP_PASID:
        return ep->pasid;
    default:
        return 0;
    }
}

static void ep_write_reg(void *opaque, hwaddr addr, uint64_t val,
                         unsigned size)
{
    IOMMUFaultEndpoint *ep = opaque;

    if (iommu_fault_dev_absent(&ep->fault)) {
        return;
    }
    switch (addr) {
    case EP_CMD:
        ep_command(ep, val);
        break;
    case EP_PERIOD_MS:
        ep->period_ms = val;
        break;
    case EP_IOVA_LO:
        ep->iova = deposit64(ep->iova, 0, 32, val);
        break;
    case EP_IOVA_HI:
        ep->iova = deposit64(ep->iova, 32, 32, val);
        break;
    case EP_PATTERN:
        ep->pattern = val;
        break;
    case EP_LEN:
        ep->len = val;
        break;
    case EP_PASID:
        ep->pasid = val;
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "iommu-fault-endpoint: write to 0x%"
                      HWADDR_PRIx "\n", addr);
        break;
    }
}

static const MemoryRegionOps ep_ops = {
    .read = ep_read,
    .write = ep_write_reg,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static uint32_t ep_config_read(PCIDevice *pci, uint32_t addr, int len)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(pci);
    uint32_t val;

    if (iommu_fault_dev_absent(&ep->fault)) {
        return UINT32_MAX >> (32 - 8 * len);
    }
    ep->fault.in_reset = false;
    val = pci_default_read_config(pci, addr, len);
    /* QEMU maps the BAR of a virtual function by a bit that it has not. */
    if (pci_is_vf(pci) && addr == PCI_COMMAND) {
        val &= ~PCI_COMMAND_MEMORY;
    }
    return val;
}

/*
 * PCI core's part of a function reset is no part of the three reset phases: it
 * could not be undone in the last of them.
 */
static void ep_function_reset(IOMMUFaultEndpoint *ep)
{
    if (iommu_fault_dev_keeps_state(&ep->fault)) {
        iommu_fault_dev_reset(&ep->fault);
    } else {
        pci_device_reset(PCI_DEVICE(ep));
    }
}

static void ep_config_write(PCIDevice *pci, uint32_t addr, uint32_t val,
                            int len)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(pci);
    uint8_t *devctl = pci->config + EP_EXP_OFFSET + PCI_EXP_DEVCTL;
    uint8_t *af = pci->config + EP_AF_OFFSET + PCI_AF_CTRL;
    uint8_t *pm = pci->config + EP_PM_OFFSET + PCI_PM_CTRL;
    bool sleeping = pci_get_word(pm) & PCI_PM_CTRL_STATE_MASK;
    bool pasid = ep_pasid_enabled(ep);
    bool ats = ep_ats(ep);

    if (iommu_fault_dev_absent(&ep->fault)) {
        return;
    }
    pci_default_write_config(pci, addr, val, len);
    pcie_aer_write_config(pci, addr, val, len);
    if (ats && ep_ats(ep) && pasid != ep_pasid_enabled(ep)) {
        ep->fault.pasid_late++;
    }
    /* Function level reset, by either capability, or D3hot to D0 */
    if (pci_get_word(devctl) & PCI_EXP_DEVCTL_BCR_FLR) {
        pci_word_test_and_clear_mask(devctl, PCI_EXP_DEVCTL_BCR_FLR);
        ep_function_reset(ep);
    }
    if (pci_get_byte(af) & PCI_AF_CTRL_FLR) {
        pci_set_byte(af, 0);
        ep_function_reset(ep);
    }
    if (sleeping && !(pci_get_word(pm) & PCI_PM_CTRL_STATE_MASK)) {
        ep_function_reset(ep);
    }
    if (ats && !ep_ats(ep) && iommu_fault_dev_answers(&ep->fault)) {
        atc_flush(ep);
    }
}

/* Reset: function level, secondary bus, or the whole machine */

/* PCI core resets the header of a device, and leaves the rest to the device. */
static void ep_reset_capabilities(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);
    uint32_t i;

    for (i = PCI_CONFIG_HEADER_SIZE; i < pci_config_size(pci); i++) {
        pci->config[i] = (pci->config[i] & ~pci->wmask[i]) |
                         (ep->config_default[i] & pci->wmask[i]);
    }
}

static void ep_restore_header(IOMMUFaultEndpoint *ep)
{
    PCIDevice *pci = PCI_DEVICE(ep);
    const uint8_t *kept = ep->header_kept;

    /* The command last: it maps the BAR and opens the way for DMA. */
    pci_default_write_config(pci, PCI_BASE_ADDRESS_0,
                             pci_get_long(kept + PCI_BASE_ADDRESS_0), 4);
    pci_default_write_config(pci, PCI_INTERRUPT_LINE,
                             kept[PCI_INTERRUPT_LINE], 1);
    pci_default_write_config(pci, PCI_CACHE_LINE_SIZE,
                             kept[PCI_CACHE_LINE_SIZE], 1);
    pci_default_write_config(pci, PCI_COMMAND,
                             pci_get_word(kept + PCI_COMMAND), 2);
}

static void ep_reset_enter(Object *obj, ResetType type)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(obj);
    PCIDevice *pci = PCI_DEVICE(obj);

    memcpy(ep->header_kept, pci->config, sizeof(ep->header_kept));
}

static void ep_reset_hold(Object *obj, ResetType type)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(obj);

    ep->reset_real = !ep->running || iommu_fault_dev_reset(&ep->fault);
    ep->running = true;
}

/* The bus has reset the header in its hold phase, which is behind us. */
static void ep_reset_exit(Object *obj, ResetType type)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(obj);

    if (!ep->reset_real) {
        ep_restore_header(ep);
        return;
    }
    ep_reset_capabilities(ep);
    atc_flush(ep);
    timer_del(ep->timer);
    ep->status = 0;
    ep->period_ms = EP_PERIOD_DEFAULT;
    ep->iova = 0;
    ep->pattern = 0;
    ep->len = sizeof(ep->pattern);
    ep->pasid = 0;
    ep->writes_ok = 0;
    ep->writes_blocked = 0;
}

/* Life */

/* What a function has that is no virtual one. */
static bool ep_init_physical(IOMMUFaultEndpoint *ep, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(ep);

    if (pci_pm_init(pci, EP_PM_OFFSET, errp) < 0 ||
        pci_add_capability(pci, PCI_CAP_ID_AF, EP_AF_OFFSET, EP_AF_SIZE,
                           errp) < 0) {
        return false;
    }
    /* There is a soft reset on the way from D3hot to D0. */
    pci_set_word(pci->wmask + EP_PM_OFFSET + PCI_PM_CTRL,
                 PCI_PM_CTRL_STATE_MASK);
    pci_set_byte(pci->config + EP_AF_OFFSET + PCI_CAP_FLAGS, EP_AF_SIZE);
    pci_set_byte(pci->config + EP_AF_OFFSET + PCI_AF_CAP,
                 PCI_AF_CAP_TP | PCI_AF_CAP_FLR);
    pci_set_byte(pci->wmask + EP_AF_OFFSET + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
    /* For a quirk of the guest that goes by the ids */
    if (ep->vendor) {
        pci_config_set_vendor_id(pci->config, ep->vendor);
        pci_config_set_device_id(pci->config, ep->device);
    }
    /* A virtual function uses that of its physical one. */
    if (ep->pasid_cap) {
        pcie_add_capability(pci, PCI_EXT_CAP_ID_PASID, 1, EP_PASID_OFFSET,
                            EP_PASID_SIZE);
        pci_set_word(pci->config + EP_PASID_OFFSET + PCI_PASID_CAP,
                     EP_PASID_WIDTH << 8);
        pci_set_word(pci->wmask + EP_PASID_OFFSET + PCI_PASID_CTRL,
                     PCI_PASID_CTRL_ENABLE);
    }
    return true;
}

/*
 * Of the Command register only Bus Master Enable is left. The interrupts are
 * MSI-X, of which the model has the capability and nothing behind it.
 */
static bool ep_init_virtual(IOMMUFaultEndpoint *ep, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(ep);
    uint8_t *msix = pci->config + EP_MSIX_OFFSET;

    pci_set_word(pci->config + PCI_COMMAND, PCI_COMMAND_MEMORY);
    pci_set_word(pci->wmask + PCI_COMMAND, PCI_COMMAND_MASTER);
    if (pci_add_capability(pci, PCI_CAP_ID_MSIX, EP_MSIX_OFFSET, EP_MSIX_SIZE,
                           errp) < 0) {
        return false;
    }
    pci_set_long(msix + PCI_MSIX_TABLE, EP_MSIX_TABLE);
    pci_set_long(msix + PCI_MSIX_PBA, EP_MSIX_PBA);
    pci_set_word(pci->wmask + EP_MSIX_OFFSET + PCI_MSIX_FLAGS,
                 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    return true;
}

static void ep_realize(PCIDevice *pci, Error **errp)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(pci);

    if (!ep->atc_size) {
        error_setg(errp, "atc-size must not be 0");
        return;
    }
    if (ep->vfs > EP_VFS_MAX) {
        error_setg(errp, "vfs must not be more than %d", EP_VFS_MAX);
        return;
    }
    if (pcie_endpoint_cap_init(pci, EP_EXP_OFFSET) < 0) {
        error_setg(errp, "no PCI Express capability: put the device behind "
                   "a pcie-root-port");
        return;
    }
    pcie_cap_flr_init(pci);
    pcie_cap_deverr_init(pci);
    pcie_ats_init(pci, EP_ATS_OFFSET, true);
    if (pcie_aer_init(pci, PCI_ERR_VER, EP_AER_OFFSET, PCI_ERR_SIZEOF,
                      errp) < 0) {
        return;
    }
    if (!(pci_is_vf(pci) ? ep_init_virtual(ep, errp) :
                           ep_init_physical(ep, errp))) {
        return;
    }

    memory_region_init_io(&ep->mmio, OBJECT(ep), &ep_ops, ep,
                          TYPE_IOMMU_FAULT_ENDPOINT, EP_BAR_SIZE);
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &ep->mmio);
    if (ep->vfs) {
        if (!pcie_sriov_pf_init(pci, EP_SRIOV_OFFSET, TYPE_IOMMU_FAULT_VF,
                                IOMMU_FAULT_VF_DEVICE_ID, ep->vfs, ep->vfs,
                                EP_VF_OFFSET, EP_VF_STRIDE, errp)) {
            return;
        }
        pcie_sriov_pf_init_vf_bar(pci, 0, PCI_BASE_ADDRESS_SPACE_MEMORY,
                                  EP_BAR_SIZE);
    }

    QTAILQ_INIT(&ep->atc);
    ep->timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, ep_timer, ep);
    ep->config_default = g_memdup2(pci->config, pci_config_size(pci));
    ep->fault.ops = &ep_fault_ops;
    ep->fault.pci = pci;
    iommu_fault_dev_register(&ep->fault);
}

static void ep_exit(PCIDevice *pci)
{
    IOMMUFaultEndpoint *ep = IOMMU_FAULT_ENDPOINT(pci);

    if (ep->vfs) {
        pcie_sriov_pf_exit(pci);
    }
    iommu_fault_dev_unregister(&ep->fault);
    atc_flush(ep);
    timer_free(ep->timer);
    g_free(ep->config_default);
    pcie_aer_exit(pci);
    pcie_cap_exit(pci);
}

static const Property ep_props[] = {
    DEFINE_PROP_UINT32("atc-size", IOMMUFaultEndpoint, atc_size, 2048),
    DEFINE_PROP_BOOL("pasid", IOMMUFaultEndpoint, pasid_cap, true),
    DEFINE_PROP_UINT16("vfs", IOMMUFaultEndpoint, vfs, 0),
    DEFINE_PROP_UINT16("x-vendor", IOMMUFaultEndpoint, vendor, 0),
    DEFINE_PROP_UINT16("x-device", IOMMUFaultEndpoint, device, 0),
};

static const VMStateDescription ep_vmstate = {
    .name = TYPE_IOMMU_FAULT_ENDPOINT,
    .unmigratable = 1,
};

static void ep_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    pc->realize = ep_realize;
    pc->exit = ep_exit;
    pc->config_read = ep_config_read;
    pc->config_write = ep_config_write;
    pc->vendor_id = PCI_VENDOR_ID_QEMU;
    pc->device_id = IOMMU_FAULT_ENDPOINT_DEVICE_ID;
    pc->class_id = PCI_CLASS_OTHERS;
    rc->phases.enter = ep_reset_enter;
    rc->phases.hold = ep_reset_hold;
    rc->phases.exit = ep_reset_exit;
    dc->vmsd = &ep_vmstate;
    dc->desc = "PCIe endpoint with ATS that can break";
    device_class_set_props(dc, ep_props);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo ep_info = {
    .name = TYPE_IOMMU_FAULT_ENDPOINT,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(IOMMUFaultEndpoint),
    .class_init = IOMMU_FAULT_CLASS_INIT(ep_class_init),
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    },
};

static void vf_class_init(ObjectClass *klass, const void *data)
{
    /* It is made by its physical function. */
    DEVICE_CLASS(klass)->user_creatable = false;
}

static const TypeInfo vf_info = {
    .name = TYPE_IOMMU_FAULT_VF,
    .parent = TYPE_IOMMU_FAULT_ENDPOINT,
    .class_init = IOMMU_FAULT_CLASS_INIT(vf_class_init),
};

static void ep_register_types(void)
{
    type_register_static(&ep_info);
    type_register_static(&vf_info);
}
type_init(ep_register_types)
