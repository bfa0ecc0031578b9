#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of how sources are found, fetched, kept and checked.

A tiny archive in a folder stands for the Debian mirror: real apt, no network.
It offers packages whose files are gone, as a real one does after an update. And of
what is installed for that, on a machine whose package tools do nothing.
"""

import contextlib
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
SOURCES = os.path.join(REPO, "scripts", "sources.sh")
PRIVATE = os.path.join(REPO, "scripts", "apt-private.py")


class Failed(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)


def read(path):
    with open(path, "rb") as handle:
        return handle.read()


def kernel_tree(top, version):
    numbers = version.split(".")
    write(os.path.join(top, "Makefile"),
          f"VERSION = {numbers[0]}\nPATCHLEVEL = {numbers[1]}\n"
          f"SUBLEVEL = {numbers[2]}\nEXTRAVERSION =\n")
    write(os.path.join(top, "drivers/iommu/iommu.c"), f"/* {version} */\n")


class Archive:
    """A Debian archive in a folder, and a machine that is set up to use it."""

    def __init__(self, scratch):
        self.top = os.path.join(scratch, "debian")
        self.etc = os.path.join(scratch, "etc")
        self.scratch = scratch
        self.packages = {}
        write(os.path.join(self.etc, "sources.list"),
              f"deb [trusted=yes] file:{self.top} bookworm main\n"
              f"deb [trusted=yes] file:{self.top} bookworm-updates main\n")
        for suite in ("bookworm-backports", "trixie-backports", "trixie",
                      "sid", "experimental"):
            self.packages[suite] = {"Packages": "", "Sources": ""}

    def linux_source(self, suite, minor, version, gone=False, half=False):
        package = f"linux-source-7.{minor}"
        build = os.path.join(self.scratch, f"deb-{version}")
        tree = os.path.join(build, "tree")
        kernel_tree(tree, version.split("-", 1)[0])
        inner = os.path.join(build, "deb", "usr/src", f"{package}.tar.xz")
        os.makedirs(os.path.dirname(inner))
        subprocess.run(["tar", "-C", tree, "--transform", f"s,^\\.,{package},",
                        "-cJf", inner, "."], check=True)
        if half:
            os.truncate(inner, os.path.getsize(inner) - 40)
        control = (f"Package: {package}\nVersion: {version}\n"
                   f"Architecture: all\nMaintainer: nobody <nobody@invalid>\n"
                   f"Description: a test\n")
        write(os.path.join(build, "deb", "DEBIAN/control"), control)
        name = f"pool/{package}_{version}_all.deb"
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group",
                        os.path.join(build, "deb"), path], check=True,
                       stdout=subprocess.DEVNULL)
        self.packages[suite]["Packages"] += control + self.entry(name) + "\n"
        if gone:
            os.unlink(path)

    def entry(self, name):
        data = read(os.path.join(self.top, name))
        return (f"Filename: {name}\nSize: {len(data)}\n"
                f"SHA256: {hashlib.sha256(data).hexdigest()}\n")

    def qemu(self, suite, version, gone=False):
        base = version.split(":", 1)[1]
        upstream = base.rsplit("-", 1)[0]
        tree = os.path.join(self.scratch, f"qemu-{base}")
        write(os.path.join(tree, "VERSION"), upstream.split("+")[0] + "\n")
        write(os.path.join(tree, "hw/i386/intel_iommu.c"), "/* VT-d */\n")
        orig, dsc = f"qemu_{upstream}.orig.tar.xz", f"qemu_{base}.dsc"
        pool = os.path.join(self.top, "pool")
        os.makedirs(pool, exist_ok=True)
        subprocess.run(["tar", "-C", os.path.dirname(tree), "-cJf",
                        os.path.join(pool, orig), os.path.basename(tree)],
                       check=True)
        write(os.path.join(pool, dsc), "a test\n")
        sums = "".join(
            f" {hashlib.sha256(read(os.path.join(pool, name))).hexdigest()} "
            f"{os.path.getsize(os.path.join(pool, name))} {name}\n"
            for name in (dsc, orig))
        self.packages[suite]["Sources"] += (
            f"Package: qemu\nBinary: qemu\nVersion: {version}\n"
            f"Format: 3.0 (quilt)\nArchitecture: any\nDirectory: pool\n"
            f"Checksums-Sha256:\n{sums}\n")
        if gone:
            os.unlink(os.path.join(pool, orig))

    def publish(self):
        machine = subprocess.run(["dpkg", "--print-architecture"], text=True,
                                 check=True, capture_output=True).stdout.strip()
        for suite, lists in self.packages.items():
            top = os.path.join(self.top, "dists", suite)
            names = {f"main/binary-{machine}/Packages": lists["Packages"],
                     "main/source/Sources": lists["Sources"]}
            release = (f"Origin: Test\nSuite: {suite}\nCodename: {suite}\n"
                       f"Architectures: {machine}\nComponents: main\n"
                       f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n")
            for name, text in names.items():
                write(os.path.join(top, name), text)
                digest = hashlib.sha256(text.encode()).hexdigest()
                release += f" {digest} {len(text.encode())} {name}\n"
            write(os.path.join(top, "Release"), release)


class Mirror(http.server.SimpleHTTPRequestHandler):
    """Serves the archive; breaks off in the middle of a package until it is mended."""

    asked = []      # the Range of each request for a package, or None
    broken = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        if not self.path.endswith(".deb"):
            super().do_GET()
            return
        data = read(self.translate_path(self.path))
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        Mirror.asked.append(int(start[1]) if start else None)
        rest = data[int(start[1]):] if start else data
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range",
                             f"bytes {start[1]}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(rest[:len(rest) // 2] if Mirror.broken else rest)


@contextlib.contextmanager
def served(archive):
    """The archive over HTTP, on this machine alone."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Mirror(*args, directory=archive.top))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    write(os.path.join(archive.etc, "sources.list"),
          f"deb [trusted=yes] {uri} bookworm main\n")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class Machine:
    """One archive and one cache per test."""

    def __init__(self, scratch):
        self.archive = Archive(scratch)
        self.cache = os.path.join(scratch, "cache")
        self.scratch = scratch

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items()
                if name not in ("KERNEL", "QEMU_SRC")}
        kept.update(IQ_CACHE=self.cache, IQ_APT_ETC=self.archive.etc, **more)
        return kept

    def run(self, *words, **more):
        return subprocess.run([SOURCES, *words], text=True, check=False,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              env=self.environment(**more))

    def good(self, *words, **more):
        run = self.run(*words, **more)
        expect(run.returncode == 0, f"{words} failed:\n{run.stderr}")
        return run

    def bad(self, text, *words, **more):
        run = self.run(*words, **more)
        expect(run.returncode != 0, f"{words} succeeded")
        expect(text in run.stderr, f"no '{text}' in:\n{run.stderr}")

    def path(self, what="kernel", **more):
        return self.good("path", what, **more).stdout.strip()


