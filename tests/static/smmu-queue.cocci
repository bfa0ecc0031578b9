// SPDX-License-Identifier: GPL-2.0-only
// Nothing reaches SMMUv3's command queues past the filter.
//
// Every CMD_ATC_INV of the driver (domain flushes, arm_smmu_atc_inv_master() of
// attach and detach, set_dev_pasid, vSMMU, CMDQV) ends in one function, which has
// its name with underscores or without. So these are the rules, one line of output
// for each breach:
//  - commands of a list are written into a queue by that function alone, which
//    filters first and settles before it returns;
//  - PROD, which tells hardware of them, is written there and where a queue is
//    switched on;
//  - a batch of CMD_ATC_INVs that is full gets a CMD_SYNC of its own;
//  - each poll of the queue is one of ours, so that none is without a bound.
virtual report

@initialize:python@
@@
filters = []

@filter@
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
identifier n;
position p;
@@
 issue(...)
 {
 	... when any
 	n = smmu_quarantine_filter@p(...);
 	... when any
 }

@script:python@
issue << filter.issue;
p << filter.p;
@@
filters.append(issue)
print("#filter %s:%s" % (p[0].file, p[0].line))

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
if fn not in filters:
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
if fn not in filters:
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

@settles@
position p;
@@
 return@p smmu_quarantine_settle(...);

@unsettled@
position p != settles.p;
expression E;
identifier filter.issue;
@@
 issue(...)
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
identifier filter.issue;
position p;
@@
 issue(...)
 {
 	... when any
 	return smmu_quarantine_settle@p(...);
 }

@script:python@
p << settle.p;
@@
print("#settle %s:%s" % (p[0].file, p[0].line))

// In a function of its own, or as another reason of the one that adds
@sync@
identifier issue =~ "^(__)?arm_smmu_cmdq_issue_cmdlist$";
position p;
@@
(
 if (smmu_quarantine_force_sync@p(...)) return true;
|
 if (<+... smmu_quarantine_force_sync@p(...) ...+>) {
 	...
 	issue(..., true);
 	...
 }
)

@script:python@
p << sync.p;
@@
print("#sync %s:%s" % (p[0].file, p[0].line))
