#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-text.sh [ARCH...]: CONFIG_IOMMU_QUARANTINE=n leaves the code of drivers/iommu,
# drivers/pci and drivers/vfio/pci as it is in the ungrafted kernel, for x86 and for
# arm64 (or those named). KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

folders="drivers/iommu/ drivers/pci/ drivers/vfio/pci/"
# build plain|grafted ARCH
build()
{
	# Like no other: what is compared is what was compiled from that source. And with the
	# matrix it shares objects of which the warnings are looked at.
	IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$1" --arch "$2" --name "text-$1" --like none \
		--fragments "base.config $2.config text.config" \
		--targets "prepare $folders"
}

take_lock check-text
builds=()
[ $# -gt 0 ] || set -- x86 arm64
for arch; do
	plain=$(build plain $arch)
	grafted=$(build grafted $arch)
	if grep -q '^CONFIG_IOMMU_QUARANTINE=' "$grafted/.config"; then
		die "$grafted was built with CONFIG_IOMMU_QUARANTINE"
	fi
	builds+=(--builds "$arch" "$plain" "$grafted")
done
# shellcheck disable=SC2086 # three folders
exec /usr/bin/python3 -B "$IQ_ROOT/scripts/text-compare.py" "${builds[@]}" $folders
