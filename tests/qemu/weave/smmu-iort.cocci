// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol table_data; @@
  build_append_int_noprefix(table_data, 0x3, 1);
- build_append_int_noprefix(table_data, 0, 4);
+ build_append_int_noprefix(table_data, 0x1, 4);
