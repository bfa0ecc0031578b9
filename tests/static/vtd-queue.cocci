// SPDX-License-Identifier: GPL-2.0-only
// Nothing reaches VT-d's invalidation queue past the filter.
//
// Every device-TLB invalidation of the driver (cache tags, PASID teardown, PRQ
// drain, the quirk's second flush, nested domains, SVA) ends in
// qi_submit_sync(). So these are the rules, one line of output for each breach:
//  - descriptors are stored into the queue by qi_submit_sync() alone, callers'
//    ones through intel_quarantine_copy(), its own wait descriptor as it is,
//    and by qi_check_fault(), which repeats that wait descriptor over a faulty
//    one;
//  - the tail register, which tells hardware of them, is written by
//    qi_submit_sync() and where the queue is switched on;
//  - qi_submit_sync() settles before it starts again.
virtual report

@store@
identifier fn;
expression E, N;
position p;
@@
 fn(...)
 {
 <...
 memcpy@p(<+... qi->desc ...+>, E, N)
 ...>
 }

@script:python@
fn << store.fn;
p << store.p;
e << store.E;
@@
import re
allowed = {("qi_submit_sync", "& wait_desc"), ("qi_submit_sync", "&wait_desc")}
if (fn, e.strip()) not in allowed:
    print("%s:%s: %s() stores '%s' into the queue past intel_quarantine_copy()"
          % (p[0].file, p[0].line, fn, e))

@repeat@
identifier fn;
expression N;
position p;
@@
 fn(...)
 {
 <...
 memcpy@p(desc, <+... qi->desc ...+>, N)
 ...>
 }

@script:python@
fn << repeat.fn;
p << repeat.p;
@@
if fn != "qi_check_fault":
    print("%s:%s: %s() copies within the queue" % (p[0].file, p[0].line, fn))

@tail@
identifier fn;
expression E;
position p;
@@
 fn(...)
 {
 <...
 writel@p(E, <+... DMAR_IQT_REG ...+>)
 ...>
 }

@script:python@
fn << tail.fn;
p << tail.p;
@@
if fn not in ("qi_submit_sync", "__dmar_enable_qi"):
    print("%s:%s: %s() moves the tail of the queue" % (p[0].file, p[0].line, fn))

@unsettled@
identifier rc, restart;
position p;
@@
 qi_submit_sync(...)
 {
 ... when any
     when != rc = intel_quarantine_settle(...)
 if@p (rc == -EAGAIN) goto restart;
 ... when any
 }

@script:python@
p << unsettled.p;
@@
print("%s:%s: qi_submit_sync() starts again without intel_quarantine_settle()"
      % (p[0].file, p[0].line))

@copies@
position p;
@@
 qi_submit_sync(...)
 {
 <+...
 intel_quarantine_copy@p(...)
 ...+>
 }

@script:python@
p << copies.p;
@@
print("#filter %s" % p[0].file)
