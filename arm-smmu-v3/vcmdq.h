/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the SMMUv3 backend that must see what is static in
 * tegra241-cmdqv.c. It is compiled as a part of that file.
 */
#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM)

static_assert(TEGRA241_VCMDQ_GERRORN - TEGRA241_VCMDQ_GERROR ==
	      ARM_SMMU_GERRORN - ARM_SMMU_GERROR);

void __iomem *smmu_quarantine_vcmdq_gerror(struct arm_smmu_cmdq *cmdq)
{
	struct tegra241_vcmdq *vcmdq =
		container_of(cmdq, struct tegra241_vcmdq, cmdq);

	return REG_VCMDQ_PAGE0(vcmdq, GERROR);
}

#if IS_ENABLED(CONFIG_IOMMU_QUARANTINE_ARM_KUNIT_TEST)
/* The SMMU of the tests: one with a CMDQV, which is used if it is started */
static struct tegra241_cmdqv smmu_kunit_cmdqv;

struct arm_smmu_device *smmu_kunit_smmu(void)
{
	return &smmu_kunit_cmdqv.smmu;
}

/* What is left out of probe and reset is the hardware's part. One VCMDQ. */
struct arm_smmu_cmdq *smmu_kunit_cmdqv_start(void __iomem *base)
{
	struct tegra241_cmdqv *cmdqv = &smmu_kunit_cmdqv;
	struct tegra241_vintf *vintf;

	cmdqv->base = base;
	cmdqv->dev = cmdqv->smmu.dev;
	cmdqv->num_vintfs = 1;
	cmdqv->num_vcmdqs = 1;
	cmdqv->num_lvcmdqs_per_vintf = 1;
	ida_init(&cmdqv->vintf_ids);
	cmdqv->vintfs = kzalloc_objs(*cmdqv->vintfs, cmdqv->num_vintfs);
	if (!cmdqv->vintfs)
		return NULL;
	cmdqv->smmu.options |= ARM_SMMU_OPT_TEGRA241_CMDQV;
	if (tegra241_cmdqv_init_structures(&cmdqv->smmu))
		return NULL;
	vintf = cmdqv->vintfs[0];
	vintf->hyp_own = true;
	vintf->lvcmdqs[0]->enabled = true;
	WRITE_ONCE(vintf->enabled, true);
	return &vintf->lvcmdqs[0]->cmdq;
}

void smmu_kunit_cmdqv_stop(void)
{
	struct tegra241_cmdqv *cmdqv = &smmu_kunit_cmdqv;

	cmdqv->smmu.impl_ops = NULL;
	if (cmdqv->vintfs && cmdqv->vintfs[0])
		tegra241_cmdqv_remove_vintf(cmdqv, 0);
	kfree(cmdqv->vintfs);
	cmdqv->vintfs = NULL;
}

void smmu_kunit_cmdqv_irq(void)
{
	tegra241_cmdqv_isr(0, &smmu_kunit_cmdqv);
}
#endif

#endif /* CONFIG_IOMMU_QUARANTINE_ARM */
