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
#endif

#endif /* CONFIG_IOMMU_QUARANTINE_ARM */
