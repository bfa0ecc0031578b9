# SPDX-License-Identifier: GPL-2.0-or-later
# Devices of the test machines: q35 with VT-d or AMD's IOMMU, little else.
CONFIG_Q35=y
CONFIG_I440FX=n
CONFIG_VTD=y
CONFIG_AMD_IOMMU=y
CONFIG_IOMMU_FAULT=y
# Without it the kernel has no clock to calibrate by, and loses time under load.
CONFIG_HPET=y
CONFIG_PCIE_PORT=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_ISA_DEBUG=y
CONFIG_SERIAL_ISA=y
