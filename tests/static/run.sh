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
	# Calls are followed from file to file
	[ "$rule" != contexts ] || cp "$(dirname "$source")"/* "$dir"
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
contexts_broken() { broken contexts "$work/contexts/$1" "${@:2}"; }

mkdir "$work/vtd" "$work/amd" "$work/smmu" "$work/contexts"
cp "$tree"/drivers/iommu/intel/*.c "$work/vtd/"
cp "$tree"/drivers/iommu/amd/*.c "$tree"/drivers/iommu/quarantine/amd-iommu/commands.h "$work/amd/"
cp "$tree"/drivers/iommu/arm/arm-smmu-v3/*.[ch] "$work/smmu/"
# All of ours but the tests, by names that differ
(cd "$tree/drivers/iommu/quarantine" &&
	find core intel-vtd amd-iommu arm-smmu-v3 -name '*.[ch]' ! -name 'kunit*') |
while read -r file; do
	cp "$tree/drivers/iommu/quarantine/$file" "$work/contexts/${file//\//-}"
done
cp "$tree/drivers/iommu/iommu.c" "$work/contexts/"

ktap_plan 27
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
ktap_case "contexts: no flush sleeps, nobody waits under group->mutex for who takes it" \
	clean contexts "$work/contexts" context held
ktap_case "contexts: a function that Coccinelle cannot read is noticed" \
	contexts_broken core-quarantine.c unread 's/^\tint old;/\tDECLARE(int) old;/' \
	"iommu_quarantine_report() was not parsed"
ktap_case "contexts: a fence that takes a mutex is noticed" \
	contexts_broken intel-vtd-quarantine.c fence \
	's/^\tiommu_quarantine_hold_fence\(\);/&\n\tguard(mutex)(\&vtd_mutex);/' \
	"vtd_fence() sleeps or allocates: guard(mutex), called by __intel_quarantine_settle()"
ktap_case "contexts: an allocation that may sleep is noticed" \
	contexts_broken amd-iommu-quarantine.c allocation \
	's/(xa_mk_value\(1\), )GFP_ATOMIC/\1GFP_KERNEL/' \
	"amd_quarantine_set_gcr3() sleeps or allocates: xa_store(GFP_KERNEL)"
ktap_case "contexts: a lock that sleeps on PREEMPT_RT is noticed" \
	contexts_broken arm-smmu-v3-quarantine.c lock \
	's/guard\(raw_(spinlock_irqsave\)\(&smmu_lock)/guard(\1/' \
	"smmu_quarantine_skip() sleeps or allocates: guard(spinlock_irqsave)"
ktap_case "contexts: a report that allocates is noticed" \
	contexts_broken core-quarantine.c report \
	's/^\tq = quarantine_reported\(dev\);/&\n\tevidence = kmemdup(evidence, sizeof(*evidence), GFP_ATOMIC);/' \
	"iommu_quarantine_report() sleeps or allocates: kmemdup()"
ktap_case "contexts: a fence that blocks the device itself is noticed" \
	contexts_broken core-quarantine.c process \
	's/^\ttrace_iommu_device_fenced\(dev, evidence\);/&\n\tpci_dev_reset_iommu_prepare(to_pci_dev(dev));/' \
	"iommu_quarantine_fenced() calls pci_dev_reset_iommu_prepare(), which says 'process'"
ktap_case "contexts: a report that is waited for under group->mutex is noticed" \
	contexts_broken core-quarantine.c flush \
	'/^void iommu_quarantine_reattached/,/^}/s/iommu_quarantine_report\(.*;/&\n\t\tflush_work(\&q->work);/' \
	"iommu_quarantine_reattached() holds group->mutex and waits for the quarantine's work: flush_work()"
ktap_case "contexts: a state that is waited for under group->mutex is noticed" \
	contexts_broken core-quarantine.c poll \
	'/^static int quarantine_ask/,/^}/s/iommu_quarantine_report\(.*;/&\n\twhile (quarantine_state(q) == Q_REPORTED)\n\t\tcpu_relax();/' \
	"quarantine_ask() holds group->mutex and waits for the quarantine's work: polls"
ktap_case "contexts: a release under group->mutex, some calls away, is noticed" \
	contexts_broken iommu.c release \
	'/^void dev_iommu_free\(/,/^}/s/^\tkfree\(.*;/&\n\tiommu_quarantine_release(dev);/' \
	"__iommu_group_remove_device() holds group->mutex and calls iommu_deinit_device(), which calls dev_iommu_free(), which calls iommu_quarantine_release(), which waits"
ktap_case "contexts: group->mutex taken by who holds it is noticed" \
	contexts_broken core-group.h again \
	's/^\tiommu_quarantine_left_group\(.*;/&\n\tiommu_quarantine_ats_off(gdev->dev);/' \
	"quarantine_gdev_remove() holds group->mutex and calls iommu_quarantine_ats_off(), which takes"
ktap_end
