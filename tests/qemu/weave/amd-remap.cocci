// SPDX-License-Identifier: GPL-2.0-or-later
@@ symbol s; identifier as; @@
 amdvi_switch_address_space(...)
 {
 ...
- if (s->dma_remap && as->addr_translation)
+ if (true)
 { ... } else { ... }
 ...
 }
