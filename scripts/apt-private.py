#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Write apt sources for other Debian suites, from the machine's own sources.

    apt-private.py TYPE SUITE... > iq.sources     TYPE: deb or deb-src

The mirror, its signing key and its trust options are those that the machine
is already configured for; only the suite differs. Both the one-line format
and deb822 are understood. Nothing of the system is changed.
"""

import glob
import os
import re
import sys

BASE_SUITES = {"bookworm", "trixie", "forky", "duke", "sid", "unstable",
               "testing", "stable", "oldstable", "oldoldstable"}
ADDON = re.compile(r"-(updates|backports|proposed-updates)$")
# Options of an entry that its copy for another suite must keep.
KEPT = {"signed-by": "Signed-By", "trusted": "Trusted",
        "check-valid-until": "Check-Valid-Until",
        "allow-insecure": "Allow-Insecure"}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def one_line(path):
    """Yield (uri, suites, components, kept options) of a .list file."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            line = line.split("#", 1)[0].strip()
            match = re.match(r"deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$", line)
            if not match:
                continue
            options = {}
            for option in (match[1] or "").split():
                name, _, value = option.partition("=")
                if name.lower() in KEPT:
                    options[KEPT[name.lower()]] = value
            yield match[2], [match[3]], match[4].split(), options


def deb822(path):
    """The same for a .sources file; fields keep their continuation lines."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        text = "".join(line for line in lines if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        for match in re.finditer(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)",
                                 stanza, re.M):
            fields[match[1].lower()] = match[2]
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").strip().lower() in ("no", "false", "0"):
            continue
        options = {KEPT[name]: value for name, value in fields.items()
                   if name in KEPT}
        for uri in fields.get("uris", "").split():
            yield (uri, fields.get("suites", "").split(),
                   fields.get("components", "").split(), options)


def entries():
    etc = os.environ.get("IQ_APT_ETC", "/etc/apt")
    paths = [os.path.join(etc, "sources.list")]
    paths += sorted(glob.glob(os.path.join(etc, "sources.list.d", "*.list")))
    for path in paths:
        if os.path.isfile(path):
            yield from one_line(path)
    for path in sorted(glob.glob(os.path.join(etc, "sources.list.d",
                                              "*.sources"))):
        yield from deb822(path)


def archive():
    """The entry that looks most like a mirror of the Debian archive.

    A third party may well offer "bookworm main" too; it has no -updates or
    -backports beside it and its path does not end in "debian". A wrong guess
    does no harm: the archive's signature would not verify.
    """
    merged = {}
    for uri, suites, components, options in entries():
        if "main" not in components:
            continue
        known = merged.setdefault(uri.rstrip("/"), (set(), options))
        known[0].update(suites)
    best = None
    for uri, (suites, options) in merged.items():
        if not suites & BASE_SUITES or "security" in uri:
            continue
        score = 2 * any(ADDON.search(suite) for suite in suites)
        score += uri.endswith("debian") or "debian.list" in uri
        if best is None or score > best[0]:
            best = (score, uri, options)
    return best


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("deb", "deb-src"):
        sys.exit("usage: apt-private.py deb|deb-src SUITE...")
    found = archive()
    if found is None:
        sys.exit("apt-private: error: no mirror of the Debian archive in the "
                 "machine's apt sources; add one, or name trees of your own "
                 "with KERNEL=<tree> and QEMU_SRC=<tree>")
    _, uri, options = found
    if "Signed-By" not in options and os.path.exists(KEYRING):
        options = dict(options, **{"Signed-By": KEYRING})
    print(f"Types: {sys.argv[1]}")
    print(f"URIs: {uri}")
    print(f"Suites: {' '.join(sys.argv[2:])}")
    print("Components: main")
    for name, value in options.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
