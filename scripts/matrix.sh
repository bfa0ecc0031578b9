#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# matrix.sh [OPTION]... [KERNEL]...
#   --kunit             also the KUnit tests (scripts/kunit.sh)
#   --scenarios NAMES   also these scenarios (NAME or @GROUP,...), or "all", on the
#                       QEMU machines
#   --machines NAMES    only on these of the machines (NAME,...)
#   --distro-config     also Debian's own configuration of that series
#   --no-off            not what is compiled with the option off
#   --table FILE        where the table goes, $IQ_CACHE/out/matrix.md by default
#
# For each kernel, a version as 7.2 or a tree: does the graft fit, do drivers/iommu,
# drivers/pci and drivers/vfio/pci compile with the option on and no warning that the
# ungrafted tree has not, is their code with it off that of the ungrafted tree; for x86
# and for arm64 (VENDOR=<name>,...: for theirs). Scenarios are those of the grafted
# kernel. Without kernels: those that the archive offers, and long-term ones, skipped
# with the reason when it has them no more.
#
# KTAP on stdout, and a table with times.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

kunit='' scenarios='' distro='' machines='' off=1 table=$IQ_CACHE/out/matrix.md
while [ $# -gt 0 ]; do
	case $1 in
	--kunit) kunit=1 ;;
	--distro-config) distro=1 ;;
	--no-off) off='' ;;
	--scenarios)
		[ -n "${2:-}" ] || die "--scenarios needs names, or all"
		scenarios=$2
		shift ;;
	--machines)
		[ -n "${2:-}" ] || die "--machines needs names"
		machines=$2
		shift ;;
	--table)
		[ -n "${2:-}" ] || die "--table needs a file"
		table=$2
		shift ;;
	-*) die "usage: matrix.sh [--kunit] [--scenarios NAMES] [--machines NAMES] [--distro-config] [--no-off] [--table FILE] [VERSION|TREE]..." ;;
	*) break ;;
	esac
	shift
done
[ -z "$kunit" ] || [ -x "$IQ_ROOT/scripts/kunit.sh" ] || die "--kunit: there is no scripts/kunit.sh"
meta() { sed -n "s/^$1:[[:space:]]*//p" "$IQ_ROOT/META"; }

