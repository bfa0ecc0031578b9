#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of series.py: the patches make the grafted tree, or there are none.

    test_series.py KERNEL CACHE [TEST...]

KERNEL is a pristine kernel, of which a reduced copy is made; CACHE keeps
spatch's results.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(REPO, "tests", "graft"),
                os.path.join(REPO, "scripts")]
import series
import test_graft
from test_graft import Failed, differences, expect, snapshot

NAME, MAIL = "Ada Integrator", "ada@vendor.example"


class Lab(test_graft.Lab):
    def __init__(self, kernel, cache, scratch):
        super().__init__(kernel, cache, scratch)
        self.made = None
        # A user whose git knows his name, and one whose does not.
        self.known = os.path.join(scratch, "gitconfig")
        with open(self.known, "w", encoding="utf-8") as handle:
            handle.write(f"[user]\n\tname = {NAME}\n\temail = {MAIL}\n"
                         "[commit]\n\tgpgsign = true\n"
                         "[format]\n\tpretty = oneline\n\tsignOff = true\n"
                         "[diff]\n\tnoprefix = true\n[core]\n\tautocrlf = "
                         "input\n")

    def environment(self, config):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith("GIT_") and
               name not in ("FORCE", "EMAIL")}
        env.update({"GIT_CONFIG_GLOBAL": config, "GIT_CONFIG_NOSYSTEM": "1",
                    "HOME": self.scratch})
        return env

    def make(self, *line, config=None, **more):
        return subprocess.run(
            ["/usr/bin/python3", "-B",
             os.path.join(self.repo, "scripts", "series.py"), "--cache",
             self.cache, *line], capture_output=True, text=True, check=False,
            env=self.environment(config or self.known), **more)

    def series(self):
        """The series of a pristine tree, made once."""
        if not self.made:
            out = os.path.join(self.scratch, "series")
            tree = self.tree()
            before = snapshot(tree)
            run = self.make("series", tree, out)
            expect(run.returncode == 0, run.stderr)
            expect(before == snapshot(tree), "the kernel tree was written to")
            patches = sorted(glob.glob(os.path.join(out, "*.patch")))
            expect(len(patches) > 3, f"only {patches}")
            self.made = out, patches
        return self.made

    def git(self, repo, *line):
        run = subprocess.run(["git", "-C", repo, *line], text=True,
                             capture_output=True, check=False,
                             env=self.environment(self.plain()))
        expect(run.returncode == 0, f"git {line[0]}: {run.stderr}")
        return run.stdout

    def plain(self):
        path = os.path.join(self.scratch, "plainconfig")
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("[user]\n\tname = Somebody\n\temail = else@where\n")
        return path

    def repository(self):
        tree = self.tree()
        self.git(tree, "init", "-q")
        self.git(tree, "add", "-A", "-f")
        self.git(tree, "commit", "-q", "-m", "pristine")
        return tree

    def expected(self):
        """What graft makes of the same tree, without its record."""
        tree = self.tree()
        self.grafted(tree)
        return contents(tree)

    def turned_down(self, line, *patterns, **more):
        """One error that says all this."""
        run = self.make(*line, **more)
        expect(run.returncode != 0, f"{line} succeeded")
        expect("Traceback" not in run.stderr, run.stderr)
        lines = [text for text in run.stderr.split("\n")
                 if text and not text.startswith("graft: warning: ")]
        expect(len(lines) == 1 and not run.stdout,
               f"not one error:\n{run.stderr}{run.stdout}")
        for pattern in patterns + (r"Nothing was written\.$",):
            expect(re.search(pattern, lines[0]),
                   f"'{lines[0]}' does not say /{pattern}/")


def contents(tree):
    return {name: entry for name, entry in snapshot(tree).items()
            if not name.startswith((".git/", test_graft.STATE))
            and name != ".git" and not os.path.isdir(os.path.join(tree, name))}


TESTS = []


def test(function):
    TESTS.append(function)
    return function


@test
def git_am_makes_the_grafted_tree(lab):
    _, patches = lab.series()
    tree = lab.repository()
    lab.git(tree, "am", "-q", *patches)
    found, expected = contents(tree), lab.expected()
    expect(found == expected, "different: " + differences(found, expected))
    expect(lab.git(tree, "status", "--short") == "", "not all is committed")
    return f"{len(patches)} patches, {len(found)} files"


