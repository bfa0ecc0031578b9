// SPDX-License-Identifier: GPL-2.0-only
// Nothing reaches SMMUv3's command queues past the filter.
//
// Every CMD_ATC_INV of the driver (domain flushes, arm_smmu_atc_inv_master() of
// attach and detach, set_dev_pasid, vSMMU, CMDQV) ends in
// __arm_smmu_cmdq_issue_cmdlist(). So these are the rules, one line of output for
// each breach:
//  - commands of a list are written into a queue by that function alone, which
//    filters first and settles before it returns;
//  - PROD, which tells hardware of them, is written there and where a queue is
//    switched on;
//  - a batch of CMD_ATC_INVs that is full gets a CMD_SYNC of its own;
//  - each poll of the queue is one of ours, so that none is without a bound.
virtual report

@write@
identifier fn;
position p;
@@
 fn(...)
 {
 <...
 arm_smmu_cmdq_write_entries@p(...)
 ...>
 }

@script:python@
fn << write.fn;
p << write.p;
@@
if fn != "__arm_smmu_cmdq_issue_cmdlist":
    print("%s:%s: %s() writes commands past the filter" % (p[0].file, p[0].line, fn))

@prod@
identifier fn;
expression V, Q;
position p;
@@
 fn(...)
 {
 <...
 writel_relaxed@p(V, Q->q.prod_reg)
 ...>
 }

@script:python@
fn << prod.fn;
p << prod.p;
@@
if fn != "__arm_smmu_cmdq_issue_cmdlist":
    print("%s:%s: %s() moves PROD" % (p[0].file, p[0].line, fn))

@poll@
identifier fn;
expression R;
position p;
@@
 fn(...)
 {
 <...
 R = queue_poll@p(...)
 ...>
 }

@script:python@
fn << poll.fn;
p << poll.p;
@@
print("%s:%s: %s() polls without a bound of ours" % (p[0].file, p[0].line, fn))

@filter@
identifier n;
position p;
@@
 __arm_smmu_cmdq_issue_cmdlist(...)
 {
 	... when any
 	n = smmu_quarantine_filter@p(...);
 	... when any
 }

@script:python@
p << filter.p;
@@
print("#filter %s:%s" % (p[0].file, p[0].line))

@settles@
position p;
@@
 return@p smmu_quarantine_settle(...);

@unsettled@
position p != settles.p;
expression E;
@@
 __arm_smmu_cmdq_issue_cmdlist(...)
 {
 <...
 return@p E;
 ...>
 }

@script:python@
p << unsettled.p;
@@
print("%s:%s: a flush returns unsettled" % (p[0].file, p[0].line))

@settle@
position p;
@@
 __arm_smmu_cmdq_issue_cmdlist(...)
 {
 	... when any
 	return smmu_quarantine_settle@p(...);
 }

@script:python@
p << settle.p;
@@
print("#settle %s:%s" % (p[0].file, p[0].line))

@sync@
position p;
@@
 arm_smmu_cmdq_batch_force_sync(...)
 {
 	... when any
 	if (smmu_quarantine_force_sync@p(...))
 		return true;
 	... when any
 }

@script:python@
p << sync.p;
@@
print("#sync %s:%s" % (p[0].file, p[0].line))
