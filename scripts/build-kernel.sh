#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# build-kernel.sh plain|grafted [OPTION]...
#   --arch x86|arm64|um      which kernel, default x86; arm64 is cross-built, um
#                            is user mode Linux
#   --base-config FILE       start from this full configuration; what it asks for
#                            and this tree or compiler has not is left out
#   --config-fragment FILE   add this fragment to the configuration
#   --fragments "NAME..."    these of tests/config instead of the usual ones
#   --like NAME              a new build tree begins as a copy of this one, if that was
#                            built; "none": as an empty one. By default the tree whose
#                            name has "plain" for "grafted", if that is another
#   --name NAME              build tree's name, instead of "plain" or "grafted";
#                            "arm64-" or "um-" comes before it
#   --set VARIABLE=VALUE     for make
#   --targets "TARGET..."    instead of the image and the modules
#
# Builds the test kernel into $IQ_CACHE/build/linux-<version>-<NAME> and prints
# that path. Both kernels share every object that the graft does not change: by a
# copy of the tree, in which Kbuild sees what is out of date, and by ccache.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage()
{
	die "usage: build-kernel.sh plain|grafted [--arch x86|arm64|um] [--base-config FILE] [--config-fragment FILE]... [--fragments NAMES] [--like NAME] [--name NAME] [--set VARIABLE=VALUE]... [--targets TARGETS]"
}

kind=${1:-}
case $kind in
plain|grafted) shift ;;
*) usage ;;
esac
[ "$(uname -m)" = x86_64 ] || die "this is $(uname -m): run it on x86_64"
arch=x86
name=$kind
like=
targets=
names=
base=()
extra=()
set=()
while [ $# -gt 0 ]; do
	case $1 in
	--config-fragment)
		[ -r "${2:-}" ] || die "cannot read the configuration fragment '${2:-}'"
		extra+=("$(realpath "$2")")
		shift 2 ;;
	--base-config)
		[ -r "${2:-}" ] || die "cannot read the configuration '${2:-}'"
		base=("$(realpath "$2")")
		shift 2 ;;
	--arch|--fragments|--like|--name|--set|--targets)
		[ -n "${2:-}" ] || usage
		case $1 in
		--arch) arch=$2 ;;
		--fragments) names=$2 ;;
		--like) like=$2 ;;
		--name) name=$2 ;;
		--set) set+=("$2") ;;
		--targets) targets=$2 ;;
		esac
		shift 2 ;;
	*) usage ;;
	esac
done
case $arch in
x86) cross='' image=bzImage prefix='' ;;
arm64) cross=aarch64-linux-gnu- image=Image prefix=arm64- ;;
um) cross='' image=linux prefix=um- ;;
*) usage ;;
esac
[[ $name != *grafted* ]] || like=${like:-${name/grafted/plain}}
name=$prefix$name
targets=${targets:-$image modules}
if [ -z "$names" ]; then
	names="base.config $arch.config debug.config"
	[ "$kind" = plain ] || names+=" quarantine.config quarantine-$arch.config"
fi

need gcc "${cross}gcc" make flex bison bc ccache python3
"$IQ_ROOT/scripts/sources.sh" kernel
plain_src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
id=$(basename "$plain_src")

# ccache hits across the two trees only if the source has the same path as
# seen from the build directory. Hence the second, congruent root
# grafted/{src,build}; the documented names are links into it.
if [ "$kind" = plain ]; then
	src=$plain_src
	obj=$IQ_CACHE/build/$id-$name
	link=
else
	src=$IQ_CACHE/grafted/src/$id
	obj=$IQ_CACHE/grafted/build/$id-$name
	link=$IQ_CACHE/build/$id-$name
fi
take_lock "kernel-$kind-$id"

unset MAKEFLAGS MFLAGS MAKELEVEL KERNELRELEASE KBUILD_OUTPUT
export ARCH=$arch CROSS_COMPILE=$cross

if [ "$kind" = grafted ]; then
	/usr/bin/python3 "$IQ_ROOT/scripts/graft.py" --cache "$IQ_CACHE/spatch" sync "$plain_src" "$src"
	mkdir -p "$IQ_CACHE/tree"
	ln -sfn "../grafted/src/$id" "$IQ_CACHE/tree/$id-grafted"
fi

