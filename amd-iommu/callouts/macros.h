/* SPDX-License-Identifier: GPL-2.0-only */
#define for_each_active_dev_scope(d, n, i, dev) YACFE_ITERATOR
