// Slots that were given up never come back.
@@
identifier qi, iommu, count, flags;
@@
 qi_submit_sync(struct intel_iommu *iommu, ...)
 {
 	<+...
 	while (qi->free_cnt < count + 2) {
 		raw_spin_unlock_irqrestore(&qi->q_lock, flags);
+		if (intel_quarantine_lost(iommu))
+			return -EIO;
 		cpu_relax();
 		...
 	}
 	...+>
 }