# seed FROM: begin as a copy of this build tree. The commands in it name the tree, and the
# source, which may be the other kernel's: then what the graft has changed may be older
# than the objects, which go.
seed()
{
	local from source
	from=$(readlink -e "$1") && [ -e "$from/.iq-built" ] || return 0
	source=$(sed -n 's/^include \(.*\)\/Makefile$/\1/p' "$from/Makefile")
	[ -n "$source" ] || return 0
	rm -rf "$obj.new"
	mkdir -p "$(dirname "$obj")"
	cp -a --reflink=auto "$from" "$obj.new"
	rm -f "$obj.new"/.iq-*
	if [ "$source" != "$src" ]; then
		graft_changed "$src" | sed "s|^|/$id/|" >"$obj.new/.iq-changed"
		{ grep -rlZF --include='*.cmd' -f "$obj.new/.iq-changed" "$obj.new" || :; } |
			xargs -0r rm
	fi
	grep -rlZF --include='*.cmd' -e "$source/" -e "/${from##*/}/" "$obj.new" | xargs -0r \
		sed -i "s|$from/|$obj/|g; s|/${from##*/}/|/${obj##*/}/|g; s|$source/|$src/|g"
	mv "$obj.new" "$obj"
}
if [ -n "$like" ] && [ ! -e "$obj" ]; then
	# Nobody is to build there meanwhile; the lock of our own kind is ours already.
	[ "$kind" = plain ] || { exec 8>"$IQ_CACHE/lock/kernel-plain-$id"; flock 8; }
	seed "$IQ_CACHE/build/$id-$prefix$like"
	exec 8>&-
fi
mkdir -p "$obj"
if [ -n "$link" ]; then
	mkdir -p "$IQ_CACHE/build"
	ln -sfn "../grafted/build/$id-$name" "$link"
fi

# Where KASAN is on, it looks at drivers: ours and those that call them. In all of a kernel
# it made the KUnit tests take four times as long. Not at ACPI, which is a third of the start
# of a machine.
# shellcheck disable=SC2016 # for make
sanitize='$(if $(filter-out drivers/acpi drivers/acpi/%,$(filter drivers/%,$(obj))),y,n)'
# A fixed build identity keeps the few objects that hold it shareable.
set+=(CC="ccache ${cross}gcc" HOSTCC="ccache gcc" KASAN_SANITIZE="$sanitize"
      KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_VERSION=1
      KBUILD_BUILD_USER=iommu-quarantine KBUILD_BUILD_HOST=localhost)
kmake()
{
	make -C "$src" O="$obj" "${set[@]}" "$@"
}

fragments=()
for fragment in $names; do
	fragments+=("$IQ_ROOT/tests/config/$fragment")
done
fragments+=("${extra[@]}")

# Configure anew only when an input changed: a new autoconf.h rebuilds a lot.
stamp=$(cat "${base[@]}" "${fragments[@]}" "$src/drivers/iommu/Kconfig" \
	$([ "$kind" = plain ] || find "$src/drivers/iommu/quarantine" -name Kconfig | sort) \
	| sha256sum)
if [ ! -e "$obj/.config" ] || [ "$(cat "$obj/.iq-config" 2>/dev/null)" != "$stamp" ]; then
	rm -f "$obj/.iq-config"
	if ! (cd "$src" && scripts/kconfig/merge_config.sh -n -O "$obj" \
	      "${base[@]}" "${fragments[@]}") >"$obj/config.log" 2>&1; then
		tail -n 20 "$obj/config.log" >&2
		die "configuring $id-$name failed, see $obj/config.log"
	fi
	/usr/bin/python3 "$IQ_ROOT/scripts/kconfig-check.py" "$obj/.config" "${fragments[@]}" ||
		die "the kernel cannot be configured as the fragments ask (see above)"
	echo "$stamp" >"$obj/.iq-config"
fi

rm -f "$obj/.iq-built"
# For who goes on from here (tests/guest/run.py)
printf '%s\n' "${set[@]}" >"$obj/.iq-make"
total=0
[ ! -e "$obj/.iq-steps" ] || total=$(cat "$obj/.iq-steps")
# shellcheck disable=SC2086 # a list of targets
logged "kernel $name" "$obj/build.log" "$total" kmake -j"$IQ_JOBS" $targets ||
	die "building $obj failed"
steps=$(awk '/^  [A-Z]/ { n++ } END { print n + 0 }' "$obj/build.log")
[ "$steps" -le "$total" ] || echo "$steps" >"$obj/.iq-steps"
case $targets in
*modules*)
	[ -s "$obj/Module.symvers" ] ||
		die "$obj has no Module.symvers: no module builds against it" ;;
esac
touch "$obj/.iq-built"
echo "$obj"
