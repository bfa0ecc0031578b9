/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the AMD backend that must call static functions of iommu.c. It is
 * compiled as a part of that file.
 */
#ifdef CONFIG_IOMMU_QUARANTINE_AMD

/**
 * amd_quarantine_submit() - queue commands and a COMPLETION_WAIT behind them
 * @iommu: the IOMMU
 * @cmd: the commands
 * @count: their number, may be 0
 * @data: what the wait will store
 *
 * Context: any in which iommu->lock is not held.
 * Return: 0, or -EIO if the command buffer stayed full for the whole bound.
 */
int amd_quarantine_submit(struct amd_iommu *iommu, struct iommu_cmd *cmd,
			  unsigned int count, u64 *data)
{
	struct iommu_cmd wait;
	int ret = 0;

	guard(raw_spinlock_irqsave)(&iommu->lock);
	amd_quarantine_probing(iommu, true);
	while (count-- && !ret)
		ret = __iommu_queue_command_sync(iommu, cmd++, true);
	amd_quarantine_probing(iommu, false);
	if (ret)
		return ret;
	*data = get_cmdsem_val(iommu);
	build_completion_wait(&wait, iommu, *data);
	return __iommu_queue_command_sync(iommu, &wait, false);
}

#ifndef IQ_HAVE_AMD_SEARCH
struct iommu_dev_data *amd_quarantine_search(struct amd_iommu *iommu, u16 devid);

struct iommu_dev_data *amd_quarantine_search(struct amd_iommu *iommu, u16 devid)
{
	return search_dev_data(iommu, devid);
}
#endif

void amd_quarantine_build_inv_dte(struct iommu_cmd *cmd, u16 devid)
{
	build_inv_dte(cmd, devid);
}

void amd_quarantine_build_inv_iotlb_all(struct iommu_cmd *cmd,
					struct iommu_dev_data *dev_data,
					ioasid_t pasid, bool gn)
{
	build_inv_iotlb_pages(cmd, dev_data->devid, dev_data->ats_qdep, 0,
			      U64_MAX, pasid, gn);
}

/*
 * A device-TLB invalidation. One for a device that may not be asked any more
 * succeeds without being queued; one that is held back waits until it is known
 * whose fault a timeout was. Context: as amd_quarantine_narrow().
 */
static int amd_quarantine_queue_iotlb(struct amd_iommu *iommu,
				      struct iommu_cmd *cmd)
{
	int ret;

	while ((ret = iommu_queue_command(iommu, cmd)) == -EAGAIN) {
		/*
		 * What was queued before is settled first: who narrows would
		 * wait for its timeout, and this flush would not see it.
		 */
		iommu_completion_wait(iommu);
		amd_quarantine_narrow(iommu);
	}
	return ret == -ECANCELED ? 0 : ret;
}

/*
 * Before an attach of the blocking domain turns PCI ATS off. The driver flushes the
 * domain afterwards, when it takes the device for one without ATS: nobody would ask
 * one that has died, and what it holds would be good again as soon as the next
 * attach permits ATS. Context: process, group->mutex held, no spinlock.
 */
static void amd_quarantine_ats_leaves(struct amd_iommu *iommu,
				      struct iommu_dev_data *dev_data)
{
	struct iommu_cmd cmd;

	if (!dev_data->ats_enabled || !iommu_quarantine_may_ask(dev_data->dev))
		return;
	amd_quarantine_build_inv_iotlb_all(&cmd, dev_data, IOMMU_NO_PASID,
					   false);
	if (!amd_quarantine_queue_iotlb(iommu, &cmd))
		iommu_completion_wait(iommu);
}

#else

static inline void amd_quarantine_ats_leaves(struct amd_iommu *iommu,
					     struct iommu_dev_data *dev_data)
{
}

static int amd_quarantine_queue_iotlb(struct amd_iommu *iommu,
				      struct iommu_cmd *cmd)
{
	return iommu_queue_command(iommu, cmd);
}

#endif /* CONFIG_IOMMU_QUARANTINE_AMD */
