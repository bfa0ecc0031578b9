/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bracket around a reset of a PCI function, for kernels whose core does not
 * have one: between the two the function is blocked, see core/compat/bracket.h.
 *
 * It is the quarantine that needs it, so without the option there is none.
 */
#ifndef __LINUX_IOMMU_QUARANTINE_BRACKET_H
#define __LINUX_IOMMU_QUARANTINE_BRACKET_H

#include <linux/iommu-quarantine.h>

struct iommu_domain;

#ifdef CONFIG_IOMMU_QUARANTINE

int pci_dev_reset_iommu_prepare(struct pci_dev *pdev);
void pci_dev_reset_iommu_done(struct pci_dev *pdev);

/* for IOMMU drivers */
struct iommu_domain *iommu_quarantine_domain_for_dev(struct device *dev);

#else /* !CONFIG_IOMMU_QUARANTINE */

static inline int pci_dev_reset_iommu_prepare(struct pci_dev *pdev)
{
	return 0;
}

static inline void pci_dev_reset_iommu_done(struct pci_dev *pdev)
{
}

#define iommu_quarantine_domain_for_dev(dev) iommu_get_domain_for_dev(dev)

#endif /* CONFIG_IOMMU_QUARANTINE */

/*
 * Members of struct iommu_group and struct group_device, which nobody but
 * iommu.c sees. genksyms does see them, from there, and would give each export
 * that takes a group a new version: it need not know.
 */
#if defined(CONFIG_IOMMU_QUARANTINE) && !defined(__GENKSYMS__)
#define QUARANTINE_GROUP_STATE	unsigned int recovery_cnt
#define QUARANTINE_GDEV_STATE \
	struct { unsigned int reset_depth; bool blocked, attached; }
#else
#define QUARANTINE_GROUP_STATE
#define QUARANTINE_GDEV_STATE
#endif

/* A reset method that is called for a probe as well, in its bracket */
static inline int
iommu_quarantine_reset_by(struct pci_dev *pdev, bool probe,
			  int (*reset)(struct pci_dev *pdev, bool probe))
{
	int ret;

	ret = iommu_quarantine_reset_prepare(pdev, probe);
	if (ret)
		return ret;
	ret = reset(pdev, probe);
	iommu_quarantine_reset_done(pdev, probe, ret);
	return ret;
}

#endif /* __LINUX_IOMMU_QUARANTINE_BRACKET_H */
