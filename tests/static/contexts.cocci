// SPDX-License-Identifier: GPL-2.0-only
// What the comment of a function says of its context is true.
//
// "Context:" in the comment right above a function is the one place that says where
// it may be called; the table in Documentation/design.md is for people. Two promises
// are looked after, by one line of output for each breach, through all that such a
// function calls by name in the files at hand:
//  - who does not say "process" is called by a flush or by a report, with irqs off and
//    raw locks held. So nothing there sleeps, with PREEMPT_RT neither, nothing is
//    allocated, no last reference of a device is put, and nobody is called who says
//    "process";
//  - who holds group->mutex neither takes it nor waits for the work of the quarantine,
//    which takes it: a report may be made there, but nobody may wait for what comes of
//    it. It is held where "Context:" or lockdep_assert_held() says so, in what
//    iommu_group_for_each_dev() calls, and between lock and unlock.
// Of the kernel's own functions those of iommu.c are known, which take it.
virtual report

@initialize:python@
@@
import re

SLEEPS = re.compile(
    r"(mutex_lock|mutex_trylock|device_lock|down|down_read|down_write|pci_dev_lock|spin_lock|"
    r"pci_cfg_access_lock|read_lock|write_lock|wait_event|wait_for_completion|"
    r"wait_on_bit|msleep|ssleep|fsleep|usleep_range|schedule_timeout|cond_resched|"
    r"might_sleep|synchronize|rcu_barrier|blocking_notifier|kobject_uevent|copy_from|"
    r"copy_to|iommu_group_for_each_dev)(_\w+)?$|"
    r"(schedule|yield|put_device|pci_dev_put|iommu_group_put|kobject_put)$")
ALLOCATES = re.compile(
    r"(devm_)?(k|kv|v)([mzc]|re)alloc\w*$|(kmemdup|kstrdup|kasprintf|alloc_page)\w*$|"
    r"kmem_cache_\w*alloc\w*$")
WAITS = re.compile(
    r"(flush|drain|destroy)_workqueue$|flush_\w*work$|(cancel|disable)_\w*work_sync$|"
    r"irq_work_sync$|blocking_notifier_chain_(un)?register$|"
    r"(wait_event|wait_for_completion)(_\w+)?$")
# All other guards may sleep
GUARDS = re.compile(r"(rcu|preempt|migrate|irq|irqsave|raw_spinlock\w*)$")
HELD = re.compile(r"group->mutex( and [\w' ]+)? held")
# A function and the comment above it, as they stand in the kernel's style
FUNCTION = re.compile(r"^(?:/\*((?:[^*]|\*(?!/))*)\*/\n)?"
                      r"([a-zA-Z_][^;{}#=/]*\))\n\{$", re.M)
CONTEXT = re.compile(r"Context: (.*?)\s*(Return:|$)", re.S)
THEIRS = "iommu.c"

parsed = {}       # function -> file
contexts = {}     # function -> what its comment says
calls = {}        # function -> [(callee, where)]
sleeps = {}       # function -> [(what, where)]
takes = {}        # function -> [(what, where)]; waits for who does, too
held = set()      # functions that are called with group->mutex held
regions = []      # (function, callee, where) between lock and unlock
paths = set()


def where(p):
    return "%s:%s" % (p.file.split("/")[-1], p.line)


def note(table, p, what):
    table.setdefault(p.current_element, []).append((what, where(p)))


def note_guard(p, kind, lock):
    if not GUARDS.match(kind):
        note(sleeps, p, "guard(%s)" % kind)
    if kind.startswith("mutex") and is_group(lock):
        note(takes, p, "takes group->mutex")


def is_group(lock):
    return re.search(r"group(->|\.)mutex$", lock.replace(" ", "")) is not None


def read_comments():
    """Of all functions; those that were not parsed are told."""
    for path in sorted(paths):
        with open(path, encoding="utf-8") as source:
            functions = FUNCTION.findall(source.read())
        if path.endswith("/" + THEIRS):
            continue
        for comment, head in functions:
            name = re.search(r"(\w+)\(", head)[1]
            if name not in parsed:
                print("%s: %s() was not parsed" % (path, name))
            said = CONTEXT.search(re.sub(r"\s*\n \*\s*", " ", comment.strip()))
            if said:
                contexts[name] = said[1]


def context(name):
    """What it says, or who it refers to."""
    said = contexts.get(name, "")
    other = re.match(r"as (\w+)\(\)", said)
    return context(other[1]) if other else said


def check_flush_path():
    """Breadth first, so that the shortest way to a breach is told."""
    roots = sorted(name for name in contexts
                   if context(name) and not context(name).startswith("process"))
    by = dict.fromkeys(roots)
    queue = list(roots)
    for name in queue:
        for callee, place in calls.get(name, []):
            if context(callee).startswith("process"):
                print("%s: %s() calls %s(), which says 'process'%s"
                      % (place, name, callee, way(by, name)))
            elif callee in parsed and callee not in by:
                by[callee] = name
                queue.append(callee)
        for what, place in sleeps.get(name, []):
            print("%s: %s() sleeps or allocates: %s%s"
                  % (place, name, what, way(by, name)))
    return len(roots)


