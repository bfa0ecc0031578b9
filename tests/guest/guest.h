/* SPDX-License-Identifier: GPL-2.0-only */
/* What scenarios and demo share: results, jobs, devices, sysfs. */
#ifndef GUEST_H
#define GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint32_t u32;
typedef uint64_t u64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BIT(n)		(1ul << (n))
#define __printf(a, b)	__attribute__((__format__(__printf__, a, b)))
#define __noreturn	__attribute__((__noreturn__))
#define __aligned(n)	__attribute__((__aligned__(n)))

#include "iqtest.h"

/* CPU 0 belongs to init and never touches a device that may be dead. */
#define CPU_INIT	0
#define CPU_CULPRIT	1
#define CPU_SECOND	2
#define CPU_NEIGHBOUR	3

struct device {
	char bdf[16];		/* 0000:01:00.0 */
	char dir[64];		/* its sysfs directory */
	char port[16];		/* the port above it */
	unsigned int rid;
};

extern struct device dev_a;	/* the one that breaks */
extern struct device dev_b;	/* its healthy neighbour */
/* Two functions of one device without ACS, below a port without a hotplug slot. */
extern struct device dev_c;	/* has a reset method of its own */
extern struct device dev_d;

#define VFS	2
extern struct device dev_vf[VFS];	/* virtual functions of dev_a, while it has them */
extern unsigned int n_vfs;

#define MORE	30
extern struct device dev_more[MORE];	/* some machines have these as well */
extern unsigned int n_more;

enum vendor { INTEL, AMD, ARM };

struct options {
	char run[2048];
	char mode[16];
	unsigned int hw_timeout_ms;
	bool pasids;		/* the machine has them */
	bool vfio;		/* VFIO gets a domain there */
	enum vendor vendor;	/* of its IOMMU */
	bool intremap;		/* it remaps interrupts */
	bool resume;		/* it may be there to read another one's image */
	bool second;		/* another kernel was here before, and left the devices */
	unsigned int limit_ms;	/* longest time a job may take before it counts as stuck */
};

extern struct options opt;
extern bool grafted;		/* the kernel shows the sysfs group */

/* ---- results ---- */

void __printf(1, 2) emit(const char *fmt, ...);
/* Is the port for the results open? Opens it if it can. */
bool results_open(void *unused);
u64 now_ns(void);

/*
 * Checks have short names: the runner's table of what has to go red on the
 * ungrafted kernel refers to them.
 */
bool __printf(3, 4) check(bool good, const char *name, const char *fmt, ...);
bool check_eq(u64 got, u64 want, const char *name);
bool check_le(u64 got, u64 limit, const char *name);
bool check_ge(u64 got, u64 least, const char *name);
/* The rest of the scenario makes no sense without it. */
void __printf(3, 4) require(bool good, const char *name, const char *fmt, ...);
void __noreturn skip(const char *why);
/* What went well so far says nothing: once more, twice at most. */
void __noreturn again(const char *why);
void note(const char *name, u64 value);
/* Tell the runner to expect the machine's end instead of a result. */
void expect_panic(void);

enum verdict { PASSED, FAILED, SKIPPED, STUCK, AGAIN };

enum verdict run_scenario(const char *name, void (*fn)(void));
const char *first_failure(void);
const char *skip_reason(void);
/* What lockdep says from here on is not ours: the scenario breaks nothing. */
void lockdep_is_forgiven(void);
bool forgives_lockdep(void);
/* Nothing is to be healed: the machine is shut down as the scenario has left it. */
void shut_down_like_this(void);
bool shuts_down_like_this(void);
/* The same, but another kernel goes on with these machines' devices, and runs @scenario */
void go_on_in_another_kernel(const char *scenario, bool after_a_crash);
bool goes_on_after_a_crash(void);
bool goes_on_in_another_kernel(void);
/* A CPU is spinning with irqs off on purpose: nothing more can run here. */
void lost_on_purpose(void);
/* ... by the driver itself, the quarantine is off: so are the kernel's complaints its own */
void lost_as_ungrafted(void);
bool is_lost_as_ungrafted(void);

/* ---- small things ---- */

int write_file(const char *path, const char *text);
int read_file(const char *path, char *buf, size_t size);
bool exists(const char *path);
/* Into the serial log. */
void show_stacks(void);
/* How often @word stands in the kernel's log. */
unsigned int kmsg_count(const char *word);
/* Polls @cond(@arg) until it holds; false when @ms have passed. */
bool wait_for(bool (*cond)(void *), void *arg, unsigned int ms);

/* ---- jobs: whatever may never return runs in a process of its own ---- */

struct job;
typedef long (*job_fn)(void *arg);

/*
 * A fork() may wait for an IPI to every CPU: a job that is to start while a
 * CPU stands with irqs off has to be prepared before.
 */
struct job *job_prepare(int cpu, job_fn fn, const void *arg, size_t size);
void job_go(struct job *job);
struct job *job_start(int cpu, job_fn fn, const void *arg, size_t size);
bool job_wait(struct job *job, unsigned int ms);
bool job_done(struct job *job);
long job_ret(struct job *job);		/* what fn returned */
void *job_arg(struct job *job);		/* @arg as fn left it */
/* Starts, waits, and requires that it returned under the name @what. */
/* It has to return, else the scenario is over: under the name @what. */
void job_require(struct job *job, const char *what);
long job_run(int cpu, job_fn fn, void *arg, size_t size, const char *what);
void jobs_forget(void);

