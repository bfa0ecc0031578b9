// SPDX-License-Identifier: GPL-2.0-only
// Every store into a live stream table entry, one with the fence.
@@
identifier writer, entry, target, i;
@@
+static const struct arm_smmu_entry_writer_ops arm_smmu_ste_writer_ops;
+
 entry_set(struct arm_smmu_entry_writer *writer, __le64 *entry, const __le64 *target, ...)
 {
 	<+...
-	WRITE_ONCE(entry[i], target[i]);
+	smmu_quarantine_set(writer, writer->ops == &arm_smmu_ste_writer_ops, entry, i, target[i]);
 	...+>
 }