def way(by, name):
    said = ""
    while by[name]:
        name = by[name]
        said += ", called by %s()" % name
    return said


def check_mutex():
    """Whoever calls one who takes it takes it as well."""
    held.update(name for name in contexts if HELD.search(context(name)))
    reason = {name: "%s (%s)" % found[0] for name, found in takes.items()}
    ours = {name for name, file in parsed.items() if file != THEIRS}
    queue = list(reason)
    for name in queue:
        for caller in calls:
            if caller not in reason and any(name == callee for callee, _ in calls[caller]):
                reason[caller] = "calls %s(), which %s" % (name, reason[name])
                queue.append(caller)
                if name in ours:
                    ours.add(caller)
    inside = set(regions)
    for name in held:
        inside.update((name, callee, place) for callee, place in calls.get(name, []))
    for name, callee, place in sorted(inside):
        for what, at in takes.get(name, []):
            if at == place:
                print("%s: %s() holds group->mutex and %s" % (place, name, what))
        # What the kernel does without us is its own affair
        if callee in reason and (name in ours or callee in ours):
            print("%s: %s() holds group->mutex and calls %s(), which %s"
                  % (place, name, callee, reason[callee]))
    return len(inside)


@def@
identifier fn;
position p;
@@
 fn@p(...) { ... }

@script:python@
fn << def.fn;
p << def.p;
@@
paths.update(cocci.files())
parsed[fn] = p[0].file.split("/")[-1]

@call@
identifier fn;
position p;
@@
 fn@p(...)

@script:python@
fn << call.fn;
p << call.p;
@@
note(calls, p[0], fn)
if SLEEPS.match(fn) or ALLOCATES.match(fn) or WAITS.match(fn):
    note(sleeps, p[0], fn + "()")
if WAITS.match(fn) and not where(p[0]).startswith(THEIRS):
    note(takes, p[0], "waits for the quarantine's work: %s()" % fn)

@flags@
identifier fn;
position p;
@@
 fn@p(..., GFP_KERNEL, ...)

@script:python@
fn << flags.fn;
p << flags.p;
@@
if not ALLOCATES.match(fn):
    note(sleeps, p[0], fn + "(GFP_KERNEL)")

@guards@
identifier kind;
expression E;
position p;
@@
 guard@p(kind)(E)

@script:python@
kind << guards.kind;
which << guards.E;
p << guards.p;
@@
note_guard(p[0], kind, which)

@scoped@
iterator name scoped_guard;
identifier kind;
expression E;
statement S;
position p;
@@
 scoped_guard@p(kind, E) S

@script:python@
kind << scoped.kind;
which << scoped.E;
p << scoped.p;
@@
note_guard(p[0], kind, which)

@taken@
identifier fn =~ "^mutex_lock";
expression E;
position p;
@@
 fn@p(&E, ...)

@script:python@
which << taken.E;
p << taken.p;
@@
if is_group(which):
    note(takes, p[0], "takes group->mutex")

@polls@
position p;
statement S;
@@
 while (<+... quarantine_state@p(...) ...+>) S

@script:python@
p << polls.p;
@@
note(takes, p[0], "waits for the quarantine's work: polls the state")

@asserts@
expression E;
position p;
@@
 lockdep_assert_held@p(&E)

@script:python@
which << asserts.E;
p << asserts.p;
@@
if is_group(which):
    held.add(p[0].current_element)

@each@
identifier fn;
@@
 iommu_group_for_each_dev(..., fn)

@script:python@
fn << each.fn;
@@
held.add(fn)

@locked exists@
expression E;
identifier take =~ "^mutex_lock";
identifier fn;
position p;
@@
 take(&E, ...)
 ... when != mutex_unlock(&E)
     when any
 fn@p(...)

@script:python@
which << locked.E;
fn << locked.fn;
p << locked.p;
@@
if is_group(which):
    regions.append((p[0].current_element, fn, where(p[0])))

@guarded exists@
expression E;
identifier kind =~ "^mutex";
identifier fn;
position p;
@@
 guard(kind)(&E)
 ... when any
 fn@p(...)

@script:python@
which << guarded.E;
fn << guarded.fn;
p << guarded.p;
@@
if is_group(which):
    regions.append((p[0].current_element, fn, where(p[0])))

@inside@
iterator name scoped_guard;
expression E;
identifier kind =~ "^mutex";
identifier fn;
position p;
@@
 scoped_guard(kind, &E) {
 <...
 fn@p(...)
 ...>
 }

@script:python@
which << inside.E;
fn << inside.fn;
p << inside.p;
@@
if is_group(which):
    regions.append((p[0].current_element, fn, where(p[0])))

@finalize:python@
@@
read_comments()
if check_flush_path():
    print("#context")
if check_mutex():
    print("#held")
