#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-distro.sh [ARCH...]: with a distribution's full configuration
# drivers/iommu and drivers/pci compile grafted, and the compiler says nothing
# that it does not say of the ungrafted tree. KTAP on stdout.
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
	local obj

	obj=$(build_kernel "$@" prepare) || return 1
	# The compiler speaks only when it runs; ccache repeats what it said.
	mkdir -p "$obj/drivers/iommu" "$obj/drivers/pci"
	find "$obj/drivers/iommu" "$obj/drivers/pci" -name '*.o' -delete
	build_kernel "$@" "drivers/iommu/ drivers/pci/"
}

build_kernel()
{
	IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$1" --arch "$2" --name "distro-$1" --base-config "$config" \
		--fragments "$3" --targets "$4"
}

# The warnings of a build, without the line numbers that the graft moves.
warnings()
{
	grep -E '(warning|error):' "$1/build.log" | sed -E 's/^(\.\.\/)+//; s/:[0-9]+:[0-9]+: /: /' | sort
}

compiles()
{
	local plain grafted

	config=$("$IQ_ROOT/scripts/distro-config.sh" "$src" "$1") || return 1
	plain=$(build plain "$1" distro.config) || return 1
	grafted=$(build grafted "$1" "distro.config kabi-on.config") || return 1
	echo "configuration: $config"
	grep -q ' drivers/iommu/quarantine/core/quarantine.o$' "$grafted/build.log" || {
		echo "the quarantine was not compiled"
		return 1
	}
	! comm -13 <(warnings "$plain") <(warnings "$grafted") | grep .
}

ktap_plan $#
for arch; do
	ktap_case "$arch: a distribution's configuration compiles without a new warning" compiles "$arch"
done
ktap_end
