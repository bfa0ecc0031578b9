// SPDX-License-Identifier: GPL-2.0-only
// What was made of the list is sent after the lock is let go.
@@
identifier domain, flags;
@@
 arm_smmu_atc_inv_domain(struct arm_smmu_domain *domain, ...)
 {
 	<+...
+	smmu_quarantine_hold_reset();
 	spin_lock_irqsave(&domain->devices_lock, flags);
 	...+>
 }
