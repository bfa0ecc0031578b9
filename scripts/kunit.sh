#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kunit.sh [OPTION]... x86_64|arm64|um|um-modules|all...
#   --filter GLOB      only these suites or suites.tests, as kunit.py takes them
#   --build-only       build, run nothing
#   --coverage         count lines and branches of our own C, see kunit-coverage.py
#
# Builds the grafted kernel with the KUnit tests of every folder that the
# architecture has, and runs them with the kernel's own tools/testing/kunit/.
# KTAP on stdout; KTAP, JUnit and the logs of the boots stay in
# $IQ_CACHE/out/kunit. A test that is skipped without being listed in
# tests/kunit/skips is a failure, and so is a suite that is missing. "um" is user
# mode Linux, which has the core and the mock, and needs no QEMU; "um-modules" is
# the same with the tests as a module.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage()
{
	die "usage: kunit.sh [--filter GLOB] [--build-only] [--coverage] x86_64|arm64|um|um-modules|all..."
}

filter=
build_only=
coverage=
archs=()
while [ $# -gt 0 ]; do
	case $1 in
	--filter)
		[ -n "${2:-}" ] || usage
		filter=$2
		shift ;;
	--build-only) build_only=1 ;;
	--coverage) coverage=1 ;;
	x86_64|arm64|um|um-modules) [[ " ${archs[*]} " = *" $1 "* ]] || archs+=("$1") ;;
	all) archs=(um um-modules x86_64 arm64) ;;
	*) usage ;;
	esac
	shift
done
[ ${#archs[@]} -gt 0 ] || usage
if [ -n "$coverage" ]; then
	[ -z "$filter$build_only" ] || usage
	for arch in "${archs[@]}"; do
		[[ $arch != um* ]] || die "coverage is of the kernels that have the drivers: x86_64, arm64"
	done
fi

# One set of logs; a build has its own lock
[ -n "$build_only" ] || take_lock kunit
"$IQ_ROOT/scripts/sources.sh" kernel
plain_src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
id=$(basename "$plain_src")
src=$IQ_CACHE/grafted/src/$id

# Folders whose objects have code of ours in them, headers included
counted="drivers/iommu drivers/iommu/amd drivers/iommu/intel drivers/iommu/arm/arm-smmu-v3 drivers/iommu/quarantine/%"

build()
{
	local arch=$1 name=kunit like=grafted config targets um=() set=()

	# Beyond the kernel of the scenarios; user mode Linux has a configuration
	# of its own.
	arch=${arch/x86_64/x86}
	config=(--config-fragment "$IQ_ROOT/tests/config/kunit.config"
		--config-fragment "$IQ_ROOT/tests/config/kunit-$arch.config")
	case $arch in
	x86) targets=bzImage ;;
	arm64) targets=Image ;;
	um*)
		targets=linux
		um=(kunit-um.config)
		grep -q '^config KUNIT_UML_PCI$' "$plain_src/lib/kunit/Kconfig" ||
			um=(kunit-um-virtio.config "${um[@]}")
		if [ "$arch" = um-modules ]; then
			um+=(kunit-modules.config)
			targets="linux modules"
			name=kunit-modules
			like=kunit
		fi
		config=(--fragments "${um[*]}") ;;
	esac
	if [ -n "$coverage" ]; then
		name=kunit-coverage
		like=kunit
		config+=(--config-fragment "$IQ_ROOT/tests/config/kunit-coverage.config")
		# shellcheck disable=SC2016 # for make
		set=(--set 'GCOV_PROFILE=$(if $(filter $(IQ_COUNTED),$(obj)),y)'
		     --set "IQ_COUNTED=$counted")
	fi
	"$IQ_ROOT/scripts/build-kernel.sh" grafted --arch "${arch%-modules}" "${set[@]}" \
		"${config[@]}" --name "$name" --like "$like" --targets "$targets"
}

cross()
{
	[ "$1" != arm64 ] || echo aarch64-linux-gnu-
}

# Seconds within which a kernel has come to its tests, on a busy machine too
birth=90

