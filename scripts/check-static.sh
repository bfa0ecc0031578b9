#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-static.sh: sparse, W=1 and the kernel's own coccicheck over our files and
# over those that the graft touches; the first two for x86 and for arm64. Ours, the
# tests among them, must be clean; the touched ones may say what they said before the
# graft and nothing more. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

need sparse spatch make
take_lock check-static
unset MAKEFLAGS MFLAGS MAKELEVEL
check="W=1 C=2 CHECK=sparse"
# sparse.h has what sparse does not know. Nor does it see that a guard lets go at the
# end of its scope.
export CF="-include $IQ_ROOT/tests/static/sparse.h -Wno-context"

"$IQ_ROOT/scripts/sources.sh" kernel
plain_src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
id=$(basename "$plain_src")
grafted_src=$IQ_CACHE/grafted/src/$id
ours=drivers/iommu/quarantine/
logs=$IQ_CACHE/out/static
rm -rf "$logs"
mkdir -p "$logs"

# Objects of the touched files that ARCH has.
touched()
{
	local object

	graft_changed "$grafted_src" | sed -n 's/\.c$/.o/p' |
	while read -r object; do
		case $1-$object in
		arm64-drivers/iommu/intel/*|arm64-drivers/iommu/amd/*) ;;
		arm64-drivers/pci/pci-acpi.o) ;;
		x86-drivers/iommu/arm/*) ;;
		*) printf '%s ' "$object" ;;
		esac
	done
}

# build_tree NAME ARCH TARGETS: "plain" and "grafted" are configured as for the
# scenarios, but without KUnit, as vendors have it; "kunit" as for the KUnit tests.
build_tree()
{
	local kind=$1 fragment options=()

	case $1 in
	kunit)
		kind=grafted
		set -- "$@" kunit.config "kunit-$2.config" ;;
	*)	set -- "$@" static.config ;;
	esac
	for fragment in "${@:4}"; do
		options+=(--config-fragment "$IQ_ROOT/tests/config/$fragment")
	done
	IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$kind" --arch "$2" \
		--name "static-$1" --like "$kind" "${options[@]}" --targets "$3"
}

# coccicheck_rule BUILD RULE: one rule of scripts/coccinelle over the grafted files, and
# if it says something of them over the ungrafted ones
coccicheck_rule()
{
	local rule=$grafted_src/scripts/coccinelle/$2 log=$logs/coccicheck/${2//\//-}

	if ! grep -q 'virtual[[:space:]]\+report' "$rule"; then
		echo "# SKIP has no mode 'report'" >"$log"
	elif ! spatch --parse-cocci -D report "$rule" >"$log" 2>&1; then
		echo "# SKIP this spatch cannot read it" >>"$log"
	else
		coccicheck_over "$1" "$rule" "$work/grafted" >"$log" 2>&1
		# As static-compare.py has it: the folder's name depends on the kernel's coccicheck
		! grep -qE '^([^:]*/)?grafted/[^:]+:[0-9]+:' "$log" ||
			coccicheck_over "$1" "$rule" "$work/plain" >>"$log" 2>&1
	fi
}

# coccicheck_over BUILD RULE FOLDER
coccicheck_over()
{
	make -C "$grafted_src" O="$1" ARCH=x86 M="$3" MODE=report COCCI="$2" J=1 coccicheck ||
		echo "# FAILED"
}

# coccicheck BUILD: the kernel's own, over the touched files of both trees and ours. Not
# all rules by one make, which ends with the first that this spatch cannot read.
coccicheck()
{
	local rule sources kept start=$EPOCHSECONDS

	mkdir -p "$work"/{plain/plain,grafted/grafted,grafted/control} "$logs/coccicheck"
	mapfile -t sources < <(graft_changed "$grafted_src" | grep '\.[ch]$')
	(cd "$plain_src" && cp --parents "${sources[@]}" "$work/plain/plain")
	mapfile -t -O ${#sources[@]} sources < <(graft_created "$grafted_src" | grep '\.[ch]$')
	(cd "$grafted_src" && cp --parents "${sources[@]}" "$work/grafted/grafted")
	# That this one is found shows that it looks at all
	cat >"$work/grafted/control/control.c" <<-END
	void control(void *memory)
	{
	        if (memory)
	                kfree(memory);
	}
	END

	# It takes minutes, and of the same files the same rules say the same
	kept=$IQ_CACHE/spatch/coccicheck-$(
		{
			basename "$plain_src"
			spatch --version
			(cd "$work" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
			(cd "$grafted_src/scripts" && find coccicheck coccinelle -type f -print0 | sort -z | xargs -0 sha256sum)
		} | sha256sum | cut -c1-16)
	if [ -d "$kept" ]; then
		cp "$kept"/* "$logs/coccicheck"
		return
	fi

	for rule in $(cd "$grafted_src/scripts/coccinelle" && find . -name '*.cocci' -printf '%P\n' | sort); do
		while [ "$(jobs -rp | wc -l)" -ge "$IQ_JOBS" ]; do
			wait -n || :
		done
		coccicheck_rule "$1" "$rule" 9>&- &
	done
	wait
	if ! grep -rq '^# FAILED' "$logs/coccicheck"; then
		cp -r "$logs/coccicheck" "$kept.$$"
		mv -T "$kept.$$" "$kept"
	fi
	say "coccicheck took $((EPOCHSECONDS - start)) s"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
args=()
for arch in x86 arm64; do
	# SMMUv3's backend is a part of the driver, and is built with it alone.
	driver=
	[ $arch = x86 ] || driver=drivers/iommu/arm/arm-smmu-v3/
	for name in grafted plain kunit; do
		build=$(build_tree $name $arch prepare)
		objects=$(touched $arch)
		case $name in
		grafted) targets="$ours $driver $objects" ;;
		plain) targets="$driver $objects" ;;
		kunit) targets="$ours $driver" ;;
		esac
		# The compiler's warnings come only when it runs.
		for target in $targets; do
			[ ! -e "$build/$target" ] || find "$build/$target" -name '*.o' -delete
		done
		build_tree $name $arch "$check $targets" >/dev/null
		cp "$build/build.log" "$logs/$arch-$name"
	done
	[ $arch != x86 ] || coccicheck "$build"
	args+=(--builds "$arch" "$logs/$arch-plain" "$logs/$arch-grafted" "$objects"
	       --kunit "$arch, KUnit" "$logs/$arch-kunit")
done
/usr/bin/python3 -B "$IQ_ROOT/scripts/static-compare.py" "${args[@]}" \
	--ours "$(graft_created "$grafted_src" | grep '\.c$' | xargs)" \
	--coccicheck "$logs/coccicheck"
