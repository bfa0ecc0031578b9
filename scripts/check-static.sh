#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-static.sh: sparse and W=1 over our files and over those that the graft
# touches, for x86 and for arm64. Ours must be clean; the touched ones may say
# what they said before the graft and nothing more. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

need sparse
take_lock check-static
# sparse does not know __typeof_unqual__, and the kernel then skips it.
check="W=1 C=2 CHECK=sparse CF=-D__typeof_unqual__=__typeof__"

"$IQ_ROOT/scripts/sources.sh" kernel
id=$(basename "$("$IQ_ROOT/scripts/sources.sh" path kernel)")

# Objects of the touched files that ARCH has.
touched()
{
	local object

	graft_changed "$IQ_CACHE/grafted/src/$id" | sed -n 's/\.c$/.o/p' |
	while read -r object; do
		case $1-$object in
		arm64-drivers/iommu/intel/*|arm64-drivers/iommu/amd/*) ;;
		arm64-drivers/pci/pci-acpi.o) ;;
		x86-drivers/iommu/arm/*) ;;
		*) printf '%s ' "$object" ;;
		esac
	done
}

# build_tree KIND ARCH [TARGETS]: the configuration is that of the scenarios, but without
# KUnit, as vendors have it.
build_tree()
{
	IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$1" --arch "$2" --name "static-$1" --like "$1" \
		--config-fragment "$IQ_ROOT/tests/config/static.config" \
		--targets "${3:-prepare}"
}

builds=()
for arch in x86 arm64; do
	logs=()
	for kind in grafted plain; do
		build=$(build_tree $kind $arch)
		objects=$(touched $arch)
		targets=$objects
		# The compiler's warnings come only when it runs.
		for object in $objects; do
			rm -f "$build/$object"
		done
		if [ $kind = grafted ]; then
			targets="drivers/iommu/quarantine/ $objects"
			[ ! -d "$build/drivers/iommu/quarantine" ] ||
				find "$build/drivers/iommu/quarantine" -name '*.o' -delete
		fi
		build_tree $kind $arch "$check $targets" >/dev/null
		logs=("$build/build.log" "${logs[@]}")
	done
	builds+=(--builds "$arch" "${logs[@]}" "$objects")
done
exec /usr/bin/python3 -B "$IQ_ROOT/scripts/static-compare.py" "${builds[@]}"
