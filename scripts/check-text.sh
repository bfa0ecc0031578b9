#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-text.sh [ARCH...]: CONFIG_IOMMU_QUARANTINE=n leaves the code of drivers/iommu,
# drivers/pci and drivers/vfio/pci as it is in the ungrafted kernel, for x86 and for
# arm64 (or those named), and that of drivers/pci in a kernel without IOMMU drivers, for
# x86. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# build plain|grafted ARCH FRAGMENTS FOLDERS NAME
build()
{
	# Like no other: what is compared is what was compiled from that source. And with the
	# matrix it shares objects of which the warnings are looked at.
	IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$1" --arch "$2" --name "$5-$1" --like none \
		--fragments "base.config $2.config text.config $3" \
		--targets "prepare $4"
}

# both TITLE ARCH FRAGMENTS FOLDERS NAME
both()
{
	local plain grafted

	plain=$(build plain "${@:2}")
	grafted=$(build grafted "${@:2}")
	if grep -q '^CONFIG_IOMMU_QUARANTINE=' "$grafted/.config"; then
		die "$grafted was built with CONFIG_IOMMU_QUARANTINE"
	fi
	builds+=(--builds "$1" "$plain" "$grafted" "$4")
}

take_lock check-text
builds=()
[ $# -gt 0 ] || set -- x86 arm64
for arch; do
	both $arch $arch '' "drivers/iommu/ drivers/pci/ drivers/vfio/pci/" text
	[ $arch != x86 ] || both "x86, no IOMMU" x86 no-iommu.config drivers/pci/ no-iommu
done
exec /usr/bin/python3 -B "$IQ_ROOT/scripts/text-compare.py" "${builds[@]}"
