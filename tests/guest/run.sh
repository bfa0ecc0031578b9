#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Not the first python3 of PATH, which need not be the system's.
exec /usr/bin/python3 -B "$(dirname "$0")/run.py" "$@"
