#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check.sh [SUITE...]: build what the tests need, run them all (or the ones
# named), and end with "N passed, N failed, N skipped". VENDOR=<name>,... leaves
# out the machines and kernels of the other vendors.
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
	local arch

	ktap_plan $((2 + 2 * ${#archs[@]}))
	step "sources" scripts/sources.sh all
	step "QEMU with the fault model" scripts/build-qemu.sh
	for arch in "${archs[@]}"; do
		step "ungrafted kernel, $arch" scripts/build-kernel.sh plain --arch "$arch"
		step "grafted kernel, $arch" scripts/build-kernel.sh grafted --arch "$arch"
	done
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
suite_tools() { tests/tools/run.sh; }
# How long it takes is seen where nothing else is at work
suite_grafttime() { tests/graft/run.sh graft_takes_less_than_60_s; }
suite_graft() { tests/graft/run.sh --but graft_takes_less_than_60_s; }
suite_series() { tests/series/run.sh; }
suite_bisect() { scripts/check-bisect.sh; }
suite_module() { scripts/check-module.sh; }
suite_kunit-module() { scripts/check-module.sh --kunit; }
suite_kabi() { tests/kabi/run.sh; }
suite_distro() { scripts/check-distro.sh; }
# The kernel that most vendors stand on, as Debian 12 has it. One machine of it
# here, with what needs no command line of its own, and only with the option on; all
# that there is: scripts/matrix.sh --kunit --scenarios all 6.12
suite_lts()
{
	local machine

	case $vendors in
	*intel*) machine=legacy ;;
	*amd*) machine=amd ;;
	*) machine=arm ;;
	esac
	scripts/matrix.sh --no-off --scenarios @main --machines "$machine" --table "$out/lts.md" 6.12
}
suite_matrix() { scripts/matrix.sh ${KERNELS:-}; }
suite_text() { scripts/check-text.sh "${archs[@]}"; }
suite_static() { scripts/check-static.sh; }
suite_rules() { tests/static/run.sh "$(grafted_tree)"; }
suite_models() { tests/models/run.sh; }
suite_faultmodel() { /usr/bin/python3 -B tests/qemu/selftest.py --qemu "$(dirname "$(scripts/build-qemu.sh)")"; }
suite_kunitconfig() { tests/kunit/kunitconfig.sh "$(grafted_tree)"; }
# User mode Linux with the tests as modules, the others with them built in
suite_kunit() { scripts/kunit.sh um-modules "${archs[@]/x86/x86_64}"; }
suite_scenarios() { tests/guest/run.sh scenarios ${VENDOR:+--vendor "$VENDOR"}; }
# Of the fence; all that there are: make mutants
suite_mutants() { tests/guest/run.sh mutants --only @fence ${VENDOR:+--vendor "$VENDOR"}; }

vendors=${VENDOR:-intel,amd,arm}
list=$(vendor_archs)
mapfile -t archs <<<"$list"

suites="build grafttime lts style sources tools graft series kabi rules models faultmodel kunitconfig text static kunit module scenarios mutants"
# They keep one core busy each, or little more, and wait now and then: one more of
# them than IQ_JOBS runs at a time.
narrow=" lts style sources tools graft series kabi rules models faultmodel kunitconfig "
# That of the SMMUv3
all=$suites
[[ $vendors = *arm* ]] || all=${all/ module/}
[ -z "${KERNELS:-}" ] || all="$all matrix"
[ $# -gt 0 ] || set -- $all
for name; do
	declare -F "suite_$name" >/dev/null || die "unknown suite '$name'; there are: $suites bisect kunit-module distro matrix"
done
kernels_or_die ${KERNELS:-}
scripts/deps.sh

take_lock check
mkdir -p "$out"
for name; do
	rm -f "$out/$name".*
done

run_suite()
{
	local name=$1 start=$EPOCHSECONDS status=0

	say "suite $name"
	"suite_$name" >"$out/$name.ktap" 9>&- || status=$?
	echo "$status" >"$out/$name.status"
	say "suite $name took $((EPOCHSECONDS - start)) s"
}

# Each of these has a process group of its own: nothing of it is left if this ends early.
trap 'for job in $(jobs -rp); do kill -- -"$job" 2>/dev/null || kill "$job" || :; done; wait' EXIT
for name; do
	if [[ $narrow = *" $name "* ]]; then
		while [ "$(jobs -rp | wc -l)" -ge $((IQ_JOBS < 2 ? 1 : IQ_JOBS + 1)) ]; do
			wait -n || :
		done
		set -m
		run_suite "$name" </dev/null &
		set +m
	else
		wait
		run_suite "$name"
	fi
done
wait
trap - EXIT
exec /usr/bin/python3 scripts/ktap-summary.py --junit "$out/junit.xml" "$out" "$@"
