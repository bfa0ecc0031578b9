#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clean.sh [all]: remove what was built; with "all" the downloads, the sources
# and the compiler cache too.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

what=(build grafted tree out spatch series)
case ${1:-} in
"") ;;
all) what+=(src tools dl apt ccache config .tools.record lock) ;;
*) die "usage: clean.sh [all]" ;;
esac
# Whoever builds or boots there holds one of them; who comes now waits
for lock in "$IQ_CACHE"/lock/*; do
	[ -e "$lock" ] || continue
	exec {fd}>"$lock"
	flock -n "$fd" || die "$(basename "$lock") is at work in $IQ_CACHE; let it end first"
done
cd "$IQ_CACHE"
rm -rf "${what[@]/#/./}"
if [ "${1:-}" = all ]; then
	cd /
	rmdir --ignore-fail-on-non-empty "$IQ_CACHE"
fi
