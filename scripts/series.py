#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Give the graft of a kernel tree as patches.

    series.py series TREE OUT    a cover letter and patches for git am
    series.py patch TREE [OUT]   one diff for git apply or patch -p1

The tree is only read. What the patches make of it is the grafted tree, byte
by byte, but for the record that graft keeps for ungraft.

A patch holds the files of one part: the core, drivers/pci, a backend, tests,
documentation. What several parts share (Kconfig, Makefiles, MAINTAINERS) is
in each patch as far as what it names is there: a Makefile line with its
objects, an option with the first Makefile line that uses it, a F: line with
its files. So each commit builds, with the option on and off.

The text of a patch is the file callouts/commit* of the folder it comes from;
the list of changed functions is made from the change itself.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap

import graft
from graft import GraftError

HOME = os.path.dirname(graft.KERNEL_STATE)
# Part -> the text of its commit, in the order of the series.
PARTS = {
    "core": "core/callouts/commit",
    "pci": "core/callouts/commit-pci",
    "vfio": "core/callouts/commit-vfio",
    "intel-vtd": "intel-vtd/callouts/commit",
    "amd-iommu": "amd-iommu/callouts/commit",
    "arm-smmu-v3": "arm-smmu-v3/callouts/commit",
    "tests": "core/callouts/commit-tests",
    "docs": "core/callouts/commit-docs",
}
COVER = "core/callouts/commit-cover"
COVER_NAME = "0000-cover-letter.txt"
NOTHING = " Nothing was written."


# ---- which part a file belongs to -------------------------------------------

def part_of_created(name):
    if name.startswith("Documentation/"):
        return "docs"
    if name.startswith(HOME + "/tests/") or \
            os.path.basename(name).startswith(("kunit", ".kunit")):
        return "tests"
    if name.startswith(HOME + "/"):
        folder = name[len(HOME) + 1:].split("/")[0]
        if folder in PARTS:
            return folder
    return "core"


def part_of_callout(callout):
    owner = callout.name.split("/")[0]
    if owner == "core" and callout.file.startswith("drivers/pci/"):
        return "pci"
    if owner == "core" and callout.file.startswith("drivers/vfio/"):
        return "vfio"
    return owner


def split(plan):
    """Part -> the paths it brings or changes."""
    parts = {name: set() for name in PARTS}
    for name in plan.created:
        parts[part_of_created(name)].add(name)
    owner = {}
    for callout in plan.callouts:
        part = part_of_callout(callout)
        known = owner.setdefault(callout.file, part)
        if known != part:
            raise GraftError(f"{callout.file} has call-outs of two parts of "
                             f"the series, {known} and {part}")
    for name, part in owner.items():
        parts[part].add(name)
    return {name: paths for name, paths in parts.items() if paths}


# ---- shared files, as far as they make sense --------------------------------

def is_makefile(name):
    return os.path.basename(name) in ("Makefile", "Kbuild")


def names_something_absent(line, folder, plan, present):
    """Does this Makefile line name objects or folders of ours that are not
    there yet?"""
    match = re.match(r"[\w$()., -]+?\s*[+:]?=\s*(.*)$", line)
    if not match:
        return False
    for word in match[1].split():
        path = os.path.normpath(os.path.join(folder, word))
        if word.endswith(".o"):
            needed = [path[:-2] + ".c"]
        elif word.endswith("/"):
            needed = [name for name in plan.created
                      if name.startswith(path + "/")]
        else:
            continue
        needed = [name for name in needed if name in plan.created]
        if needed and not any(name in present for name in needed):
            return True
    return False


def cut_makefile(name, lines, plan, present):
    folder = os.path.dirname(name)
    return [line for line in lines
            if not names_something_absent(line, folder, plan, present)]


def cut_maintainers(lines, plan, present):
    """Without the F: lines of ours whose files are not there yet."""
    kept = []
    for line in lines:
        match = re.match(r"F:\t(.*)$", line)
        if match:
            ours = [name for name in plan.created if covers(match[1], name)]
            if ours and not any(name in present for name in ours):
                continue
        kept.append(line)
    return kept


