#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Model checking with spin: the automaton as it is has no error, and without
# any one of its rules it has. KTAP on stdout.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
. "$here/../../scripts/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

need spin gcc
model=$here/quarantine.pml
bugs=$(grep -oE 'BUG_[A-Z_]+' "$model" | grep -v 'BUG_$' | sort -u)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# verify NAME [BUG]: leaves the verifier's output in $work/NAME/out
verify()
{
	local dir=$work/$1

	mkdir "$dir"
	cd "$dir"
	spin ${2:+"-D$2"} -a "$model" &&
		gcc -O2 -DSAFETY -DMEMLIM=4000 -o pan pan.c &&
		./pan -m100000 >out
	cat out
	# A search that was cut short says nothing either way.
	! grep -q 'Search not completed\|max search depth too small' out ||
		[ -n "${2:-}" ]
}

sound()
{
	verify sound && grep -q 'errors: 0' "$work/sound/out"
}

unsound()
{
	verify "$1" "$1" && grep -q 'errors: [1-9]' "$work/$1/out"
}

# shellcheck disable=SC2086
set -- $bugs
ktap_plan $(($# + 1))
ktap_case "quarantine.pml holds" sound
for bug; do
	ktap_case "quarantine.pml notices $bug" unsound "$bug"
done
ktap_end
