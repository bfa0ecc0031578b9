/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: the call-outs of intel_iommu.c, and
 * what its private functions lend us in return (iommu-fault-vtd-glue.c.inc).
 */
#ifndef HW_I386_IOMMU_FAULT_VTD_H
#define HW_I386_IOMMU_FAULT_VTD_H

#include "hw/i386/intel_iommu.h"

/* Invalidation Time-out Error */
#define IOMMU_FAULT_VTD_FSTS_ITE    (1u << 6)
/* ECAP.PSS: PASIDs of 20 bits, one less than their number */
#define IOMMU_FAULT_VTD_PSS         19

/* The registers were set to their defaults, at realize and in every reset. */
void iommu_fault_vtd_reset(IntelIOMMUState *s);
/* A descriptor, not a wait, was processed without complaint. */
void iommu_fault_vtd_processed(IntelIOMMUState *s, uint64_t lo, uint64_t hi);
/* A wait descriptor was fetched: must it stay without its completion? */
bool iommu_fault_vtd_hold_wait(IntelIOMMUState *s);
/* Must no more descriptors be fetched for now? */
bool iommu_fault_vtd_stalled(IntelIOMMUState *s);
/* Software wrote FSTS. */
void iommu_fault_vtd_fsts_written(IntelIOMMUState *s);
/* Context-cache invalidation by register: the value of CCMD. */
void iommu_fault_vtd_ccmd(IntelIOMMUState *s, uint64_t ccmd);
/*
 * A present PASID entry was read from the table (@ret is 0), or was not: what
 * the IOMMU sees instead if it has one cached.
 */
int iommu_fault_vtd_pasid_entry(IntelIOMMUState *s, uint64_t table,
                                uint32_t pasid, uint64_t *val, int ret);
/* The root table pointer was set. */
void iommu_fault_vtd_ctx_flush(IntelIOMMUState *s);
/* Is the lookup that just failed one that logs no fault? */
bool iommu_fault_vtd_muted(IntelIOMMUState *s);

/* glue */
void iommu_fault_vtd_fetch(IntelIOMMUState *s);
void iommu_fault_vtd_event(IntelIOMMUState *s, uint32_t pre_fsts);
void iommu_fault_vtd_record(IntelIOMMUState *s, uint16_t sid, hwaddr addr,
                            unsigned reason, bool is_write);

#endif
