/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test module and the scenarios (init.c) say to each other, and the
 * registers of the two QEMU devices of tests/qemu.
 */
#ifndef IQTEST_H
#define IQTEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define IQ_VENDOR		0x1234
#define IQ_CTL_DEVICE		0xfa17
#define IQ_EP_DEVICE		0xfa18
#define IQ_VF_DEVICE		0xfa19
/* An endpoint in the guise of a device that has a reset method of its own. */
#define IQ_QUIRK_VENDOR		0x8086
#define IQ_QUIRK_DEVICE		0x0953
#define IQ_CTL_MAGIC_VALUE	0x4d465149
#define IQ_EP_MAGIC_VALUE	0x50455149

/* iommu-fault-ctl, BAR 0 */
#define CTL_MAGIC		0x00
#define CTL_TIMEOUT_MS		0x04
#define CTL_FLAGS		0x08
#define   CTL_ITESID_ZERO	1
#define   CTL_ITESID_ONES	2
#define   CTL_NEVER		4
#define   CTL_AHEAD		8
#define   CTL_AMD_EVENT_LATE	32
#define   CTL_AMD_HALT		64
#define   CTL_AMD_DROP_WAIT	128
#define   CTL_SMMU_LAZY		256
#define CTL_TARGET		0x0c
#define CTL_WEDGE		0x10
#define   WEDGE_HEALTHY		0
#define   WEDGE_UNTIL_RESET	1
#define   WEDGE_FOR_EVER	2
#define   WEDGE_VANISHED	3
#define   WEDGE_RESET_FAILS	4
#define   WEDGE_SLOW		5
#define CTL_INV_WEDGED		0x14
#define CTL_INV_TOTAL		0x18
#define CTL_STALE_OK		0x1c
#define CTL_STALE_BLOCKED	0x20
#define CTL_RESETS		0x24
#define CTL_DOORBELL		0x28
#define CTL_TIMEOUTS		0x2c
#define CTL_ABORTED_WAITS	0x30
#define CTL_CLEAR		0x34
#define CTL_CTX_REFRESH		0x38
#define CTL_STALL_MS		0x3c
#define CTL_INV_QUEUED_AFTER	0x40
#define CTL_DELAY_MS		0x44
#define CTL_ATS_AGAIN		0x4c
#define CTL_INV_IN_RESET	0x50
#define CTL_PASID_LATE		0x54
#define CTL_AER			0x58
#define CTL_STRAY		0x5c

/* iommu-fault-endpoint, BAR 0 */
#define EP_MAGIC		0x00
#define EP_CMD			0x04
#define   EP_FETCH		1
#define   EP_WRITE		2
#define   EP_WRITE_UNTRANSLATED	3
#define   EP_START		4
#define   EP_STOP		5
#define   EP_FLUSH		6
#define EP_STATUS		0x08
#define   EP_ST_OK		0x01
#define   EP_ST_ATC		0x02
#define   EP_ST_ATS		0x04
#define   EP_ST_MASTER		0x08
#define   EP_ST_RUNNING		0x10
#define EP_PERIOD_MS		0x0c
#define EP_IOVA_LO		0x10
#define EP_IOVA_HI		0x14
#define EP_PATTERN		0x18
#define EP_LEN			0x1c
#define EP_WRITES_OK		0x20
#define EP_WRITES_BLOCKED	0x24
#define EP_ATC_ENTRIES		0x28
#define EP_PASID		0x2c
#define   EP_PASID_VALID	0x80000000

#define IQ_CPUS			8
#define IQ_PASIDS		4	/* PASIDs 1 to 4 */

/* Endpoints are named by requester id, bus << 8 | devfn; there is one segment. */

/* One register of the control device, with TARGET set to @target around it. */
struct iq_ctl {
	__u32 target;
	__u32 reg;
	__u32 val;
	__u32 write;
};

/* One register of an endpoint. */
struct iq_reg {
	__u32 bdf;
	__u32 reg;
	__u32 val;
	__u32 write;
};

#define IQ_NO_PASID		0xffffffff	/* the private domain without a PASID */

/*
 * Map @count fresh pages, filled with zeroes, one mapping each: by the DMA API,
 * or in the private domain of @pasid when that is not 0.
 */
struct iq_map {
	__u32 bdf;
	__u32 count;
	__u32 first;		/* out: handles first .. first + count - 1 */
	__u32 pasid;
};

