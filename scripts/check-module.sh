#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-module.sh [--kunit]: the SMMUv3 driver as a module links with its backend,
# the core, which is built in, exports all that it needs, and a machine that loads
# the driver from its initramfs passes some scenarios. With --kunit its KUnit tests
# are modules, too; that is only linked. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

kunit=
name=module
fragments=(--config-fragment "$IQ_ROOT/tests/config/smmu-module.config")
case ${1:-} in
'') ;;
--kunit)
	kunit=1
	name=module-kunit
	fragments+=(--config-fragment "$IQ_ROOT/tests/config/smmu-module-kunit.config") ;;
*)	die "usage: check-module.sh [--kunit]" ;;
esac
obj=$("$IQ_ROOT/scripts/build-kernel.sh" grafted --arch arm64 --name $name --like grafted \
	"${fragments[@]}")
module=$obj/drivers/iommu/arm/arm-smmu-v3/arm_smmu_v3.ko
nm=aarch64-linux-gnu-nm

# What the module takes from the core.
taken() { $nm -u "$module" | awk '{ print $2 }' | grep -E '^iommu_(quarantine|report_device_broken)' | sort; }
exported() { awk '$2 ~ /^iommu_(quarantine|report_device_broken)/ { print $2 }' "$obj/Module.symvers" | sort; }

backend_is_in()
{
	[ -s "$module" ] || { echo "there is no $module"; return 1; }
	# Not grep -q: nm would be told by a signal that nobody listens any more
	$nm "$module" | grep ' [tT] __smmu_quarantine_settle$' >/dev/null || {
		echo "the module has no backend"
		return 1
	}
	! $nm "$obj/vmlinux" | grep ' smmu_quarantine_'
}

# modpost has refused the link otherwise; this says what the module needs.
exports_suffice()
{
	[ -n "$(taken)" ] || { echo "the module takes nothing from the core"; return 1; }
	comm -23 <(taken) <(exported) | grep . && return 1
	return 0
}

# What KUnit alone may use is in a namespace of its own.
gpl_only()
{
	! awk '$2 ~ /^iommu_(quarantine|report_device_broken)/ && $4 != "EXPORT_SYMBOL_GPL" && $5 != "EXPORTED_FOR_KUNIT_TESTING"' "$obj/Module.symvers" | grep .
}

for_drivers() { awk '$2 ~ /^iommu_(quarantine|report_device_broken)/ && $5 != "EXPORTED_FOR_KUNIT_TESTING" { print $2 }' "$obj/Module.symvers" | sort; }

tests_are_in()
{
	$nm "$module" | grep ' [tT] smmu_test_alone$' >/dev/null || {
		echo "the module has no KUnit tests"
		return 1
	}
	[ -s "$obj/drivers/iommu/quarantine/tests/conformance/iommu-quarantine-kunit.ko" ] || {
		echo "the fixture is no module"
		return 1
	}
}

guide_lists_them()
{
	local name status=0

	for name in $(for_drivers); do
		grep -q "\`$name()\`" "$IQ_ROOT/Documentation/integrator-guide.md" || {
			echo "$name() is not in the integrator's guide"
			status=1
		}
	done
	return $status
}

scenarios_pass()
{
	"$IQ_ROOT/tests/guest/run.sh" scenarios --kernel module
}

ktap_plan 5
ktap_case "the backend is in the driver's module" backend_is_in
ktap_case "the exports suffice" exports_suffice
ktap_case "exports are GPL only" gpl_only
ktap_case "the integrator's guide lists the exports" guide_lists_them
if [ -n "$kunit" ]; then
	ktap_case "the KUnit tests are modules" tests_are_in
else
	"$IQ_ROOT/scripts/build-qemu.sh" >&2
	ktap_case "the scenarios pass with the driver as a module" scenarios_pass
fi
printf '# taken by arm_smmu_v3.ko: %s\n' $(taken)
ktap_end
