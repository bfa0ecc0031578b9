#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# check-static.sh: sparse and W=1 over our files and over those that the graft
# touches. Ours must be clean; the touched ones may say what they said before
# the graft and nothing more. KTAP on stdout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

need sparse
# sparse does not know __typeof_unqual__, and the kernel then skips it.
check="W=1 C=2 CHECK=sparse CF=-D__typeof_unqual__=__typeof__"

"$IQ_ROOT/scripts/sources.sh" kernel
id=$(basename "$("$IQ_ROOT/scripts/sources.sh" path kernel)")
for kind in grafted plain; do
	# The configuration is that of the scenarios, so ccache has the objects.
	build=$IQ_CACHE/build/$id-static-$kind
	"$IQ_ROOT/scripts/build-kernel.sh" $kind --name "static-$kind" --targets prepare >/dev/null
	if [ $kind = grafted ]; then
		touched=$(/usr/bin/python3 -c '
import json, sys
record = json.load(open(sys.argv[1]))
print(*(name[:-2] + ".o" for name in record["changed"] if name.endswith(".c")))
' "$IQ_CACHE/grafted/src/$id/drivers/iommu/quarantine/.graft/record.json")
		targets="drivers/iommu/quarantine/ $touched"
	else
		targets=$touched
	fi
	# The compiler's warnings come only when it runs.
	for object in $touched; do
		rm -f "$build/$object"
	done
	if [ -d "$build/drivers/iommu/quarantine" ]; then
		find "$build/drivers/iommu/quarantine" -name '*.o' -delete
	fi
	"$IQ_ROOT/scripts/build-kernel.sh" $kind --name "static-$kind" \
		--targets "$check $targets" >/dev/null
done
exec /usr/bin/python3 -B "$IQ_ROOT/scripts/static-compare.py" \
	"$IQ_CACHE/build/$id-static-plain/build.log" \
	"$IQ_CACHE/build/$id-static-grafted/build.log" $touched