def covers(pattern, name):
    """Does a F: line speak of this file? "dir/" is all below, "*" one level."""
    if pattern.endswith("/"):
        return name.startswith(pattern)
    if pattern.endswith("/*"):
        return os.path.dirname(name) == pattern[:-2]
    return name == pattern


def cut_kconfig(lines, absent):
    """Without the options in ABSENT."""
    kept, skip = [], False
    for line in lines:
        match = re.match(r"(?:menu)?config\s+(\w+)", line)
        if match:
            skip = match[1] in absent
        elif line and not line[0].isspace() and not line.startswith("#"):
            skip = False
        if not skip:
            kept.append(line)
    return kept


def symbols(lines):
    return [match[1] for line in lines
            for match in [re.match(r"(?:menu)?config\s+(\w+)", line)] if match]


def contents_at(plan, present):
    """The contents of PRESENT: as grafted, or cut to what is there yet."""
    full = plan.contents()
    lines = {name: data.decode().split("\n") for name, data in full.items()
             if is_makefile(name) or name == "MAINTAINERS" or
             os.path.basename(name) == "Kconfig"}
    result = {name: full[name] for name in present}

    used_now, used_ever = set(), set()
    for name in filter(is_makefile, lines):
        kept = cut_makefile(name, lines[name], plan, present)
        for found, into in ((lines[name], used_ever), (kept, used_now)):
            if name in present or into is used_ever:
                into.update(re.findall(r"\$\(CONFIG_(\w+)\)",
                                       "\n".join(found)))
        if name in present:
            result[name] = "\n".join(kept).encode()
    absent = used_ever - used_now
    for name in lines:
        if os.path.basename(name) == "Kconfig" and name in plan.created:
            # An option that needs an absent one is absent, too.
            while True:
                more = depends_on(lines[name], absent) - absent
                if not more:
                    break
                absent |= more
            if name in present:
                result[name] = "\n".join(
                    cut_kconfig(lines[name], absent)).encode()
    if "MAINTAINERS" in present:
        result["MAINTAINERS"] = "\n".join(cut_maintainers(
            lines["MAINTAINERS"], plan, present)).encode()
    return result


def depends_on(lines, absent):
    """The options whose "depends on" names one of ABSENT."""
    found, symbol = set(), None
    for line in lines:
        match = re.match(r"(?:menu)?config\s+(\w+)", line)
        if match:
            symbol = match[1]
        elif re.match(r"\s+depends on ", line) and \
                set(re.findall(r"\w+", line)) & absent:
            found.add(symbol)
    return found


# ---- the commits -------------------------------------------------------------

def git(repo, *line, env=None, data=None):
    run = subprocess.run(["git", "-C", repo, *line], capture_output=True,
                         env=env, input=data, check=False)
    if run.returncode:
        raise GraftError(f"git {line[0]} failed: " +
                         run.stderr.decode("utf-8", "replace").strip())
    return run.stdout


def identity(tree):
    """Name and address of the user, as git has them for his kernel."""
    for folder in (tree, graft.ROOT):
        run = subprocess.run(["git", "-c", "user.useConfigOnly=true", "-C",
                              folder, "var", "GIT_COMMITTER_IDENT"],
                             capture_output=True, text=True, check=False)
        match = re.match(r"(.+) <(.+)> \d+ [+-]\d{4}$", run.stdout.strip())
        if run.returncode == 0 and match:
            return match[1], match[2]
    raise GraftError("git does not know who signs the patches off; say so "
                     "with git config user.name and git config user.email")


def base_commit(tree):
    """The commit that the tree is, if it is a git tree without changes."""
    run = subprocess.run(["git", "-C", tree, "rev-parse", "--verify",
                          "--show-prefix", "HEAD"],
                         capture_output=True, text=True, check=False)
    lines = run.stdout.split("\n")
    if run.returncode or lines[0]:
        return None
    clean = subprocess.run(["git", "-C", tree, "diff", "--quiet", "HEAD"],
                           capture_output=True, check=False)
    return lines[1] if clean.returncode == 0 else None


