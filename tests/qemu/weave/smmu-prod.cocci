// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol q; @@
- queue_prod_incr(q);
+ q->prod = deposit32(q->prod, 0, q->log2size + 1, q->prod + 1);
