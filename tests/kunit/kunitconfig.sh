#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kunitconfig.sh TREE: kunit.py gets all that the .kunitconfig of each folder asks
# for, and that is what the folder's suites need not to be skipped. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

[ $# -eq 1 ] || die "usage: kunitconfig.sh TREE"
tree=$1
[ -d "$tree/drivers/iommu/quarantine" ] || die "$tree is not grafted; run: make kernel"

# kunit.py fails if the configuration lacks something that was asked for.
configures()
{
	local folder=$1 arch=$2 args=()

	[ "$arch" != arm64 ] || args=(--cross_compile aarch64-linux-gnu-)
	(cd "$tree" && tools/testing/kunit/kunit.py config --arch "$arch" "${args[@]}" \
		--build_dir "$IQ_CACHE/build/kunitconfig-$folder" \
		--kunitconfig "drivers/iommu/quarantine/$folder")
}

# Without these, bodies are skipped or not there.
asks_for()
{
	local option status=0

	for option in IOMMU_QUARANTINE_KUNIT_TEST IOMMU_QUARANTINE_DEBUG IOMMU_QUARANTINE_FAULT; do
		grep -qx "CONFIG_$option=y" "$tree/drivers/iommu/quarantine/$1/.kunitconfig" || {
			echo "$1/.kunitconfig does not ask for $option"
			status=1
		}
	done
	return $status
}

ktap_plan 8
for pair in core:um intel-vtd:x86_64 amd-iommu:x86_64 arm-smmu-v3:arm64; do
	folder=${pair%:*}
	ktap_case "$folder/.kunitconfig is what the tests need" asks_for "$folder"
	ktap_case "$folder/.kunitconfig can be had on ${pair#*:}" configures "$folder" "${pair#*:}"
done
ktap_end
