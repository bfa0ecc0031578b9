// SPDX-License-Identifier: GPL-2.0-only
// Nothing reaches AMD's command buffer past the filter.
//
// Every device-TLB invalidation of the driver (flushes of a domain, of a PASID,
// SVA, and the one that follows an update of a device table entry) is built by
// device_flush_iotlb(). So these are the rules, one line of output for each
// breach:
//  - commands are copied into the buffer by copy_cmd_to_buffer() alone, which
//    only __iommu_queue_command_sync() calls, and that filters first;
//  - a device-TLB invalidation is built by device_flush_iotlb(), which queues it
//    through amd_quarantine_queue_iotlb(), and by the backend itself;
//  - a wait ends in amd_quarantine_settle().
virtual report

@copy@
identifier fn;
expression I, C;
position p;
@@
 fn(...)
 {
 <...
 copy_cmd_to_buffer@p(I, C)
 ...>
 }

@script:python@
fn << copy.fn;
p << copy.p;
@@
if fn != "__iommu_queue_command_sync":
    print("%s:%s: %s() copies into the buffer past the filter"
          % (p[0].file, p[0].line, fn))

@doorbell@
identifier fn;
expression V;
position p;
@@
 fn(...)
 {
 <...
 writel@p(V, <+... MMIO_CMD_TAIL_OFFSET ...+>)
 ...>
 }

@script:python@
fn << doorbell.fn;
p << doorbell.p;
@@
if fn not in ("copy_cmd_to_buffer", "amd_iommu_reset_cmd_buffer"):
    print("%s:%s: %s() moves the tail" % (p[0].file, p[0].line, fn))

@build@
identifier fn;
position p;
@@
 fn(...)
 {
 <...
 build_inv_iotlb_pages@p(...)
 ...>
 }

@script:python@
fn << build.fn;
p << build.p;
@@
if fn not in ("device_flush_iotlb", "amd_quarantine_build_inv_iotlb_all"):
    print("%s:%s: %s() builds a device-TLB invalidation" % (p[0].file, p[0].line, fn))

@bare@
expression I, C;
position p;
@@
 device_flush_iotlb(...)
 {
 <...
 iommu_queue_command@p(I, C)
 ...>
 }

@script:python@
p << bare.p;
@@
print("%s:%s: device_flush_iotlb() does not wait for what is held back"
      % (p[0].file, p[0].line))

@filter@
identifier ret;
position p;
@@
 __iommu_queue_command_sync(...)
 {
 	...
 	int ret = amd_quarantine_filter@p(...);
 	...
 	if (ret)
 		return ret;
 	... when any
 }

@script:python@
p << filter.p;
@@
print("#filter %s:%s" % (p[0].file, p[0].line))

@settle@
identifier i;
position p;
@@
 wait_on_sem(...)
 {
 	... when any
 	i = amd_quarantine_settle@p(...);
 	if (i == LOOP_TIMEOUT) {
 		...
 	}
 	...
 	return 0;
 }

@script:python@
p << settle.p;
@@
print("#settle %s:%s" % (p[0].file, p[0].line))