@test
def one_patch_makes_the_grafted_tree(lab):
    out = os.path.join(lab.scratch, "one.diff")
    run = lab.make("patch", lab.tree(), out)
    expect(run.returncode == 0, run.stderr)
    expected = lab.expected()
    for tool in (["git", "apply", out], ["patch", "-s", "-p1", "-i", out]):
        tree = lab.tree()
        run = subprocess.run(tool, cwd=tree, capture_output=True, text=True,
                             check=False)
        expect(run.returncode == 0, f"{tool[0]}: {run.stderr}{run.stdout}")
        found = contents(tree)
        expect(found == expected, f"{tool[0]}: "
               + differences(found, expected))
    run = lab.make("patch", lab.tree())
    with open(out, encoding="utf-8") as handle:
        expect(run.stdout == handle.read(), "stdout is not the file")


@test
def checkpatch_has_nothing_to_say(lab):
    _, patches = lab.series()
    said = ""
    for patch in patches:
        run = subprocess.run(
            ["perl", os.path.join(lab.kernel, "scripts/checkpatch.pl"),
             "--no-tree", "--strict", "--terse", "--show-types", patch],
            capture_output=True, text=True, check=False)
        expect("total:" in run.stdout or run.returncode == 0, run.stderr)
        said += "" if run.returncode == 0 else run.stdout
    expect(not said, said)


@test
def author_and_sign_off_are_the_users(lab):
    out, patches = lab.series()
    for patch in patches:
        with open(patch, encoding="utf-8") as handle:
            text = handle.read()
        expect(f"\nFrom: {NAME} <{MAIL}>\n" in text, f"{patch}: author")
        expect(text.count(f"\nSigned-off-by: {NAME} <{MAIL}>\n") == 1,
               f"{patch}: sign-off")
    with open(os.path.join(out, "0000-cover-letter.txt"),
              encoding="utf-8") as handle:
        text = handle.read()
    expect(text.startswith(f"From: {NAME} <{MAIL}>\n"), text[:200])
    expect(f"[PATCH 0/{len(patches)}]" in text, text[:200])
    for patch in patches:
        subject = subject_of(patch)
        expect(f"  {subject}\n" in text, f"the cover lacks '{subject}'")


def subject_of(patch):
    with open(patch, encoding="utf-8") as handle:
        match = re.search(r"^Subject: \[PATCH \d+/\d+\] (.*(?:\n .*)*)",
                          handle.read(), re.M)
    return match[1].replace("\n", "")


@test
def patches_come_in_order(lab):
    """Core, PCI, VFIO, the drivers, tests, and documentation last; each brings its own.

    Seen failing with tests and documentation exchanged in series.py.
    """
    _, patches = lab.series()
    touched = []
    for patch in patches:
        with open(patch, encoding="utf-8") as handle:
            touched.append(set(re.findall(r"^\+\+\+ b/(.*)$", handle.read(),
                                          re.M)))
    def first(name):
        at = [number for number, names in enumerate(touched) if name in names]
        expect(len(at) == 1, f"{name} is in {len(at)} patches")
        return at[0]
    order = [first(name) for name in (
        "drivers/iommu/iommu.c", "drivers/pci/pci.c",
        "drivers/vfio/pci/vfio_pci_core.c", "drivers/iommu/intel/dmar.c",
        "drivers/iommu/amd/iommu.c",
        "drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c",
        "drivers/iommu/quarantine/tests/conformance/fixture.c",
        "Documentation/ABI/testing/sysfs-bus-pci-iommu_quarantine")]
    expect(order == sorted(set(order)), f"order {order}")
    for number, (patch, names) in enumerate(zip(patches, touched)):
        for name in names:
            for vendor, at in (("intel-vtd", 3), ("amd-iommu", 4),
                               ("arm-smmu-v3", 5)):
                # The tests add their own objects to the drivers' folders.
                expect(f"quarantine/{vendor}/" not in name or "kunit" in name
                       or name.endswith("/Makefile") and number > order[at]
                       or number == order[at], f"{name} in {patch}")


@test
def functions_that_change_are_named(lab):
    """As the diff has them, which git looks up in another way."""
    _, patches = lab.series()
    for patch in patches:
        with open(patch, encoding="utf-8") as handle:
            text = handle.read()
        log = text.split("\n---\n")[0]
        for name, body in re.findall(
                r"^diff --git a/(\S+\.[ch]) .*\n((?:(?!diff --git).*\n)*)",
                text, re.M):
            if "new file mode" in body:
                continue
            expect(f" - {name}:" in log, f"{patch} does not name {name}")
    with open(patches[3], encoding="utf-8") as handle:
        log = handle.read().split("\n---\n")[0]
    expect("drivers/iommu/intel/dmar.c: qi_check_fault(), qi_submit_sync()\n"
           in log, log)


