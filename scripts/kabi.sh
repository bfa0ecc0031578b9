#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kabi.sh: what modules see of drivers/iommu, drivers/pci and drivers/vfio/pci, grafted
# against ungrafted, with a full configuration: layouts of structures (from DWARF, by
# pahole), as the files that the graft touches see them, and symbol versions (by
# genksyms). The status says whether a member moved.
#   KABI_CONFIG=<file>   this configuration; else Debian's of the same version,
#                        else the architecture's defconfig
#   KABI_ARCH=x86|arm64  default x86
#   KABI_QUICK=1         compile only these files, not the folders: the layouts are the
#                        same, of symbol versions and exports only theirs are seen
set -euo pipefail
. "$(dirname "$0")/lib.sh"

need pahole spatch python3
arch=${KABI_ARCH:-x86}
case $arch in
x86|arm64) ;;
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
# build KIND FRAGMENTS TARGETS
build()
{
	"$IQ_ROOT/scripts/build-kernel.sh" "$1" --arch $arch --name "kabi-$1" --base-config "$config" \
		--fragments "$2" --targets "prepare $3"
}

# option OBJECT: what it hangs on, if that may well be off
option()
{
	case $1 in
	drivers/iommu/amd/nested.o) echo AMD_IOMMU_IOMMUFD ;;
	drivers/iommu/amd/*) echo AMD_IOMMU ;;
	drivers/iommu/arm/*/tegra241-cmdqv.o) echo TEGRA241_CMDQV ;;
	drivers/iommu/arm/*-iommufd.o) echo ARM_SMMU_V3_IOMMUFD ;;
	drivers/iommu/arm/*) echo ARM_SMMU_V3 ;;
	drivers/iommu/intel/*) echo INTEL_IOMMU ;;
	drivers/pci/pci-acpi.o) echo ACPI ;;
	drivers/pci/pcie/err.o) echo PCIEAER ;;
	drivers/vfio/*) echo VFIO_PCI_CORE ;;
	*) echo PCI ;;
	esac
}

plain=$(build plain kabi.config '')
grafted=$(build grafted "kabi.config kabi-on.config" '')
objects=() absent=
for object in $(graft_changed "$IQ_CACHE/grafted/src/$(basename "$src")" | sed -n 's/\.c$/.o/p'); do
	if grep -q "^CONFIG_$(option "$object")=[ym]" "$plain/.config"; then
		objects+=("$object")
	else
		absent+=" $object"
	fi
done
[ -z "$absent" ] || say "not in this configuration:$absent"
[ ${#objects[@]} -gt 3 ] || die "$config builds hardly any of the drivers concerned"
targets="drivers/iommu/ drivers/pci/ drivers/vfio/pci/" ours=
[ "$quick" = 0 ] || targets=${objects[*]} ours=drivers/iommu/quarantine/
build plain kabi.config "$targets" >/dev/null
build grafted "kabi.config kabi-on.config" "$targets $ours" >/dev/null
/usr/bin/python3 -B "$IQ_ROOT/scripts/kabi-compare.py" "$plain" "$grafted" "${objects[@]}"
