/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: what the parts tell each other.
 *
 * Three parts meet here. An endpoint registers an IOMMUFaultDev and keeps an
 * address translation cache (ATC). An IOMMU model registers an
 * IOMMUFaultBackend: it asks iommu_fault_invalidate() whether a device answers
 * an invalidation, and decides with what it has cached whether an ATS request
 * is allowed. The control device (iommu-fault-ctl) is the guest's hand on both.
 *
 * Everything runs under the BQL.
 */
#ifndef HW_MISC_IOMMU_FAULT_H
#define HW_MISC_IOMMU_FAULT_H

#include "exec/hwaddr.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "qemu/queue.h"
#include "qom/object.h"

#define IOMMU_FAULT_CTL_DEVICE_ID       0xfa17
#define IOMMU_FAULT_ENDPOINT_DEVICE_ID  0xfa18
#define IOMMU_FAULT_VF_DEVICE_ID        0xfa19
#define IOMMU_FAULT_FCH_DEVICE_ID       0xfa1a
#define IOMMU_FAULT_CTL_MAGIC           0x4d465149
#define IOMMU_FAULT_ENDPOINT_MAGIC      0x50455149

/*
 * The second argument of class_init became const after QEMU 10.0. The cast
 * takes its type from TypeInfo, so that one source serves both.
 */
#define IOMMU_FAULT_CLASS_INIT(fn) \
    ((__typeof__(((TypeInfo *)NULL)->class_init))(fn))

/* FLAGS register of the control device */
enum {
    IOMMU_FAULT_F_SID_ZERO  = 1u << 0, /* hardware that names nobody: 0 */
    IOMMU_FAULT_F_SID_ONES  = 1u << 1, /* a dead register read */
    IOMMU_FAULT_F_NEVER     = 1u << 2, /* the timeout is never raised */
    IOMMU_FAULT_F_AHEAD     = 1u << 3, /* fetch on behind a pending wait */
    IOMMU_FAULT_F_SILENT    = 1u << 4, /* blocked ATS requests log no fault */
    /* AMD: what else hardware may do when an invalidation timed out */
    IOMMU_FAULT_F_AMD_EVENT_LATE = 1u << 5, /* waits complete, then the event */
    IOMMU_FAULT_F_AMD_HALT       = 1u << 6, /* the command buffer stops */
    IOMMU_FAULT_F_AMD_DROP_WAIT  = 1u << 7, /* held waits never complete */
    /* SMMUv3: what the architecture leaves open */
    IOMMU_FAULT_F_SMMU_LAZY      = 1u << 8, /* CFGI, TLBI work at the SYNC */
    IOMMU_FAULT_F_SMMU_FORGET    = 1u << 9, /* an error ends all ATC_INVs */
    IOMMU_FAULT_F_ALL       = (1u << 10) - 1,
};

/* WEDGE register of the control device */
typedef enum IOMMUFaultMode {
    IOMMU_FAULT_HEALTHY,
    IOMMU_FAULT_WEDGED,         /* until any reset */
    IOMMU_FAULT_FOREVER,        /* a reset clears nothing */
    IOMMU_FAULT_VANISHED,       /* off the bus */
    IOMMU_FAULT_HANGS,          /* wedged; the next reset never completes */
    IOMMU_FAULT_SLOW,           /* healthy; answers after DELAY_MS */
    IOMMU_FAULT_MODES,
} IOMMUFaultMode;

typedef struct IOMMUFaultInv {
    uint16_t sid;
    bool all_pasids;            /* every request with PASID, whichever */
    uint32_t pasid;             /* PCI_NO_PASID: requests without PASID */
    hwaddr addr;
    hwaddr mask;                /* size - 1 */
} IOMMUFaultInv;

typedef struct IOMMUFaultDev IOMMUFaultDev;

typedef struct IOMMUFaultDevOps {
    /* The device drops what @inv covers. */
    void (*invalidate)(IOMMUFaultDev *dev, const IOMMUFaultInv *inv);
    /* The device ignores @inv: remember which entries are stale by now. */
    void (*lost)(IOMMUFaultDev *dev, const IOMMUFaultInv *inv);
    /* Write the pattern through every cached translation, now. */
    void (*doorbell)(IOMMUFaultDev *dev);
} IOMMUFaultDevOps;

