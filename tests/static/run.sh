#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Static checks of rules that no test can walk all the way: each first on the
# grafted driver, then on copies with the rule broken, where it has to speak.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
. "$here/../../scripts/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

need spatch python3
tree=${1:-}
[ -n "$tree" ] || die "usage: run.sh GRAFTED-KERNEL-TREE"
[ -r "$tree/drivers/iommu/quarantine/intel-vtd/quarantine.c" ] ||
	die "$tree is not a grafted kernel tree: make graft KERNEL=$tree first"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What the check says of a folder of sources; a parse problem is an error.
vtd_queue()
{
	spatch --very-quiet --no-includes -D report \
		--macro-file "$IQ_ROOT/intel-vtd/callouts/macros.h" \
		--sp-file "$here/vtd-queue.cocci" "$1"/*.c
}

vtd_clean()
{
	local said

	said=$(vtd_queue "$1") || return 1
	printf '%s\n' "$said"
	# The filter has to be seen, else silence would mean nothing.
	[ "$(grep -c '^#filter' <<<"$said")" -eq 1 ] &&
		! grep -v '^#filter' <<<"$said"
}

# broken NAME SED-EXPRESSION TEXT: with the edit the check says TEXT.
vtd_broken()
{
	local dir=$work/$1 said

	mkdir "$dir"
	cp "$work/vtd/dmar.c" "$dir/dmar.c"
	sed -i -E "$2" "$dir/dmar.c"
	if cmp -s "$work/vtd/dmar.c" "$dir/dmar.c"; then
		echo "the edit '$2' changes nothing any more"
		return 1
	fi
	said=$(vtd_queue "$dir") || return 1
	printf '%s\n' "$said"
	if [ "$3" = "-" ]; then
		! grep -q '^#filter' <<<"$said"
	else
		grep -qF -- "$3" <<<"$said"
	fi
}

mkdir "$work/vtd"
cp "$tree"/drivers/iommu/intel/*.c "$work/vtd/"

ktap_plan 5
ktap_case "vtd-queue: every invalidation passes the filter" \
	vtd_clean "$work/vtd"
ktap_case "vtd-queue: an unfiltered copy is noticed" vtd_broken unfiltered \
	's/intel_quarantine_copy\(iommu, (.*),$/memcpy(\1,/; s/(1 << shift), options, &wait\);/\1);/' \
	"past intel_quarantine_copy()"
ktap_case "vtd-queue: a second way into the queue is noticed" vtd_broken second \
	'/^void qi_global_iec\(/i void qi_direct(struct intel_iommu *iommu, struct qi_desc *d)\n{\n\tstruct q_inval *qi = iommu->qi;\n\n\tmemcpy(qi->desc, d, 16);\n}\n' \
	"qi_direct() stores"
ktap_case "vtd-queue: a second doorbell is noticed" vtd_broken doorbell \
	'/^void qi_global_iec\(/i void qi_ring(struct intel_iommu *iommu)\n{\n\twritel(0, iommu->reg + DMAR_IQT_REG);\n}\n' \
	"qi_ring() moves the tail"
ktap_case "vtd-queue: a restart that settles nothing is noticed" \
	vtd_broken unsettled '/rc = intel_quarantine_settle\(/d' \
	"without intel_quarantine_settle()"
ktap_end
