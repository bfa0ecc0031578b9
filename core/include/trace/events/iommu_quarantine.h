/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Life of a broken device, for trace-cmd and rasdaemon. The names of events
 * and fields are ABI.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM iommu_quarantine

#if !defined(_TRACE_IOMMU_QUARANTINE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_IOMMU_QUARANTINE_H

#include <linux/device.h>
#include <linux/iommu-quarantine.h>
#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(IOMMU_BROKEN_UNKNOWN);
TRACE_DEFINE_ENUM(IOMMU_BROKEN_ATS_TIMEOUT);
TRACE_DEFINE_ENUM(IOMMU_BROKEN_ATS_NARROWED);
TRACE_DEFINE_ENUM(IOMMU_BROKEN_NO_ANSWER);
TRACE_DEFINE_ENUM(IOMMU_BROKEN_ADMIN);

#define show_iommu_broken_cause(cause)					\
	__print_symbolic(cause,						\
			 { IOMMU_BROKEN_UNKNOWN, "unknown" },		\
			 { IOMMU_BROKEN_ATS_TIMEOUT,			\
			   "ats-invalidation-timeout" },		\
			 { IOMMU_BROKEN_ATS_NARROWED,			\
			   "ats-invalidation-timeout-narrowed" },	\
			 { IOMMU_BROKEN_NO_ANSWER, "iommu-no-answer" },	\
			 { IOMMU_BROKEN_ADMIN, "admin" })

TRACE_EVENT(iommu_device_fenced,
	    TP_PROTO(struct device *dev,
		     const struct iommu_broken_evidence *evidence),
	    TP_ARGS(dev, evidence),

	    TP_STRUCT__entry(__string(device, dev_name(dev))
			     __field(int, cause)
			     __field(u32, epoch)),

	    TP_fast_assign(__assign_str(device);
			   __entry->cause = evidence->cause;
			   __entry->epoch = evidence->epoch;),

	    TP_printk("device=%s cause=%s epoch=%u", __get_str(device),
		      show_iommu_broken_cause(__entry->cause), __entry->epoch)
);

TRACE_EVENT(iommu_device_broken,
	    TP_PROTO(struct device *dev, const char *vendor,
		     const struct iommu_broken_evidence *evidence,
		     unsigned int count),
	    TP_ARGS(dev, vendor, evidence, count),

	    TP_STRUCT__entry(__string(device, dev_name(dev))
			     __string(vendor, vendor)
			     __field(int, cause)
			     __field(u32, epoch)
			     __field(u64, hw0)
			     __field(u64, hw1)
			     __field(unsigned int, count)),

	    TP_fast_assign(__assign_str(device);
			   __assign_str(vendor);
			   __entry->cause = evidence->cause;
			   __entry->epoch = evidence->epoch;
			   __entry->hw0 = evidence->hw[0];
			   __entry->hw1 = evidence->hw[1];
			   __entry->count = count;),

	    TP_printk("device=%s vendor=%s cause=%s epoch=%u hw0=0x%llx hw1=0x%llx count=%u",
		      __get_str(device), __get_str(vendor),
		      show_iommu_broken_cause(__entry->cause), __entry->epoch,
		      __entry->hw0, __entry->hw1, __entry->count)
);

TRACE_EVENT(iommu_device_quarantined,
	    TP_PROTO(struct device *dev, const char *vendor, int error),
	    TP_ARGS(dev, vendor, error),

	    TP_STRUCT__entry(__string(device, dev_name(dev))
			     __string(vendor, vendor)
			     __field(int, error)),

	    TP_fast_assign(__assign_str(device);
			   __assign_str(vendor);
			   __entry->error = error;),

	    TP_printk("device=%s vendor=%s error=%d", __get_str(device),
		      __get_str(vendor), __entry->error)
);

TRACE_EVENT(iommu_device_recovered,
	    TP_PROTO(struct device *dev, const char *vendor, u32 epoch),
	    TP_ARGS(dev, vendor, epoch),

	    TP_STRUCT__entry(__string(device, dev_name(dev))
			     __string(vendor, vendor)
			     __field(u32, epoch)),

	    TP_fast_assign(__assign_str(device);
			   __assign_str(vendor);
			   __entry->epoch = epoch;),

	    TP_printk("device=%s vendor=%s epoch=%u", __get_str(device),
		      __get_str(vendor), __entry->epoch)
);

#endif /* _TRACE_IOMMU_QUARANTINE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
