#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# distro-config.sh TREE x86|arm64: print the path of a distribution's full
# configuration for the kernel TREE: Debian's of the same series, else the
# architecture's defconfig, made from the tree; it says which on stderr, and the file's
# name does, debian-<series>-<arch> or defconfig-<version>-<arch>.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tree=${1:-} arch=${2:-}
case $arch in
x86) cross='' ;;
arm64) cross=aarch64-linux-gnu- ;;
*) die "usage: distro-config.sh TREE x86|arm64" ;;
esac
version=$(make -s -C "$tree" kernelversion)
series=${version%.*}
dir=$IQ_CACHE/config
mkdir -p "$dir"
if file=$("$IQ_ROOT/scripts/sources.sh" config "$series" $arch); then
	say "Debian's configuration of Linux $series for $arch"
	echo "$file"
	exit
fi
say "the archive has no linux-config-$series for $arch: taking the defconfig"
rm -rf "$dir/.make.$arch"
make -s -C "$tree" O="$dir/.make.$arch" ARCH=$arch CROSS_COMPILE=$cross defconfig >&2
mv "$dir/.make.$arch/.config" "$dir/defconfig-$version-$arch"
rm -rf "$dir/.make.$arch"
echo "$dir/defconfig-$version-$arch"
