/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault model for PCIe devices with ATS: the call-outs of smmuv3.c, and what
 * its private functions lend us in return (iommu-fault-smmuv3-glue.c.inc).
 */
#ifndef HW_ARM_IOMMU_FAULT_SMMUV3_H
#define HW_ARM_IOMMU_FAULT_SMMUV3_H

#include "hw/arm/smmuv3.h"
#include "smmuv3-internal.h"

/* The registers were set to their defaults, in every reset. */
void iommu_fault_smmuv3_reset(SMMUv3State *s);
/* Software wrote CR0, and CR0ACK follows. */
void iommu_fault_smmuv3_cr0(SMMUv3State *s);

/* Fetch the command to be carried out next. */
MemTxResult iommu_fault_smmuv3_fetch(SMMUv3State *s, Cmd *cmd);
/* @cmd was fetched: must the queue stop at it, and with which error? */
bool iommu_fault_smmuv3_stop(SMMUv3State *s, Cmd *cmd, SMMUCmdError *err);
/* A command was carried out: was it the one that the queue stands at? */
bool iommu_fault_smmuv3_consumed(SMMUv3State *s);

/* Look up a stream table entry as the SMMU sees it; 0 or a negative error. */
int iommu_fault_smmuv3_find_ste(SMMUv3State *s, uint32_t sid, STE *ste,
                                SMMUEventInfo *event);
/* An entry with more than one context descriptor: are they none we could use? */
bool iommu_fault_smmuv3_bad_cds(STE *ste);
/* What an entry says of requests without SubstreamID; 0 or a negative error. */
int iommu_fault_smmuv3_decode_ste(SMMUv3State *s, SMMUTransCfg *cfg, STE *ste,
                                  SMMUEventInfo *event);
/* Is the translation that just failed one that records no event? */
bool iommu_fault_smmuv3_muted(SMMUv3State *s);
/* An event was lost: the queue is full. */
void iommu_fault_smmuv3_overflow(SMMUv3State *s);

/* glue */
void iommu_fault_smmuv3_consume(SMMUv3State *s);
MemTxResult iommu_fault_smmuv3_read_head(SMMUv3State *s, Cmd *cmd);
int iommu_fault_smmuv3_walk(SMMUv3State *s, uint32_t sid, STE *ste,
                            SMMUEventInfo *event);
int iommu_fault_smmuv3_own_decode_ste(SMMUv3State *s, SMMUTransCfg *cfg,
                                      STE *ste, SMMUEventInfo *event);
bool iommu_fault_smmuv3_translate(SMMUv3State *s, SMMUTransCfg *cfg, CD *cd,
                                  hwaddr iova, hwaddr *gpa);
void iommu_fault_smmuv3_event(SMMUv3State *s, Evt *evt);

#endif
