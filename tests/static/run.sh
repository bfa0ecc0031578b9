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

# ask RULE FOLDER: what the rule says of the sources; a parse problem is an error.
ask()
{
	local macros=$IQ_ROOT/core/callouts/macros.h

	case $1 in
	vtd-*) macros=$IQ_ROOT/intel-vtd/callouts/macros.h ;;
	esac
	spatch --very-quiet --no-includes -D report \
		--macro-file "$macros" \
		--sp-file "$here/$1.cocci" "$2"/*.[ch]
}

# clean RULE FOLDER SEEN...: nothing but what has to be seen, each once, else
# silence would mean nothing.
clean()
{
	local said word rule=$1 dir=$2

	shift 2
	said=$(ask "$rule" "$dir") || return 1
	printf '%s\n' "$said"
	for word; do
		[ "$(grep -c "^#$word" <<<"$said")" -eq 1 ] || return 1
	done
	[ "$(grep -c . <<<"$said")" -eq $# ]
}

# broken RULE SOURCE NAME SED-EXPRESSION TEXT: with the edit the rule says TEXT,
# or, when TEXT is -WORD, sees WORD no more.
broken()
{
	local rule=$1 source=$2 dir=$work/$1-$3 said

	mkdir "$dir"
	sed -E "$4" "$source" >"$dir/$(basename "$source")"
	if cmp -s "$source" "$dir/$(basename "$source")"; then
		echo "the edit '$4' changes nothing any more"
		return 1
	fi
	said=$(ask "$rule" "$dir") || return 1
	printf '%s\n' "$said"
	case $5 in
	-*) ! grep -q "^#${5#-}" <<<"$said" ;;
	*) grep -qF -- "$5" <<<"$said" ;;
	esac
}

vtd_broken() { broken vtd-queue "$work/vtd/dmar.c" "$@"; }
amd_broken() { broken amd-commands "$work/amd/iommu.c" "$@"; }
smmu_broken() { broken smmu-queue "$work/smmu/arm-smmu-v3.c" "$@"; }

mkdir "$work/vtd" "$work/amd" "$work/smmu"
cp "$tree"/drivers/iommu/intel/*.c "$work/vtd/"
cp "$tree"/drivers/iommu/amd/*.c "$tree"/drivers/iommu/quarantine/amd-iommu/commands.h "$work/amd/"
cp "$tree"/drivers/iommu/arm/arm-smmu-v3/*.[ch] "$work/smmu/"

ktap_plan 16
ktap_case "vtd-queue: every invalidation passes the filter" \
	clean vtd-queue "$work/vtd" filter
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
ktap_case "amd-commands: every invalidation passes the filter" \
	clean amd-commands "$work/amd" filter settle
ktap_case "amd-commands: a command buffer without the filter is noticed" \
	amd_broken unfiltered '/amd_quarantine_filter\(/d' -filter
ktap_case "amd-commands: a second way into the buffer is noticed" amd_broken second \
	'/^static int iommu_flush_dte\(/i static void direct(struct amd_iommu *iommu, struct iommu_cmd *cmd)\n{\n\tcopy_cmd_to_buffer(iommu, cmd);\n}\n' \
	"direct() copies into the buffer"
ktap_case "amd-commands: an invalidation of another's making is noticed" amd_broken build \
	'/^static int device_flush_dte\(/i static void other(struct iommu_cmd *cmd)\n{\n\tbuild_inv_iotlb_pages(cmd, 0, 0, 0, 0, 0, false);\n}\n' \
	"other() builds a device-TLB invalidation"
ktap_case "amd-commands: a wait that settles nothing is noticed" \
	amd_broken unsettled '/amd_quarantine_settle\(/d' -settle
ktap_case "smmu-queue: every invalidation passes the filter" \
	clean smmu-queue "$work/smmu" filter settle sync
ktap_case "smmu-queue: a queue without the filter is noticed" \
	smmu_broken unfiltered '/smmu_quarantine_filter\(/d' "writes commands past the filter"
ktap_case "smmu-queue: a batch without a CMD_SYNC of its own is noticed" \
	smmu_broken sync 's/smmu_quarantine_force_sync\(cmds\)/false/' -sync
ktap_case "smmu-queue: a second way into a queue is noticed" smmu_broken second \
	'/^static int arm_smmu_device_reset\(/i static void direct(struct arm_smmu_cmdq *cmdq)\n{\n\tarm_smmu_cmdq_write_entries(cmdq, NULL, 0, 1);\n}\n' \
	"direct() writes commands"
ktap_case "smmu-queue: a poll without a bound is noticed" smmu_broken poll \
	's/smmu_quarantine_poll\(smmu, cmdq, &qp,/queue_poll(\&qp/; s/queue_poll\(&qp *queue_poll\(&qp\)\)/queue_poll(\&qp)/' "polls without a bound"
ktap_case "smmu-queue: a flush that settles nothing is noticed" smmu_broken unsettled \
	's/^\treturn smmu_quarantine_settle\(.*;/\treturn ret;/' \
	"a flush returns unsettled"
ktap_end
