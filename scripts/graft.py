#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Put this project into a source tree, and take it out again.

    graft.py graft TREE      weave the call-outs into a kernel, copy the sources
    graft.py ungraft TREE    restore the tree as it was, byte by byte
    graft.py check TREE      say what graft would do, change nothing
    graft.py callouts        list the call-outs and what they rely on
    graft.py sync SRC DEST   keep DEST a grafted copy of the pristine kernel SRC
    graft.py weave --root R --state S SRC DEST FOLDER...
                             the same for any tree (QEMU's fault model)

Semantic patches fail silently by nature. So each call-out is one spatch run
on a scratch copy, and its manifest says how many lines with its marker it must
add; the tree is written to only when all the counts are right. FORCE=1 allows
a kernel newer than the highest one that META declares; of one that it does not
declare verified there is a warning.

A folder of call-outs holds
    manifest   kind | rule | file | marker | hits | precondition
               feature | name | file | pattern | - | meaning
               A feature is present when the pattern is found in the file.
               "cocci if NAME" and "cocci unless NAME" (any kind) are variants
               of a call-out for trees with and without the feature NAME,
               declared above.
               Both have to be there: "none if NAME | - | - | - | - | reason"
               where a tree needs no call-out.
               kind: cocci (a semantic patch), or line or before (text that
               goes after or before the line that the rule's first one is),
               or member (the rule is "struct NAME" and a declaration)
    files      source -> destination    (source relative to the root; both may
               be folders with a trailing slash; shell patterns in the source)
               source -> destination if NAME, or unless NAME: only to trees
               with, or without, the feature. The source "@features" is a header
               with IQ_HAVE_NAME for each feature that the tree has, for C that
               has to know.
    macros.h   optional, what spatch's parser must be told
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

# In a list of files: a header that says which features the tree has.
FEATURES = "@features"
VENDORS = ("core", "intel-vtd", "amd-iommu", "arm-smmu-v3")
# Copied like these, but without call-outs.
TESTS = ("tests/conformance",)
KERNEL_STATE = "drivers/iommu/quarantine/.graft"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SYMBOL = "iommu_report_device_broken"
# Prefix of files about to be renamed to their place.
TEMPORARY = ".iq-graft-"
# What a build inside the tree leaves beside our files.
PRODUCTS = re.compile(r"(\.(o|a|ko|mod|mod\.c|cmd|symvers|i|s|lst|su|gcno)|"
                      r"/modules\.order)$")


class GraftError(Exception):
    """The one message that the user sees."""


class Unfinished(GraftError):
    """One that has to say itself what it leaves behind."""


@dataclass
class Callout:
    name: str
    kind: str
    rule: str
    file: str
    marker: "re.Pattern"
    hits: int
    precondition: str
    macros: str
    # (feature, wanted): only for trees that have it, or that lack it.
    condition: "tuple | None" = None

    def error(self, text):
        return GraftError(f"call-out {self.name} in {self.file}: {text}")


@dataclass
class Feature:
    """Something that one kernel has and another has not, found by looking."""
    name: str
    file: str
    pattern: "re.Pattern"

    def present(self, tree):
        path = os.path.join(tree, self.file)
        return os.path.isfile(path) and \
            bool(self.pattern.search(read(path).decode("utf-8", "replace")))


@dataclass
class Plan:
    """What is to be done to a tree: contents by path relative to it."""
    before: dict = field(default_factory=dict)
    changed: dict = field(default_factory=dict)
    created: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)
    callouts: list = field(default_factory=list)

    def contents(self):
        return {**self.changed, **self.created}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as handle:
        return handle.read()


# ---- manifests -------------------------------------------------------------

def load_manifest(folder, macros, features):
    """The call-outs of one folder; adds what it declares to FEATURES."""
    path = os.path.join(folder, "manifest")
    owner = os.path.basename(os.path.dirname(os.path.abspath(folder)))
    found = []
    asked = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            where = f"{path}:{number}"
            parts = [part.strip() for part in split_bars(line)]
            if len(parts) != 6:
                raise GraftError(f"{where}: expected kind | rule | file | "
                                 f"marker | hits | precondition")
            kind, rule, file, marker, hits, precondition = parts
            kind, _, condition = kind.partition(" ")
            if kind == "feature":
                add_feature(where, condition, parts, features)
                continue
            if condition:
                condition = parse_condition(where, condition, features)
                asked.setdefault(condition[0].name, set()).add(condition[1])
            if kind == "none":
                if not condition or (rule, file, marker, hits) != ("-",) * 4:
                    raise GraftError(f"{where}: expected none if FEATURE | - | "
                                     f"- | - | - | reason")
                continue
            if kind not in ("cocci", "line", "before", "member"):
                raise GraftError(f"{where}: unknown kind '{kind}'")
            rule_path = os.path.join(folder, rule)
            if not os.path.isfile(rule_path):
                raise GraftError(f"{where}: there is no {rule_path}")
            if not hits.isdigit() or int(hits) < 1:
                raise GraftError(f"{where}: '{hits}' is no number of hits")
            try:
                pattern = re.compile(marker)
            except re.error as err:
                raise GraftError(f"{where}: marker '{marker}': {err}") from err
            if os.path.isabs(file) or ".." in file.split("/"):
                raise GraftError(f"{where}: '{file}' must lie in the tree")
            stem = os.path.splitext(rule)[0]
            found.append(Callout(f"{owner}/{stem}", kind, rule_path, file,
                                 pattern, int(hits), precondition, macros,
                                 condition or None))
    for name, wanted in asked.items():
        if len(wanted) == 1:
            raise GraftError(f"{path}: call-outs for trees "
                             f"{'with' if True in wanted else 'without'} "
                             f"'{name}', none for the others")
    return found


def add_feature(where, condition, parts, features):
    _, name, file, pattern, hits, _ = parts
    if condition or hits != "-":
        raise GraftError(f"{where}: expected feature | name | file | pattern "
                         f"| - | meaning")
    if name in features:
        raise GraftError(f"{where}: the feature '{name}' is declared twice")
    if os.path.isabs(file) or ".." in file.split("/"):
        raise GraftError(f"{where}: '{file}' must lie in the tree")
    try:
        pattern = re.compile(pattern, re.M)
    except re.error as err:
        raise GraftError(f"{where}: pattern '{pattern}': {err}") from err
    features[name] = Feature(name, file, pattern)


def parse_condition(where, text, features):
    word, _, name = text.partition(" ")
    name = name.strip()
    if word not in ("if", "unless") or not name:
        raise GraftError(f"{where}: '{text}': expected if FEATURE or unless "
                         f"FEATURE")
    if name not in features:
        raise GraftError(f"{where}: no feature '{name}' is declared above")
    return features[name], word == "if"


def split_bars(line):
    """Split at '|', of which '\\|' is not one: a marker may contain it."""
    return re.split(r"(?<!\\)\|", line, maxsplit=5)


def load_macros(folders):
    """One file for spatch; the first folder's macros hold for all."""
    text = ""
    for folder in folders:
        path = os.path.join(folder, "macros.h")
        if os.path.isfile(path):
            text += read(path).decode("utf-8") + "\n"
    return text


def load_files(root, folder, features):
    """Yield (source path, destination, condition) of the folder's files."""
    path = os.path.join(folder, "files")
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            where = f"{path}:{number}"
            source, arrow, dest = (part.strip()
                                   for part in line.partition("->"))
            dest, _, condition = dest.partition(" ")
            if not arrow or not source or not dest:
                raise GraftError(f"{where}: expected source -> destination")
            condition = condition.strip() and \
                parse_condition(where, condition.strip(), features)
            if os.path.isabs(dest) or ".." in dest.split("/"):
                raise GraftError(f"{where}: '{dest}' must lie in the tree")
            if source == FEATURES:
                yield source, dest, condition
                continue
            full = os.path.join(root, source)
            if source.endswith("/"):
                base = full
                matches = [os.path.join(at, name)
                           for at, dirs, names in os.walk(full)
                           for name in names if not dirs.sort()]
            else:
                base = os.path.dirname(full)
                matches = glob.glob(full)
            matches = sorted(name for name in matches if os.path.isfile(name))
            if not matches:
                raise GraftError(f"{where}: there is no {full}")
            if len(matches) > 1 and not dest.endswith("/"):
                raise GraftError(f"{where}: several files need a destination "
                                 f"that ends in '/'")
            for name in matches:
                if dest.endswith("/"):
                    yield name, dest + os.path.relpath(name, base), condition
                else:
                    yield name, dest, condition


def load(root, folders, more=(), tree=None):
    """All call-outs and files of the folders that exist, in order.

    MORE yields further (source path, destination) pairs. With a TREE only the
    call-outs whose condition it meets.
    """
    folders = [folder for folder in folders
               if os.path.isfile(os.path.join(folder, "manifest"))]
    callouts = []
    features = {}
    files = {dest: source for source, dest in more}
    has = None
    for folder in folders:
        macros = load_macros(dict.fromkeys([folders[0], folder]))
        callouts += load_manifest(folder, macros, features)
        for source, dest, condition in load_files(root, folder, features):
            if tree is not None and condition and \
                    condition[0].present(tree) != condition[1]:
                continue
            if dest in files:
                raise GraftError(f"two files are to become {dest}")
            files[dest] = source
    if not callouts:
        raise GraftError("there are no call-outs to apply")
    if tree is not None:
        has = {name: feature.present(tree)
               for name, feature in features.items()}
        callouts = fitting(callouts, has)
    for dest, source in files.items():
        if source == FEATURES:
            files[dest] = features_header(features, has or {})
    return callouts, files


def features_header(features, has):
    """What C is told of the tree; bytes, where other files are paths."""
    lines = ["/* SPDX-License-Identifier: GPL-2.0-only */",
             "/* What this tree has, as scripts/graft.py found it */"]
    for name in sorted(features):
        if has.get(name):
            macro = "IQ_HAVE_" + re.sub(r"\W", "_", name).upper()
            lines.append(f"#define {macro}")
    return ("\n".join(lines) + "\n").encode()


def fitting(callouts, has):
    return [callout for callout in callouts if callout.condition is None or
            has[callout.condition[0].name] == callout.condition[1]]


# ---- applying call-outs to contents -----------------------------------------

def matches(callout, data):
    return sum(1 for line in data.decode("utf-8", "replace").split("\n")
               if callout.marker.search(line))


def apply_line(callout, data):
    anchor, _, text = read(callout.rule).partition(b"\n")
    if not text:
        raise callout.error(f"{callout.rule} holds nothing to insert")
    lines = data.split(b"\n")
    at = [number for number, line in enumerate(lines) if line == anchor]
    if len(at) != 1:
        raise callout.error(f"expected the line '{anchor.decode()}' once, "
                            f"found it {len(at)} times")
    place = at[0] + (callout.kind == "line")
    lines[place:place] = text.removesuffix(b"\n").split(b"\n")
    return b"\n".join(lines)


# A place that a vendor keeps free in a structure, ANDROID_KABI_RESERVE(1) or
# RH_KABI_RESERVE(1), and how the same headers let it be used.
RESERVE = re.compile(rb"^(\s*)(\w*KABI)_RESERVE\((\d+)\)(;?)\s*$")


def apply_member(callout, data):
    """A new last member, or one in the vendor's reserve if there is any."""
    struct, declaration = read(callout.rule).rstrip(b"\n").split(b"\n")
    lines = data.split(b"\n")
    starts = [number for number, line in enumerate(lines)
              if line == struct + b" {"]
    if len(starts) != 1:
        raise callout.error(f"expected {struct.decode()} once, found it "
                            f"{len(starts)} times")
    try:
        end = lines.index(b"};", starts[0])
    except ValueError:
        raise callout.error(f"{struct.decode()} has no end") from None
    for number in range(starts[0], end):
        match = RESERVE.match(lines[number])
        if match:
            indent, prefix, index, semicolon = match.groups()
            lines[number] = (indent + prefix + b"_USE(" + index + b", " +
                             declaration + b")" + semicolon)
            return b"\n".join(lines)
    lines.insert(end, b"\t" + declaration + b";")
    return b"\n".join(lines)


def tidy(data, result):
    """What spatch adds, in the kernel's style.

    It leaves lines of mere indentation, indents by spaces, and drops the
    space before the name of a function pointer. Lines that were there before
    stay as they are.
    """
    known = set(data.split(b"\n"))
    lines = []
    for line in result.split(b"\n"):
        if line not in known:
            line = line.rstrip()
            if not line and lines and not lines[-1]:
                continue
            code = line.lstrip(b" \t")
            indent = line[:len(line) - len(code)].expandtabs(8)
            line = b"\t" * (len(indent) // 8) + b" " * (len(indent) % 8) + \
                re.sub(rb"^(\w+)\(\*", rb"\1 (*", code)
            # A call that got too long goes on below its first argument.
            match = re.match(rb"(\s*(?:if \()?\w+\()(\w+,) (.*)$", line)
            if match and len(line.expandtabs(8)) > 100:
                width = len(match[1].expandtabs(8))
                lines.append(match[1] + match[2])
                indent = b"\t" * (width // 8) + b" " * (width % 8)
                line = indent + match[3]
            # What is still too long, or was wrapped by spatch, at an operator.
            if len(line.expandtabs(8)) > 100:
                indent = line[:len(line) - len(line.lstrip())]
                line = re.sub(rb" (!=|\|\|) ", rb" \1\n" + indent, line,
                              count=1)
        lines.append(line)
    return b"\n".join(lines)


def apply_cocci(callout, data, cache):
    command = ["spatch", "--sp-file", callout.rule, "--no-includes",
               "--very-quiet"]
    key = None
    if cache:
        key = os.path.join(cache, sha(b"\0".join([
            spatch_version(), read(callout.rule), callout.macros.encode(),
            callout.file.encode(), data])))
        if os.path.isfile(key):
            return read(key)
    with tempfile.TemporaryDirectory(prefix="iq-graft-") as scratch:
        target = os.path.join(scratch, os.path.basename(callout.file))
        with open(target, "wb") as handle:
            handle.write(data)
        if callout.macros:
            macros = os.path.join(scratch, "iq-macros.h")
            with open(macros, "w", encoding="utf-8") as handle:
                handle.write(callout.macros)
            command += ["--macro-file", macros]
        run = subprocess.run(command + ["--in-place", target], cwd=scratch,
                             stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, errors="replace", check=False)
        if run.returncode != 0:
            tail = (run.stderr or run.stdout).strip().split("\n")[-4:]
            raise callout.error(f"spatch failed with status {run.returncode}: "
                                + " / ".join(tail))
        result = read(target)
    if key:
        os.makedirs(cache, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as handle:
            handle.write(result)
        os.replace(handle.name, key)
    return result


def spatch_version():
    if not hasattr(spatch_version, "text"):
        run = subprocess.run(["spatch", "--version"], capture_output=True,
                             check=True)
        spatch_version.text = run.stdout.split(b"\n")[0]
    return spatch_version.text


def apply_one(callout, pristine, data, cache):
    already = matches(callout, pristine)
    if already:
        raise callout.error(f"the marker '{callout.marker.pattern}' is there "
                            f"before the graft ({already} times)")
    count = matches(callout, data)
    if callout.kind in ("line", "before"):
        result = apply_line(callout, data)
    elif callout.kind == "member":
        result = apply_member(callout, data)
    else:
        result = tidy(data, apply_cocci(callout, data, cache))
    found = matches(callout, result) - count
    if found != callout.hits:
        why = ("function renamed or changed?" if found < callout.hits
               else "function doubled?")
        raise callout.error(f"expected {callout.hits} "
                            f"hit{'s' if callout.hits != 1 else ''}, found "
                            f"{found} ({why})")
    return result


def apply_file(tree, callouts, cache):
    """All call-outs of one file; returns (before, after, failures)."""
    path = os.path.join(tree, callouts[0].file)
    if not os.path.isfile(path):
        return None, None, [callouts[0].error("no such file in this tree")]
    before = data = read(path)
    failures = []
    for callout in callouts:
        try:
            data = apply_one(callout, before, data, cache)
        except GraftError as err:
            failures.append(err)
    return before, data, failures


def apply_manifest(tree, root, folders, cache=None, jobs=2, more=()):
    """Work out what the folders' call-outs and files make of the tree.

    Nothing is written. Returns a Plan; its failures are in manifest order.
    """
    callouts, files = load(root, folders, more, tree)
    if any(callout.kind == "cocci" for callout in callouts):
        if not shutil.which("spatch"):
            raise GraftError("spatch is missing; install the package "
                             "coccinelle (scripts/deps.sh does)")
    plan = Plan(callouts=callouts)
    by_file = {}
    for callout in callouts:
        by_file.setdefault(callout.file, []).append(callout)
    # The longest chains first, so that the last worker is not left alone.
    order = sorted(by_file, key=lambda name: -len(by_file[name]))
    results = {}
    failures = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(apply_file, tree, by_file[name], cache): name
                   for name in order}
        for done, future in enumerate(
                concurrent.futures.as_completed(futures), 1):
            name = futures[future]
            before, after, failed = future.result()
            failures[name] = failed
            results[name] = (before, after)
            progress(f"{done}/{len(order)} files, {name}")
    progress(None)
    plan.failures = [err for name in by_file for err in failures[name]]
    for name, (before, after) in results.items():
        plan.before[name] = before
        plan.changed[name] = after
    for dest, source in files.items():
        if dest in plan.changed or os.path.lexists(os.path.join(tree, dest)):
            plan.failures.append(GraftError(
                f"{dest}: is in the tree already, it is not ours to replace"))
            continue
        plan.created[dest] = source if isinstance(source, bytes) else \
            kbuild_half(source, read(source))
    return plan


def kbuild_half(source, data):
    """A kernel has no use for the targets that our Makefile offers a person."""
    head, begin, rest = data.partition(b"\nifneq ($(KERNELRELEASE),)\n")
    half, end, _ = rest.partition(b"\nelse\n")
    if os.path.basename(source) != "Makefile" or not begin or not end:
        return data
    return head.split(b"\n")[0] + b"\n" + half.strip(b"\n") + b"\n"


def progress(text):
    if not sys.stderr.isatty():
        return
    sys.stderr.write("\r\033[K" + (f"graft: {text}" if text else ""))
    sys.stderr.flush()


# ---- writing ----------------------------------------------------------------

def replace(path, data, mode=None):
    """Write a file by rename: complete or not at all, hard links left alone."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if mode is None:
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) \
            else 0o644
    handle, temp = tempfile.mkstemp(prefix=TEMPORARY,
                                    dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.chmod(temp, mode)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


def check_writable(tree, paths):
    for name in paths:
        path = os.path.join(tree, name)
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise GraftError(f"cannot write {name} in {tree}: read-only")
        folder = os.path.dirname(path)
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise GraftError(f"cannot write {name} in {tree}: the folder is "
                             f"read-only")


def remove_temporaries(tree, paths):
    """What a run that was killed between writing and renaming left behind."""
    for folder in {os.path.dirname(os.path.join(tree, name))
                   for name in paths}:
        for path in glob.glob(os.path.join(glob.escape(folder),
                                           TEMPORARY + "*")):
            os.unlink(path)


def remove_file(path):
    """Its absence is what counts."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def remove_empty(tree, name):
    """Remove the folders above NAME that hold nothing any more."""
    folder = os.path.dirname(name)
    while folder:
        try:
            os.rmdir(os.path.join(tree, folder))
        except OSError:
            return
        folder = os.path.dirname(folder)


def save_state(tree, state, plan, complete):
    save_record(tree, state, {
        "complete": complete,
        "changed": {name: {"before": sha(plan.before[name]),
                           "after": sha(plan.changed[name])}
                    for name in sorted(plan.changed)},
        "created": {name: sha(plan.created[name])
                    for name in sorted(plan.created)},
    })


def save_record(tree, state, record):
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    path = os.path.join(tree, state, "record.json")
    if not os.path.exists(path) or read(path) != text.encode():
        replace(path, text.encode())


def load_state(tree, state):
    path = os.path.join(tree, state, "record.json")
    try:
        record = json.loads(read(path))
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise GraftError(f"{path} is damaged: {err}") from err
    if not isinstance(record, dict) or \
            not all(isinstance(record.get(part), of) for part, of in (
                ("complete", bool), ("changed", dict), ("created", dict))):
        raise GraftError(f"{path} is damaged: it is no record of a graft")
    return record


def original(tree, state, name):
    return os.path.join(tree, state, "orig", name)


def write_plan(tree, state, plan):
    """Write everything, or put everything back."""
    done = []
    try:
        # The record first: a killed run leaves nothing that it does not name.
        save_state(tree, state, plan, False)
        for name, data in plan.before.items():
            replace(original(tree, state, name), data)
        for name, data in plan.contents().items():
            # Before: a signal may come between the two
            done.append(name)
            replace(os.path.join(tree, name), data)
        save_state(tree, state, plan, True)
    except BaseException as err:
        for name in done:
            path = os.path.join(tree, name)
            if name in plan.before:
                replace(path, plan.before[name])
            else:
                remove_file(path)
                remove_empty(tree, name)
        shutil.rmtree(os.path.join(tree, state), ignore_errors=True)
        remove_empty(tree, state)
        if isinstance(err, OSError):
            raise GraftError(f"writing failed ({err}); what was written is "
                             f"undone") from err
        raise


def unweave(tree, state):
    """Restore the originals. Refuses when a woven file was edited since."""
    record = load_state(tree, state)
    if record is None:
        # All that a graft has written by then, and all that an ungraft has left
        if not is_bare(tree, state):
            raise GraftError(f"{tree} is not grafted: it has no {state}/record.json")
        with half_restored(tree):
            shutil.rmtree(os.path.join(tree, state))
            remove_empty(tree, state)
        return
    edited = []
    for name, hashes in record["changed"].items():
        path = os.path.join(tree, name)
        now = sha(read(path)) if os.path.isfile(path) else None
        if now != hashes["after"] and \
                (record["complete"] or now != hashes["before"]):
            edited.append(name)
        kept = original(tree, state, name)
        if now != hashes["before"] and \
                (not os.path.isfile(kept) or
                 sha(read(kept)) != hashes["before"]):
            raise GraftError(f"{state}/orig/{name} is missing or damaged")
    for name, after in record["created"].items():
        path = os.path.join(tree, name)
        if os.path.isfile(path) and sha(read(path)) != after:
            edited.append(name)
    if edited:
        raise GraftError("edited since the graft: " + ", ".join(edited) +
                         "; save or revert that first")
    check_writable(tree, list(record["changed"]) + list(record["created"]))
    home = os.path.dirname(os.path.join(tree, state))
    remove_temporaries(tree, [*record["changed"], *record["created"]])
    ours = {os.path.join(tree, name) for name in record["created"]}
    products = []
    strange = []
    if home != tree.rstrip("/"):
        for at, dirs, names in os.walk(home):
            if at == home and os.path.basename(state) in dirs:
                dirs.remove(os.path.basename(state))
            for name in names:
                path = os.path.join(at, name)
                if path in ours:
                    continue
                (products if PRODUCTS.search(path) else strange).append(path)
    if strange:
        raise GraftError("not from the graft: " + ", ".join(
            os.path.relpath(path, tree) for path in strange) +
            "; move that away first")
    # From here on a file may be as before the graft or as after it
    save_record(tree, state, {**record, "complete": False})
    with half_restored(tree):
        for name, hashes in record["changed"].items():
            path = os.path.join(tree, name)
            if sha(read(path)) != hashes["before"]:
                replace(path, read(original(tree, state, name)))
        for path in products:
            remove_file(path)
        for name in record["created"]:
            remove_file(os.path.join(tree, name))
            remove_empty(tree, name)
        # The record last: without it nobody knows what is ours
        kept = os.path.join(tree, state, "orig")
        if os.path.isdir(kept):
            shutil.rmtree(kept)
        remove_file(os.path.join(tree, state, "record.json"))
        shutil.rmtree(os.path.join(tree, state))
        remove_empty(tree, state)
        # Folders that held only build products.
        if os.path.isdir(home) and home != tree.rstrip("/"):
            for at, _, _ in os.walk(home, topdown=False):
                os.rmdir(at)


@contextlib.contextmanager
def half_restored(tree):
    """Whatever ends it: what is left, and what is to be done."""
    try:
        yield
    except BaseException as err:
        what = "interrupted" if not isinstance(err, Exception) else err
        raise Unfinished(f"{tree} is half restored ({what}); take the graft "
                         f"out once more") from err


def is_bare(tree, state):
    """Is there a folder for the state, and nothing in it or beside it?"""
    top = os.path.join(tree, state)
    home = os.path.dirname(top) if os.path.dirname(state) else top
    return os.path.isdir(top) and all(
        name.startswith(TEMPORARY) for _, _, names in os.walk(home)
        for name in names)


# ---- a woven copy, kept up to date ------------------------------------------

def sync(pristine, dest, state, root, folders, cache, jobs, more=()):
    """Make DEST a woven copy of PRISTINE, touching only what differs.

    make compares times: a file whose content stays keeps its own.
    """
    plan = apply_manifest(pristine, root, folders, cache, jobs, more)
    raise_failures(plan, pristine)
    pristine = os.path.realpath(pristine)
    name = os.path.basename(pristine)
    origin = os.path.join(os.path.dirname(pristine), f".{name}.record")
    identity = pristine + "\n"
    if os.path.exists(origin):
        identity += read(origin).decode()
    stamp = dest.rstrip("/") + ".from"
    known = read(stamp).decode() if os.path.exists(stamp) else None
    os.makedirs(os.path.dirname(os.path.abspath(dest)), exist_ok=True)
    if not os.path.isdir(dest) or (known != identity and
                                   os.path.exists(origin)):
        print(f"graft: copying {pristine}", file=sys.stderr)
        temp = dest.rstrip("/") + ".new"
        for old in (temp, dest):
            if os.path.isdir(old):
                shutil.rmtree(old)
        subprocess.run(["cp", "-a", "--reflink=auto", pristine, temp],
                       check=True)
        os.rename(temp, dest)
    elif not os.path.exists(origin):
        # The user's own tree may have changed anywhere.
        keep = [f"--exclude=/{path}" for path in plan.contents()]
        subprocess.run(["rsync", "-a", "--delete", f"--exclude=/{state}",
                        *keep, pristine + "/", dest + "/"],
                       # It tells of our folders, which it keeps, on stdout.
                       stdout=subprocess.DEVNULL, check=True)
    with open(stamp, "w", encoding="utf-8") as handle:
        handle.write(identity)
    old = load_state(dest, state) or {"changed": {}, "created": {}}
    for path in old["created"]:
        if path not in plan.created and \
                os.path.exists(os.path.join(dest, path)):
            os.unlink(os.path.join(dest, path))
            remove_empty(dest, path)
    for path in old["changed"]:
        if path not in plan.changed:
            update(os.path.join(dest, path),
                   read(os.path.join(pristine, path)))
    for path, data in plan.before.items():
        update(original(dest, state, path), data)
    written = 0
    for path, data in plan.contents().items():
        written += update(os.path.join(dest, path), data)
    save_state(dest, state, plan, True)
    print(f"graft: {dest}: {len(plan.callouts)} call-outs, "
          f"{len(plan.created)} files, {written} written", file=sys.stderr)


def update(path, data):
    if os.path.isfile(path) and read(path) == data:
        return 0
    replace(path, data)
    return 1


def raise_failures(plan, tree):
    """Say all that does not fit, then fail with the one error."""
    if not plan.failures:
        return
    for failure in plan.failures:
        print(f"graft: {failure}", file=sys.stderr)
    raise GraftError(f"{len(plan.failures)} of {len(plan.callouts)} call-outs "
                     f"and {len(plan.created)} files do not fit {tree}, see "
                     f"above")


# ---- the kernel --------------------------------------------------------------

def meta(key):
    with open(os.path.join(ROOT, "META"), encoding="utf-8") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    raise GraftError(f"META has no {key}")


def kernel_version(tree):
    if not os.path.isdir(tree):
        raise GraftError(f"{tree}: there is no such directory")
    top = os.path.join(tree, "Makefile")
    for name in ("Makefile", "Kbuild", "drivers/iommu/iommu.c",
                 "include/linux/iommu.h"):
        if not os.path.isfile(os.path.join(tree, name)):
            raise GraftError(f"{tree} is no kernel source tree: it has no "
                             f"{name}")
    text = read(top).decode("utf-8", "replace")
    numbers = []
    for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL"):
        match = re.search(rf"^{key} *= *(\d+)$", text, re.M)
        if not match:
            raise GraftError(f"{tree} is no kernel source tree: its Makefile "
                             f"has no {key}")
        numbers.append(int(match[1]))
    return tuple(numbers)


def check_kernel(tree):
    """Refuse what the call-outs were not made for."""
    version = kernel_version(tree)
    name = ".".join(map(str, version))
    least, most = meta("Linux-Minimum"), meta("Linux-Maximum")
    if version[:2] < tuple(map(int, least.split("."))):
        raise GraftError(f"{tree} is Linux {name}; supported are {least} to "
                         f"{most}")
    if version[:2] > tuple(map(int, most.split("."))) and \
            os.environ.get("FORCE") != "1":
        raise GraftError(
            f"{tree} is Linux {name}, newer than {most}, the highest that "
            f"was verified; right counts do not prove right meaning. "
            f"FORCE=1 grafts it all the same")
    record = load_state(tree, KERNEL_STATE)
    if record is not None:
        raise GraftError(f"{tree} is grafted already"
                         + ("" if record["complete"] else
                            " (the graft was interrupted)")
                         + "; 'make ungraft' takes it out")
    home = os.path.dirname(KERNEL_STATE)
    if is_bare(tree, KERNEL_STATE):
        raise GraftError(f"a graft of {tree} was interrupted; 'make ungraft' "
                         f"cleans up")
    if os.path.lexists(os.path.join(tree, home)):
        raise GraftError(f"{tree} has a {home} that is not from this graft")
    check_foreign(tree)
    verified = meta("Linux-Verified").split()
    if ".".join(map(str, version[:2])) not in verified:
        callouts, _ = load(ROOT, kernel_folders(), tree=tree)
        print(f"graft: warning: nothing was verified on Linux {name} (only on "
              f"{', '.join(verified)}): not that it compiles, not the KUnit "
              f"tests, not the scenarios, and not the preconditions of the "
              f"{len(callouts)} call-outs; that they fit does not prove that "
              f"they mean the same there. 'make callouts' lists what to "
              f"review", file=sys.stderr)


def check_foreign(tree):
    pattern = re.compile(rb"\b" + SYMBOL.encode() + rb"\b")
    for top in ("include/linux", "drivers/iommu", "drivers/pci"):
        for at, _, names in os.walk(os.path.join(tree, top)):
            for name in names:
                path = os.path.join(at, name)
                # An editor's lock is a link to nowhere
                if name.endswith((".c", ".h")) and os.path.isfile(path) and \
                        pattern.search(read(path)):
                    raise GraftError(
                        f"{os.path.relpath(path, tree)} has a {SYMBOL}() from "
                        f"elsewhere: this kernel solves the problem in "
                        f"another way, or was patched by hand")


def kernel_folders():
    return [os.path.join(ROOT, vendor, "callouts") for vendor in VENDORS]


def kernel_files():
    """Our folder in the kernel: what Kbuild needs of the parts that there are.

    Headers that others include go elsewhere: the lists "files" say where.
    """
    home = os.path.dirname(KERNEL_STATE)
    for name in ("Kconfig", "Makefile"):
        yield os.path.join(ROOT, name), f"{home}/{name}"
    for folder in VENDORS + TESTS:
        top = os.path.join(ROOT, folder)
        for at, dirs, names in os.walk(top):
            dirs[:] = sorted(set(dirs) - {"callouts", "include"})
            for name in sorted(names):
                if name.endswith((".c", ".h")) or name in (
                        "Kconfig", "Makefile", ".kunitconfig"):
                    path = os.path.join(at, name)
                    yield path, f"{home}/{os.path.relpath(path, ROOT)}"


def only_one(tree):
    """Until this process ends nobody else grafts the tree, or takes a graft out."""
    try:
        fcntl.flock(os.open(tree, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise GraftError(f"another graft or ungraft of {tree} is running") from err
    except OSError:
        # What is wrong with it is said by whoever looks at it next
        pass


def do_graft(args):
    only_one(args.tree)
    check_kernel(args.tree)
    callouts, files = load(ROOT, kernel_folders(), kernel_files(), args.tree)
    check_writable(args.tree, [callout.file for callout in callouts] +
                   list(files) + [KERNEL_STATE + "/record.json"])
    plan = apply_manifest(args.tree, ROOT, kernel_folders(), args.cache,
                          args.jobs, kernel_files())
    raise_failures(plan, args.tree)
    write_plan(args.tree, KERNEL_STATE, plan)
    print(f"graft: {args.tree}: {len(plan.callouts)} call-outs in "
          f"{len(plan.changed)} files, {len(plan.created)} files added")


def do_ungraft(args):
    only_one(args.tree)
    kernel_version(args.tree)
    unweave(args.tree, KERNEL_STATE)
    print(f"graft: {args.tree} is as it was before the graft")


def do_check(args):
    check_kernel(args.tree)
    plan = apply_manifest(args.tree, ROOT, kernel_folders(), args.cache,
                          args.jobs, kernel_files())
    raise_failures(plan, args.tree)
    print(f"graft: {len(plan.callouts)} call-outs fit {args.tree}, "
          f"{len(plan.created)} files would be added")


def do_callouts(_args):
    callouts, _ = load(ROOT, kernel_folders())
    for callout in callouts:
        variant = ""
        if callout.condition:
            feature, wanted = callout.condition
            variant = f", {'if' if wanted else 'unless'} {feature.name}"
        print(f"{callout.name}\n    {callout.file}, {callout.hits} "
              f"hit{'s' if callout.hits != 1 else ''}{variant}\n"
              f"    {callout.precondition}")


def do_sync(args):
    # The copy is ours, so the checks are about the tree it is made of.
    check_kernel(args.source)
    sync(args.source, args.dest, KERNEL_STATE, ROOT, kernel_folders(),
         args.cache, args.jobs, kernel_files())


def do_weave(args):
    if not os.path.isdir(args.source):
        raise GraftError(f"{args.source}: there is no such directory")
    sync(args.source, args.dest, args.state, os.path.abspath(args.root),
         [os.path.abspath(folder) for folder in args.folder], args.cache,
         args.jobs)


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main():
    parser = argparse.ArgumentParser(
        prog="graft.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__)
    parser.add_argument("--cache", metavar="DIR",
                        default=os.environ.get("IQ_SPATCH_CACHE"),
                        help="keep results of spatch there (IQ_SPATCH_CACHE)")
    parser.add_argument("--jobs", type=positive, metavar="N",
                        default=os.environ.get("IQ_JOBS") or "2",
                        help="how many at a time (IQ_JOBS)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("graft", do_graft), ("ungraft", do_ungraft),
                           ("check", do_check)):
        command = commands.add_parser(name)
        command.add_argument("tree")
        command.set_defaults(function=function)
    command = commands.add_parser("callouts")
    command.set_defaults(function=do_callouts)
    command = commands.add_parser("sync")
    command.add_argument("source")
    command.add_argument("dest")
    command.set_defaults(function=do_sync)
    command = commands.add_parser("weave")
    command.add_argument("--root", required=True)
    command.add_argument("--state", required=True)
    command.add_argument("source")
    command.add_argument("dest")
    command.add_argument("folder", nargs="+")
    command.set_defaults(function=do_weave)
    args = parser.parse_args()

    # A terminated run must undo what it wrote, like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        args.function(args)
    except Unfinished as err:
        print(f"graft: {err}", file=sys.stderr)
        sys.exit(1)
    except GraftError as err:
        text = str(err).rstrip(".")
        print(f"graft: {text}. Nothing was changed.", file=sys.stderr)
        sys.exit(1)
    except OSError as err:
        print(f"graft: {err}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("graft: interrupted. Nothing was changed.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
