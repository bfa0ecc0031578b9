# SPDX-License-Identifier: GPL-2.0-only
# Shared by the shell scripts: where things are, how to speak, how to lock.
# shellcheck shell=bash

IQ_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
IQ_CACHE=${IQ_CACHE:-$HOME/.cache/iommu-quarantine}
case $IQ_CACHE in
/*) ;;
*)	IQ_CACHE=$PWD/$IQ_CACHE ;;
esac
IQ_JOBS=${IQ_JOBS:-2}
mkdir -p "$IQ_CACHE"
# ccache and the kernel's make see resolved paths: agree with them.
IQ_CACHE=$(cd "$IQ_CACHE" && pwd -P)
IQ_ME=$(basename "$0" .sh)
export IQ_ROOT IQ_CACHE IQ_JOBS
export PYTHONDONTWRITEBYTECODE=1
# One ccache for all that is built. A miss is compiled from what was hashed, instead of being
# preprocessed once more. That takes a tenth less, but the compiler does not see any more what
# is a macro, and warns of such: not where its warnings are looked at (IQ_WARNINGS).
export CCACHE_DIR=$IQ_CACHE/ccache CCACHE_BASEDIR=$IQ_CACHE CCACHE_NOHASHDIR=1
export CCACHE_NOCPP2=1
[ -z "${IQ_WARNINGS:-}" ] || unset CCACHE_NOCPP2

say()
{
	printf '%s: %s\n' "$IQ_ME" "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

# need PROGRAM...: one error that names everything that is missing.
need()
{
	local p missing=

	for p; do
		command -v "$p" >/dev/null || missing="$missing $p"
	done
	[ -z "$missing" ] || die "missing:$missing; run scripts/deps.sh"
}

# vendor_archs: the architectures whose machines are those of VENDOR (NAME,...),
# a line each; all of them without one.
vendor_archs()
{
	local vendor vendors=${VENDOR:-intel,amd,arm}

	for vendor in ${vendors//,/ }; do
		case $vendor in
		intel|amd) echo x86 ;;
		arm) echo arm64 ;;
		*) die "VENDOR: no such vendor: $vendor; there are: intel, amd, arm" ;;
		esac
	done | sort -ru
}

# kernels_or_die NAME...: each a version as 7.2, or a tree
kernels_or_die()
{
	local name

	for name; do
		[[ $name =~ ^[0-9]+\.[0-9]+$ || -f $name/Makefile ]] ||
			die "'$name' is neither a version as 7.2 nor a kernel tree"
	done
}

# graft_changed TREE, graft_created TREE: the files of the kernel that the graft has
# changed there, or added, a line each
graft_changed() { graft_record "$1" changed; }
graft_created() { graft_record "$1" created; }

graft_record()
{
	/usr/bin/python3 -c '
import json, sys
print(*json.load(open(sys.argv[1]))[sys.argv[2]], sep="\n")
' "$1/drivers/iommu/quarantine/.graft/record.json" "$2"
}

# build_aloud plain|grafted OPTION...: build-kernel.sh on the folders that the graft touches,
# such that all the compiler says of them is in build.log. Prints the build tree.
build_aloud()
{
	local obj

	obj=$(IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$@" --targets prepare) || return 1
	# The compiler speaks only when it runs; ccache repeats what it said.
	mkdir -p "$obj/drivers"
	find "$obj/drivers" -name '*.o' -delete
	IQ_WARNINGS=1 "$IQ_ROOT/scripts/build-kernel.sh" "$@" \
		--targets "drivers/iommu/ drivers/pci/ drivers/vfio/pci/"
}

# warnings OBJ: those of a build, without the line numbers that the graft moves
warnings()
{
	grep -E '(warning|error):' "$1/build.log" | sed -E 's/^(\.\.\/)+//; s/:[0-9]+:[0-9]+: /: /' | LC_ALL=C sort
}

# new_warnings PLAIN GRAFTED: those that only the second build has
new_warnings()
{
	LC_ALL=C comm -13 <(warnings "$1") <(warnings "$2")
}

# take_lock NAME: one run at a time for what NAME stands for; a second run
# waits and says so. The lock lives as long as file descriptor 9, that is
# until the script ends.
take_lock()
{
	mkdir -p "$IQ_CACHE/lock"
	exec 9>"$IQ_CACHE/lock/$1"
	if ! flock -n 9; then
		say "waiting for another run ($1)"
		flock 9
	fi
}

# logged LABEL LOGFILE TOTAL COMMAND...: run a long command with its output in
# a file and its progress on stderr; on failure show the end of the output.
# TOTAL is the expected number of steps, 0 when it is not known.
logged()
{
	local label=$1 log=$2 total=$3

	shift 3
	mkdir -p "$(dirname "$log")"
	if ! "$@" 9>&- 2>&1 | tee "$log" | progress "$label" "$total"; then
		say "$label failed, the end of $log:"
		tail -n 30 "$log" >&2
		return 1
	fi
}

progress()
{
	local label=$1 total=$2 n=0 start=$EPOCHSECONDS last=$EPOCHSECONDS
	local line every=15 cr= end='\n'

	if [ -t 2 ]; then
		every=1 cr='\r' end=
	fi
	while IFS= read -r line; do
		case $line in
		"  "[A-Z]*|"["[0-9]*"/"[0-9]*"]"*) n=$((n + 1)) ;;
		esac
		if [ $((EPOCHSECONDS - last)) -ge $every ]; then
			last=$EPOCHSECONDS
			# shellcheck disable=SC2059 # the format is ours
			printf "$cr%s: %d%s steps, %d s$end" "$label" "$n" \
				"$( [ "$total" -gt "$n" ] && printf '/%d' "$total")" \
				$((last - start)) >&2
		fi
	done
	# shellcheck disable=SC2059
	printf "$cr%s: %d steps, %d s\n" "$label" "$n" $((EPOCHSECONDS - start)) >&2
}
