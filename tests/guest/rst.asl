// SPDX-License-Identifier: GPL-2.0-only
// What the firmware of the machines of the group "acpi" says besides: the first endpoint
// has _RST, which resets the function. QEMU names a device by its address, as in
// \_SB.PCI0.S28 for 00:05.0; run.py puts the port above the endpoint there.
DefinitionBlock ("", "SSDT", 2, "IQ", "RST", 1)
{
    External (\_SB.PCI0.S28.S00, DeviceObj)

    Scope (\_SB.PCI0.S28.S00)
    {
        // The PCI Express capability, where iommu-fault-endpoint.c has it
        OperationRegion (EXPR, PCI_Config, 0x40, 0x10)
        Field (EXPR, WordAcc, NoLock, Preserve)
        {
            Offset (0x08),
            DCTL, 16
        }

        // Initiate Function Level Reset, and the time that it may take (PCIe Base
        // Specification, 6.6.2)
        Method (_RST, 0, NotSerialized)
        {
            DCTL |= 0x8000
            Sleep (100)
        }
    }
}
