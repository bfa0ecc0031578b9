#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Flat KTAP and JUnit from the log of a KUnit boot.

    kunit-ktap.py --features FILE [--junit FILE] [--partial] ARCH=BOOT.LOG...

FILE says what the kernel has (features.h of the graft). Fails on a test that
failed, on one that was skipped without tests/kunit/skips knowing why, on a suite that tests/kunit/suites asks for and that is not there,
on a backend that lacks a body of the conformance suite or runs fewer than
twenty, and on anything the kernel complains about meanwhile. --partial: the
boot was asked for some suites only.
"""

import argparse
import os
import re
import sys
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINE = re.compile(r"^(?:\[[ .0-9]+\] ?)?(?P<indent> *)(?P<rest>.*?)\r?$")
RESULT = re.compile(r"^(?P<ok>ok|not ok) \d+(?: -)? (?P<name>\S+)"
                    r"(?: # (?P<directive>[A-Z]+)\s*(?P<why>.*))?")
PLAN = re.compile(r"^1\.\.(\d+)$")
COMPLAINT = re.compile(r"WARNING:|BUG:|Kernel panic|Oops:|"
                       r"possible circular|suspicious RCU|rcu.*stall|"
                       r"INFO: task .* blocked|UBSAN:|KASAN:")
# An instance of the conformance suite, and what it has to run of its bodies
INSTANCE = "iommu_quarantine_"
BODY = re.compile(r"^KUNIT_CASE\((\w+)\),$", re.M)
BODIES_AT_LEAST = 20


class Suite:
    def __init__(self, name):
        self.name = name
        self.tests = []
        self.planned = None
        self.done = False


def table(name, columns=2):
    with open(os.path.join(ROOT, "tests/kunit", name),
              encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if line and not line.startswith("#"):
                yield [part.strip() for part in line.split("|", columns - 1)]


def parse(lines):
    """The suites, and what the kernel complained about."""
    suites, complaints = [], []
    suite, notes = None, []
    for raw in lines:
        match = LINE.match(raw.rstrip("\n"))
        indent, rest = len(match["indent"]), match["rest"]
        if COMPLAINT.search(rest) and not rest.startswith("# "):
            complaints.append(rest.strip())
        if indent == 4 and rest.startswith("# Subtest: "):
            suite, notes = Suite(rest[len("# Subtest: "):]), []
            suites.append(suite)
            continue
        if not suite:
            continue
        plan = PLAN.match(rest)
        if plan and indent == 4:
            suite.planned = int(plan[1])
            continue
        result = RESULT.match(rest)
        if result and indent == 4:
            suite.tests.append((result["name"], result["ok"] == "ok",
                                result["directive"], result["why"], notes))
            notes = []
        elif result and indent == 0 and result["name"] == suite.name:
            suite.done = True
            suite = None
        elif indent >= 4:
            notes.append(rest)
    return suites, complaints


def conformance(suite, bodies):
    """Does the backend run the bodies? A result like those of judge()."""
    there = {test[0] for test in suite.tests} & bodies
    ran = len({name for name, _, directive, _, _ in suite.tests
               if directive != "SKIP"} & bodies)
    return (f"{suite.name} runs {ran} of {len(bodies)} bodies",
            there == bodies and ran >= BODIES_AT_LEAST,
            "missing: " + " ".join(sorted(bodies - there)), False)


def judge(arch, path, partial, skips):
    """Name, whether it is well, text, whether it was skipped, of each test."""
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            suites, complaints = parse(log)
    except OSError as err:
        return [("the kernel boots", False, str(err), False)]
    results = []
    for suite in suites:
        for name, ok, directive, why, notes in suite.tests:
            full = f"{suite.name}.{name}"
            if directive == "SKIP" and full in skips:
                results.append((full, True, skips[full], True))
            elif directive == "SKIP":
                results.append((full, False, f"skipped: {why}", False))
            else:
                results.append((full, ok, "\n".join(notes), False))
        if not suite.done or suite.planned != len(suite.tests):
            results.append((f"{suite.name} runs to its end", False,
                            f"{len(suite.tests)} of {suite.planned} tests",
                            False))
    with open(os.path.join(ROOT, "tests/conformance/cases.h"),
              encoding="utf-8") as cases:
        bodies = set(BODY.findall(cases.read()))
    results += [conformance(suite, bodies) for suite in suites
                if suite.name.startswith(INSTANCE) and not partial]
    there = {suite.name for suite in suites}
    for where, name in table("suites"):
        if not partial and where == arch and name not in there:
            results.append((f"{name} is there", False,
                            "the suite did not run", False))
    if not results:
        results.append(("the kernel boots", False, "no results in the log",
                        False))
    results.append(("the kernel does not complain", not complaints,
                    "\n".join(complaints), False))
    return results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", required=True)
    parser.add_argument("--junit")
    parser.add_argument("--partial", action="store_true")
    parser.add_argument("logs", nargs="+", metavar="ARCH=BOOT.LOG")
    args = parser.parse_args()

    with open(args.features, encoding="utf-8") as lines:
        features = set(re.findall(r"^#define IQ_HAVE_(\w+)$", lines.read(), re.M))
    skips = {name: why for name, feature, why in table("skips", 3)
             if feature == "-" or feature in features}
    results = []
    for pair in args.logs:
        arch, _, path = pair.partition("=")
        results += [(f"{arch}/{name}", *rest) for name, *rest
                    in judge(arch, path, args.partial, skips)]

    print("KTAP version 1")
    print(f"1..{len(results)}")
    for number, (name, ok, text, skipped) in enumerate(results, 1):
        if not ok and text:
            print("\n".join(f"# {line}" for line in text.splitlines()))
        print(f"{'ok' if ok else 'not ok'} {number} {name}"
              f"{' # SKIP ' + text if skipped else ''}")

    failed = sum(not ok for _, ok, _, _ in results)
    if args.junit:
        top = ET.Element("testsuite", name="kunit", tests=str(len(results)),
                         failures=str(failed))
        for name, ok, text, skipped in results:
            arch, _, rest = name.partition("/")
            case = ET.SubElement(top, "testcase", classname=arch, name=rest)
            if skipped:
                ET.SubElement(case, "skipped", message=text)
            elif not ok:
                ET.SubElement(case, "failure").text = text
        ET.ElementTree(top).write(args.junit, encoding="unicode")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
