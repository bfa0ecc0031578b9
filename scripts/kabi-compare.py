#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compare what modules see of two kernel builds: layouts and symbol versions.

    kabi-compare.py PLAIN GRAFTED OBJECT...

PLAIN and GRAFTED are build trees with DWARF, OBJECT names files in both.
Structures of headers in include/ must keep their layout, grow at their end, or
use what their vendor has reserved in them: a member whose place a union takes that
still has it. All else is an error. Symbol versions are those that genksyms left in the
.cmd files of all objects of both trees: differences are printed.
"""

import argparse
import os
import re
import subprocess
import sys

DECLARED = re.compile(r"^/\* <[0-9a-f]+> (\S+):\d+ \*/$")
START = re.compile(r"^(struct|union) (\w+) \{$")
# One member directly in the structure: its declaration, offset and size.
MEMBER = re.compile(r"^\t(\S.*?;)\s*/\*\s*(\d+)(?::\s*\d+)?\s+(\d+) \*/$")
INNER_END = re.compile(r"^\t(\}.*?;)\s*/\*\s*(\d+)\s+(\d+) \*/$")
SIZE = re.compile(r"^\t/\* size: (\d+),")
SYMVER = re.compile(r"^#SYMVER (\w+) (0x[0-9a-f]+)$", re.M)


class Layout:
    def __init__(self):
        self.size = 0
        self.members = []    # (declaration, offset, size), nested ones as text


def pahole(path):
    """Name -> Layout of the structures that headers in include/ declare."""
    run = subprocess.run(["pahole", "--show_decl_info", path], text=True,
                         capture_output=True, errors="replace", check=False)
    if run.returncode != 0 or "{" not in run.stdout:
        sys.exit(f"kabi: pahole says nothing of {path}: {run.stderr.strip()}")
    found = {}
    where, name, layout, inner = "", None, None, ""
    for line in run.stdout.split("\n"):
        match = DECLARED.match(line)
        if match:
            where = match[1]
            continue
        match = START.match(line)
        if match:
            name, layout, inner = f"{match[1]} {match[2]}", Layout(), ""
            continue
        if layout is None:
            continue
        if line.startswith("}"):
            if "include/" in where and "/quarantine/" not in where:
                found[name] = layout
            layout = None
            continue
        match = SIZE.match(line)
        if match:
            layout.size = int(match[1])
            continue
        text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", line)).strip()
        match = INNER_END.match(line)
        if match:
            layout.members.append((inner + text, int(match[2]),
                                   int(match[3])))
            inner = ""
            continue
        if line.startswith("\t\t") or line.endswith("{"):
            offset = re.search(r"/\*\s*([\d: ]+)\*/", line)
            inner += text + (f"@{offset[1]}" if offset else "") + " "
            continue
        match = MEMBER.match(line)
        if match:
            layout.members.append((re.sub(r"\s+", " ", match[1]),
                                   int(match[2]), int(match[3])))
    return found


def layouts(build, objects):
    found = {}
    for name in objects:
        for struct, layout in pahole(os.path.join(build, name)).items():
            known = found.setdefault(struct, layout)
            if layout.members != known.members and \
                    len(layout.members) > len(known.members):
                found[struct] = layout
    return found


def versions(build, other):
    """Of the objects that both builds have, and of new ones of ours."""
    found = {}
    for at, _, names in os.walk(build):
        for name in names:
            twin = os.path.join(other, os.path.relpath(at, build), name)
            if name.endswith(".cmd") and (os.path.exists(twin) or
                                          "/quarantine" in at):
                with open(os.path.join(at, name), encoding="utf-8",
                          errors="replace") as handle:
                    found.update(SYMVER.findall(handle.read()))
    return found


def takes_its_place(before, after):
    """Is it a union of the same place and size in which the old member still is?"""
    return (before[1:] == after[1:] and after[0].startswith("union {") and
            f" {before[0]}" in after[0])


def judge(struct, old, new):
    """(allowed, what is different)"""
    different = []
    for before, after in zip(old.members, new.members):
        if before == after:
            continue
        if not takes_its_place(before, after):
            return False, (f"{struct} changes at offset {before[1]}: "
                           f"'{before[0]}' -> '{after[0]}'")
        different.append(f"{struct} uses what is reserved at offset {before[1]}: "
                         f"'{before[0]}' -> '{after[0]}'")
    added = new.members[len(old.members):]
    if len(new.members) < len(old.members) or new.size < old.size or \
            new.size > old.size and not added:
        return False, f"{struct} changes: {old.size} -> {new.size} bytes"
    if added:
        members = "; ".join(f"{text} at {offset}" for text, offset, _ in added)
        different.append(f"{struct} grows at its end, {old.size} -> {new.size} "
                         f"bytes: {members}")
    return True, "; ".join(different)


def main():
    parser = argparse.ArgumentParser(
        prog="kabi-compare.py", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plain")
    parser.add_argument("grafted")
    parser.add_argument("object", nargs="+")
    args = parser.parse_args()

    old, new = (layouts(build, args.object)
                for build in (args.plain, args.grafted))
    failed = 0
    gone = sorted(old.keys() - new.keys())
    both = sorted(old.keys() & new.keys())
    print(f"Layout: {len(both)} structures of include/ in "
          f"{len(args.object)} objects")
    for struct in both:
        allowed, text = judge(struct, old[struct], new[struct])
        if text:
            print(f"  {'' if allowed else 'ERROR: '}{text}")
        failed += not allowed
    for struct in gone:
        print(f"  ERROR: {struct} is gone")
        failed += 1
    if not failed:
        print("  no member moved")

    old_versions, new_versions = (
        versions(args.plain, args.grafted), versions(args.grafted, args.plain))
    print(f"Symbol versions: {len(old_versions)} exports")
    if not old_versions:
        print("  none: CONFIG_MODVERSIONS is off, or genksyms did not run")
    changed = sorted(name for name in old_versions.keys() & new_versions.keys()
                     if old_versions[name] != new_versions[name])
    for name in changed:
        print(f"  {name}: {old_versions[name]} -> {new_versions[name]}")
    for name in sorted(old_versions.keys() - new_versions.keys()):
        print(f"  ERROR: {name} is exported no more")
        failed += 1
    print(f"  {len(changed)} changed")
    added = sorted(new_versions.keys() - old_versions.keys())
    print(f"New exports: {len(added)}")
    for name in added:
        print(f"  {name}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
