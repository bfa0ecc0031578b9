// SPDX-License-Identifier: GPL-2.0-or-later
@@ identifier s, addr, val; expression E; typedef bool, AMDVIState, hwaddr, uint64_t; @@
  static bool amdvi_test_mask(AMDVIState *s, hwaddr addr, uint64_t val)
  {
-     return E;
+     return iommu_fault_amd_test(amdvi_readq(s, addr), val);
  }