struct IOMMUFaultDev {
    const IOMMUFaultDevOps *ops;
    PCIDevice *pci;             /* NULL: the ghost of an unplugged device */
    uint16_t ghost_sid;
    IOMMUFaultMode mode;
    bool gone;                  /* hangs in a reset, does not answer at all */
    bool timed_out;             /* a timeout was raised since the last reset */
    bool ats_gone;              /* the tables gave it no ATS since then */
    uint32_t delay_ms;

    uint32_t inv_wedged;
    uint32_t inv_total;
    uint32_t inv_after;
    uint32_t stale_ok;
    uint32_t stale_blocked;
    uint32_t resets;
    uint32_t ctx_refresh;
    uint32_t timeouts;
    uint32_t ats_again;
    bool in_reset;              /* reset, and nobody has asked for it since */
    uint32_t inv_in_reset;
    uint32_t pasid_late;        /* PASID was turned on or off while ATS was on */

    QLIST_ENTRY(IOMMUFaultDev) next;
};

typedef struct IOMMUFaultBackend IOMMUFaultBackend;

typedef struct IOMMUFaultBackendOps {
    bool (*owns)(IOMMUFaultBackend *be, PCIDevice *pci);
    /* ATS translation request; on success *@gpa is page aligned (4 KiB). */
    bool (*translate)(IOMMUFaultBackend *be, PCIDevice *pci, uint32_t pasid,
                      hwaddr iova, hwaddr *gpa);
    /* May a translated request to @gpa pass? */
    bool (*translated)(IOMMUFaultBackend *be, PCIDevice *pci, hwaddr gpa);
    /* An untranslated request is on its way: cache what it makes us look up. */
    void (*untranslated)(IOMMUFaultBackend *be, PCIDevice *pci);
    /* TIMEOUT_MS or FLAGS changed. */
    void (*update)(IOMMUFaultBackend *be);
    /* Optional: say that @sid has not answered, though nobody has asked it. */
    void (*stray)(IOMMUFaultBackend *be, uint16_t sid);
} IOMMUFaultBackendOps;

struct IOMMUFaultBackend {
    const IOMMUFaultBackendOps *ops;
    bool mute;                  /* what is translated now records no event */
    bool stalled;               /* the queue stands still for a timeout */
    int64_t stall_since;        /* virtual ns */
    QLIST_ENTRY(IOMMUFaultBackend) next;
};

/* for endpoints */
void iommu_fault_dev_register(IOMMUFaultDev *dev);
void iommu_fault_dev_unregister(IOMMUFaultDev *dev);
bool iommu_fault_dev_answers(const IOMMUFaultDev *dev);
bool iommu_fault_dev_absent(const IOMMUFaultDev *dev);
bool iommu_fault_dev_keeps_state(const IOMMUFaultDev *dev);
bool iommu_fault_dev_reset(IOMMUFaultDev *dev);
IOMMUFaultBackend *iommu_fault_backend(PCIDevice *pci);

/* for IOMMU models */
void iommu_fault_backend_register(IOMMUFaultBackend *be);
bool iommu_fault_translate_muted(IOMMUFaultBackend *be, AddressSpace *as,
                                 hwaddr iova, MemTxAttrs attrs, hwaddr *gpa);
bool iommu_fault_invalidate(const IOMMUFaultInv *inv, int64_t *delay);
bool iommu_fault_answer(const IOMMUFaultInv *inv);
void iommu_fault_given_up(const IOMMUFaultInv *inv);
void iommu_fault_timed_out(uint16_t sid, unsigned aborted_waits);
void iommu_fault_timed_out_too(uint16_t sid);
void iommu_fault_each_timed_out(void (*fn)(uint16_t sid, void *opaque),
                                void *opaque);
void iommu_fault_ats_seen(uint16_t sid, bool on);
void iommu_fault_ctx_refreshed(uint16_t sid);
void iommu_fault_stall_begin(IOMMUFaultBackend *be);
void iommu_fault_stall_end(IOMMUFaultBackend *be);
int64_t iommu_fault_timeout_ns(void);
uint32_t iommu_fault_flags(void);

void iommu_fault_log(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

#endif
