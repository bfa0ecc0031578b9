#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-text.sh: CONFIG_IOMMU_QUARANTINE=n leaves the code of drivers/iommu and
# drivers/pci as it is in the ungrafted kernel. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

folders="drivers/iommu/ drivers/pci/"
build()
{
	"$IQ_ROOT/scripts/build-kernel.sh" "$1" --name "text-$1" \
		--fragments "base.config x86.config text.config" \
		--targets "prepare $folders"
}
plain=$(build plain)
grafted=$(build grafted)
if grep -q '^CONFIG_IOMMU_QUARANTINE=' "$grafted/.config"; then
	die "$grafted was built with CONFIG_IOMMU_QUARANTINE"
fi
# shellcheck disable=SC2086 # two folders
exec /usr/bin/python3 -B "$IQ_ROOT/scripts/text-compare.py" "$plain" "$grafted" $folders
