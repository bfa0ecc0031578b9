#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# build-qemu.sh [ARCH]    build QEMU with the fault model of tests/qemu
#
# Takes the source that scripts/sources.sh fetched, or QEMU_SRC=<tree>, and
# works on a copy in $IQ_CACHE/build/qemu-<version>; the source itself is never
# written to. Builds for all the machines of the tests, or for the targets that
# IQ_QEMU_TARGETS names. Prints the path of qemu-system-ARCH (x86_64), and
# nothing else, on stdout; the others are in the same directory.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -le 1 ] || die "usage: [QEMU_SRC=<tree>] [IQ_QEMU_TARGETS=<targets>] build-qemu.sh [ARCH]"

arch=${1:-x86_64}
targets=${IQ_QEMU_TARGETS:-x86_64-softmmu,aarch64-softmmu}
case ,$targets, in
*,"$arch"-softmmu,*) ;;
*) die "$arch-softmmu is none of the targets $targets" ;;
esac
options=(
	--python=/usr/bin/python3 --cc="ccache gcc" --target-list="$targets"
	--without-default-features --without-default-devices
	--with-devices-x86_64=iommu-fault --with-devices-aarch64=iommu-fault
	--disable-download --disable-docs --disable-tools --disable-guest-agent
	--disable-install-blobs --disable-werror --disable-linux-user
	--disable-debug-info
	--enable-system --enable-tcg --enable-fdt=system
)
# The source package has no wheels, and Debian 12's meson is too old.
export PYTHONPATH=$IQ_CACHE/tools/usr/lib/python3/dist-packages
export PATH=$IQ_CACHE/tools/usr/bin:$PATH
unset MAKEFLAGS MFLAGS MAKELEVEL

need gcc ccache ninja spatch pkg-config flex bison
"$IQ_ROOT/scripts/sources.sh" qemu >&2
"$IQ_ROOT/scripts/sources.sh" tools >&2
src=$("$IQ_ROOT/scripts/sources.sh" path qemu)
version=$(cat "$src/VERSION")
name=qemu-$version
if [ -n "${QEMU_SRC:-}" ]; then
	# Two trees of the same version must not fight over one copy.
	name+=-$(printf '%s' "$src" | sha256sum | cut -c1-8)
fi
build=$IQ_CACHE/build/$name
take_lock "$name"
mkdir -p "$build"

binaries=()
for target in ${targets//,/ }; do
	case $target in
	*-softmmu) binaries+=("qemu-system-${target%-softmmu}") ;;
	*) die "IQ_QEMU_TARGETS: $target is no system target" ;;
	esac
done

# Everything that decides about the result.
inputs()
{
	(cd "$src" && find . \( -name .git -o -name __pycache__ \) -prune -o \
		-type f -printf '%P %s %T@\n' | LC_ALL=C sort)
	(cd "$IQ_ROOT" && find tests/qemu scripts/build-qemu.sh scripts/graft.py \
		-name __pycache__ -prune -o -type f -print0 |
		LC_ALL=C sort -z | xargs -0 sha256sum)
	printf '%s\n' "$src" "${options[@]}" "$PYTHONPATH"
	gcc --version
}
stamp=$(inputs | sha256sum)
done_already()
{
	local binary

	[ -e "$build/.iq-stamp" ] && [ "$(cat "$build/.iq-stamp")" = "$stamp" ] ||
		return 1
	for binary in "${binaries[@]}"; do
		[ -x "$build/build/$binary" ] || return 1
	done
}

if ! done_already; then
	rm -f "$build/.iq-stamp"
	"$IQ_ROOT/scripts/graft.py" weave --root "$IQ_ROOT/tests/qemu" \
		--state .iq-woven "$src" "$build/src" "$IQ_ROOT/tests/qemu/weave" ||
		die "the fault model does not fit $src (see above)"
	# meson asks for firmware that the source package lacks; nothing that
	# is built here uses it.
	sed -n "s/^ *'\(edk2-.*\.fd\)',\?$/\1.bz2/p" "$build/src/pc-bios/meson.build" |
	while read -r blob; do
		[ -e "$build/src/pc-bios/$blob" ] || : >"$build/src/pc-bios/$blob"
	done
	mkdir -p "$build/build"
	cd "$build/build"
	configured=$(printf '%s\n' "${options[@]}" "$PYTHONPATH" | sha256sum)
	if [ ! -e build.ninja ] || [ "$(cat .iq-configured 2>/dev/null)" != "$configured" ]; then
		rm -f .iq-configured
		logged "QEMU configure" "$build/configure.log" 0 \
			../src/configure "${options[@]}" ||
			die "configuring QEMU failed, see $build/configure.log"
		echo "$configured" >.iq-configured
	fi
	total=$(ninja -n "${binaries[@]}" | sed -n 's/^\[1\/\([0-9]*\)\].*/\1/p')
	logged "QEMU $version" "$build/build.log" "${total:-0}" \
		ninja -j"$IQ_JOBS" "${binaries[@]}" ||
		die "building QEMU failed, see $build/build.log"
	echo "$stamp" >"$build/.iq-stamp"
fi
echo "$build/build/qemu-system-$arch"
