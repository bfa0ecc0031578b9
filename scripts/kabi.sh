#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kabi.sh: what modules see of drivers/iommu and drivers/pci, grafted against
# ungrafted: layouts of structures (from DWARF, by pahole) and symbol versions
# (by genksyms), with a full configuration. The status says whether a member
# moved.
#   KABI_CONFIG=<file>   this configuration; else Debian's of the same version,
#                        else the architecture's defconfig
#   KABI_ARCH=x86|arm64  default x86
#   KABI_QUICK=1         only the files that the graft touches, not all exports
#                        of the two folders
set -euo pipefail
. "$(dirname "$0")/lib.sh"

need pahole spatch python3
arch=${KABI_ARCH:-x86}
case $arch in
x86) files="iommu/iommu pci/pci pci/quirks pci/pci-acpi iommu/intel/dmar iommu/intel/iommu iommu/amd/iommu" ;;
arm64) files="iommu/iommu pci/pci pci/quirks iommu/arm/arm-smmu-v3/arm-smmu-v3" ;;
*) die "KABI_ARCH=$arch: say x86 or arm64" ;;
esac
quick=${KABI_QUICK:-0}
case $quick in
0|1) ;;
*) die "KABI_QUICK=$quick: say 0 or 1" ;;
esac
"$IQ_ROOT/scripts/sources.sh" kernel
src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
if [ -n "${KABI_CONFIG:-}" ]; then
	[ -r "$KABI_CONFIG" ] || die "cannot read KABI_CONFIG=$KABI_CONFIG"
	config=$(realpath "$KABI_CONFIG")
else
	config=$("$IQ_ROOT/scripts/distro-config.sh" "$src" $arch)
fi
say "configuration: $config"
targets="drivers/iommu/ drivers/pci/"
if [ "$quick" = 1 ]; then
	targets=
	ours=drivers/iommu/quarantine/
	for file in $files; do
		targets+=" drivers/$file.o"
	done
fi
build()
{
	"$IQ_ROOT/scripts/build-kernel.sh" "$1" --arch $arch --name "kabi-$1" --base-config "$config" \
		--fragments "$2" --targets "prepare $targets ${3:-}"
}
plain=$(build plain kabi.config)
grafted=$(build grafted "kabi.config kabi-on.config" "${ours:-}")
objects=()
for file in $files; do
	[ ! -e "$plain/drivers/$file.o" ] || objects+=("drivers/$file.o")
done
[ ${#objects[@]} -gt 3 ] || die "$config builds hardly any of the drivers concerned"
/usr/bin/python3 -B "$IQ_ROOT/scripts/kabi-compare.py" "$plain" "$grafted" "${objects[@]}"
