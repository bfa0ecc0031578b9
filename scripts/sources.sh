#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sources.sh kernel|qemu|tools|all    fetch and unpack what is not there yet
# sources.sh path kernel|qemu|tools   print where it is (fetches nothing)
# sources.sh list                     print what the cache holds
# sources.sh version X.Y              fetch linux-source-X.Y too and print where
#                                     it is; status 3: the archive has none
# sources.sh config X.Y x86|arm64     fetch Debian's configuration of that version
#                                     and print where it is; status 3: none
# sources.sh offered                  print the versions that the archive has
#
# Everything comes from the Debian archive, through apt, from the mirror that
# the machine is configured for; lists and archives are private to $IQ_CACHE.
# KERNEL=<tree> and QEMU_SRC=<tree> use the user's own trees instead.
# A finished download is kept with its checksum, an unpacked tree appears by
# rename with a record of its content: an interrupted run goes on after the last
# finished step, a download where it was, and what was damaged since is fetched
# again.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

meta()
{
	sed -n "s/^$1:[[:space:]]*//p" "$IQ_ROOT/META"
}

# ---- apt, in private -------------------------------------------------------

# apt_setup PURPOSE TYPE SUITE...: after this, "apt_run apt-get ..." sees
# those suites and nothing else. Index files are at most a few hours old.
apt_setup()
{
	local purpose=$1 type=$2 sources

	shift 2
	need apt-get dpkg python3
	apt_dir=$IQ_CACHE/apt/$purpose
	mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" "$apt_dir/sources.d"
	# The hooks of the machine's configuration act on the system's own apt
	# directories: not ours to trigger.
	cat >"$apt_dir/apt.conf" <<-CONF
	#clear APT::Update::Pre-Invoke;
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	Dir::Etc::SourceList "/dev/null";
	Dir::Etc::SourceParts "$apt_dir/sources.d";
	Dir::State::Lists "$apt_dir/lists";
	Dir::Cache "$apt_dir/cache";
	Dir::Cache::archives "$apt_dir/cache/archives";
	APT::Sandbox::User "$(id -un)";
	Acquire::Languages "none";
	Acquire::PDiffs "false";
	Acquire::Retries "3";
	CONF
	if [ -n "${apt_arch:-}" ]; then
		printf '%s\n' "APT::Architecture \"$apt_arch\";" "#clear APT::Architectures;" \
			"APT::Architectures { \"$apt_arch\"; };" >>"$apt_dir/apt.conf"
	fi
	sources=$(/usr/bin/python3 "$IQ_ROOT/scripts/apt-private.py" "$type" "$@")
	sources+=$'\nTargets: '$([ "$type" = deb ] && echo Packages || echo Sources)
	if [ ! -e "$apt_dir/fresh" ] || [ "$(cat "$apt_dir/sources.d/iq.sources" 2>/dev/null)" != "$sources" ]; then
		rm -f "$apt_dir/fresh"
		echo "$sources" >"$apt_dir/sources.d/iq.sources"
	fi
	if [ -z "$(find "$apt_dir/fresh" -mmin -360 2>/dev/null)" ]; then
		apt_update
	fi
}

apt_run()
{
	local tool=$1

	shift
	"$tool" -c "$apt_dir/apt.conf" "$@" 9>&-
}

apt_update()
{
	say "reading the package lists ($(sed -n 's/^Suites: //p' "$apt_dir/sources.d/iq.sources"))"
	apt_run apt-get -q update >"$apt_dir/update.log" 2>&1 || {
		tail -n 15 "$apt_dir/update.log" >&2
		die "apt-get update of the private lists failed (network or mirror down?)"
	}
	touch "$apt_dir/fresh"
}

# versions PACKAGE Packages|Sources: what the lists offer, newest first
versions()
{
	apt_run apt-cache madison "$1" |
		awk -F' *[|] *' -v kind="$2" '$3 ~ kind "$" { print $2 }' | sort -Vru
}

