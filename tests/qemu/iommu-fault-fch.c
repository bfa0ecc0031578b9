/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SMBus function of an AMD south bridge (FCH), as far as software looks for
 * it: QEMU says in ACPI's IVRS that the I/O APIC makes its requests as 00:14.0,
 * and has no function there. Linux 7.3 remaps interrupts only if one of class
 * SMBus (or ISA bridge) has that number.
 */
#include "qemu/osdep.h"
#include "hw/misc/iommu-fault.h"
#include "hw/pci/pci_device.h"
#include "migration/vmstate.h"

#define TYPE_IOMMU_FAULT_FCH "iommu-fault-fch"

static const VMStateDescription fch_vmstate = {
    .name = TYPE_IOMMU_FAULT_FCH,
    .unmigratable = 1,
};

static void fch_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCI_VENDOR_ID_QEMU;
    pc->device_id = IOMMU_FAULT_FCH_DEVICE_ID;
    pc->class_id = PCI_CLASS_SERIAL_SMBUS;
    dc->hotpluggable = false;
    dc->vmsd = &fch_vmstate;
    dc->desc = "SMBus function where the I/O APIC's DeviceID is";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo fch_info = {
    .name = TYPE_IOMMU_FAULT_FCH,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(PCIDevice),
    .class_init = IOMMU_FAULT_CLASS_INIT(fch_class_init),
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void fch_register_types(void)
{
    type_register_static(&fch_info);
}
type_init(fch_register_types)
