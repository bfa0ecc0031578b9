# SPDX-License-Identifier: GPL-2.0-only
# KTAP from shell: ktap_plan N, then ktap_case NAME COMMAND... or the single
# results, then ktap_end. What a case prints becomes its diagnosis.
# shellcheck shell=bash

ktap_n=0
ktap_failed=0

ktap_plan()
{
	printf 'KTAP version 1\n1..%d\n' "$1"
}

ktap_ok()
{
	ktap_n=$((ktap_n + 1))
	printf 'ok %d %s\n' "$ktap_n" "$1"
}

# ktap_not_ok NAME [TEXT]
ktap_not_ok()
{
	ktap_n=$((ktap_n + 1))
	ktap_failed=$((ktap_failed + 1))
	[ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/# /'
	printf 'not ok %d %s\n' "$ktap_n" "$1"
}

ktap_case()
{
	local name=$1 text

	shift
	if text=$("$@" 2>&1); then
		ktap_ok "$name"
	else
		ktap_not_ok "$name" "$text"
	fi
}

ktap_end()
{
	[ "$ktap_failed" -eq 0 ]
}
