#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-bisect.sh: each commit of the series compiles drivers/iommu, drivers/pci and
# drivers/vfio/pci without a warning, for x86 and for arm64, with the option off, and on
# with all other options of ours that the commit has (fault injection, KUnit), and uses
# nothing of ours that a later commit defines. KTAP on stdout.
# Seen failing: the first commit with the Makefile and Kconfig of the last.
set -euo pipefail
export IQ_WARNINGS=1
. "$(dirname "$0")/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

need spatch python3 git gcc aarch64-linux-gnu-gcc make flex bison bc ccache nm
"$IQ_ROOT/scripts/sources.sh" kernel
plain_src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
id=$(basename "$plain_src")
take_lock "bisect-$id"

# Congruent with the trees of the other builds, so that ccache shares objects;
# of hard links, since the patches replace what they change.
top=$IQ_CACHE/series
src=$top/src/$id
patches=$top/patches/$id
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=iommu-quarantine KBUILD_BUILD_HOST=localhost
unset MAKEFLAGS MFLAGS MAKELEVEL KERNELRELEASE KBUILD_OUTPUT

# Nobody's name is needed to see whether a commit compiles.
GIT_COMMITTER_NAME=iommu-quarantine GIT_COMMITTER_EMAIL=iommu-quarantine@localhost
export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
rm -rf "$patches" "$src"
mkdir -p "$top/patches" "$top/src" "$top/build"
/usr/bin/python3 "$IQ_ROOT/scripts/series.py" --cache "$IQ_CACHE/spatch" \
	series "$plain_src" "$patches" >&2
cp -al "$plain_src" "$src"

# kmake ARCH STATE ARGUMENT...
kmake()
{
	local arch=$1 cross=

	[ "$arch" = x86 ] || cross=aarch64-linux-gnu-
	make -C "$src" O="$top/build/$id-$arch-$2" ARCH="$arch" CROSS_COMPILE=$cross \
		CC="ccache ${cross}gcc" HOSTCC="ccache gcc" "${@:3}"
}

# build ARCH STATE: as the tree is now
build()
{
	local arch=$1 state=$2 obj=$top/build/$id-$1-$2 config=$IQ_ROOT/tests/config
	local fragments=("$config/base.config" "$config/$arch.config" "$config/text.config") other='_(INTEL|AMD)'

	mkdir -p "$obj"
	# On and off, so that they share objects: what those of our options depend on.
	printf 'CONFIG_%s=y\n' DEBUG_KERNEL KUNIT FAULT_INJECTION{,_DEBUG_FS} >"$obj/tests.config"
	if [ "$state" = on ]; then
		# All that this commit has, but for the drivers of the other architecture.
		[ "$arch" = arm64 ] || other=_ARM
		sed -nE 's/^(menu)?config +(\w+)$/CONFIG_\2=y/p' "$src/drivers/iommu/quarantine/Kconfig" |
			grep -vE "QUARANTINE$other" >"$obj/ours.config"
	else
		echo '# CONFIG_IOMMU_QUARANTINE is not set' >"$obj/ours.config"
	fi
	fragments+=("$obj/tests.config" "$obj/ours.config")
	(cd "$src" && ARCH=$arch scripts/kconfig/merge_config.sh -m -O "$obj" "${fragments[@]}") >"$obj/build.log" 2>&1 || {
		tail -n 20 "$obj/build.log"
		return 1
	}
	# allnoconfig for the rest, as in the other builds.
	mv "$obj/.config" "$obj/wanted.config"
	kmake "$arch" "$state" KCONFIG_ALLCONFIG="$obj/wanted.config" allnoconfig >>"$obj/build.log" 2>&1 || {
		tail -n 20 "$obj/build.log"
		return 1
	}
	/usr/bin/python3 "$IQ_ROOT/scripts/kconfig-check.py" "$obj/.config" "$obj/ours.config" || return 1
	kmake "$arch" "$state" -j"$IQ_JOBS" prepare drivers/{iommu,pci,vfio/pci}/ \
		>"$obj/build.log" 2>&1 9>&- || {
		tail -n 20 "$obj/build.log"
		return 1
	}
	if grep -E '(warning|error):' "$obj/build.log"; then
		return 1
	fi
	linked "$obj"
}

# linked OBJ: what is used of ours is defined.
linked()
{
	local archives=("$1"/drivers/{iommu,pci,vfio/pci}/built-in.a)
	local ours='(quarantine|iommu_report_device_broken)' missing

	missing=$(comm -23 \
		<(nm -u "${archives[@]}" 2>/dev/null | awk '$1 == "U" { print $2 }' | grep -E "$ours" | sort -u) \
		<(nm --defined-only "${archives[@]}" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u))
	if [ -n "$missing" ]; then
		echo "used but not defined:" $missing
		return 1
	fi
	# Or nm said nothing at all.
	[ "$(nm --defined-only "${archives[@]}" 2>/dev/null | grep -c ' iommu_')" -gt 20 ]
}

mapfile -t list < <(ls "$patches"/*.patch)
ktap_plan $((${#list[@]} * 4))
for patch in "${list[@]}"; do
	(cd "$src" && GIT_CEILING_DIRECTORIES=$top/src git apply "$patch") ||
		die "$patch does not apply"
	subject=$(sed -n 's/^Subject: \[PATCH [^]]*\] //p' "$patch")
	for arch in x86 arm64; do
		for state in on off; do
			ktap_case "$arch, $state: $subject" build $arch $state
		done
	done
done
ktap_end
