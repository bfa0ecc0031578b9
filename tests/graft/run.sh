#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh [--but TEST | TEST...]: the tests of scripts/graft.py, or all but one, or
# these, on a reduced copy of the kernel that holds the files it touches. KTAP on
# stdout.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

need spatch python3 setpriv
"$IQ_ROOT/scripts/sources.sh" kernel
src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
exec /usr/bin/python3 -B "$IQ_ROOT/tests/graft/test_graft.py" "$src" "$IQ_CACHE/spatch" "$@"
