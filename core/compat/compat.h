/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What our own C expects of a kernel and not every one has. Macros are asked for
 * by their name, all else by what the graft has found (features.h).
 */
#ifndef __IOMMU_QUARANTINE_COMPAT_H
#define __IOMMU_QUARANTINE_COMPAT_H

#include <linux/slab.h>

#include "features.h"

#ifndef kzalloc_obj
#define kzalloc_obj(obj) kzalloc(sizeof(obj), GFP_KERNEL)
#endif

#ifndef kzalloc_objs
#define kzalloc_objs(obj, count) kcalloc(count, sizeof(obj), GFP_KERNEL)
#endif

/*
 * An attach_dev() that wants to know which domain the device leaves, for tests:
 * where the core does not tell, it is asked. And to call the one of a driver.
 */
#ifdef IQ_HAVE_ATTACH_OLD
#define QUARANTINE_ATTACH(fn) fn
#define DEFINE_QUARANTINE_ATTACH(fn) static_assert(sizeof(typeof(fn) *))
#define QUARANTINE_CALL_ATTACH(ops, domain, dev, old) \
	((ops)->attach_dev(domain, dev, old))
#else
/* Our own bracket has a function for that, and one that was carried back may have */
#if !defined(IQ_HAVE_RESET_BRACKET)
#define quarantine_left_domain(dev) iommu_quarantine_domain_for_dev(dev)
#elif defined(IQ_HAVE_DRIVER_DOMAIN)
#define quarantine_left_domain(dev) iommu_driver_get_domain_for_dev(dev)
#else
#define quarantine_left_domain(dev) iommu_get_domain_for_dev(dev)
#endif
#define QUARANTINE_ATTACH(fn) fn ## _asking
#define QUARANTINE_CALL_ATTACH(ops, domain, dev, old) \
	((void)(old), (ops)->attach_dev(domain, dev))
#define DEFINE_QUARANTINE_ATTACH(fn)					\
static int fn ## _asking(struct iommu_domain *domain, struct device *dev) \
{									\
	return fn(domain, dev, quarantine_left_domain(dev));		\
}									\
static_assert(true)
#endif

/* Is the bracket around resets our own? Then ATS is off while a device is blocked */
#ifdef IQ_HAVE_RESET_BRACKET
#define QUARANTINE_OWN_BRACKET false
#else
#define QUARANTINE_OWN_BRACKET true
#endif

#ifdef IQ_HAVE_IMPORT_NS_STRING
#define QUARANTINE_IMPORT_NS(ns) MODULE_IMPORT_NS(#ns)
#else
#define QUARANTINE_IMPORT_NS(ns) MODULE_IMPORT_NS(ns)
#endif

#endif /* __IOMMU_QUARANTINE_COMPAT_H */
