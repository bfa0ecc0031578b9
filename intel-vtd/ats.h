/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the VT-d backend that must call static functions of iommu.c. It
 * is compiled as a part of that file.
 */
#include "../core/compat/features.h"

#ifdef CONFIG_IOMMU_QUARANTINE_INTEL

#ifdef IQ_HAVE_VTD_ATS_APART
/*
 * PCI capabilities of a device that has just been reset, in scalable mode, in
 * the order that probe uses: the behaviour of a device whose PASID is enabled
 * after its ATS is undefined (PCIe Base Specification, 10.5.1.3), and the reset
 * has cleared both while the PCI core restores them later. With @lifted they
 * may still be on for the driver: a reset came before they were turned off.
 * Nothing is attached, so nothing is accounted by them.
 */
void intel_quarantine_ats_on(struct device_domain_info *info, bool lifted)
{
	struct pci_dev *pdev = to_pci_dev(info->dev);

	if (lifted) {
		iommu_disable_pci_pri(info);
		iommu_disable_pci_ats(info);
	}
	if (info->ats_enabled)
		return;
	if (info->pasid_enabled) {
		pci_disable_pasid(pdev);
		if (pci_enable_pasid(pdev, info->pasid_supported & ~1))
			info->pasid_enabled = 0;
	}
	iommu_enable_pci_ats(info);
	iommu_enable_pci_pri(info);
}
#else
/* The attach does it, in both modes; the core has restored PASID before */
void intel_quarantine_ats_on(struct device_domain_info *info, bool lifted)
{
}
#endif

#endif /* CONFIG_IOMMU_QUARANTINE_INTEL */
