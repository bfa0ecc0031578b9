// SPDX-License-Identifier: GPL-2.0-only
// While the queue stands still: before ITE is cleared. Records only.
@@
identifier iommu, iqe_err, ite_sid;
@@
 qi_check_fault(struct intel_iommu *iommu, ...)
 {
 	<+...
 	ite_sid = DMAR_IQER_REG_ITESID(iqe_err);
+	intel_quarantine_ite(iommu, fault, iqe_err);
 	writel(DMA_FSTS_ITE, iommu->reg + DMAR_FSTS_REG);
 	...+>
 }