# ---- downloads -------------------------------------------------------------

dl=$IQ_CACHE/dl

# A download counts only together with its checksum, written after apt had
# verified the file.
dl_ok()
{
	[ -e "$dl/$1" ] && [ -e "$dl/$1.sha256" ] || return 1
	(cd "$dl" && sha256sum --status -c "$1.sha256") && return 0
	say "$1 in the cache is damaged: fetching it again"
	rm -f "$dl/$1" "$dl/$1.sha256"
	return 1
}

# fetch PACKAGE VERSION binary|source FILE...: into $dl; fails when a file is gone.
# apt says where each file is and what it hashes to; its helper goes on where an
# interrupted run was, if the mirror dates its files, and checks the hash.
fetch()
{
	local package=$1 version=$2 kind=$3 what=download tmp uris uri hash file missing=

	shift 3
	mkdir -p "$dl"
	for file; do
		dl_ok "$file" || missing=1
	done
	[ -n "$missing" ] || return 0
	tmp=$dl/.part-$package
	mkdir -p "$tmp"
	say "downloading $package $version"
	[ "$kind" = binary ] || what="source --download-only"
	# shellcheck disable=SC2086 # a command and its option
	uris=$(apt_run apt-get -qq $what --print-uris "$package=$version") || return 1
	for file; do
		read -r uri hash < <(awk -v name="$file" '$2 == name { print $1, $4 }' <<<"$uris") ||
			die "apt knows of no $file in $package $version"
		if ! apt_run /usr/lib/apt/apt-helper "${apt_quiet[@]}" download-file "${uri//\'/}" \
			"$tmp/$file" "$hash" >&2 2>"$tmp/.error"; then
			cat "$tmp/.error" >&2
			# Superseded, or is it the network?
			grep -qE ' 404 |File not found' "$tmp/.error" ||
				die "$file could not be fetched; what there is of it is kept, try again"
			return 1
		fi
		# Of an archive in a folder it makes a link. Callers look at the
		# status, so nothing ends this by itself.
		{ cp -Lf --remove-destination "$tmp/$file" "$dl/$file" &&
			(cd "$dl" && sha256sum "$file") >"$dl/.$file.sha256" &&
			mv "$dl/.$file.sha256" "$dl/$file.sha256"; } ||
			die "$file cannot be kept in $dl: is there room?"
	done
	rm -rf "$tmp"
}
apt_quiet=()
[ -t 2 ] || apt_quiet=(-q)

# ---- unpacked trees --------------------------------------------------------

# What a tree consists of: names and sizes. (Python leaves caches behind.)
content()
{
	(cd "$1" && find . -name __pycache__ -prune -o ! -type d -printf '%P %s\n' | LC_ALL=C sort | sha256sum)
}

tree_ok()
{
	local record

	record=$(dirname "$1")/.$(basename "$1").record
	[ -d "$1" ] && [ -e "$record" ] || return 1
	[ "$(sed -n 1p "$record")" = "$(content "$1")" ] && return 0
	say "$1 was changed or damaged since it was unpacked: unpacking it again"
	return 1
}

# install_tree TMP DEST ORIGIN: publish a complete tree under its name
install_tree()
{
	local record

	record=$(dirname "$2")/.$(basename "$2").record
	rm -f "$record"
	if [ -e "$2" ]; then
		mv "$2" "$2.old.$$" || die "$2 cannot be replaced"
	fi
	{ mv "$1" "$2" && { content "$2" && echo "$3"; } >"$record.tmp" &&
		mv "$record.tmp" "$record"; } || die "$2 cannot be written: is there room?"
	rm -rf "$2.old.$$"
}

