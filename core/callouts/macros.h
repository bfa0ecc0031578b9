/* SPDX-License-Identifier: GPL-2.0-only */
#define scoped_guard YACFE_ITERATOR
#define scoped_cond_guard YACFE_ITERATOR
#define typeof_member(T, m) int