/* ---- devices ---- */

void find_devices(void);
bool device_present(struct device *d);
int iq(unsigned long cmd, void *arg);	/* 0 or -errno */

u32 ctl_read(struct device *d, unsigned int reg);
void ctl_write(struct device *d, unsigned int reg, u32 val);
u32 ep_read(struct device *d, unsigned int reg);
void ep_write(struct device *d, unsigned int reg, u32 val);
/* EP_STATUS after the command, ~0 when the endpoint is not bound. */
u32 ep_cmd(struct device *d, unsigned int cmd, u32 handle, u32 pattern);
bool ats_enabled(struct device *d);	/* in its config space */

u32 map_pages(struct device *d, unsigned int count);
u32 map_private_pages(struct device *d, unsigned int count);
u32 map_pasid_page(struct device *d, u32 pasid);
int attach_pasid(struct device *d, u32 pasid);	/* 0 or -errno */
int detach_pasid(struct device *d, u32 pasid);
/* Maps, and proves that ATS works: fetch, write through the ATC, verify. */
u32 map_with_ats(struct device *d, unsigned int count);
void wedge(struct device *d, unsigned int mode);

struct job *unmap_prepare(int cpu, u32 first, unsigned int count,
			  unsigned int flags);
struct job *unmap_start(int cpu, u32 first, unsigned int count,
			unsigned int flags);
/* Requires "unmap-returned". */
struct iq_unmap unmap_wait(struct job *job);
struct iq_unmap unmap(int cpu, u32 first, unsigned int count,
		      unsigned int flags);
unsigned int damaged(u32 first, unsigned int count, u32 pattern);

int attach(struct device *d);		/* 0 or -errno */
int attach_peers(struct device *d, struct device *peer);	/* to its private domain */
int detach(struct device *d);
/* @file is relative to the device's sysfs directory, or absolute. */
int device_write(struct device *d, const char *file, const char *text,
		 const char *what);
struct job *device_write_prepare(int cpu, struct device *d, const char *file,
				 const char *text);
struct job *device_write_start(int cpu, struct device *d, const char *file,
			       const char *text);
struct job *attach_prepare(int cpu, struct device *d);
int flr(struct device *d);
/* Secondary bus reset behind the kernel's back, as a slot does it without power. */
bool port_reset(struct device *d);
void state_of(struct device *d, char *buf, size_t size);
bool state_is(struct device *d, const char *want);
bool wait_state(struct device *d, const char *want, unsigned int ms);
unsigned int broken_count(struct device *d);

void neighbour_start(struct device *d, unsigned int flags, unsigned int cpu);
struct iq_neighbour neighbour_read(struct device *d);
struct iq_neighbour neighbour_stop(struct device *d);

struct iq_beat beat(bool reset);

int reset_bus(struct device *d);	/* pci_reset_bus() */
int power_cycle(struct device *d);	/* to D3 and back */
/* Turns SR-IOV of dev_a on; heal() turns it off. */
void vfs_enable(void);
int suspend_test(void);		/* to sleep and back, as far as pm_test goes; 0 or -errno */
int freeze_test(void);		/* as for an image of the memory, and thawed; 0 or -errno */
int hibernate(void);		/* into an image and out of it, reset meanwhile; 0 or -errno */
/* Does not return if there is an image of a kernel to go on with. */
void resume_another(void);
/* The outcome of a kind of reset, for the runner's matrix. */
void matrix(const char *kind, bool happened, bool lifted);

/* The devices answer again; false if something of the scenario hangs all the same. */
bool unstick(void);
/* Back to healthy devices; false when that cannot be had. */
bool heal(void);

/* ---- vfio.c: a device in user space, one at a time, with one page ---- */

void vm_start(struct device *d);	/* vfio-pci, opened, in an address space */
int vm_open(void);		/* once more; 0 or -errno */
void vm_close(void);		/* Requires "close-returned". */
void vm_end(void);		/* closes it and gives it back to our driver */
int vm_attach_another(void);	/* to an address space of its own; 0 or -errno */
void vm_map_with_ats(void);
/* Requires "unmap-returned", reuses the page, and checks that it stays intact. */
void vm_unmap(void);
void vm_reuse_page(void);
bool vm_page_is(u32 pattern);	/* 0: what it was filled with when it was reused */
u32 vm_cmd(unsigned int cmd, u32 pattern);	/* EP_STATUS after it */
u64 vm_told(void);		/* how often the error eventfd was signalled since */
int vm_reset(struct device *unused);	/* VFIO's function reset; 0 or -errno */
int vm_hot_reset(struct device *unused);
/* For heal() */
void vm_drop(void);
int vm_give_back(struct device *d);

/* ---- the tables ---- */

struct scenario {
	const char *name;
	const char *group;
	void (*fn)(void);
};

extern const struct scenario scenarios[];
extern const unsigned int n_scenarios;

bool demo(void);		/* false when the machine is lost */

/* bench.c */
void s_bench_unmap(void);
void s_bench_unmap_shared(void);

#define HOLD_FENCE	"/sys/kernel/debug/iommu_quarantine/hold_fence"
#define HOLD_WORK	"/sys/kernel/debug/iommu_quarantine/hold_work"
#define WAIT_BOUND	"/sys/kernel/debug/iommu_quarantine/wait_bound_ns"
#define STATS		"/sys/kernel/debug/iommu_quarantine/stats"
#define TRACING		"/sys/kernel/tracing"
#define UEVENTS		"/uevents"

#endif