# current NAME [TREE]: remember / print which tree NAME stands for
current()
{
	if [ $# -gt 1 ]; then
		ln -sfn "$(basename "$2")" "$IQ_CACHE/src/.$1.new"
		mv -T "$IQ_CACHE/src/.$1.new" "$IQ_CACHE/src/$1"
	else
		readlink -e "$IQ_CACHE/src/$1" 2>/dev/null
	fi
}

# ---- kernel ----------------------------------------------------------------

makefile_version()
{
	[ -f "$1/Makefile" ] || return 1
	sed -n 's/^VERSION = //p;s/^PATCHLEVEL = //p;s/^SUBLEVEL = //p' "$1/Makefile" |
		paste -sd. | grep -E '^[0-9]+\.[0-9]+\.[0-9]+$'
}

# A tree of this cache is used as it is.
unpacked_here()
{
	[ "$(dirname "$1")" = "$IQ_CACHE/src" ] && [ -e "$IQ_CACHE/src/.$(basename "$1").record" ]
}

own_kernel_dest()
{
	local tree version

	tree=$(realpath -e "$KERNEL" 2>/dev/null) || die "KERNEL=$KERNEL: there is no such directory"
	if unpacked_here "$tree"; then
		echo "$tree"
		return
	fi
	version=$(makefile_version "$tree") ||
		die "KERNEL=$KERNEL is no kernel source tree: it has no top Makefile with a version"
	echo "$IQ_CACHE/src/linux-$version-$(echo "$tree" | sha256sum | cut -c1-8)"
}

# The user's tree is only read. The copy has no build products, which an
# out-of-tree build would refuse.
own_kernel()
{
	local dest

	need rsync
	dest=$(own_kernel_dest)
	if unpacked_here "$dest"; then
		tree_ok "$dest" || die "remove $dest and fetch it again: scripts/sources.sh version X.Y"
		return
	fi
	say "using KERNEL=$KERNEL (copied to $dest)"
	mkdir -p "$dest"
	rsync -a --delete --exclude=.git --exclude='*.o' --exclude='*.ko' --exclude='*.a' \
		--exclude='.*.cmd' --exclude='*.mod' --exclude='*.mod.c' \
		--exclude=/.config --exclude=/include/config --exclude=/include/generated \
		--exclude='/arch/*/include/generated' --exclude=/vmlinux \
		--exclude=__pycache__ "$KERNEL/" "$dest/"
}

# pick MAJOR MINOR NAME: fetch and unpack the newest linux-source-MAJOR.MINOR
# that is really there, and remember it as NAME. Superseded versions stay in the
# lists while their files are gone.
pick()
{
	local major=$1 minor=$2 name=$3 package version file tree tmp upstream

	package=linux-source-$major.$minor
	for version in $(versions "$package" Packages); do
		file=${package}_${version#*:}_all.deb
		if ! fetch "$package" "$version" binary "$file"; then
			say "$package $version is in the lists but cannot be had: trying the next one"
			continue
		fi
		tmp=$IQ_CACHE/src/.unpack-$package.$$
		rm -rf "$IQ_CACHE/src/.unpack-$package".*
		mkdir -p "$tmp"
		say "unpacking $package $version"
		dpkg --fsys-tarfile "$dl/$file" | tar -xO "./usr/src/$package.tar.xz" |
			tar -xJ -C "$tmp" --strip-components=1 ||
			die "$file cannot be unpacked: is there room in $IQ_CACHE?"
		upstream=$(makefile_version "$tmp") || die "$file holds no kernel source"
		tree=$IQ_CACHE/src/linux-$upstream
		if tree_ok "$tree"; then
			rm -rf "$tmp"
		else
			install_tree "$tmp" "$tree" "$package $version"
		fi
		current "$name" "$tree"
		return 0
	done
	return 1
}

kernel()
{
	local tree max min major minor

	if [ -n "${KERNEL:-}" ]; then
		own_kernel
		return
	fi
	if tree=$(current kernel) && tree_ok "$tree"; then
		return
	fi
	need xz tar
	max=$(meta Linux-Maximum) min=$(meta Linux-Minimum)
	major=${max%.*}
	# The verified version first, from the suite that is stable; only then
	# whatever else lies in the declared range.
	apt_setup kernel deb trixie-backports
	if pick "$major" "${max#*.}" kernel; then
		return
	fi
	apt_setup kernel deb trixie-backports sid
	# An older series is for those who ask for it.
	[ "${min%.*}" = "$major" ] || min=$major.0
	for ((minor = ${max#*.}; minor >= ${min#*.}; minor--)); do
		if pick "$major" "$minor" kernel; then
			say "using linux-source-$major.$minor"
			return
		fi
	done
	die "the archive has no linux-source between $min and $max; give a tree with KERNEL=<tree>"
}

# Where Debian keeps linux-source packages. The machine's own suites do not
# matter: what they have is in these, too.
kernel_suites="bookworm-backports trixie trixie-backports sid experimental"

# version X.Y: beside the kernel that the tests use
version()
{
	local tree

	[[ ${1:-} =~ ^[0-9]+\.[0-9]+$ ]] || die "usage: sources.sh version X.Y"
	if tree=$(current "kernel-$1") && tree_ok "$tree"; then
		echo "$tree"
		return
	fi
	if tree=$(current kernel) && [[ $(makefile_version "$tree") == "$1".* ]] && tree_ok "$tree"; then
		current "kernel-$1" "$tree"
		echo "$tree"
		return
	fi
	need xz tar
	# shellcheck disable=SC2086 # a list of suites
	apt_setup versions deb $kernel_suites
	if ! pick "${1%.*}" "${1#*.}" "kernel-$1"; then
		say "the archive has no linux-source-$1 any more, or not yet; give a tree with KERNEL=<tree>"
		return 3
	fi
	current "kernel-$1"
}

# config X.Y ARCH: the package is of the architecture whose kernel it configures
config()
{
	local package=linux-config-$1 arch version file dest tmp

	case ${2:-} in
	x86) arch=amd64 ;;
	arm64) arch=arm64 ;;
	*) die "usage: sources.sh config X.Y x86|arm64" ;;
	esac
	dest=$IQ_CACHE/config/debian-$1-$arch
	if [ -s "$dest" ]; then
		echo "$dest"
		return
	fi
	need xz tar
	# shellcheck disable=SC2086 # a list of suites
	apt_arch=$arch apt_setup "config-$arch" deb $kernel_suites
	for version in $(versions "$package" Packages); do
		file=${package}_${version#*:}_$arch.deb
		if ! fetch "$package" "$version" binary "$file"; then
			say "$package $version is in the lists but cannot be had: trying the next one"
			continue
		fi
		mkdir -p "$IQ_CACHE/config"
		tmp=$IQ_CACHE/config/.new.$$
		dpkg --fsys-tarfile "$dl/$file" |
			tar -xO "./usr/src/$package/config.${arch}_none_$arch.xz" | xz -dc >"$tmp"
		[ -s "$tmp" ] || die "$file has no configuration config.${arch}_none_$arch"
		mv "$tmp" "$dest"
		echo "$dest"
		return
	done
	say "the archive has no $package for $arch"
	return 3
}

offered()
{
	# shellcheck disable=SC2086
	apt_setup versions deb $kernel_suites
	apt_run apt-cache search --names-only '^linux-source-[0-9.]+$' |
		sed 's/^linux-source-\([0-9.]*\) .*/\1/' | sort -Vu
}

# ---- QEMU ------------------------------------------------------------------

own_qemu()
{
	[ -f "$QEMU_SRC/VERSION" ] && [ -f "$QEMU_SRC/hw/i386/intel_iommu.c" ] ||
		die "QEMU_SRC=$QEMU_SRC is no QEMU source tree: VERSION or hw/i386/intel_iommu.c is missing"
}

qemu()
{
	local series version base orig tree tmp

	if [ -n "${QEMU_SRC:-}" ]; then
		own_qemu
		return
	fi
	if tree=$(current qemu) && tree_ok "$tree"; then
		return
	fi
	need xz tar
	series=$(meta QEMU-Series)
	apt_setup qemu deb-src trixie
	for version in $(versions qemu Sources); do
		base=${version#*:}
		case $base in
		"$series".*) ;;
		*) continue ;;
		esac
		orig=qemu_${base%-*}.orig.tar.xz
		if ! fetch qemu "$version" source "$orig"; then
			say "qemu $version is in the lists but cannot be had: trying the next one"
			continue
		fi
		tmp=$IQ_CACHE/src/.unpack-qemu.$$
		rm -rf "$IQ_CACHE/src/.unpack-qemu".*
		mkdir -p "$tmp"
		say "unpacking qemu $version"
		tar -xJf "$dl/$orig" -C "$tmp" --strip-components=1
		tree=$IQ_CACHE/src/qemu-$(cat "$tmp/VERSION")
		install_tree "$tmp" "$tree" "qemu $version"
		current qemu "$tree"
		return
	done
	die "the archive has no QEMU $series.x source; give a tree with QEMU_SRC=<tree>"
}

# ---- tools that Debian 12 has too old --------------------------------------

tools()
{
	local package version file tmp found

	if tree_ok "$IQ_CACHE/tools"; then
		return
	fi
	apt_setup tools deb bookworm-backports
	tmp=$IQ_CACHE/.unpack-tools.$$
	rm -rf "$IQ_CACHE"/.unpack-tools.*
	mkdir -p "$tmp"
	for package in meson python3-pycotap; do
		found=
		for version in $(versions "$package" Packages); do
			if [ "$package" = meson ] && dpkg --compare-versions "$version" lt "$(meta Meson-Minimum)"; then
				continue
			fi
			file=${package}_${version#*:}_all.deb
			if ! fetch "$package" "$version" binary "$file"; then
				say "$package $version is in the lists but cannot be had: trying the next one"
				continue
			fi
			dpkg -x "$dl/$file" "$tmp"
			found=1
			break
		done
		[ -n "$found" ] || die "bookworm-backports has no usable $package"
	done
	install_tree "$tmp" "$IQ_CACHE/tools" "meson, python3-pycotap"
}

# ---- commands --------------------------------------------------------------

path()
{
	local tree

	case $1 in
	kernel)
		if [ -n "${KERNEL:-}" ]; then
			own_kernel_dest
			return
		fi ;;
	qemu)
		if [ -n "${QEMU_SRC:-}" ]; then
			own_qemu
			realpath "$QEMU_SRC"
			return
		fi ;;
	tools)
		echo "$IQ_CACHE/tools"
		return ;;
	*)
		die "usage: sources.sh path kernel|qemu|tools" ;;
	esac
	tree=$(current "$1") || die "there is no $1 source yet; run scripts/sources.sh $1"
	echo "$tree"
}

one()
{
	mkdir -p "$IQ_CACHE/src"
	(take_lock "sources-$1"; "$1")
}

case ${1:-} in
kernel|qemu|tools)
	one "$1" ;;
all)
	one kernel
	one qemu
	one tools ;;
path)
	path "${2:-}" ;;
version)
	mkdir -p "$IQ_CACHE/src"
	(take_lock sources-kernel; version "${2:-}") ;;
config)
	(take_lock sources-kernel; config "${2:-}" "${3:-}") ;;
offered)
	(take_lock sources-kernel; offered) ;;
list)
	for record in "$IQ_CACHE"/src/.*.record "$IQ_CACHE"/.tools.record; do
		[ ! -e "$record" ] || sed -n 2p "$record"
	done ;;
*)
	die "usage: sources.sh kernel|qemu|tools|all | path kernel|qemu|tools | version X.Y | config X.Y ARCH | offered | list" ;;
esac