@test
def function_whose_type_has_a_line_of_its_own(_):
    """iommu_attach_handle_get() of 6.12 was not named."""
    for head in ("static struct one *name(int a,\n\t\t\tint b)",
                 "struct one *\nname(int a)"):
        lines = f"{head}\n{{\n\tcall();\n\treturn NULL;\n}}".split("\n")
        expect(series.enclosing(lines, len(lines) - 2) == "name", head)


@test
def base_commit_of_a_git_tree(lab):
    tree = lab.repository()
    head = lab.git(tree, "rev-parse", "HEAD").strip()
    for edited in (False, True):
        out = os.path.join(lab.scratch, f"base-{edited}")
        if edited:
            test_graft.edit(os.path.join(tree, "Kbuild"),
                            lambda text: text + "# mine\n")
        run = lab.make("series", tree, out)
        expect(run.returncode == 0, run.stderr)
        with open(os.path.join(out, "0000-cover-letter.txt"),
                  encoding="utf-8") as handle:
            text = handle.read()
        expect((f"\nbase-commit: {head}\n" in text) != edited,
               f"edited {edited}: {text[-200:]}")


# ---- it refuses, and writes nothing -----------------------------------------

@test
def directory_that_is_not_empty(lab):
    out = os.path.join(lab.scratch, "full")
    os.mkdir(out)
    with open(os.path.join(out, "mine"), "w", encoding="utf-8"):
        pass
    lab.turned_down(("series", lab.tree(), out), "not empty")
    expect(os.listdir(out) == ["mine"], "something was written")
    lab.turned_down(("series", lab.tree(), os.path.join(out, "mine")),
                    "no directory")
    lab.turned_down(("patch", lab.tree(), os.path.join(out, "mine")),
                    "there already")
    lab.turned_down(("patch", lab.tree(), os.path.join(out, "no/where")),
                    "no directory for")


@test
def trees_that_cannot_be_used(lab):
    out = os.path.join(lab.scratch, "unused")
    grafted = lab.tree()
    lab.grafted(grafted)
    for command in ("series", "patch"):
        lab.turned_down((command, grafted, out), "grafted already")
        lab.turned_down((command, lab.scratch, out), "no kernel source tree")
        lab.turned_down((command, os.path.join(lab.scratch, "nowhere"), out),
                        "no such directory")
    expect(not os.path.exists(out), "something was written")


@test
def tree_that_does_not_fit(lab):
    tree = lab.tree()
    name = lab.first("cocci").file
    os.unlink(os.path.join(tree, name))
    out = os.path.join(lab.scratch, "unfit")
    run = lab.make("series", tree, out)
    expect(run.returncode != 0 and not os.path.exists(out), run.stdout)
    expect(f"{name}: no such file" in run.stderr or
           "it has no " + name in run.stderr, run.stderr)


@test
def user_without_a_name(lab):
    nobody = os.path.join(lab.scratch, "nobody")
    with open(nobody, "w", encoding="utf-8"):
        pass
    out = os.path.join(lab.scratch, "unsigned")
    lab.turned_down(("series", lab.tree(), out), "user.name", "user.email",
                    config=nobody)
    expect(not os.path.exists(out), "something was written")


def main():
    kernel, cache = sys.argv[1:3]
    only = sys.argv[3:]
    tests = [one for one in TESTS if not only or one.__name__ in only]
    print(f"KTAP version 1\n1..{len(tests)}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="iq-series-test-") as scratch:
        lab = Lab(kernel, cache, scratch)
        for number, function in enumerate(tests, 1):
            name = function.__name__.replace("_", " ")
            start = time.monotonic()
            try:
                note = function(lab)
                if note:
                    print(f"# {note}")
                print(f"ok {number} {name}", flush=True)
            except Exception as err:  # a test that breaks has failed
                failed += 1
                text = str(err) if isinstance(err, Failed) else repr(err)
                for line in text.split("\n"):
                    print(f"# {line}")
                print(f"not ok {number} {name}", flush=True)
            print(f"series: {name}: {time.monotonic() - start:.1f} s",
                  file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
