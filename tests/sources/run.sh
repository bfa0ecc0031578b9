#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh: the tests of scripts/sources.sh and scripts/apt-private.py, on an
# archive of their own in a folder. No network. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

need apt-get apt-cache dpkg-deb python3 xz tar flock rsync
exec /usr/bin/python3 -B "$IQ_ROOT/tests/sources/test_sources.py"