older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# What the archive has, and the long-term kernels that vendors stand on.
declared()
{
	local version

	{ "$IQ_ROOT/scripts/sources.sh" offered || exit; meta Linux-Maximum; printf '%s\n' 6.12 6.18 7.1 7.2; } |
		sort -Vru | while read -r version; do
			older "$version" 6.12 || echo "$version"
		done
}
if [ $# -eq 0 ]; then
	list=$(declared)
	mapfile -t kernels <<<"$list"
	set -- "${kernels[@]}"
fi
kernels_or_die "$@"
# This is how an unverified kernel is verified.
export FORCE=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$table")"
list=$(vendor_archs)
mapfile -t archs <<<"$list"
columns=(graft on)
[ -z "$off" ] || columns+=(off)
[ -z "$distro" ] || columns+=(distro)
[ -z "$kunit" ] || columns+=(KUnit)
[ -z "$scenarios" ] || columns+=(scenarios)

# Of the vendors that are asked for
known=
[[ ,${VENDOR:-intel}, != *,intel,* ]] || known+="legacy scalable legacy-cm "
[[ ,${VENDOR:-amd}, != *,amd,* ]] || known+="amd "
[[ ,${VENDOR:-arm}, != *,arm,* ]] || known+="arm "
[ -z "$machines" ] || [ -n "$scenarios" ] || die "--machines is of --scenarios"
for machine in ${machines//,/ }; do
	[[ " $known" = *" $machine "* ]] || die "--machines: no such machine: $machine; there are: $known"
done
machines=${machines// /,}

# machines_of ARCH: those that are asked for
machines_of()
{
	local machine

	for machine in $known; do
		[ "$1" = "$([ "$machine" = arm ] && echo arm64 || echo x86)" ] || continue
		[[ -n $machines && ,$machines, != *,$machine,* ]] || echo "$machine"
	done
}

# columns_of ARCH: those that it has results for
columns_of()
{
	local machine

	machine=$(machines_of "$1")
	printf '%s\n' "${columns[@]}" | sed "$([ -n "$machine" ] || echo /scenarios/d)"
}

# Who else builds there would have what he built thrown away
take_lock matrix
plan=0
for arch in "${archs[@]}"; do
	plan=$((plan + $(columns_of "$arch" | wc -l)))
done
ktap_plan $(($# * plan))
{
	echo "| kernel | arch |$(printf ' %s |' "${columns[@]}")"
	echo "|---|---|$(printf -- '---|%.0s' "${columns[@]}")"
} >"$table.new"

# cell NAME COMMAND...: one result, with its time, for the table
cell()
{
	local name=$1 start=$EPOCHSECONDS status=0 time

	shift
	say "$name"
	"$@" >"$work/log" 2>&1 9>&- || status=$?
	time="$((EPOCHSECONDS - start)) s"
	case $status in
	0)	ktap_ok "$name"
		row+=" yes, $time |" ;;
	77)	ktap_ok "$name # SKIP $(tail -n 1 "$work/log")"
		row+=" - |" ;;
	*)	ktap_not_ok "$name" "$(grep '^not ok' "$work/log"; tail -n 40 "$work/log")"
		row+=" **no**, $time |" ;;
	esac
	return 0
}

# skip REASON: a whole kernel
skip()
{
	local arch column

	for arch in "${archs[@]}"; do
		for column in $(columns_of "$arch"); do
			ktap_ok "$name $arch $column # SKIP $1"
		done
		echo "| $name | $arch | $1 |" >>"$table.new"
	done
}

# compiles ARCH: as a vendor has it, without KUnit and what complains
compiles()
{
	local plain grafted fragments="base.config $1.config text.config"

	grafted=$(build_aloud grafted --arch "$1" --name matrix-on \
		--fragments "$fragments quarantine.config quarantine-$1.config") || return 1
	# There hardly ever are any, so the ungrafted tree is not built before there are.
	[ -n "$(warnings "$grafted")" ] || return 0
	plain=$(build_aloud plain --arch "$1" --name matrix-plain --fragments "$fragments") || return 1
	! new_warnings "$plain" "$grafted" | grep .
}

# distro_compiles ARCH: what check-distro skips is one here, too
distro_compiles()
{
	local said

	said=$("$IQ_ROOT/scripts/check-distro.sh" "$1") || {
		echo "$said"
		return 1
	}
	[[ $said = *'# SKIP '* ]] || return 0
	echo "${said##*# SKIP }"
	return 77
}

scenarios_run()
{
	local machine only=()

	[ "$scenarios" = all ] || only=(--only "$scenarios")
	"$IQ_ROOT/scripts/build-kernel.sh" grafted --arch "$1" >/dev/null || return 1
	for machine in $(machines_of "$1"); do
		"$IQ_ROOT/tests/guest/run.sh" scenarios --kernel grafted --machine "$machine" "${only[@]}" || return 1
	done
}

for name; do
	if [[ $name =~ ^[0-9]+\.[0-9]+$ ]]; then
		if older "$name" "$(meta Linux-Minimum)"; then
			skip "older than $(meta Linux-Minimum), the lowest supported kernel"
			continue
		fi
		status=0
		tree=$("$IQ_ROOT/scripts/sources.sh" version "$name" 2>"$work/log") || status=$?
		if [ $status = 3 ]; then
			skip "the archive does not offer linux-source-$name"
			continue
		fi
		[ $status = 0 ] || { cat "$work/log" >&2; die "no source of Linux $name"; }
	else
		tree=$name
	fi
	export KERNEL=$tree
	"$IQ_ROOT/scripts/sources.sh" kernel
	source=$("$IQ_ROOT/scripts/sources.sh" path kernel)
	version=$(make -s -C "$source" kernelversion)
	[ "$tree" != "$name" ] || name=$(basename "$tree")
	[[ $name == *"$version"* ]] || name=$version
	graft_ok=
	for arch in "${archs[@]}"; do
		row="| $name | $arch |"
		if [ -z "$graft_ok" ]; then
			cell "$name $arch graft" /usr/bin/python3 "$IQ_ROOT/scripts/graft.py" --cache "$IQ_CACHE/spatch" check "$source"
			[[ $row != *'**no**'* ]] && graft_ok=yes || graft_ok=no
		else
			[ $graft_ok = yes ] && ktap_ok "$name $arch graft" || ktap_not_ok "$name $arch graft"
			row+=" $graft_ok |"
		fi
		if [ $graft_ok = no ]; then
			for column in $(columns_of "$arch" | tail -n +2); do
				ktap_not_ok "$name $arch $column" "the graft does not fit"
				row+=" |"
			done
			echo "$row" >>"$table.new"
			continue
		fi
		cell "$name $arch on" compiles $arch
		[ -z "$off" ] || cell "$name $arch off" "$IQ_ROOT/scripts/check-text.sh" $arch
		[ -z "$distro" ] || cell "$name $arch distro" distro_compiles $arch
		[ -z "$kunit" ] || cell "$name $arch KUnit" "$IQ_ROOT/scripts/kunit.sh" "${arch/x86/x86_64}"
		! columns_of "$arch" | grep -c scenarios >/dev/null ||
			cell "$name $arch scenarios" scenarios_run $arch
		echo "$row" >>"$table.new"
	done
done
mv "$table.new" "$table"
cat "$table" >&2
ktap_end
