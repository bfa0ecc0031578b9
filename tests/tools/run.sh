#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh: what the tools make of bad input: one error that says what is wrong, and a
# status other than 0. Nothing is built. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

cd "$IQ_ROOT"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What they leave behind is not to be found in anybody's cache
export IQ_CACHE=$work/cache
unset KERNEL KERNELS QEMU_SRC VENDOR FORCE CHECK_DEPS KABI_QUICK KABI_ARCH KABI_CONFIG IQ_JOBS IQ_VMS
# Nor are they to find what was said to the make that has started this one
unset OUT ARCH ARGS MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL
mkdir "$IQ_CACHE"

# refuses TEXT COMMAND...: the last line of its stderr has TEXT
refuses()
{
	local text=$1

	shift
	if "$@" >"$work/out" 2>"$work/err" </dev/null; then
		echo "it succeeded:"
		cat "$work/out"
		return 1
	fi
	if ! tail -n 1 "$work/err" | grep -F -- "$text" >/dev/null ||
	   grep -E 'Traceback|unbound variable|line [0-9]+:' "$work/err" "$work/out"; then
		cat "$work/err"
		return 1
	fi
}

# A copy whose sources cannot be read
deaf()
{
	mkdir "$work/deaf"
	cp -r scripts META "$work/deaf"
	printf '#!/bin/sh\nexit 1\n' >"$work/deaf/scripts/sources.sh"
	! "$work/deaf/scripts/matrix.sh" || return 1
	[ ! -e "$IQ_CACHE/out/matrix.md" ]
}

while_at_work()
(
	mkdir -p "$IQ_CACHE/lock" "$IQ_CACHE/build"
	exec 8>"$IQ_CACHE/lock/one"
	flock 8
	refuses "one is at work" scripts/clean.sh "$@" || return
	[ -d "$IQ_CACHE/build" ]
)

cleaned()
{
	mkdir -p "$IQ_CACHE"/{build,src,series,config,ccache,mine}
	scripts/clean.sh || return
	[ "$(ls "$IQ_CACHE" | xargs)" = "ccache config lock mine src" ] || return
	scripts/clean.sh all || return
	[ "$(ls -A "$IQ_CACHE")" = mine ] || return
	rmdir "$IQ_CACHE/mine"
	scripts/clean.sh all
	[ ! -e "$IQ_CACHE" ]
}

# Whoever adds a target or a suite says what it is for
helped()
{
	local help name

	help=$(make -s help)
	for name in $(sed -n 's/^suite_\([a-z_]*\)().*/\1/p' scripts/check.sh | tr _ -) \
		$(sed -n 's/^\.PHONY: //p' Makefile); do
		[ "$name" = help ] || grep -qE "^  make (check-)?$name( |$)" <<<"$help" ||
			{ echo "not in make help: $name"; return 1; }
	done
}

cases=(
	"neither a version as 7.2 nor a kernel tree|scripts/matrix.sh|7.2|typo"
	"neither a version as 7.2 nor a kernel tree|scripts/matrix.sh|7.2|--kunit"
	"neither a version as 7.2 nor a kernel tree|env|KERNELS=typo|scripts/check.sh|style"
	"no such machine|scripts/matrix.sh|--scenarios|all|--machines|typo|7.2"
	"unknown suite 'typo'|scripts/check.sh|typo"
	"VENDOR: no such vendor: typo|env|VENDOR=typo|scripts/check.sh|style"
	"usage: kunit.sh|scripts/kunit.sh|typo"
	"CHECK_DEPS=no|env|CHECK_DEPS=no|scripts/deps.sh"
	"KABI_QUICK=2|env|KABI_QUICK=2|KERNEL=$work|scripts/kabi.sh"
	"usage: clean.sh|scripts/clean.sh|typo"
	"argument --jobs: invalid|env|IQ_JOBS=two|/usr/bin/python3|scripts/graft.py|callouts"
	"argument --jobs: invalid|env|IQ_JOBS=two|/usr/bin/python3|scripts/series.py|patch|$work"
	"IQ_VMS=two|env|IQ_VMS=two|tests/guest/run.sh|list"
	"no such scenario or group: typo|tests/guest/run.sh|scenarios|--only|typo"
	"no such mutant|tests/guest/run.sh|mutants|--only|typo"
	"no such mutant|/usr/bin/python3|-B|tests/kunit/mutants.py|--only|typo"
	"say which tree|make|-s|graft"
	"say where to|make|-s|series|KERNEL=$work"
)
ktap_plan $((${#cases[@]} + 5))
for one in "${cases[@]}"; do
	IFS='|' read -r -a words <<<"$one"
	name=${words[*]:1}
	ktap_case "${name//$work/<tree>}" refuses "${words[@]}"
done
ktap_case "matrix.sh, where the archive cannot be read" deaf
ktap_case "clean.sh, while somebody is at work" while_at_work
ktap_case "clean.sh all, while somebody is at work" while_at_work all
ktap_case "clean.sh leaves what is not ours" cleaned
ktap_case "make help, all targets and suites" helped
ktap_end