# One boot. False if the kernel never came to the tests, and so says nothing of them:
# a CPU of QEMU's may have lost its timer (tests/qemu/README.md).
boot()
{
	local log=$1 start=$EPOCHSECONDS

	shift
	: >"$log"
	# In a process group of its own, with the machine that it starts
	(cd "$src" && exec setsid "$@") >"$log" 2>&1 9>&- &
	booting=$!
	trap 'kill -- -"$booting" 2>/dev/null' EXIT
	trap 'exit 1' TERM INT
	until grep -aq "KTAP version" "$log"; do
		if ! kill -0 "$booting" 2>/dev/null; then
			break
		elif ((EPOCHSECONDS - start > birth)); then
			kill -- -"$booting"
			wait "$booting" || :
			trap - EXIT
			return 1
		fi
		sleep 1
	done
	wait "$booting" || die "kunit.py failed with status $?, see $log"
	trap - EXIT
}

run()
{
	local arch=$1 obj=$2 out=$IQ_CACHE/out/kunit/$1 args=() modules=() attempt

	mkdir -p "$out"
	rm -f "$out"/*
	case $arch in
	um) args=(--kernel_args kunit.autorun=1) ;;
	um-modules)
		modules=("$obj/lib/kunit/kunit.ko"
			 "$obj/drivers/iommu/quarantine/tests/conformance/iommu-quarantine-kunit.ko")
		args=(--kernel_args "initrd=$out/initramfs.cpio") ;;
	*)
		PATH=$(dirname "$("$IQ_ROOT/scripts/build-qemu.sh")"):$PATH
		args=(--qemu_config "$IQ_ROOT/tests/kunit/$arch.py") ;;
	esac
	if [ -n "$coverage" ]; then
		# Do not end with the tests, but go on to init
		export IQ_KARGS=kunit_shutdown=none
		args+=(--qemu_args "-initrd $out/initramfs.cpio")
	fi
	[ -z "$coverage${modules[*]}" ] ||
		/usr/bin/python3 -B "$IQ_ROOT/tests/kunit/initramfs.py" "$(cross "$arch")" \
			"$out/initramfs.cpio" "${modules[@]}"
	# What was built is not configured again: exec takes it as it is. With
	# the raw output it says nothing of the results, which kunit-ktap.py
	# reads, and fails only if it could not do its work.
	for attempt in 1 2 3; do
		! boot "$out/boot.log" /usr/bin/python3 -B tools/testing/kunit/kunit.py exec \
			--build_dir "$obj" --timeout "${IQ_KUNIT_TIMEOUT:-600}" \
			--arch "${arch%-modules}" "${args[@]}" \
			--raw_output=all ${filter:+"$filter"} || return 0
		say "$arch: no test after $birth s, see $out/boot.log.discarded$attempt"
		mv "$out/boot.log" "$out/boot.log.discarded$attempt"
	done
	die "$arch: the kernel does not come to its tests, see $out"
}

objs=()
for arch in "${archs[@]}"; do
	obj=$(build "$arch")
	objs+=("$obj")
done
[ -z "$build_only" ] || exit 0

# One by one: one of a machine's CPUs tests, another plays the hardware, and both poll
logs=()
counters=()
for i in "${!archs[@]}"; do
	arch=${archs[i]}
	start=$EPOCHSECONDS
	run "$arch" "${objs[i]}"
	say "$arch: booted and ran in $((EPOCHSECONDS - start)) s, see $IQ_CACHE/out/kunit/$arch"
	logs+=("$arch=$IQ_CACHE/out/kunit/$arch/boot.log")
	counters+=("$arch=$(cross "$arch")gcov=${objs[i]}=$IQ_CACHE/out/kunit/$arch/boot.log")
done
features=$src/drivers/iommu/quarantine/core/compat/features.h
if [ -n "$coverage" ]; then
	# Counters of a run that failed say nothing
	/usr/bin/python3 -B "$IQ_ROOT/scripts/kunit-ktap.py" --features "$features" "${logs[@]}" >&2
	/usr/bin/python3 -B "$IQ_ROOT/scripts/kunit-coverage.py" \
		--work "$IQ_CACHE/out/kunit/coverage" "${counters[@]}" |
		tee "$IQ_CACHE/out/kunit/coverage.ktap"
	exit
fi
/usr/bin/python3 -B "$IQ_ROOT/scripts/kunit-ktap.py" --features "$features" ${filter:+--partial} \
	--junit "$IQ_CACHE/out/kunit/junit.xml" "${logs[@]}" |
	tee "$IQ_CACHE/out/kunit/results.ktap"
