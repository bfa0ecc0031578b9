#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make what a machine boots into once its built-in KUnit tests have run.

    initramfs.py CROSS FILE [MODULE...]

CROSS is the prefix of the compiler's name; init.c loads the modules.
"""

import os
import stat
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
from run import cpio_entry  # noqa: E402  pylint: disable=wrong-import-position


def contents(path):
    with open(path, "rb") as handle:
        return handle.read()


def main():
    cross, path, *modules = sys.argv[1:]
    init = path + ".init"
    subprocess.run([cross + "gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", init,
                    os.path.join(HERE, "init.c")], check=True)
    parts = [cpio_entry(d, stat.S_IFDIR | 0o755) for d in ("dev", "sys")]
    parts += [cpio_entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1)),
              cpio_entry("init", stat.S_IFREG | 0o755, contents(init))]
    for number, module in enumerate(modules):
        name = os.path.basename(module)[:-len(".ko")].replace("-", "_")
        parts += [cpio_entry(f"{number}.ko", stat.S_IFREG | 0o644, contents(module)),
                  cpio_entry(f"{number}.name", stat.S_IFREG | 0o644, name.encode())]
    with open(path, "wb") as handle:
        handle.write(b"".join(parts) + cpio_entry("TRAILER!!!", 0))


if __name__ == "__main__":
    main()
