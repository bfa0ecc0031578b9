#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh: the tests of scripts/series.py, on a reduced copy of the kernel that
# holds the files it touches. KTAP on stdout. That each commit compiles is
# another suite, scripts/check-bisect.sh.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

need spatch python3 git patch perl
"$IQ_ROOT/scripts/sources.sh" kernel
src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
exec /usr/bin/python3 -B "$IQ_ROOT/tests/series/test_series.py" "$src" "$IQ_CACHE/spatch"
