/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An access of a CPU reaches what is at its physical address.
 *
 * QEMU keeps the number of a section of the memory map in the TLB, and looks it
 * up in the map as it is at the time of the access. While another CPU maps a
 * BAR, until this CPU's TLB is flushed, that number is another section's: a
 * write to IQT went to a neighbour of the IOMMU's registers, was lost, and the
 * queue stood still. So the section is looked up by its address.
 */
#ifndef IOMMU_FAULT_TCG_H
#define IOMMU_FAULT_TCG_H

static inline MemoryRegionSection *
iommu_fault_section(CPUState *cpu, CPUTLBEntryFull *full, vaddr addr,
                    hwaddr *offset)
{
    hwaddr size = TARGET_PAGE_SIZE;
    int prot = PAGE_READ | PAGE_WRITE;
    MemoryRegionSection *section;

    section = address_space_translate_for_iotlb(
        cpu, cpu_asidx_from_attrs(cpu, full->attrs), full->phys_addr, offset,
        &size, full->attrs, &prot);
    *offset += addr & ~TARGET_PAGE_MASK;
    return section;
}

#endif
