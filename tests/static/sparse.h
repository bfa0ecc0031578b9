/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What sparse does not know and kernels use, for scripts/check-static.sh: read before
 * each file. The second one is asked for the length of string literals.
 */
#define __typeof_unqual__ __typeof__
#define __builtin_strlen(s) (sizeof(s) - 1)