/* A command of the endpoint @bdf on the page @handle (mapped or not). */
struct iq_cmd {
	__u32 bdf;
	__u32 cmd;
	__u32 handle;
	__u32 pattern;
	__u32 status;		/* out: EP_STATUS after the command */
	__u32 pad;
};

#define IQ_F_REUSE	1	/* fill each page with the canary once its unmap returned */
#define IQ_F_DOORBELL	2	/* ring the doorbell right after, at the first and last page */
#define IQ_F_IRQS_OFF	4	/* unmap with irqs off, as a caller under a lock does */

/* Unmap in a row; what is not mapped is an error. */
struct iq_unmap {
	__u32 first;
	__u32 count;
	__u32 flags;
	__u32 bad_pages;	/* out: reused pages whose canary is damaged */
	__u32 timeouts;		/* out: TIMEOUTS when the last one returned */
	__u32 stale_ok;		/* out: STALE_OK likewise, before the doorbell */
	__u64 start_ns;		/* out: CLOCK_MONOTONIC */
	__u64 total_ns;		/* out */
	__u64 max_ns;		/* out: the longest single one */
};

/* Compare whole pages with a 32 bit pattern, 0 meaning the canary. */
struct iq_verify {
	__u32 first;
	__u32 count;
	__u32 pattern;
	__u32 bad_pages;	/* out */
};

/* Free pages; those still mapped are unmapped. 0, 0 means all there are. */
struct iq_range {
	__u32 first;
	__u32 count;
};

#define IQ_N_UNMAP	1	/* map, write, verify, unmap; else one mapping for good */

/* The neighbour: a kernel thread that keeps one endpoint busy. */
struct iq_neighbour {
	__u32 bdf;
	__u32 flags;
	__u32 cpu;
	__u32 stall_ms;		/* an operation that takes longer is a stall */
	__u64 completed;	/* out: operations done and verified */
	__u64 unmaps;		/* out */
	__u64 errors;		/* out: mapping, command or verification failed */
	__u64 stale;		/* out: the ATC still held something after an unmap */
	__u64 stalls;		/* out */
	__u64 max_ns;		/* out */
	__u64 busy_ns;		/* out: how long the present operation takes already */
};

/*
 * A private paging domain for one endpoint, or for one PASID of it; the errno
 * is the ioctl's. With @peer it is the one that this endpoint has already, which
 * has to be detached from the peer last. A detach unmaps what was mapped there.
 */
struct iq_dev {
	__u32 bdf;
	__u32 pasid;
	__u32 peer;
	__u32 pad;
};

/* Per CPU heartbeat in hard irq context: the longest time without one. */
struct iq_beat {
	__u32 reset;
	__u32 cpus;		/* out */
	__u64 max_gap_ns[IQ_CPUS];	/* out, a gap that is still open included */
	__u64 beats[IQ_CPUS];	/* out */
};

#define IQ_CTL		_IOWR('q', 1, struct iq_ctl)
#define IQ_REG		_IOWR('q', 2, struct iq_reg)
#define IQ_MAP		_IOWR('q', 3, struct iq_map)
#define IQ_CMD		_IOWR('q', 4, struct iq_cmd)
#define IQ_UNMAP	_IOWR('q', 5, struct iq_unmap)
#define IQ_VERIFY	_IOWR('q', 6, struct iq_verify)
#define IQ_FREE		_IOWR('q', 7, struct iq_range)
#define IQ_N_START	_IOWR('q', 8, struct iq_neighbour)
#define IQ_N_READ	_IOWR('q', 9, struct iq_neighbour)
#define IQ_N_STOP	_IOWR('q', 10, struct iq_neighbour)
#define IQ_ATTACH	_IOWR('q', 11, struct iq_dev)
#define IQ_DETACH	_IOWR('q', 12, struct iq_dev)
#define IQ_BEAT		_IOWR('q', 13, struct iq_beat)
/* pci_reset_bus(), as VFIO calls it for a hot reset */
#define IQ_RESET_BUS	_IOWR('q', 14, struct iq_dev)
/* To D3cold, as far as the machine can, and back: what a driver's suspend and resume do */
#define IQ_POWER	_IOWR('q', 15, struct iq_dev)
/* The kernel is at its end: does not return */
#define IQ_PANIC	_IO('q', 16)

#endif
