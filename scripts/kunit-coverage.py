#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Lines and branches of our own C that the KUnit tests reach, by folder.

    kunit-coverage.py --work DIR ARCH=GCOV=BUILD=BOOT.LOG...

The log is that of a boot whose init is tests/kunit/init.c; GCOV is the one of
the compiler. Code of a header counts where gcov says it is, once, in whatever
object it was compiled into. The head of a function is no line, and what a macro
of the kernel decides (an assertion, a guard, a message) is no branch. Fails if a
folder stays below 90 % of the lines or 80 % of the branches, and if
tests/kunit/uncovered does not say why a function has lines that are not reached
("file:function"), a file less than 80 % of its branches ("file:branches"), or
these kernels have no such file ("file"), or what it says is not so. KTAP on
stdout, the table as comments.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = "drivers/iommu/quarantine/"
HEADERS = {"include/linux/iommu-quarantine.h": "core/include/linux/iommu-quarantine.h"}
TESTS = re.compile(r"(^|/)kunit\.c$|^tests/")
LINES_AT_LEAST, BRANCHES_AT_LEAST = 90, 80
# A reason that begins so is one for what another CPU may reach now and then
BY_CHANCE = "by chance: "
# Branches of these lines are those of the kernel's macros, not ours.
MACROS = re.compile(r"lockdep_assert_|\bguard\(|_bit\(|kfree_rcu\(|WARN_ON|"
                    r"(dev|pci|pr)_\w+\(|_fops\b")


def die(text):
    print(f"kunit-coverage: error: {text}", file=sys.stderr)
    sys.exit(1)


def unpack(log, build, work):
    """Write the counters beside copies of the compiler's notes."""
    shutil.rmtree(work, ignore_errors=True)
    path, data, over, files = None, [], False, []
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            word, _, rest = line.strip().partition("gcov: ")[2].partition(" ")
            if word == "file":
                path, data = os.path.normpath(rest), []
            elif word == "data":
                data.append(rest)
            elif word == "end":
                where = path[path.index("/drivers/") + 1:]
                target = os.path.join(work, where)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                try:
                    counters = bytes.fromhex("".join(data))
                except ValueError:
                    die(f"{log}: the counters of {where} are garbled")
                with open(target, "wb") as handle:
                    handle.write(counters)
                shutil.copy(os.path.join(build, where[:-2] + "no"), target[:-2] + "no")
                files.append(target)
            elif word == "over":
                over = True
            elif word:
                die(f"{log}: {line.strip()}")
    if not over or not files:
        die(f"{log}: the counters did not come out of the machine")
    return files


def our_name(path):
    """Of a source as gcov names it: below our folder, or None."""
    path = os.path.normpath(path)
    if OURS in path:
        name = path[path.index(OURS) + len(OURS):]
        return None if TESTS.search(name) else name
    return next((ours for kernel, ours in HEADERS.items() if path.endswith("/" + kernel)),
                None)


class Line:
    def __init__(self, function):
        self.function = function
        self.count = 0
        # By the number of branches: objects need not agree on it
        self.branches = collections.defaultdict(collections.Counter)

    def add(self, line):
        self.count += line["count"]
        for number, branch in enumerate(line["branches"]):
            self.branches[len(line["branches"])][number] += branch["count"]

    def branch_counts(self):
        """Of the object that says most."""
        if not self.branches:
            return []
        total = max(self.branches, key=lambda n: sum(c > 0 for c in
                                                     self.branches[n].values()) / n)
        return [self.branches[total][number] for number in range(total)]


def is_macro(name, number, texts={}):  # pylint: disable=dangerous-default-value
    if name not in texts:
        with open(os.path.join(ROOT, name), encoding="utf-8") as handle:
            texts[name] = handle.read().split("\n")
    return MACROS.search(texts[name][number - 1])


def read(gcov, counters, found):
    """Add what one object says."""
    text = subprocess.run([gcov, "--json-format", "--branch-probabilities", "--stdout",
                           "--object-directory", os.path.dirname(counters),
                           os.path.basename(counters)], check=True, text=True,
                          cwd=os.path.dirname(counters), stdout=subprocess.PIPE).stdout
    for report in text.splitlines():
        for source in json.loads(report)["files"]:
            name = our_name(source["file"])
            if not name:
                continue
            heads = {function["start_line"] for function in source["functions"]}
            for line in source["lines"]:
                if line["line_number"] in heads:
                    continue
                if is_macro(name, line["line_number"]):
                    line["branches"] = []
                function = line.get("function_name", "?").split(".")[0]
                found[name].setdefault(line["line_number"], Line(function)).add(line)


