#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Sum up KTAP files and end with "N passed, N failed, N skipped".

    ktap-summary.py [--junit FILE] DIR SUITE...

Suite S left DIR/S.ktap and its exit status in DIR/S.status. Leaves count; a
test with subtests counts only if it failed while they did not. What a crash
leaves behind fails: no file, no plan, fewer results than planned, a bail-out,
a non-zero status without a failed test.
"""

import argparse
import os
import re
import sys
import textwrap
from xml.sax.saxutils import escape, quoteattr

RESULT = re.compile(r"(not ok|ok)\b *(\d+)? *(?:- )?(.*)$")
PLAN = re.compile(r"1\.\.(\d+)")
DIRECTIVE = re.compile(r"(?<!\\)#\s*(SKIP|TIMEOUT|ERROR)\b:?\s*(.*)$",
                       re.I)


class Level:
    """The results at one depth of indentation."""

    def __init__(self, indent=0):
        self.indent = indent
        self.plan = None
        self.seen = 0
        self.inner = []      # leaves of the subtests whose result is to come
        self.leaves = []
        self.comments = []


class Suite:
    def __init__(self, name):
        self.name = name
        self.leaves = []     # (name, "passed" | "failed" | "skipped", text)

    def fail(self, name, text):
        self.leaves.append((name, "failed", text))

    def count(self, outcome):
        return sum(1 for leaf in self.leaves if leaf[1] == outcome)


def close(level, name):
    """The leaves of a finished level, its own faults among them."""
    leaves = level.inner + level.leaves if not level.seen else level.leaves
    if level.seen and level.inner:
        leaves = leaves + level.inner + [
            (f"{name}: subtests", "failed", "subtests without a result")]
    if level.plan is None:
        leaves = leaves + [(f"{name}: plan", "failed", "there is no plan")]
    elif level.seen != level.plan:
        leaves = leaves + [(f"{name}: plan", "failed",
                            f"planned {level.plan}, saw {level.seen}")]
    return leaves


def take_result(level, match):
    outcome = "passed" if match[1] == "ok" else "failed"
    name, text = match[3].strip(), "\n".join(level.comments)
    directive = DIRECTIVE.search(name)
    if directive:
        name = name[:directive.start()].strip()
        if directive[1].upper() == "SKIP" and outcome == "passed":
            outcome = "skipped"
            text = directive[2]
        elif directive[1].upper() in ("TIMEOUT", "ERROR"):
            outcome = "failed"
    level.seen += 1
    if match[2] and int(match[2]) != level.seen:
        level.leaves.append((f"{name}: number", "failed",
                             f"expected {level.seen}, got {match[2]}"))
    name = name or f"test {level.seen}"
    inner, level.inner, level.comments = level.inner, [], []
    if not inner:
        level.leaves.append((name, outcome, text))
        return
    level.leaves += [(f"{name}: {leaf}", how, why) for leaf, how, why in inner]
    if outcome == "failed" and all(how != "failed" for _, how, _ in inner):
        level.leaves.append((name, "failed", text))


def parse(suite, text):
    levels = [Level()]
    for line in text.split("\n"):
        line = line.rstrip("\r")
        stripped = line.lstrip(" ")
        indent = len(line) - len(stripped)
        result, plan = RESULT.match(stripped), PLAN.match(stripped)
        if stripped.startswith("Bail out!"):
            suite.fail("bail out", stripped)
            continue
        if not result and not plan:
            if stripped.startswith("#"):
                levels[-1].comments.append(stripped)
            continue
        while indent < levels[-1].indent:
            done = levels.pop()
            levels[-1].inner += close(done, "subtest")
        if indent > levels[-1].indent:
            levels.append(Level(indent))
        if plan:
            if levels[-1].plan is None:
                levels[-1].plan = int(plan[1])
            else:
                suite.fail("plan", "there are two plans")
        else:
            take_result(levels[-1], result)
    while len(levels) > 1:
        done = levels.pop()
        levels[-1].inner += close(done, "subtest")
    suite.leaves += close(levels[0], suite.name)


def load(folder, name):
    suite = Suite(name)
    try:
        with open(os.path.join(folder, name + ".ktap"), encoding="utf-8",
                  errors="replace") as handle:
            parse(suite, handle.read())
        with open(os.path.join(folder, name + ".status"),
                  encoding="utf-8") as handle:
            status = handle.read().strip()
    except OSError as err:
        suite.fail(name, f"left no result: {err}")
        return suite
    if status != "0" and not suite.count("failed"):
        suite.fail(name, f"ended with status {status}")
    if not suite.leaves:
        suite.fail(name, "ran no test")
    return suite


def junit(path, suites):
    with open(path, "w", encoding="utf-8") as out:
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n')
        for suite in suites:
            out.write(f"<testsuite name={quoteattr(suite.name)} "
                      f'tests="{len(suite.leaves)}" '
                      f'failures="{suite.count("failed")}" '
                      f'skipped="{suite.count("skipped")}">\n')
            for name, outcome, text in suite.leaves:
                out.write(f"<testcase classname={quoteattr(suite.name)} "
                          f"name={quoteattr(name)}>")
                if outcome == "failed":
                    out.write(f"<failure>{escape(text)}</failure>")
                elif outcome == "skipped":
                    out.write(f"<skipped message={quoteattr(text)}/>")
                out.write("</testcase>\n")
            out.write("</testsuite>\n")
        out.write("</testsuites>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--junit", metavar="FILE")
    parser.add_argument("folder")
    parser.add_argument("suite", nargs="+")
    args = parser.parse_args()
    suites = [load(args.folder, name) for name in args.suite]
    if args.junit:
        junit(args.junit, suites)
    for suite in suites:
        for name, outcome, text in suite.leaves:
            if outcome == "failed":
                print(f"{suite.name}: failed: {name}")
                for line in text.split("\n")[:20]:
                    if line:
                        print(f"    {line}")
    for suite in suites:
        print(f"{suite.name}: {suite.count('passed')} passed, "
              f"{suite.count('failed')} failed, "
              f"{suite.count('skipped')} skipped")
    # Who keeps but the end of the output is to know what it was.
    failed = [f"{suite.name}: {name}" for suite in suites
              for name, outcome, _ in suite.leaves if outcome == "failed"]
    if failed:
        print(textwrap.shorten("failed: " + "; ".join(failed), 1000,
                               placeholder=f" ... ({len(failed)} in all)"))
    totals = {how: sum(suite.count(how) for suite in suites)
              for how in ("passed", "failed", "skipped")}
    print(f"{totals['passed']} passed, {totals['failed']} failed, "
          f"{totals['skipped']} skipped")
    sys.exit(1 if totals["failed"] else 0)


if __name__ == "__main__":
    main()
