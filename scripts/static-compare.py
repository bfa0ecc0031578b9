#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Judge what sparse and the compiler said about kernel builds.

    static-compare.py --builds NAME PLAIN-LOG GRAFTED-LOG OBJECTS...

OBJECTS is one argument, a list with spaces in between. KTAP on stdout.
"""

import argparse
import collections
import os
import re
import sys

HOME = "drivers/iommu/quarantine/"
SAID = re.compile(r"^(\S+?):(\d+)(?::\d+)?: ((?:warning|error): .*)$")
CHECKED = re.compile(r"^  CHECK   (\S+)$")
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
    for name in ours:
        yield (f"{name} is clean", [
            f"{name}:{line}: {text}" for (file, text), lines in
            grafted.items() if file == name for line in lines])
    for name in sources:
        yield (f"{name} says nothing new", [
            f"{name}:{lines[-1]}: {text}" for (file, text), lines in
            grafted.items()
            if file == name and len(lines) > len(plain.get((file, text), []))])
    yield ("headers say nothing new", [
        f"{file}:{lines[-1]}: {text}" for (file, text), lines in
        grafted.items() if file not in ours and file not in sources
        and (file, text) not in plain])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--builds", nargs=4, action="append", required=True,
                        metavar=("NAME", "PLAIN-LOG", "GRAFTED-LOG", "OBJECTS"))
    results = [(f"{title}: {name}", complaints)
               for title, plain, grafted, names in parser.parse_args().builds
               for name, complaints in judge(plain, grafted, [
                   name[:-2] + ".c" for name in names.split()])]

    print(f"KTAP version 1\n1..{len(results)}")
    for number, (name, complaints) in enumerate(results, 1):
        for line in complaints:
            print(f"# {line}")
        print(f"{'not ok' if complaints else 'ok'} {number} {name}")
    sys.exit(1 if any(complaints for _, complaints in results) else 0)


if __name__ == "__main__":
    main()
