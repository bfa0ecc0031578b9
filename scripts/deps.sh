#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# deps.sh: install, with apt, what the build and the tests need.
# CHECK_DEPS=0 changes nothing: it prints what is missing and fails if
# anything is.
#
# Runs on a bare Debian 12 that has only git and make, so it may use nothing
# but the shell and the essential packages.
set -euo pipefail

# What for: kernel build, grafting, QEMU build, boot firmware, guest image,
# tests, archive handling.
packages='
gcc libc6-dev make flex bison bc libelf-dev libssl-dev cpio kmod perl binutils
gcc-aarch64-linux-gnu libc6-dev-arm64-cross
coccinelle python3
pkg-config ninja-build libglib2.0-dev zlib1g-dev libfdt-dev device-tree-compiler
python3-venv
seabios qemu-system-data acpica-tools
sparse spin ccache dwarves
ca-certificates debian-archive-keyring file rsync tar xz-utils gzip patch util-linux
git
'

say()
{
	printf 'deps: %s\n' "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
	die "this is no Debian system; install by hand what corresponds to:" $packages

case ${CHECK_DEPS:-1} in
0|1) ;;
*) die "CHECK_DEPS=$CHECK_DEPS: say 0 or 1" ;;
esac

# One query for all: a no-op must be quick.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
missing=
for package in $packages; do
	case "
$installed
" in
	*"
$package
"*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "${CHECK_DEPS:-1}" = 0 ]; then
	die "missing packages (CHECK_DEPS=0, nothing installed):$missing"
fi
say "installing:$missing"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null ||
		die "not root and there is no sudo; as root run: apt-get install$missing"
	as_root=(sudo)
fi

export DEBIAN_FRONTEND=noninteractive
install()
{
	# shellcheck disable=SC2086 # a list of names
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends $missing
}

# Lists may be absent or out of date: read them and try once more.
if ! install; then
	say "reading the package lists"
	"${as_root[@]}" apt-get -q update || die "apt-get update failed (network or mirror down?)"
	install || die "apt-get install failed; install by hand:$missing"
fi
