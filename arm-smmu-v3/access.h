/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the SMMUv3 backend that must see what is static in arm-smmu-v3.c.
 * It is compiled as a part of that file.
 */
#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM)

struct arm_smmu_ste *smmu_quarantine_ste(struct arm_smmu_device *smmu, u32 sid)
{
	return arm_smmu_get_step_for_sid(smmu, sid);
}

const struct iommu_ops *smmu_quarantine_ops(void)
{
	return &arm_smmu_ops;
}

static int arm_smmu_atc_inv_master(struct arm_smmu_master *master,
				   ioasid_t ssid);

/*
 * Before an attach turns PCI ATS off. The driver sends its invalidations afterwards,
 * when even a device whose ATS no longer works answers that it does not support them,
 * which counts as an answer (3.9.1.5): it would go unnoticed, and what it holds would
 * be good again as soon as the next attach permits ATS. Context: process,
 * group->mutex held, no spinlock.
 */
static void smmu_quarantine_ats_leaves(struct arm_smmu_master *master)
{
	if (iommu_quarantine_may_ask(master->dev))
		arm_smmu_atc_inv_master(master, IOMMU_NO_PASID);
}

#ifndef IQ_HAVE_SMMU_CMD
int smmu_quarantine_issue(struct arm_smmu_device *smmu,
			  struct arm_smmu_cmdq *cmdq,
			  struct arm_smmu_cmd *cmds, int n, bool sync)
{
	return arm_smmu_cmdq_issue_cmdlist(smmu, cmdq, (u64 *)cmds, n, sync);
}
#endif

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM_KUNIT_TEST)
static int arm_smmu_init_structures(struct arm_smmu_device *smmu);

int smmu_kunit_init_structures(struct arm_smmu_device *smmu)
{
	return arm_smmu_init_structures(smmu);
}

void smmu_kunit_gerror_irq(struct arm_smmu_device *smmu)
{
	arm_smmu_gerror_handler(0, smmu);
}

#ifdef IQ_HAVE_SMMU_BY_DRIVER
static struct platform_driver arm_smmu_driver;

/* The driver finds only SMMUs that are bound to it. It has not probed this one. */
int smmu_kunit_adopt(struct platform_device *pdev)
{
	guard(device)(&pdev->dev);
	pdev->dev.driver = &arm_smmu_driver.driver;
	return device_bind_driver(&pdev->dev);
}

static void smmu_kunit_remove(struct platform_device *pdev)
{
}

/* ... so it has nothing to remove */
void smmu_kunit_unregister(struct platform_device *pdev)
{
	typeof(arm_smmu_driver.remove) remove = arm_smmu_driver.remove;

	arm_smmu_driver.remove = smmu_kunit_remove;
	platform_device_unregister(pdev);
	arm_smmu_driver.remove = remove;
}
#endif
#endif

#else

static inline void smmu_quarantine_ats_leaves(struct arm_smmu_master *master)
{
}

#endif /* CONFIG_IOMMU_QUARANTINE_ARM */
