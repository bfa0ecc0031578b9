#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Fail unless every symbol that the fragments ask for ended up as asked.

Kconfig drops a request whose dependencies are not met without a word; a
kernel that lacks lockdep would then pass every scenario. A line
"# either: CONFIG_A CONFIG_B" in a fragment names symbols of which kernels have
one or the other; a line "# not in all: CONFIG_A" those that a kernel may not
have, or not with this configuration: then .config does not even say that they
are not set.
"""

import re
import sys

SET = re.compile(r"(CONFIG_\w+)=(.*)$")
EITHER = re.compile(r"# either: ((?:CONFIG_\w+ ?)+)$")
NOT_IN_ALL = re.compile(r"# not in all: ((?:CONFIG_\w+ ?)+)$")
UNSET = re.compile(r"# (CONFIG_\w+) is not set$")


def symbols(path):
    found = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            match = SET.match(line)
            if match:
                found[match[1]] = match[2]
                continue
            match = UNSET.match(line)
            if match:
                found[match[1]] = "n"
    return found


def lists(pattern, path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            match = pattern.match(line.rstrip("\n"))
            if match:
                yield match[1].split()


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: kconfig-check.py CONFIG FRAGMENT...")
    final = symbols(sys.argv[1])
    asked = {}
    for fragment in sys.argv[2:]:
        asked.update((name, (value, fragment))
                     for name, value in symbols(fragment).items())
    for fragment in sys.argv[2:]:
        for names in lists(EITHER, fragment):
            if any(final.get(name) == asked[name][0] for name in names):
                for name in names:
                    del asked[name]
        for names in lists(NOT_IN_ALL, fragment):
            for name in names:
                if name not in final:
                    asked.pop(name, None)
    bad = [(name, value, fragment) for name, (value, fragment) in asked.items()
           if final.get(name, "n") != value]
    for name, value, fragment in bad:
        print(f"kconfig-check: {fragment} asks for {name}={value}, "
              f"the configuration has {final.get(name, 'n')}",
              file=sys.stderr)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
