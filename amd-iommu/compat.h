/* SPDX-License-Identifier: GPL-2.0-only */
/* What the backend expects of the driver and not every one has */
#ifndef __AMD_QUARANTINE_COMPAT_H
#define __AMD_QUARANTINE_COMPAT_H

#include "../core/compat/compat.h"

/*
 * A command, 16 bytes to the hardware. Where the driver's iommu.c keeps the
 * structure for itself it says that it has it, by this macro.
 */
#if !defined(IQ_HAVE_AMD_CMD) && !defined(AMD_QUARANTINE_CMD)
struct iommu_cmd {
	u32 data[4];
};
#endif

#endif /* __AMD_QUARANTINE_COMPAT_H */