# Its type may be on the line before.
FUNCTION = re.compile(r"^(?=[A-Za-z_]).*?\b(\w+)\(")


def functions(before, after):
    """Names of the functions of AFTER that have lines which BEFORE has not."""
    import difflib
    old, new = (data.decode("utf-8", "replace").split("\n")
                for data in (before, after))
    found = {}
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, _, _, low, high in matcher.get_opcodes():
        if tag == "equal":
            continue
        for number in range(low, max(high, low + 1)):
            name = enclosing(new, number)
            if name:
                found[name] = True
    return list(found)


def enclosing(lines, number):
    """The function whose body holds the line; None at file scope."""
    for at in range(min(number, len(lines) - 1), -1, -1):
        line = lines[at]
        if line.startswith("}") and at < number:
            return None
        if line == "{":
            for top in range(at - 1, max(at - 20, -1), -1):
                match = FUNCTION.match(lines[top])
                if match and not lines[top].rstrip().endswith(";"):
                    return match[1]
            return None
        match = re.match(r"(?:static |const )*struct \w+ (?:\w+ = )?\{", line)
        if match:
            name = re.findall(r"\w+", line)
            return f"struct {name[-1]}"
    return None


def changes_text(plan, paths):
    """What changes in files that were there before, one paragraph each."""
    text = []
    for name in sorted(paths & set(plan.changed)):
        if not name.endswith((".c", ".h")):
            continue
        found = functions(plan.before[name], plan.changed[name])
        said = ", ".join(one if one.startswith("struct ") else one + "()"
                         for one in found) or "an include"
        text.append(textwrap.fill(f"{name}: {said}", 72,
                                  initial_indent=" - ",
                                  subsequent_indent="   ",
                                  break_on_hyphens=False,
                                  break_long_words=False))
    if not text:
        return ""
    return "Changed in existing code:\n" + "\n".join(text) + "\n\n"


def message(plan, part, paths, signer):
    path = os.path.join(graft.ROOT, PARTS[part])
    if not os.path.isfile(path):
        raise GraftError(f"there is no text for the part '{part}' of the "
                         f"series: {PARTS[part]}")
    text = graft.read(path).decode().rstrip("\n")
    return (f"{text}\n\n{changes_text(plan, paths)}"
            f"Signed-off-by: {signer[0]} <{signer[1]}>\n")


def make_plan(args):
    graft.check_kernel(args.tree)
    plan = graft.apply_manifest(args.tree, graft.ROOT, graft.kernel_folders(),
                                args.cache, args.jobs, graft.kernel_files())
    graft.raise_failures(plan, args.tree)
    return plan


