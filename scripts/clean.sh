#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clean.sh [all]: remove what was built; with "all" the downloads, the sources
# and the compiler cache too.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

what=(build grafted tree out spatch)
case ${1:-} in
"") ;;
all) what+=(src tools dl apt ccache lock) ;;
*) die "usage: clean.sh [all]" ;;
esac
cd "$IQ_CACHE"
for name in "${what[@]}"; do
	rm -rf "./$name"
done
if [ "${1:-}" = all ]; then
	rm -f .tools.record
	rmdir --ignore-fail-on-non-empty .
fi
