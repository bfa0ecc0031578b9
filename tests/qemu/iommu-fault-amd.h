/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: the call-outs of amd_iommu.c, and
 * what its private functions lend us in return (iommu-fault-amd-glue.c.inc).
 */
#ifndef HW_I386_IOMMU_FAULT_AMD_H
#define HW_I386_IOMMU_FAULT_AMD_H

#include "hw/i386/amd_iommu.h"

/* GIOSUP and EPHSUP: Linux uses ATS only where both are there, with PPR, GT */
#define IOMMU_FAULT_AMD_EFR         (1ull << 48 | 1ull << 50)

/* The registers were set to their defaults, at realize and in every reset. */
void iommu_fault_amd_reset(AMDVIState *s);
/* Software wrote the control register: what follows from it is set. */
void iommu_fault_amd_control(AMDVIState *s);
/* Software writes a register: is it one that QEMU does not have (dealt with)? */
bool iommu_fault_amd_reg_write(AMDVIState *s, hwaddr addr, uint64_t val,
                               unsigned size);

/* Must no more commands be fetched for now? */
bool iommu_fault_amd_stalled(AMDVIState *s);
/* A COMPLETION_WAIT was fetched: must it stay without its completion? */
bool iommu_fault_amd_hold_wait(AMDVIState *s, const uint64_t cmd[2]);
/* INVALIDATE_IOTLB_PAGES was fetched. False: the command is illegal. */
bool iommu_fault_amd_inval_iotlb(AMDVIState *s, const uint64_t cmd[2]);
/* INVALIDATE_DEVTAB_ENTRY was fetched. */
void iommu_fault_amd_inval_dte(AMDVIState *s, const uint64_t cmd[2]);
/* INVALIDATE_IOMMU_ALL, or the device table is another one. */
void iommu_fault_amd_dte_flush(AMDVIState *s);

/* Read a device table entry as the IOMMU sees it. False: not readable. */
bool iommu_fault_amd_read_dte(AMDVIState *s, uint16_t devid, void *dte);
/* Does an IOTLB entry of that domain hold for the device at this moment? */
bool iommu_fault_amd_hit(AMDVIState *s, uint16_t devid, uint16_t domid);
/* Is an untranslated request of the device refused, whatever the tables say? */
bool iommu_fault_amd_blocked(AMDVIState *s, uint16_t devid, hwaddr addr,
                             bool is_write);
/* Log an IO_PAGE_FAULT, unless it is one that is not logged. */
void iommu_fault_amd_page_fault(AMDVIState *s, uint16_t devid, hwaddr addr,
                                bool is_write);
/* Put an event into the log; logging is enabled and there is no overflow. */
void iommu_fault_amd_log_event(AMDVIState *s, const uint64_t evt[2]);

/* Address spaces are kept per bus, of which the guest changes the number. */
unsigned iommu_fault_amd_slot(AMDVIState *s, PCIBus *bus);
uint16_t iommu_fault_amd_devid(AMDVIState *s, unsigned slot, uint8_t devfn);

/* Macros, as what they look into is private to amd_iommu.c. */
#ifdef IOMMU_FAULT_AMD_AS_BUS
#define iommu_fault_amd_as_devid(as) \
    PCI_BUILD_BDF(pci_bus_num((as)->bus), (as)->devfn)
#else
#define iommu_fault_amd_as_devid(as) \
    iommu_fault_amd_devid((as)->iommu_state, (as)->bus_num, (as)->devfn)
#endif

static inline bool iommu_fault_amd_test(uint64_t reg, uint64_t mask)
{
    return reg & mask;
}

/* glue */
void iommu_fault_amd_run(AMDVIState *s);
void iommu_fault_amd_complete(AMDVIState *s, uint64_t cmd[2]);
void iommu_fault_amd_event(AMDVIState *s, uint64_t evt[2]);
void iommu_fault_amd_msi(AMDVIState *s);
AddressSpace *iommu_fault_amd_as(AMDVIState *s, PCIBus *bus, int devfn);

#endif