def reasons():
    with open(os.path.join(ROOT, "tests/kunit/uncovered"), encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if line and not line.startswith("#"):
                where, _, why = (part.strip() for part in line.partition("|"))
                yield where, why


def sources():
    """All C of ours that a kernel may have, but for the tests."""
    names = subprocess.run(["git", "ls-files", "*.c"], cwd=ROOT, check=True, text=True,
                           stdout=subprocess.PIPE).stdout.split()
    return {name for name in names if not TESTS.search(name)}


def percent(part, whole):
    return 100 * part / whole if whole else 100


class Folder:
    def __init__(self):
        self.lines = self.reached = self.branches = self.taken = 0

    def add(self, line):
        counts = line.branch_counts()
        self.lines += 1
        self.reached += line.count > 0
        self.branches += len(counts)
        self.taken += sum(count > 0 for count in counts)

    def row(self, name):
        return (f"{name:28} {self.reached:5}/{self.lines:<5} "
                f"{percent(self.reached, self.lines):5.1f} %  {self.taken:5}/"
                f"{self.branches:<5} {percent(self.taken, self.branches):5.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True)
    parser.add_argument("boots", nargs="+", metavar="ARCH=GCOV=BUILD=BOOT.LOG")
    args = parser.parse_args()

    found = collections.defaultdict(dict)
    for boot in args.boots:
        arch, gcov, build, log = boot.split("=")
        for counters in unpack(log, build, os.path.join(args.work, arch)):
            read(gcov, counters, found)

    folders = collections.defaultdict(Folder)
    files = collections.defaultdict(Folder)
    functions = set()
    left = collections.defaultdict(list)
    half = collections.defaultdict(list)
    for name in sorted(found):
        for number, line in sorted(found[name].items()):
            folders[name.split("/")[0]].add(line)
            files[name].add(line)
            functions.add(f"{name}:{line.function}")
            if not line.count:
                left[f"{name}:{line.function}"].append(number)
            elif 0 in line.branch_counts():
                half[f"{name}:{line.function}"].append(number)
    why = dict(reasons())
    wanting = {where: f"not reached: {' '.join(map(str, numbers))}"
               for where, numbers in left.items()}
    wanting |= {name: "no kernel of these has it" for name in sources() - set(found)}
    wanting |= {f"{name}:branches": f"less than {BRANCHES_AT_LEAST} % of them are taken"
                for name, file in files.items()
                if percent(file.taken, file.branches) < BRANCHES_AT_LEAST}

    print("KTAP version 1")
    print(f"# {'':28} {'lines':>13}          {'branches':>11}")
    for name, folder in sorted(files.items()):
        print(f"# {folder.row(name)}")
    print("#")
    results = []
    for name, folder in sorted(folders.items()):
        print(f"# {folder.row(name)}")
        results.append((
            f"{name}: {LINES_AT_LEAST} % of lines, {BRANCHES_AT_LEAST} % of branches",
            percent(folder.reached, folder.lines) >= LINES_AT_LEAST and
            percent(folder.taken, folder.branches) >= BRANCHES_AT_LEAST, ""))
    with open(os.path.join(args.work, "left"), "w", encoding="utf-8") as handle:
        for what, table in (("not reached", left), ("one way only", half)):
            for where, numbers in sorted(table.items()):
                print(f"{where}: {what}: {' '.join(map(str, numbers))}", file=handle)
    results += [(f"{where} has a reason", where in why,
                 f"{what}; say why in tests/kunit/uncovered")
                for where, what in sorted(wanting.items())]
    results += [(f"{where} is still as tests/kunit/uncovered says", False,
                 "all of it is reached, or it is not there")
                for where in sorted(set(why) - set(wanting))
                if not why[where].startswith(BY_CHANCE) or where not in functions]
    print(f"1..{len(results)}")
    for number, (name, good, text) in enumerate(results, 1):
        if not good and text:
            print(f"# {text}")
        print(f"{'ok' if good else 'not ok'} {number} {name}")
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
