#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh: scripts/kabi-compare.py sees what it has to see, on made-up objects.
# KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

need gcc pahole python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# tree NAME MEMBERS CRC [PRIVATE]: a build tree with one object and its .cmd file
tree()
{
	local top=$work/$1

	mkdir -p "$top/src/include/linux"
	printf '#include <stdint.h>\nstruct thing {\n%s\n};\n' "$2" >"$top/src/include/linux/thing.h"
	printf '#include "include/linux/thing.h"\nstruct own { int a; %s };\nstruct thing t; struct own o;\n' "${4:-}" \
		>"$top/src/thing.c"
	(cd "$top/src" && gcc -gdwarf-4 -c -o ../thing.o thing.c)
	printf 'savedcmd_thing.o := gcc\n\n#SYMVER kept 0x11111111\n#SYMVER other %s\n' "$3" >"$top/.thing.o.cmd"
	[ -z "${5:-}" ] || printf '#SYMVER %s 0x22222222\n' "$5" >>"$top/.thing.o.cmd"
}

# compare NAME STATUS TEXT...: against the tree "plain"
compare()
{
	compare_with plain "$@"
}

# compare_with TREE NAME STATUS TEXT...
compare_with()
{
	local tree=$1 name=$2 wanted=$3 status=0 said text

	shift 3
	said=$(/usr/bin/python3 -B "$IQ_ROOT/scripts/kabi-compare.py" "$work/$tree" "$work/$name" thing.o) || status=$?
	echo "$said"
	[ $status -eq "$wanted" ] || { echo "status $status"; return 1; }
	for text; do
		grep -qF -- "$text" <<<"$said" || { echo "does not say '$text'"; return 1; }
	done
}

members='int a; struct { int x; uint64_t y; } in; void (*fn)(int); unsigned flag:1;'
tree plain "$members" 0xaaaaaaaa
tree same "$members" 0xaaaaaaaa
tree end "$members void *last;" 0xbbbbbbbb "" fresh
tree middle "int a; int new; struct { int x; uint64_t y; } in; void (*fn)(int); unsigned flag:1;" 0xaaaaaaaa
tree hole "int a; struct { int x; int new; uint64_t y; } in; void (*fn)(int); unsigned flag:1;" 0xaaaaaaaa
tree bit "$members unsigned other:1;" 0xaaaaaaaa
tree type "int a; struct { int x; uint64_t y; } in; void *(*fn)(int); unsigned flag:1;" 0xaaaaaaaa
tree shorter "int a; struct { int x; uint64_t y; } in; void (*fn)(int);" 0xaaaaaaaa
tree private "$members" 0xaaaaaaaa "int more;"

# What the vendors' macros come to: *_KABI_RESERVE(1) and (2), then *_KABI_USE(1, ...)
android='uint64_t android_kabi_reserved'
tree android "$members ${android}1; ${android}2;" 0xaaaaaaaa
tree android-used "$members union { void (*done)(int); struct { ${android}1; }; union { }; }; ${android}2;" 0xaaaaaaaa
tree android-lost "$members union { void (*done)(int); uint64_t other; }; ${android}2;" 0xaaaaaaaa
tree android-burst "$members union { void (*done[2])(int); struct { ${android}1; }; }; ${android}2;" 0xaaaaaaaa
rh='unsigned long rh_reserved'
tree rh "$members ${rh}1; ${rh}2;" 0xaaaaaaaa
tree rh-used "$members union { void (*done)(int); struct { ${rh}1; } rh_kabi_hidden_7; union { }; }; ${rh}2;" 0xaaaaaaaa

ktap_plan 13
ktap_case "nothing changed" compare same 0 "no member moved" "0 changed" "2 exports" "New exports: 0"
ktap_case "a member at the end is allowed and said" compare end 0 "struct thing grows at its end, 40 -> 48 bytes: void * last; at 40" \
	"other: 0xaaaaaaaa -> 0xbbbbbbbb" "1 changed" "New exports: 1" "  fresh"
ktap_case "a member in the middle is an error" compare middle 1 "ERROR: struct thing changes at offset"
ktap_case "a member in a hole of a nested structure is an error" compare hole 1 "ERROR: struct thing changes"
ktap_case "a bit at the end is no move" compare bit 0 "grows at its end, 40 -> 40 bytes"
ktap_case "another type of a member is an error" compare type 1 "ERROR: struct thing changes at offset"
ktap_case "a member less is an error" compare shorter 1 "ERROR: struct thing changes"
ktap_case "what no header declares does not matter" compare private 0 "no member moved"
ktap_case "Android's reserve may be used" compare_with android android-used 0 "struct thing uses what is reserved at offset 40" \
	"no member moved"
ktap_case "Red Hat's reserve may be used" compare_with rh rh-used 0 "struct thing uses what is reserved at offset 40" \
	"no member moved"
ktap_case "a union without the reserve is an error" compare_with android android-lost 1 "ERROR: struct thing changes at offset 40"
ktap_case "more than the reserve is an error" compare_with android android-burst 1 "ERROR: struct thing changes at offset 40"
mv "$work/same/thing.o" "$work/same/moved.o"
ktap_case "an object that is not there is an error" compare same 1
ktap_end
