// SPDX-License-Identifier: GPL-2.0-only
// Slots that were given up never come back.
@@
identifier qi, iommu, desc, count, options, flags;
@@
 qi_submit_sync(struct intel_iommu *iommu, struct qi_desc *desc, unsigned int count, unsigned long options)
 {
 	<+...
 	while (qi->free_cnt < count + 2) {
 		raw_spin_unlock_irqrestore(&qi->q_lock, flags);
+		if (intel_quarantine_lost(iommu))
+			return intel_quarantine_settle(iommu, desc, count, options, &wait, -EIO);
 		cpu_relax();
 		...
 	}
 	...+>
 }
