#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-distro.sh [ARCH...]: with a distribution's full configuration
# drivers/iommu, drivers/pci and drivers/vfio/pci compile grafted, and the compiler
# says nothing that it does not say of the ungrafted tree. A skip where the archive has
# no such configuration for the kernel's series. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

[ $# -gt 0 ] || set -- x86 arm64
take_lock check-distro
"$IQ_ROOT/scripts/sources.sh" kernel
src=$("$IQ_ROOT/scripts/sources.sh" path kernel)

# build KIND ARCH FRAGMENTS
build()
{
	build_aloud "$1" --arch "$2" --name "distro-$1" --base-config "$config" --fragments "$3"
}

compiles()
{
	local plain grafted

	plain=$(build plain "$1" distro.config) || return 1
	grafted=$(build grafted "$1" "distro.config kabi-on.config") || return 1
	grep -q ' drivers/iommu/quarantine/core/quarantine.o$' "$grafted/build.log" || {
		echo "the quarantine was not compiled"
		return 1
	}
	! new_warnings "$plain" "$grafted" | grep .
}

ktap_plan $#
for arch; do
	if ! config=$("$IQ_ROOT/scripts/distro-config.sh" "$src" "$arch"); then
		ktap_not_ok "$arch: a distribution's configuration"
		continue
	fi
	name="$arch: no new warning with $(basename "$config")"
	case $name in
	*defconfig*)
		ktap_ok "$name # SKIP the archive has no distribution's configuration of this series" ;;
	*)	ktap_case "$name" compiles "$arch" ;;
	esac
done
ktap_end
