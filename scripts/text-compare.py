#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compare the code of kernel build trees, object by object.

    text-compare.py --builds NAME PLAIN GRAFTED FOLDERS...    KTAP on stdout

Code is what an object file has in executable sections: the bytes and, as
they are not linked yet, the relocations by symbol, offset and type. So a call
to another function of the same length is a difference too.

One more declaration may change the order in which GCC puts out functions that
have nothing to do with each other (seen on 7.2: two quirks of VT-d). So an object
that differs is compiled once more, from both trees, in the order of the source; if
the code is the same then, that is said and is no difference.
"""

import argparse
import os
import re
import struct
import subprocess
import sys
import tempfile

SHT_SYMTAB, SHT_RELA = 2, 4
SHF_EXECINSTR = 0x4
STT_SECTION = 3


def text_at(table, offset):
    return table[offset:table.index(b"\0", offset)].decode()


class Object:
    """Code and exported symbols of an ELF64 relocatable object."""

    def __init__(self, data, path):
        if data[:5] != b"\x7fELF\x02" or data[5] != 1:
            sys.exit(f"text-compare: {path} is no little endian ELF64 object")
        self.data = data
        offset = struct.unpack_from("<Q", data, 40)[0]
        size, count, names = struct.unpack_from("<HHH", data, 58)
        self.heads = [struct.unpack_from("<IIQQQQIIQQ", data,
                                         offset + size * i)
                      for i in range(count)]
        table = self.content(names)
        self.names = [text_at(table, head[0]) for head in self.heads]
        self.symbols = []
        for index, head in enumerate(self.heads):
            if head[1] == SHT_SYMTAB:
                self.read_symbols(index, head)

    def content(self, index):
        head = self.heads[index]
        return b"" if head[1] == 8 else self.data[head[4]:head[4] + head[5]]

    def read_symbols(self, index, head):
        strings, table = self.content(head[6]), self.content(index)
        for at in range(0, len(table), 24):
            name, info, _, section, value, _ = \
                struct.unpack_from("<IBBHQQ", table, at)
            if info & 15 == STT_SECTION:
                self.symbols.append((self.names[section], value))
            else:
                self.symbols.append((text_at(strings, name), value))

    def code(self):
        """Section name -> list of (bytes, relocations)."""
        found = {}
        rela = {}
        for index, head in enumerate(self.heads):
            if head[1] == SHT_RELA:
                rela.setdefault(head[7], []).extend(self.relocations(index))
        for index, head in enumerate(self.heads):
            if head[2] & SHF_EXECINSTR:
                found.setdefault(self.names[index], []).append(
                    (self.content(index), rela.get(index, [])))
        return found

    def relocations(self, index):
        table = self.content(index)
        for at in range(0, len(table), 24):
            offset, info, addend = struct.unpack_from("<QQq", table, at)
            yield (offset, info & 0xffffffff,
                   self.symbols[info >> 32][0], addend)

    def exports(self):
        return {name for name, _ in self.symbols
                if name.startswith(("__export_symbol_", "__ksymtab_"))}


def objects(top, folder):
    found = set()
    for at, _, names in os.walk(os.path.join(top, folder)):
        found |= {os.path.relpath(os.path.join(at, name), top)
                  for name in names if name.endswith(".o")
                  and not name.startswith(("built-in", "vmlinux", "."))}
    return found


def load(top, name):
    path = os.path.join(top, name)
    with open(path, "rb") as handle:
        return Object(handle.read(), path)


def differing(old, new):
    """The sections whose code differs."""
    one, two = old.code(), new.code()
    return sorted(name for name in one.keys() | two.keys()
                  if one.get(name) != two.get(name))


def in_source_order(top, name):
    """The object, compiled as kbuild did it, but for the order of its functions.

    One that is linked of others is as it is: these are compared as well.
    """
    command_file = os.path.join(top, os.path.dirname(name), f".{os.path.basename(name)}.cmd")
    with open(command_file, encoding="utf-8") as handle:
        # What comes after the compiler is objtool, which changes no code
        command = re.match(r"savedcmd_\S+ := (.*?)(?: ; |$)", handle.readline().rstrip("\n"))[1]
    if " -c " not in command:
        return load(top, name)
    # The copy for make's own use of what is "#" in a makefile; no dependencies are wanted
    command = re.sub(r" -Wp,-MMD,\S+", "", command.replace("$(pound)", "#"))
    with tempfile.TemporaryDirectory() as work:
        made = os.path.join(work, "code.o")
        command, hits = re.subn(rf" -o {re.escape(name)} ",
                                f" -fno-toplevel-reorder -o {made} ", command)
        if hits != 1:
            sys.exit(f"text-compare: no command of a compiler in {command_file}")
        subprocess.run(command, shell=True, check=True, cwd=top)
        return load(work, "code.o")


class Ktap:
    def __init__(self, total):
        self.number = self.failed = 0
        print(f"KTAP version 1\n1..{total}")

    def result(self, name, complaints):
        self.number += 1
        for line in complaints:
            print(f"# {line}")
        self.failed += bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {self.number} {name}")


def control(top, name):
    """The comparison must notice one changed byte and one changed call."""
    whole = load(top, name)
    rela = [head for head in whole.heads if head[1] == SHT_RELA and
            whole.heads[head[7]][2] & SHF_EXECINSTR]
    if not rela:
        return [f"{name} has no code with relocations"]
    complaints = []
    for what, at in (("byte", whole.heads[rela[0][7]][4]),
                     ("relocation", rela[0][4] + 16)):
        spoilt = bytearray(whole.data)
        spoilt[at] ^= 1
        if differing(whole, Object(bytes(spoilt), name)) != \
                [whole.names[rela[0][7]]]:
            complaints.append(f"a changed {what} of {name} went unnoticed")
    return complaints


def compare(ktap, title, plain, grafted, folders):
    for folder in folders:
        old, new = objects(plain, folder), objects(grafted, folder)
        complaints = [f"{name}: only in one build" for name in sorted(old ^ new)]
        if not old:
            complaints.append("no object was built")
        before, after = set(), set()
        for name in sorted(old & new):
            one, two = load(plain, name), load(grafted, name)
            different = differing(one, two)
            if different and not differing(in_source_order(plain, name),
                                           in_source_order(grafted, name)):
                print(f"# {name}: the same in the order of the source")
                different = []
            complaints += [f"{name}: {section} differs" for section in different]
            before |= one.exports()
            after |= two.exports()
        ktap.result(f"{title}: {folder}: the code of {len(old)} objects is the "
                    "same", complaints)
        ktap.result(f"{title}: {folder}: the {len(before)} exported symbols "
                    "are the same", [f"{name}: only in one build"
                                     for name in sorted(before ^ after)])
    largest = max(objects(plain, folders[0]), default=None,
                  key=lambda name: os.path.getsize(os.path.join(plain, name)))
    ktap.result(f"{title}: a difference would be noticed",
                control(plain, largest) if largest else ["nothing to compare"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--builds", nargs=4, action="append", required=True,
                        metavar=("NAME", "PLAIN", "GRAFTED", "FOLDERS"))
    args = parser.parse_args()
    builds = [(*trees, [folder.rstrip("/") for folder in folders.split()])
              for *trees, folders in args.builds]
    ktap = Ktap(sum(2 * len(folders) + 1 for *_, folders in builds))
    for title, plain, grafted, folders in builds:
        compare(ktap, title, plain, grafted, folders)
    sys.exit(1 if ktap.failed else 0)


if __name__ == "__main__":
    main()
