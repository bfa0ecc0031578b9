#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-style.sh: checkpatch --strict, kernel-doc and the house rules over our
# own files. KTAP on stdout. QEMU's files follow QEMU's style, not this one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$IQ_ROOT/scripts/ktap.sh"

need perl python3
"$IQ_ROOT/scripts/sources.sh" kernel
src=$("$IQ_ROOT/scripts/sources.sh" path kernel)
cd "$IQ_ROOT"

# What spatch is told as macros is no C of ours.
mapfile -t doc_files < <(find core amd-iommu arm-smmu-v3 intel-vtd -name callouts -prune -o -name '*.[ch]' -print | sort)
mapfile -t c_files < <(printf '%s\n' "${doc_files[@]}"; find tests/guest tests/conformance -name '*.[ch]' | sort)
mapfile -t all_files < <(find . -name .git -prune -o -name .iq-cache -prune -o -name __pycache__ -prune -o -type f -print | sort)
mapfile -t shell_files < <(grep -lE '^#!/bin/(ba)?sh|shellcheck shell' "${all_files[@]}")
mapfile -t python_files < <(printf '%s\n' "${all_files[@]}" | grep '\.py$')

checkpatch()
{
	local ignore=

	# Programs of the guest cannot use what only the kernel has.
	if [[ $1 == tests/* ]] && ! grep -q '#include <linux/\(module\|types\)\.h>' "$1"; then
		ignore=--ignore=PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,EMBEDDED_FUNCTION_NAME
	fi
	# The layout that every trace header has.
	if [[ $1 == */trace/events/* ]]; then
		ignore=--ignore=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT
	fi
	# Without its tree: spdxcheck would want Python modules of its own.
	perl "$src/scripts/checkpatch.pl" --no-tree --strict --terse \
		--no-summary --show-types $ignore --file "$1"
}

# In Perl or in Python, by the kernel
kernel_doc()
{
	case $(head -n 1 "$src/scripts/kernel-doc") in
	*perl*) perl "$src/scripts/kernel-doc" -none -Wall -Werror "$1" ;;
	*) /usr/bin/python3 -B "$src/scripts/kernel-doc" -none -Wall -Werror "$1" ;;
	esac
}

# absent EXPRESSION EXPLANATION: no file of ours has a line that matches
absent()
{
	if grep -nIE "$1" "${all_files[@]}"; then
		echo "$2"
		return 1
	fi
}

spdx()
{
	local file status=0

	for file in "${all_files[@]}"; do
		case $file in
		*.c|*.h|*.inc|*.sh|*.py|*.cocci|*.mak|*Makefile|*Kbuild|*Kconfig|./.ci/run) ;;
		*) continue ;;
		esac
		head -n 2 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-\(only\|or-later\)' || {
			echo "$file"
			status=1
		}
	done
	return $status
}

no_products()
{
	if printf '%s\n' "${all_files[@]}" | grep -E '\.(patch|diff|deb|tar\.[gx]z|cpio|cpio\.gz|ko)$'; then
		echo "to be made, not to be kept"
		return 1
	fi
}

# The targets and machines that the CI templates name.
ci_templates()
{
	local file target found status=0

	for file in Documentation/ci/*.yml; do
		for target in $(grep -oE 'make [a-z -]+' "$file" | sed 's/^make//' | tr ' ' '\n' | sort -u); do
			case $target in
			check-*) grep -q "^suite_${target#check-}()" scripts/check.sh ;;
			*) grep -qE "^([a-z]+ )*$target( [a-z]+)*:" Makefile ;;
			esac || {
				echo "$file: there is no target $target"
				status=1
			}
		done
		found=$(grep -iE 'machine: \[' "$file" | sed 's/.*\[//; s/\].*//; s/,//g')
		[ "$(xargs -n 1 <<<"$found" | sort)" = "$(machine_names)" ] || {
			echo "$file: machines '$found', there are: $(machine_names | xargs)"
			status=1
		}
	done
	return $status
}

machine_names()
{
	/usr/bin/python3 -B tests/guest/run.py scenarios --help |
		sed -n 's/.*--machine {\([^}]*\)}.*/\1/p' | head -n 1 | tr ',' '\n' | sort
}

each()
{
	local file status=0 run=$1

	shift
	for file; do
		"${run[@]}" "$file" || status=1
	done
	return $status
}

syntax_shell() { bash -n "$1"; }
syntax_python() { /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], "rb").read(), sys.argv[1])' "$1"; }

ktap_plan $((${#c_files[@]} + ${#doc_files[@]} + 9))
for file in "${c_files[@]}"; do
	ktap_case "checkpatch $file" checkpatch "$file"
done
for file in "${doc_files[@]}"; do
	ktap_case "kernel-doc $file" kernel_doc "$file"
done
ktap_case "shell syntax" each syntax_shell "${shell_files[@]}"
ktap_case "python syntax" each syntax_python "${python_files[@]}"
ktap_case "every source says its licence" spdx
ktap_case "nothing is marked as unfinished" absent \
	'\b([T]ODO|[F]IXME|[X]XX|[H]ACK)\b' "finish it or say why it is so"
ktap_case "no host of a package archive is named" absent \
	'(deb|security|ftp|snapshot)\.[d]ebian\.org' "take it from the machine's own sources"
ktap_case "no path of one machine" absent \
	"(^|[^A-Za-z0-9_.])/([h]ome|[r]oot|[w]ork)/" "this path exists on one machine only"
ktap_case "no kernel difference by version number" absent \
	'LINUX_[V]ERSION_CODE|KERNEL_[V]ERSION\(' "look for the feature instead"
ktap_case "the CI templates name what there is" ci_templates
ktap_case "nothing that should be made is kept" no_products
ktap_end
