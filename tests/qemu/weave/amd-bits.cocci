// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol start, length, bitpos; @@
- MAKE_64BIT_MASK(start, length)
+ MAKE_64BIT_MASK(bitpos, length)