TESTS = []


def test(function):
    TESTS.append(function)
    return function


def private(etc, *words):
    run = subprocess.run(["/usr/bin/python3", "-B", PRIVATE, *words],
                         text=True, capture_output=True, check=False,
                         env={**os.environ, "IQ_APT_ETC": etc})
    return run


@test
def one_line_format(machine):
    etc = os.path.join(machine.scratch, "one-line")
    write(os.path.join(etc, "sources.list"),
          "# deb http://commented.invalid/debian bookworm main\n"
          "deb-src http://source.invalid/debian bookworm main\n"
          "deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian/ "
          "bookworm main contrib # mine\n"
          "deb http://mirror.invalid/debian bookworm-updates main\n"
          "deb http://mirror.invalid/debian-security bookworm-security main\n")
    write(os.path.join(etc, "sources.list.d/other.list"),
          "deb http://third.invalid/apt bookworm main\n")
    run = private(etc, "deb", "sid", "trixie-backports")
    expect(run.stdout == "Types: deb\nURIs: http://mirror.invalid/debian\n"
           "Suites: sid trixie-backports\nComponents: main\n"
           "Signed-By: /k.gpg\n", run.stdout + run.stderr)


@test
def deb822_format(machine):
    etc = os.path.join(machine.scratch, "deb822")
    write(os.path.join(etc, "sources.list.d/a.sources"),
          "Enabled: no\nTypes: deb\nURIs: http://off.invalid/debian\n"
          "Suites: bookworm bookworm-updates\nComponents: main\n\n"
          "# a comment\nTypes: deb deb-src\nURIs: http://mirror.invalid/x\n"
          "Suites: bookworm bookworm-updates\nComponents: main\n"
          "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
          " -----END PGP PUBLIC KEY BLOCK-----\n\n"
          "Types: deb\nURIs: http://mirror.invalid/debian-security\n"
          "Suites: bookworm-security\nComponents: main\n")
    run = private(etc, "deb-src", "trixie")
    expect("URIs: http://mirror.invalid/x\n" in run.stdout, run.stdout)
    expect("Types: deb-src\n" in run.stdout, run.stdout)
    expect(" -----BEGIN PGP" in run.stdout and "\n abc\n" in run.stdout,
           run.stdout)