def write(repo, contents):
    for name, data in contents.items():
        path = os.path.join(repo, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as handle:
            handle.write(data)


def environment(signer):
    """Of a git that knows nothing of the user's settings but his name."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("GIT_")}
    env.update({"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": signer[0], "GIT_AUTHOR_EMAIL": signer[1],
                "GIT_COMMITTER_NAME": signer[0],
                "GIT_COMMITTER_EMAIL": signer[1]})
    return env


def start(repo, plan, env):
    """A repository with the touched files as they are in the tree."""
    git(repo, "init", "-q", "-b", "base", env=env)
    for line in (("core.autocrlf", "false"), ("core.fileMode", "false"),
                 ("gc.auto", "0")):
        git(repo, "config", *line, env=env)
    write(repo, plan.before)
    git(repo, "add", "-A", "-f", env=env)
    git(repo, "commit", "-q", "-m", "base", env=env)


# ---- commands ----------------------------------------------------------------

def check_out(out):
    if os.path.lexists(out) and not os.path.isdir(out):
        raise GraftError(f"{out} is no directory; name one that is empty or "
                         f"does not exist")
    if os.path.isdir(out) and os.listdir(out):
        raise GraftError(f"{out} is not empty; name another directory, or "
                         f"remove what is in it")


def cover(args, plan, parts, signer, stat, log):
    version = ".".join(map(str, graft.kernel_version(args.tree)))
    base = base_commit(args.tree)
    text = graft.read(os.path.join(graft.ROOT, COVER)).decode().rstrip("\n")
    subject, _, body = text.partition("\n")
    changed = changes_text(plan, set(plan.changed))
    return (f"From: {signer[0]} <{signer[1]}>\n"
            f"Subject: [PATCH 0/{len(parts)}] {subject}\n\n"
            f"{body.strip()}\n\n"
            f"{changed}"
            f"Made for Linux {version} by 'make series'. Apply it with\n\n"
            f"    git am *.patch\n\n"
            f"{log}\n{stat}\n"
            + (f"base-commit: {base}\n" if base else ""))


def do_series(args):
    out = os.path.abspath(args.out)
    check_out(out)
    signer = identity(args.tree)
    plan = make_plan(args)
    parts = split(plan)
    env = environment(signer)
    with tempfile.TemporaryDirectory(prefix="iq-series-") as repo:
        start(repo, plan, env)
        present = set()
        for part, paths in parts.items():
            present |= paths
            write(repo, contents_at(plan, present))
            git(repo, "add", "-A", "-f", env=env)
            git(repo, "commit", "-q", "-F", "-", env=env,
                data=message(plan, part, paths, signer).encode())
        first = git(repo, "rev-list", "--max-parents=0", "HEAD",
                    env=env).decode().strip()
        if contents_at(plan, present) != plan.contents():
            raise GraftError("the series does not end at the grafted tree: a "
                             "Makefile, Kconfig or MAINTAINERS line names "
                             "what no part brings")
        stat = git(repo, "diff", "--stat=72", "--summary", first, "HEAD",
                   env=env).decode()
        log = git(repo, "log", "--reverse", "--format=  %s", f"{first}..HEAD",
                  env=env).decode()
        letter = cover(args, plan, parts, signer, stat, log).encode()
        with tempfile.TemporaryDirectory(prefix="iq-series-out-") as made:
            git(repo, "format-patch", "-q", "--no-signature", "-M", "-n",
                "-o", made, first, env=env)
            os.makedirs(out, exist_ok=True)
            for name in sorted(os.listdir(made)):
                graft.replace(os.path.join(out, name),
                              graft.read(os.path.join(made, name)))
        graft.replace(os.path.join(out, COVER_NAME), letter)
    print(f"series: {len(parts)} patches and {COVER_NAME} in {out}; apply "
          f"them with: git am {args.out}/*.patch")


def do_patch(args):
    if args.out and os.path.lexists(args.out):
        raise GraftError(f"{args.out} is there already; name another file")
    if args.out and not os.path.isdir(os.path.dirname(
            os.path.abspath(args.out))):
        raise GraftError(f"there is no directory for {args.out}")
    plan = make_plan(args)
    env = environment(("iommu-quarantine", "iommu-quarantine@localhost"))
    with tempfile.TemporaryDirectory(prefix="iq-patch-") as repo:
        start(repo, plan, env)
        write(repo, plan.contents())
        git(repo, "add", "-A", "-f", env=env)
        diff = git(repo, "diff", "--cached", "HEAD", env=env)
    if args.out:
        graft.replace(os.path.abspath(args.out), diff)
        print(f"patch: {args.out}; apply it with: git apply, or patch -p1")
    else:
        sys.stdout.buffer.write(diff)


def main():
    parser = argparse.ArgumentParser(
        prog="series.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__)
    parser.add_argument("--cache", metavar="DIR",
                        default=os.environ.get("IQ_SPATCH_CACHE"),
                        help="keep results of spatch there (IQ_SPATCH_CACHE)")
    parser.add_argument("--jobs", type=graft.positive, metavar="N",
                        default=os.environ.get("IQ_JOBS") or "2")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("series")
    command.add_argument("tree")
    command.add_argument("out")
    command.set_defaults(function=do_series)
    command = commands.add_parser("patch")
    command.add_argument("tree")
    command.add_argument("out", nargs="?")
    command.set_defaults(function=do_patch)
    args = parser.parse_args()
    try:
        args.function(args)
    except (GraftError, OSError) as err:
        text = str(err).rstrip(".")
        print(f"series: {text}.{NOTHING}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("series: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
