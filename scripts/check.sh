#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check.sh [SUITE...]: build what the tests need, run them all (or the ones
# named), and end with "N passed, N failed, N skipped".
#
# A suite prints KTAP on stdout and its progress on stderr. Results, logs and
# junit.xml are left in $IQ_CACHE/out.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

out=$IQ_CACHE/out/check
cd "$IQ_ROOT"

# The builds are a suite of their own: what does not build has failed, and the
# others still say what they can.
suite_build()
{
	ktap_plan 6
	step "sources" scripts/sources.sh all
	step "QEMU with the fault model" scripts/build-qemu.sh
	step "ungrafted kernel" scripts/build-kernel.sh plain
	step "grafted kernel" scripts/build-kernel.sh grafted
	step "ungrafted kernel for arm64" scripts/build-kernel.sh plain --arch arm64
	step "grafted kernel for arm64" scripts/build-kernel.sh grafted --arch arm64
	ktap_end
}

# Unlike ktap_case this shows the progress of what it runs.
step()
{
	local name=$1

	shift
	if "$@" >&2; then
		ktap_ok "$name"
	else
		ktap_not_ok "$name"
	fi
}

# The grafted copy that the grafted kernel is built from.
grafted_tree()
{
	local id

	id=$(basename "$(scripts/sources.sh path kernel)")
	echo "$IQ_CACHE/tree/$id-grafted"
}

suite_style() { scripts/check-style.sh; }
suite_sources() { tests/sources/run.sh; }
suite_graft() { tests/graft/run.sh; }
suite_series() { tests/series/run.sh; }
suite_bisect() { scripts/check-bisect.sh; }
suite_module() { scripts/check-module.sh; }
suite_kabi() { tests/kabi/run.sh; }
suite_distro() { scripts/check-distro.sh; }
suite_matrix() { scripts/matrix.sh $KERNELS; }
suite_text() { scripts/check-text.sh; }
suite_static() { scripts/check-static.sh; }
suite_rules() { tests/static/run.sh "$(grafted_tree)"; }
suite_models() { tests/models/run.sh; }
suite_faultmodel() { /usr/bin/python3 -B tests/qemu/selftest.py --qemu "$(dirname "$(scripts/build-qemu.sh)")"; }
suite_kunit() { scripts/kunit.sh all; }
suite_scenarios() { tests/guest/run.sh scenarios; }
suite_mutants() { tests/guest/run.sh mutants; }

all="build style sources graft series kabi text static rules models faultmodel kunit scenarios mutants"
[ -z "${KERNELS:-}" ] || all="$all matrix"
[ $# -gt 0 ] || set -- $all
for name; do
	declare -F "suite_$name" >/dev/null || die "unknown suite '$name'; there are: $all bisect module distro matrix"
done

take_lock check
mkdir -p "$out"
for name; do
	rm -f "$out/$name".*
done
for name; do
	say "suite $name"
	start=$EPOCHSECONDS
	status=0
	"suite_$name" >"$out/$name.ktap" 9>&- || status=$?
	echo "$status" >"$out/$name.status"
	say "suite $name took $((EPOCHSECONDS - start)) s"
done
exec /usr/bin/python3 scripts/ktap-summary.py --junit "$out/junit.xml" "$out" "$@"
