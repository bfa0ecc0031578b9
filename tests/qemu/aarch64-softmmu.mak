# SPDX-License-Identifier: GPL-2.0-or-later
# Devices of the test machine: virt with an SMMUv3, little else.
CONFIG_ARM_VIRT=y
CONFIG_IOMMU_FAULT=y
CONFIG_PCIE_PORT=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
