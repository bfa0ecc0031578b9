#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Judge what sparse, the compiler and coccicheck said about kernels.

    static-compare.py --builds NAME PLAIN-LOG GRAFTED-LOG OBJECTS...
                      --kunit NAME LOG... --ours FILES --coccicheck FOLDER

OBJECTS and FILES are one argument each, a list with spaces in between. The builds of
--kunit have nothing to be compared with: only files of ours are looked at there. Each
C file of FILES has to be in one of the builds. FOLDER has a log for each rule of
coccicheck, over files below plain/, grafted/ and control/. KTAP on stdout.
"""

import argparse
import collections
import os
import pathlib
import re
import sys

HOME = "drivers/iommu/quarantine/"
SAID = re.compile(r"^(\S+?):(\d+)(?::\d+)?: ((?:warning|error): .*)$")
CHECKED = re.compile(r"^  CHECK   (\S+)$")
REPORT = re.compile(r"^(?:.*/)?(plain|grafted|control)/(\S+?):(\d+):[\d-]+: (.*)$")
OURS = re.compile(HOME + "|include/linux/iommu-quarantine|"
                  "include/trace/events/iommu_quarantine")
FOLDERS = ("drivers/", "include/", "arch/", "kernel/", "lib/")


def in_tree(path):
    """The path below the top of the kernel tree."""
    path = os.path.normpath(path)
    cut = min((at for at in (path.find("/" + folder) for folder in FOLDERS)
               if at >= 0), default=-1)
    return path[cut + 1:]


def read(path):
    """(file, message) -> lines where it was said; the files checked."""
    said = collections.defaultdict(list)
    checked = set()
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            line = line.rstrip("\n")
            match = SAID.match(line)
            if match:
                said[in_tree(match[1]), match[3]].append(int(match[2]))
            match = CHECKED.match(line)
            if match:
                checked.add(in_tree(match[1]))
            if "sparse" in line and "not available" in line:
                sys.exit(f"static-compare: sparse did not run: {line}")
    return said, checked


def judge(plain_log, grafted_log, sources):
    """(name, complaints) of each result."""
    plain, plain_checked = read(plain_log)
    grafted, grafted_checked = read(grafted_log)
    ours = sorted(name for name in grafted_checked if name.startswith(HOME))

    missing = [name for name in sources if name not in plain_checked or
               name not in grafted_checked]
    yield ("sparse ran over all files",
           [f"{name}: not checked" for name in missing] +
           ([] if ours else [f"nothing below {HOME}"]) +
           ([] if sources else ["no touched file"]))
    yield from clean(ours, grafted)
    for name in sources:
        yield (f"{name} says nothing new", [
            f"{name}:{lines[-1]}: {text}" for (file, text), lines in
            grafted.items()
            if file == name and len(lines) > len(plain.get((file, text), []))])
    yield ("headers say nothing new", [
        f"{file}:{lines[-1]}: {text}" for (file, text), lines in
        grafted.items() if file not in ours and file not in sources
        and (file, text) not in plain])


def clean(names, said):
    for name in names:
        yield (f"{name} is clean", [
            f"{name}:{line}: {text}" for (file, text), lines in
            said.items() if file == name for line in lines])


def judge_kunit(log):
    said, checked = read(log)
    ours = sorted(name for name in checked if name.startswith(HOME))
    yield from clean(ours, said)
    yield ("our headers are clean", [
        f"{file}:{lines[-1]}: {text}" for (file, text), lines in said.items()
        if OURS.match(file) and file not in ours])


def judge_completeness(files, logs):
    checked = {name for log in logs for name in read(log)[1]}
    yield ("sparse ran over all C of ours",
           [f"{name}: not checked" for name in files if name not in checked] +
           ([] if files else ["there is none"]))


def judge_coccicheck(folder):
    found = 0
    for path in sorted(pathlib.Path(folder).iterdir()):
        text = path.read_text(encoding="utf-8", errors="replace")
        skip = re.search(r"^(?:# SKIP (.*)|Skipping coccinelle SmPL patch.*)$", text, re.M)
        if skip:
            yield (f"{path.name} # SKIP {skip[1] or 'this spatch is too old'}", [])
            continue
        said = {name: collections.defaultdict(list)
                for name in ("plain", "grafted", "control")}
        for report in map(REPORT.match, text.splitlines()):
            if report:
                # Of another line, which the graft may have moved
                message = re.sub(r"\blines? \d+", "line", report[4])
                said[report[1]][report[2], message].append(report[3])
        found += len(said["control"])
        yield (f"{path.name} says nothing new", [
            f"{file}:{lines[-1]}: {message}" for (file, message), lines in
            said["grafted"].items()
            if len(lines) > len(said["plain"].get((file, message), []))] +
               (text.splitlines()[-10:] if "# FAILED" in text else []))
    yield ("a mistake is noticed", [] if found else ["control.c has one"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--builds", nargs=4, action="append", required=True,
                        metavar=("NAME", "PLAIN-LOG", "GRAFTED-LOG", "OBJECTS"))
    parser.add_argument("--kunit", nargs=2, action="append", default=[],
                        metavar=("NAME", "LOG"))
    parser.add_argument("--ours", required=True, metavar="FILES")
    parser.add_argument("--coccicheck", required=True, metavar="FOLDER")
    args = parser.parse_args()

    parts = [(title, judge(plain, grafted, [name[:-2] + ".c" for name in names.split()]))
             for title, plain, grafted, names in args.builds]
    parts += [(title, judge_kunit(log)) for title, log in args.kunit]
    logs = [build[2] for build in args.builds] + [log for _, log in args.kunit]
    parts.append(("all", judge_completeness(args.ours.split(), logs)))
    parts.append(("coccicheck", judge_coccicheck(args.coccicheck)))
    results = [(f"{title}: {name}", complaints)
               for title, part in parts for name, complaints in part]

    print(f"KTAP version 1\n1..{len(results)}")
    for number, (name, complaints) in enumerate(results, 1):
        for line in complaints:
            print(f"# {line}")
        print(f"{'not ok' if complaints else 'ok'} {number} {name}")
    sys.exit(1 if any(complaints for _, complaints in results) else 0)


if __name__ == "__main__":
    main()