@test
def machine_without_a_mirror(machine):
    etc = os.path.join(machine.scratch, "none")
    write(os.path.join(etc, "sources.list"),
          "deb http://third.invalid/apt nodistro main\n")
    run = private(etc, "deb", "sid")
    expect(run.returncode != 0 and "KERNEL=<tree>" in run.stderr, run.stderr)
    expect("Traceback" not in run.stderr, run.stderr)


@test
def verified_kernel_is_preferred(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1~bpo13+1")
    machine.archive.linux_source("trixie-backports", 2, "7.2.9-1~bpo13+1")
    machine.archive.linux_source("sid", 5, "7.5.1-1")
    machine.archive.publish()
    machine.good("kernel")
    tree = machine.path()
    expect(os.path.basename(tree) == "linux-7.3.4", tree)
    expect(b"7.3.4" in read(os.path.join(tree, "drivers/iommu/iommu.c")),
           "another kernel's content")
    run = machine.good("kernel")
    expect(run.stderr == "", f"the second run did something:\n{run.stderr}")


@test
def superseded_version_is_gone(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1~bpo13+1")
    machine.archive.linux_source("trixie-backports", 3, "7.3.9-1~bpo13+1",
                                 gone=True)
    machine.archive.publish()
    run = machine.good("kernel")
    expect("7.3.9-1~bpo13+1 is in the lists but cannot be had" in run.stderr,
           run.stderr)
    expect(os.path.basename(machine.path()) == "linux-7.3.4", machine.path())


@test
def other_suite_when_it_is_gone_everywhere(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1~bpo13+1",
                                 gone=True)
    machine.archive.linux_source("sid", 2, "7.2.9-1")
    machine.archive.linux_source("sid", 9, "7.9.1-1")
    machine.archive.publish()
    machine.good("kernel")
    expect(os.path.basename(machine.path()) == "linux-7.2.9", machine.path())


@test
def nothing_in_the_declared_range(machine):
    machine.archive.linux_source("sid", 9, "7.9.1-1")
    machine.archive.publish()
    machine.bad("KERNEL=<tree>", "kernel")
    machine.bad("there is no kernel source yet", "path", "kernel")


@test
def damaged_tree_is_unpacked_again(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    machine.archive.publish()
    machine.good("kernel")
    victim = os.path.join(machine.path(), "drivers/iommu/iommu.c")
    good = read(victim)
    with open(victim, "r+b") as handle:
        handle.truncate(3)
    run = machine.good("kernel")
    expect("changed or damaged" in run.stderr, run.stderr)
    expect(read(victim) == good, "still damaged")


@test
def truncated_download_is_fetched_again(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    machine.archive.publish()
    machine.good("kernel")
    shutil.rmtree(os.path.join(machine.cache, "src"))
    deb = os.path.join(machine.cache, "dl", "linux-source-7.3_7.3.4-1_all.deb")
    with open(deb, "r+b") as handle:
        handle.truncate(100)
    run = machine.good("kernel")
    expect("is damaged: fetching it again" in run.stderr, run.stderr)
    expect(os.path.isfile(os.path.join(machine.path(), "Makefile")), "no tree")


@test
def download_is_kept(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    machine.archive.publish()
    machine.good("kernel")
    shutil.rmtree(os.path.join(machine.cache, "src"))
    run = machine.good("kernel")
    expect("downloading" not in run.stderr, run.stderr)


@test
def broken_download_goes_on_where_it_was(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    # Not what a bad network is a reason for
    machine.archive.linux_source("trixie-backports", 3, "7.3.2-1")
    machine.archive.publish()
    with served(machine.archive):
        machine.bad("could not be fetched", "kernel")
        expect(Mirror.asked[0] is None, f"asked for {Mirror.asked}")
        Mirror.broken, before = False, len(Mirror.asked)
        machine.good("kernel")
        expect(Mirror.asked[before], f"began anew: {Mirror.asked}")
    expect(os.path.basename(machine.path()) == "linux-7.3.4", machine.path())


@test
def package_that_cannot_be_unpacked(machine):
    """As when there is no room: half a tree is none."""
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1", half=True)
    machine.archive.publish()
    machine.bad("cannot be unpacked", "kernel")
    machine.bad("there is no kernel source yet", "path", "kernel")


@test
def two_runs_at_once(machine):
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    machine.archive.publish()
    runs = [subprocess.Popen([SOURCES, "kernel"], text=True,
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=machine.environment()) for _ in range(2)]
    said = [run.communicate()[1] for run in runs]
    expect(all(run.returncode == 0 for run in runs), "\n".join(said))
    count = sum(text.count("downloading") for text in said)
    expect(count == 1, f"{count} downloads:\n" + "\n".join(said))
    left = [name for name in os.listdir(os.path.join(machine.cache, "src"))
            if name.startswith(".unpack")]
    expect(not left, f"left behind: {left}")


@test
def interrupted_unpacking_leaves_no_tree(machine):
    """What a killed run leaves is neither used nor in the way."""
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    machine.archive.publish()
    half = os.path.join(machine.cache, "src", ".unpack-linux-source-7.3.1")
    write(os.path.join(half, "Makefile"), "half\n")
    kernel_tree(os.path.join(machine.cache, "src", "linux-7.3.4"), "7.3.4")
    machine.bad("there is no kernel source yet", "path", "kernel")
    machine.good("kernel")
    expect(not os.path.exists(half), "the half tree is still there")


@test
def own_kernel(machine):
    tree = os.path.join(machine.scratch, "mine")
    kernel_tree(tree, "7.3.77")
    write(os.path.join(tree, ".config"), "CONFIG_X=y\n")
    write(os.path.join(tree, "kernel/fork.o"), "object\n")
    before = sorted(os.listdir(tree))
    machine.good("kernel", KERNEL=tree)
    copy = machine.path(KERNEL=tree)
    expect(os.path.basename(copy).startswith("linux-7.3.77-"), copy)
    expect(os.path.isfile(os.path.join(copy, "Makefile")), "no Makefile")
    for name in (".config", "kernel/fork.o"):
        expect(not os.path.exists(os.path.join(copy, name)), f"{name} copied")
    expect(before == sorted(os.listdir(tree)), "the user's tree changed")


@test
def own_kernel_that_is_none(machine):
    empty = os.path.join(machine.scratch, "empty")
    os.mkdir(empty)
    machine.bad("is no kernel source tree", "kernel", KERNEL=empty)
    machine.bad("there is no such directory", "kernel",
                KERNEL=empty + "/nowhere")


@test
def versions_beside_the_kernel_of_the_tests(machine):
    """Fetched by number; the kernel of the tests stays what it is."""
    machine.archive.linux_source("trixie-backports", 3, "7.3.4-1")
    machine.archive.linux_source("trixie-backports", 2, "7.2.9-1")
    machine.archive.linux_source("sid", 2, "7.2.13-1", gone=True)
    machine.archive.linux_source("experimental", 5, "7.5.1-1")
    machine.archive.publish()
    machine.good("kernel")
    tree = machine.good("version", "7.2").stdout.strip()
    expect(os.path.basename(tree) == "linux-7.2.9", tree)
    expect(machine.good("version", "7.3").stdout.strip() == machine.path(),
           "7.3 was fetched twice")
    expect(os.path.basename(machine.path()) == "linux-7.3.4", machine.path())
    run = machine.good("version", "7.2")
    expect(run.stderr == "", f"the second run did something:\n{run.stderr}")
    expect(machine.good("offered").stdout.split() == ["7.2", "7.3", "7.5"],
           "another list")
    run = machine.run("version", "7.1")
    expect(run.returncode == 3 and "no linux-source-7.1" in run.stderr,
           f"{run.returncode} {run.stderr}")
    machine.bad("usage", "version", "7")
    machine.bad("usage", "version")


@test
def tree_of_the_cache_is_not_copied(machine):
    machine.archive.linux_source("sid", 2, "7.2.9-1")
    machine.archive.publish()
    tree = machine.good("version", "7.2").stdout.strip()
    machine.good("kernel", KERNEL=tree)
    expect(machine.path(KERNEL=tree) == tree, machine.path(KERNEL=tree))
    write(os.path.join(tree, "drivers/iommu/iommu.c"), "/* mine, longer */\n")
    machine.bad("changed or damaged", "kernel", KERNEL=tree)


@test
def qemu_of_the_series(machine):
    machine.archive.qemu("trixie", "1:10.0.13+ds-0+deb13u1")
    machine.archive.qemu("trixie", "1:10.0.14+ds-0+deb13u1", gone=True)
    machine.archive.qemu("trixie", "1:11.1.0+ds-1")
    machine.archive.publish()
    run = machine.good("qemu")
    expect("1:10.0.14+ds-0+deb13u1 is in the lists but cannot be had"
           in run.stderr, run.stderr)
    expect(os.path.basename(machine.path("qemu")) == "qemu-10.0.13",
           machine.path("qemu"))


@test
def own_qemu(machine):
    tree = os.path.join(machine.scratch, "qemu")
    write(os.path.join(tree, "VERSION"), "11.1.0\n")
    machine.bad("is no QEMU source tree", "qemu", QEMU_SRC=tree)
    write(os.path.join(tree, "hw/i386/intel_iommu.c"), "/* VT-d */\n")
    machine.good("qemu", QEMU_SRC=tree)
    expect(machine.path("qemu", QEMU_SRC=tree) == os.path.realpath(tree),
           "not the user's tree")


def run_deps(machine, missing=(), fails=0, without=(), **env):
    """scripts/deps.sh on a machine whose package tools only write down what they are told.

    @missing is not installed; the first @fails installations fail; the tools @without are
    not there. Returns (the run, what apt-get was told).
    """
    tools = os.path.join(machine.scratch, "bin")
    told = os.path.join(machine.scratch, "told")
    with open(os.path.join(REPO, "scripts", "deps.sh"), encoding="utf-8") as handle:
        packages = re.search(r"^packages='(.*?)'$", handle.read(), re.M | re.S)[1].split()
    shutil.rmtree(tools, ignore_errors=True)
    there = "".join(f"installed {name}\n" for name in packages if name not in missing)
    write(told, "")
    for name, text in (
            ("dpkg-query", f"cat <<'EOF'\n{there}EOF\n"),
            ("apt-get", f'echo "$*" >>{told}\ncase "$*" in\n*install*) '
                        f'[ "$(grep -c install {told})" -gt {fails} ] ;;\nesac\n'),
            ("id", "echo 0\n")):
        if name not in without:
            write(os.path.join(tools, name), "#!/bin/sh\n" + text)
            os.chmod(os.path.join(tools, name), 0o755)
    for name in ("sh", "sed", "env", "cat", "grep"):
        os.symlink(shutil.which(name), os.path.join(tools, name))
    run = subprocess.run(["/bin/bash", os.path.join(REPO, "scripts", "deps.sh")],
                         env=dict(env, PATH=tools), text=True, capture_output=True, check=False)
    return run, read(told).decode().splitlines()


@test
def nothing_is_missing(machine):
    for env in ({}, {"CHECK_DEPS": "0"}):
        run, told = run_deps(machine, **env)
        expect((run.returncode, run.stderr, told) == (0, "", []), f"{run} {told}")


@test
def check_deps_0_installs_nothing(machine):
    run, told = run_deps(machine, missing=("sparse", "spin"), CHECK_DEPS="0")
    expect(run.returncode != 0 and not told, f"{run} {told}")
    expect("missing packages (CHECK_DEPS=0, nothing installed): sparse spin\n" in run.stderr,
           run.stderr)


@test
def what_is_missing_is_installed(machine):
    run, told = run_deps(machine, missing=("sparse",))
    expect(run.returncode == 0 and "installing: sparse" in run.stderr, str(run))
    expect(told == ["-q install -y --no-install-recommends sparse"], str(told))


@test
def package_lists_are_read_once(machine):
    run, told = run_deps(machine, missing=("sparse",), fails=1)
    expect(run.returncode == 0, str(run))
    expect([line.split()[1] for line in told] == ["install", "update", "install"], str(told))
    run, told = run_deps(machine, missing=("sparse",), fails=2)
    expect(run.returncode != 0 and "install by hand: sparse" in run.stderr, str(run))


@test
def another_distribution(machine):
    run, told = run_deps(machine, without=("dpkg-query",))
    expect(run.returncode != 0 and not told, f"{run} {told}")
    expect("this is no Debian system" in run.stderr and "coccinelle" in run.stderr, run.stderr)


def main():
    only = sys.argv[1:]
    tests = [one for one in TESTS if not only or one.__name__ in only]
    print(f"KTAP version 1\n1..{len(tests)}", flush=True)
    failed = 0
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace("_", " ")
        with tempfile.TemporaryDirectory(prefix="iq-sources-test-") as scratch:
            try:
                function(Machine(scratch))
                print(f"ok {number} {name}", flush=True)
            except Exception as err:  # a test that breaks has failed
                failed += 1
                text = str(err) if isinstance(err, Failed) else repr(err)
                for line in text.split("\n"):
                    print(f"# {line}")
                print(f"not ok {number} {name}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
