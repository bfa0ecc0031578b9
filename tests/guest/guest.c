// SPDX-License-Identifier: GPL-2.0-only
/* What scenarios and demo share: results, jobs, devices, sysfs. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kexec.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

struct device dev_a, dev_b, dev_c, dev_d;
struct device dev_vf[VFS];
unsigned int n_vfs;
struct device dev_more[MORE];
unsigned int n_more;
struct options opt;
bool grafted;
static int port_fd = -1;

static int iq_fd = -1;

/* ---- results ---- */

u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* One write() per line, so that a line is whole or absent if we die. */
void emit(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	size_t n;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	n = (size_t)len < sizeof(line) - 1 ? (size_t)len : sizeof(line) - 2;
	line[n++] = '\n';
	if (write(port_fd, line, n) != (ssize_t)n) {
		perror("init: the results port");
		abort();
	}
}

bool results_open(void *unused)
{
	char path[320], name[32];
	struct dirent *e;
	DIR *d = opendir("/sys/class/virtio-ports");

	(void)unused;
	while (d && port_fd < 0 && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		if (read_file(path, name, sizeof(name)) < 0 || strcmp(name, "iq.ktap"))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		port_fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (d)
		closedir(d);
	return port_fd >= 0;
}

/*
 * The driver of the port does not find it connected any more after a suspend: it
 * begins anew with it.
 */
static void results_park(void)
{
	close(port_fd);
	port_fd = -1;
	write_file("/sys/bus/virtio/drivers/virtio_console/unbind", "virtio0");
}

static void results_unpark(void)
{
	write_file("/sys/bus/virtio/drivers/virtio_console/bind", "virtio0");
	wait_for(results_open, NULL, 10000);
}

static struct {
	jmp_buf env;
	const char *name;
	char first_failure[256];
	char skip_reason[256];
	bool failed;
	bool lost;
	bool as_ungrafted;
	bool last;
	bool other_kernel;
	bool crash;
	bool forgives;
} cur;

const char *first_failure(void)
{
	return cur.first_failure;
}

const char *skip_reason(void)
{
	return cur.skip_reason;
}

/* A failure may not come a second time: what hangs and what each CPU is at, from sysrq. */
void show_stacks(void)
{
	static const char * const keys[] = { "8", "w", "l", "6" };

	/* Without the quarantine it is known what hangs */
	for (unsigned int i = 0; grafted && i < ARRAY_SIZE(keys); i++)
		write_file("/proc/sysrq-trigger", keys[i]);
}

static void vcheck(bool good, const char *name, const char *fmt, va_list ap)
{
	char why[200];

	vsnprintf(why, sizeof(why), fmt, ap);
	emit("# %s: %s %s: %s", cur.name, good ? "ok" : "FAIL", name, why);
	if (good)
		return;
	if (!cur.failed) {
		snprintf(cur.first_failure, sizeof(cur.first_failure), "%s: %s", name, why);
		show_stacks();
	}
	cur.failed = true;
}

bool check(bool good, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcheck(good, name, fmt, ap);
	va_end(ap);
	return good;
}

void require(bool good, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcheck(good, name, fmt, ap);
	va_end(ap);
	if (!good)
		longjmp(cur.env, FAILED);
}

bool check_eq(u64 got, u64 want, const char *name)
{
	return check(got == want, name, "%llu, wanted %llu",
		     (unsigned long long)got, (unsigned long long)want);
}

bool check_le(u64 got, u64 limit, const char *name)
{
	return check(got <= limit, name, "%llu, at most %llu",
		     (unsigned long long)got, (unsigned long long)limit);
}

bool check_ge(u64 got, u64 least, const char *name)
{
	return check(got >= least, name, "%llu, at least %llu",
		     (unsigned long long)got, (unsigned long long)least);
}

void note(const char *name, u64 value)
{
	emit("# %s: note %s = %llu", cur.name, name, (unsigned long long)value);
}

void skip(const char *why)
{
	snprintf(cur.skip_reason, sizeof(cur.skip_reason), "%s", why);
	longjmp(cur.env, SKIPPED);
}

void again(const char *why)
{
	emit("# %s: again: %s", cur.name, why);
	longjmp(cur.env, cur.failed ? FAILED : AGAIN);
}

void expect_panic(void)
{
	emit("# iq: expect-panic %s", cur.name);
}

void lockdep_is_forgiven(void)
{
	cur.forgives = true;
}

bool forgives_lockdep(void)
{
	return cur.forgives;
}

void shut_down_like_this(void)
{
	cur.last = true;
}

bool shuts_down_like_this(void)
{
	return cur.last;
}

#define KERNEL		"/kernel"
#define SECOND_INITRD	"/second.cpio"

void go_on_in_another_kernel(const char *scenario, bool after_a_crash)
{
	unsigned long flags = after_a_crash ? KEXEC_FILE_ON_CRASH : 0;
	char line[4096], again[4096 + 64], *p;
	int kernel = open(KERNEL, O_RDONLY | O_CLOEXEC);
	int initrd = open(SECOND_INITRD, O_RDONLY | O_CLOEXEC);
	long ret = -1;

	require(kernel >= 0 && initrd >= 0, "kernel-there", "%s", strerror(errno));
	require(read_file("/proc/cmdline", line, sizeof(line)) > 0, "cmdline", "%s",
		strerror(errno));
	/* The last one counts where there are two, so ours has to be the only one */
	p = strstr(line, "iq.run=");
	if (p)
		memset(p, ' ', strcspn(p, " "));
	p = strstr(line, "crashkernel=");
	if (p)
		memset(p, ' ', strcspn(p, " "));
	snprintf(again, sizeof(again), "%s iq.run=%s iq.second=1", line, scenario);
	ret = syscall(SYS_kexec_file_load, kernel, initrd, strlen(again) + 1, again, flags);
	require(!ret, "kexec-load", "%s", strerror(errno));
	close(kernel);
	close(initrd);
	cur.last = true;
	cur.other_kernel = true;
	cur.crash = after_a_crash;
}

bool goes_on_in_another_kernel(void)
{
	return cur.other_kernel;
}

bool goes_on_after_a_crash(void)
{
	return cur.crash;
}

void lost_on_purpose(void)
{
	cur.lost = true;
}

void lost_as_ungrafted(void)
{
	cur.lost = true;
	cur.as_ungrafted = true;
}

bool is_lost_as_ungrafted(void)
{
	return cur.as_ungrafted;
}

enum verdict run_scenario(const char *name, void (*fn)(void))
{
	enum verdict v;

	memset(&cur, 0, sizeof(cur));
	cur.name = name;
	/* Assigned after the jump only, so nothing of it is lost by one. */
	v = (enum verdict)setjmp(cur.env);
	if (v == PASSED)
		fn();
	if ((v == SKIPPED || v == AGAIN) && !cur.failed)
		return v;
	if (v == STUCK || cur.lost)
		return STUCK;
	return cur.failed ? FAILED : PASSED;
}

/* ---- small things ---- */

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		ret = -errno;
	close(fd);
	return ret;
}

/* The text without the final newline; its length or -errno. */
int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	buf[0] = 0;
	if (fd < 0)
		return -errno;
	while (n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	if (n && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return (int)n;
}

bool exists(const char *path)
{
	return !access(path, F_OK);
}

unsigned int kmsg_count(const char *word)
{
	static char text[1 << 18];
	const int read_all = 3;
	unsigned int n = 0;
	int len = klogctl(read_all, text, sizeof(text) - 1);

	text[len < 0 ? 0 : len] = 0;
	for (char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

static void tick(void)
{
	struct timespec t = { .tv_nsec = 2000000 };

	nanosleep(&t, NULL);
}

bool wait_for(bool (*cond)(void *), void *arg, unsigned int ms)
{
	u64 end = now_ns() + ms * 1000000ull;

	while (!cond(arg)) {
		if (now_ns() > end)
			return false;
		tick();
	}
	return true;
}

/* ---- jobs ---- */

/*
 * A process, not a thread: a CPU that spins with irqs off answers no TLB
 * shootdown, so whoever shares its address space hangs with it.
 */
#define MAX_JOBS	64
#define JOB_ARG		1024

struct job {
	pid_t pid;
	bool go;		/* init sets it, the job waits for it */
	bool done;		/* the job sets it, init reads it */
	long ret;
	unsigned char arg[JOB_ARG] __aligned(16);
};

static struct job *jobs;
static unsigned int n_jobs;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("init: sched_setaffinity");
		abort();
	}
}

struct job *job_prepare(int cpu, job_fn fn, const void *arg, size_t size)
{
	struct job *job;
	pid_t pid;

	if (!jobs) {
		jobs = mmap(NULL, sizeof(*jobs) * MAX_JOBS, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (jobs == MAP_FAILED)
			abort();
	}
	if (n_jobs == MAX_JOBS || size > JOB_ARG)
		abort();
	job = &jobs[n_jobs++];
	memset(job, 0, sizeof(*job));
	if (size)
		memcpy(job->arg, arg, size);
	pid = fork();
	if (pid < 0) {
		perror("init: fork");
		abort();
	}
	if (!pid) {
		pin(cpu);
		while (!__atomic_load_n(&job->go, __ATOMIC_ACQUIRE))
			tick();
		job->ret = fn(job->arg);
		__atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
		_exit(0);
	}
	job->pid = pid;
	return job;
}

void job_go(struct job *job)
{
	__atomic_store_n(&job->go, true, __ATOMIC_RELEASE);
}

struct job *job_start(int cpu, job_fn fn, const void *arg, size_t size)
{
	struct job *job = job_prepare(cpu, fn, arg, size);

	job_go(job);
	return job;
}

bool job_done(struct job *job)
{
	return __atomic_load_n(&job->done, __ATOMIC_ACQUIRE);
}

/* Killed, by the kernel: init ignores SIGCHLD, so the dead are gone at once. */
static bool job_died(struct job *job)
{
	return !job_done(job) && kill(job->pid, 0) && !job_done(job);
}

static bool job_is_over(void *job)
{
	return job_done(job) || job_died(job);
}

bool job_wait(struct job *job, unsigned int ms)
{
	return wait_for(job_is_over, job, ms) && job_done(job);
}

long job_ret(struct job *job)
{
	return job->ret;
}

void *job_arg(struct job *job)
{
	return job->arg;
}

/* Where it hangs: "R" spins, "D" sleeps in the kernel. */
static void say_where(struct job *job)
{
	struct iq_beat b = beat(false);
	char path[64], text[1024], *line, *save;

	snprintf(path, sizeof(path), "/proc/%d/status", job->pid);
	line = read_file(path, text, sizeof(text)) > 0 ? strstr(text, "State:") : NULL;
	if (line)
		emit("# %s: stuck pid %d %.*s", cur.name, job->pid, (int)strcspn(line, "\n"), line);
	snprintf(path, sizeof(path), "/proc/%d/stack", job->pid);
	if (read_file(path, text, sizeof(text)) > 0)
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			emit("# %s: stuck in %s", cur.name, line);
	for (unsigned int cpu = 0; cpu < b.cpus; cpu++)
		emit("# %s: stuck, CPU %u: %llu beats, longest gap %llu us", cur.name, cpu,
		     (unsigned long long)b.beats[cpu],
		     (unsigned long long)b.max_gap_ns[cpu] / 1000);
}

void job_require(struct job *job, const char *what)
{
	bool back = job_wait(job, opt.limit_ms);

	if (!back)
		say_where(job);
	check(back, what, back ? "it did" : "not within %u ms", opt.limit_ms);
	if (!back)
		longjmp(cur.env, job_died(job) ? FAILED : STUCK);
}

long job_run(int cpu, job_fn fn, void *arg, size_t size, const char *what)
{
	struct job *job = job_start(cpu, fn, arg, size);

	job_require(job, what);
	if (size)
		memcpy(arg, job->arg, size);
	return job->ret;
}

void jobs_forget(void)
{
	n_jobs = 0;
}

/* ---- devices ---- */

int iq(unsigned long cmd, void *arg)
{
	if (iq_fd < 0)
		iq_fd = open("/dev/iqtest", O_RDWR | O_CLOEXEC);
	if (iq_fd < 0)
		return -errno;
	return ioctl(iq_fd, cmd, arg) ? -errno : 0;
}

static unsigned int read_hex(const char *dir, const char *file)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return read_file(path, buf, sizeof(buf)) < 0 ? 0 : (unsigned int)strtoul(buf, NULL, 16);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* The port is the directory that the device's own one is in. */
static void find_port(struct device *d)
{
	char path[PATH_MAX], *name;

	d->port[0] = 0;
	if (!realpath(d->dir, path))
		return;
	*strrchr(path, '/') = 0;
	name = strrchr(path, '/');
	if (name)
		snprintf(d->port, sizeof(d->port), "%.15s", name + 1);
}

void find_devices(void)
{
	struct device *found[] = { &dev_a, &dev_b, &dev_d };
	struct dirent **names;
	unsigned int n = 0;
	int i, count;

	n_more = 0;
	n_vfs = 0;
	count = scandir("/sys/bus/pci/devices", &names, NULL, by_name);
	for (i = 0; i < count && n_more < MORE; i++) {
		unsigned int bus, slot, fn;
		struct device d;

		if (sscanf(names[i]->d_name, "%*x:%x:%x.%x", &bus, &slot, &fn) != 3)
			continue;
		snprintf(d.bdf, sizeof(d.bdf), "%.15s", names[i]->d_name);
		snprintf(d.dir, sizeof(d.dir), "/sys/bus/pci/devices/%.15s", names[i]->d_name);
		d.rid = bus << 8 | slot << 3 | fn;
		find_port(&d);
		if (read_hex(d.dir, "vendor") == IQ_QUIRK_VENDOR &&
		    read_hex(d.dir, "device") == IQ_QUIRK_DEVICE)
			dev_c = d;
		if (read_hex(d.dir, "vendor") == IQ_VENDOR &&
		    read_hex(d.dir, "device") == IQ_VF_DEVICE && n_vfs < VFS)
			dev_vf[n_vfs++] = d;
		if (read_hex(d.dir, "vendor") != IQ_VENDOR ||
		    read_hex(d.dir, "device") != IQ_EP_DEVICE)
			continue;
		if (n < ARRAY_SIZE(found))
			*found[n++] = d;
		else
			dev_more[n_more++] = d;
	}
}

bool device_present(struct device *d)
{
	return exists(d->dir);
}

u32 ctl_read(struct device *d, unsigned int reg)
{
	struct iq_ctl a = { .target = d->rid, .reg = reg };

	return iq(IQ_CTL, &a) ? ~0u : a.val;
}

void ctl_write(struct device *d, unsigned int reg, u32 val)
{
	struct iq_ctl a = { .target = d->rid, .reg = reg, .val = val, .write = 1 };

	iq(IQ_CTL, &a);
}

u32 ep_read(struct device *d, unsigned int reg)
{
	struct iq_reg a = { .bdf = d->rid, .reg = reg };

	return iq(IQ_REG, &a) ? ~0u : a.val;
}

void ep_write(struct device *d, unsigned int reg, u32 val)
{
	struct iq_reg a = { .bdf = d->rid, .reg = reg, .val = val, .write = 1 };

	iq(IQ_REG, &a);
}

u32 ep_cmd(struct device *d, unsigned int cmd, u32 handle, u32 pattern)
{
	struct iq_cmd a = { .bdf = d->rid, .cmd = cmd, .handle = handle, .pattern = pattern };

	return iq(IQ_CMD, &a) ? ~0u : a.status;
}

/* The ATS extended capability (id 0xf), control register at +6, bit 15. */
bool ats_enabled(struct device *d)
{
	unsigned char cfg[4096];
	unsigned int pos = 0x100;
	char path[96];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/config", d->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, cfg, sizeof(cfg));
	close(fd);
	while (pos >= 0x100 && pos + 8 <= (unsigned int)(n > 0 ? n : 0)) {
		u32 h;

		memcpy(&h, cfg + pos, sizeof(h));
		if (h == 0 || h == ~0u)
			return false;
		if ((h & 0xffff) == 0xf)
			return cfg[pos + 7] & 0x80;
		pos = h >> 20 & 0xffc;
	}
	return false;
}

static long do_map(void *arg)
{
	return iq(IQ_MAP, arg);
}

static u32 map_some(struct device *d, unsigned int count, u32 pasid)
{
	struct iq_map a = { .bdf = d->rid, .count = count, .pasid = pasid };
	long ret = job_run(CPU_SECOND, do_map, &a, sizeof(a), "map-returned");

	require(!ret, "mapped", "%u pages: %s", count, strerror((int)-ret));
	return a.first;
}

u32 map_pages(struct device *d, unsigned int count)
{
	return map_some(d, count, 0);
}

u32 map_pasid_page(struct device *d, u32 pasid)
{
	return map_some(d, 1, pasid);
}

u32 map_private_pages(struct device *d, unsigned int count)
{
	return map_some(d, count, IQ_NO_PASID);
}

u32 map_with_ats(struct device *d, unsigned int count)
{
	u32 first = map_pages(d, count);
	/* The ATC holds what is fetched; the ends of a long range are enough. */
	unsigned int fetched = count > 16 ? 16 : count, i;
	u32 st = EP_ST_OK;

	for (i = 0; i < fetched && st & EP_ST_OK; i++) {
		u32 h = i % 2 ? first + count - 1 - i / 2 : first + i / 2;

		st = ep_cmd(d, EP_FETCH, h, 0);
		if (st & EP_ST_OK)
			st = ep_cmd(d, EP_WRITE, h, 0xa75a75);
		if (damaged(h, 1, 0xa75a75))
			st = 0;
	}
	require(st != ~0u && st & EP_ST_OK && st & EP_ST_ATS, "ats-io",
		"status %#x after a write through the ATC of %s", st, d->bdf);
	return first;
}

void wedge(struct device *d, unsigned int mode)
{
	ctl_write(d, CTL_WEDGE, mode);
	require(ctl_read(d, CTL_WEDGE) == mode, "wedged", "%s in mode %u", d->bdf, mode);
}

static long do_unmap(void *arg)
{
	return iq(IQ_UNMAP, arg);
}

struct job *unmap_prepare(int cpu, u32 first, unsigned int count, unsigned int flags)
{
	struct iq_unmap a = { .first = first, .count = count, .flags = flags };

	return job_prepare(cpu, do_unmap, &a, sizeof(a));
}

struct job *unmap_start(int cpu, u32 first, unsigned int count, unsigned int flags)
{
	struct job *job = unmap_prepare(cpu, first, count, flags);

	job_go(job);
	return job;
}

struct iq_unmap unmap_wait(struct job *job)
{
	struct iq_unmap a;

	job_require(job, "unmap-returned");
	require(!job->ret, "unmap-done", "%s", strerror((int)-job->ret));
	memcpy(&a, job->arg, sizeof(a));
	note("unmap_us", a.total_ns / 1000);
	return a;
}

struct iq_unmap unmap(int cpu, u32 first, unsigned int count, unsigned int flags)
{
	return unmap_wait(unmap_start(cpu, first, count, flags));
}

unsigned int damaged(u32 first, unsigned int count, u32 pattern)
{
	struct iq_verify a = { .first = first, .count = count, .pattern = pattern };

	return iq(IQ_VERIFY, &a) ? count : a.bad_pages;
}

static long do_attach(void *arg)
{
	return iq(IQ_ATTACH, arg);
}

static long do_detach(void *arg)
{
	return iq(IQ_DETACH, arg);
}

struct job *attach_prepare(int cpu, struct device *d)
{
	struct iq_dev a = { .bdf = d->rid };

	return job_prepare(cpu, do_attach, &a, sizeof(a));
}

int attach(struct device *d)
{
	struct iq_dev a = { .bdf = d->rid };

	return (int)job_run(CPU_SECOND, do_attach, &a, sizeof(a), "attach-returned");
}

int attach_peers(struct device *d, struct device *peer)
{
	struct iq_dev a = { .bdf = d->rid, .peer = peer->rid };

	return (int)job_run(CPU_SECOND, do_attach, &a, sizeof(a), "attach-returned");
}

int detach(struct device *d)
{
	struct iq_dev a = { .bdf = d->rid };

	return (int)job_run(CPU_SECOND, do_detach, &a, sizeof(a), "detach-returned");
}

struct write_arg {
	char path[128];
	char text[64];
};

static long do_write(void *arg)
{
	struct write_arg *w = arg;

	return write_file(w->path, w->text);
}

int attach_pasid(struct device *d, u32 pasid)
{
	struct iq_dev a = { .bdf = d->rid, .pasid = pasid };

	return (int)job_run(CPU_SECOND, do_attach, &a, sizeof(a), "pasid-attach-returned");
}

int detach_pasid(struct device *d, u32 pasid)
{
	struct iq_dev a = { .bdf = d->rid, .pasid = pasid };

	return (int)job_run(CPU_SECOND, do_detach, &a, sizeof(a), "pasid-detach-returned");
}

static struct write_arg write_to(struct device *d, const char *file, const char *text)
{
	struct write_arg w;

	if (file[0] == '/')
		snprintf(w.path, sizeof(w.path), "%s", file);
	else
		snprintf(w.path, sizeof(w.path), "%s/%s", d->dir, file);
	snprintf(w.text, sizeof(w.text), "%s", text);
	return w;
}

struct job *device_write_prepare(int cpu, struct device *d, const char *file,
				 const char *text)
{
	struct write_arg w = write_to(d, file, text);

	return job_prepare(cpu, do_write, &w, sizeof(w));
}

struct job *device_write_start(int cpu, struct device *d, const char *file, const char *text)
{
	struct job *job = device_write_prepare(cpu, d, file, text);

	job_go(job);
	return job;
}

int device_write(struct device *d, const char *file, const char *text, const char *what)
{
	struct write_arg w = write_to(d, file, text);

	return (int)job_run(CPU_SECOND, do_write, &w, sizeof(w), what);
}

int flr(struct device *d)
{
	return device_write(d, "reset", "1", "reset-returned");
}

static long do_suspend(void *arg)
{
	(void)arg;
	/* As deep as there is: with the IOMMU's own suspend and resume on x86 */
	write_file("/sys/module/suspend/parameters/pm_test_delay", "0");
	if (write_file("/sys/power/pm_test", "core") ||
	    write_file("/sys/power/mem_sleep", "deep"))
		write_file("/sys/power/pm_test", "platform");
	return write_file("/sys/power/state", "mem");
}

static int sleep_and_back(long (*fn)(void *), const char *what)
{
	struct job *job = job_prepare(CPU_INIT, fn, NULL, 0);
	bool back;

	results_park();
	job_go(job);
	back = job_wait(job, 4 * opt.limit_ms);
	results_unpark();
	require(back, what, "not within %u ms", 4 * opt.limit_ms);
	return (int)job_ret(job);
}

int suspend_test(void)
{
	return sleep_and_back(do_suspend, "suspend-returned");
}

static long do_freeze(void *arg)
{
	(void)arg;
	write_file("/sys/module/hibernate/parameters/pm_test_delay", "0");
	if (write_file("/sys/power/pm_test", "core"))
		return -EOPNOTSUPP;
	return write_file("/sys/power/state", "disk");
}

int freeze_test(void)
{
	return sleep_and_back(do_freeze, "freeze-returned");
}

#define SWAP		"/dev/vda"
#define SWAP_NUMBER	"/sys/block/vda/dev"

static long do_hibernate(void *arg)
{
	(void)arg;
	if (write_file("/sys/power/pm_test", "none") ||
	    write_file("/sys/power/disk", "reboot"))
		return -EOPNOTSUPP;
	if (swapon(SWAP, 0))
		return -errno;
	return write_file("/sys/power/state", "disk");
}

int hibernate(void)
{
	return sleep_and_back(do_hibernate, "hibernate-returned");
}

/* If the kernel before this one has left an image of itself it goes on, not we */
void resume_another(void)
{
	char number[16];

	if (read_file(SWAP_NUMBER, number, sizeof(number)) > 0)
		write_file("/sys/power/resume", number);
}

void vfs_enable(void)
{
	int ret = device_write(&dev_a, "sriov_numvfs", "2", "vfs-enabled");

	require(!ret, "vfs", "%s", strerror(-ret));
	find_devices();
	require(n_vfs == VFS, "vfs-found", "%u", n_vfs);
}

static long do_reset_bus(void *arg)
{
	return iq(IQ_RESET_BUS, arg);
}

int reset_bus(struct device *d)
{
	struct iq_dev a = { .bdf = d->rid };

	return (int)job_run(CPU_SECOND, do_reset_bus, &a, sizeof(a), "reset-returned");
}

static long do_power_cycle(void *arg)
{
	return iq(IQ_POWER, arg);
}

int power_cycle(struct device *d)
{
	struct iq_dev a = { .bdf = d->rid };

	return (int)job_run(CPU_SECOND, do_power_cycle, &a, sizeof(a), "power-returned");
}

void matrix(const char *kind, bool happened, bool lifted)
{
	emit("# iq: matrix %s %s %s", kind, happened ? "reset" : "no-reset",
	     lifted ? "lifted" : "kept");
}

void state_of(struct device *d, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/iommu_quarantine/state", d->dir);
	if (read_file(path, buf, size) < 0)
		snprintf(buf, size, "absent");
}

bool state_is(struct device *d, const char *want)
{
	char buf[64];

	state_of(d, buf, sizeof(buf));
	return !strcmp(buf, want);
}

static bool port_update(struct device *d, long where, unsigned int mask, unsigned int val)
{
	char path[96];
	unsigned char byte;
	bool good;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", d->port);
	f = fopen(path, "r+");
	if (!f)
		return false;
	setbuf(f, NULL);
	good = !fseek(f, where, SEEK_SET) && fread(&byte, 1, 1, f) == 1;
	byte = (byte & ~mask) | val;
	good = good && !fseek(f, where, SEEK_SET) && fwrite(&byte, 1, 1, f) == 1;
	fclose(f);
	return good;
}

#define PCI_BRIDGE_CONTROL	0x3e
#define PCI_BRIDGE_CTL_BUS_RESET	0x40

bool port_reset(struct device *d)
{
	bool good;

	good = port_update(d, PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET,
			   PCI_BRIDGE_CTL_BUS_RESET);
	return port_update(d, PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET, 0) && good;
}

struct state_arg {
	struct device *d;
	const char *want;
};

static bool state_reached(void *arg)
{
	struct state_arg *a = arg;

	return state_is(a->d, a->want);
}

bool wait_state(struct device *d, const char *want, unsigned int ms)
{
	struct state_arg a = { d, want };
	bool good = wait_for(state_reached, &a, ms);
	char name[64], buf[64];

	state_of(d, buf, sizeof(buf));
	snprintf(name, sizeof(name), "state-%s", want);
	return check(good, name, "%s is %s", d->bdf, buf);
}

unsigned int broken_count(struct device *d)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "%s/iommu_quarantine/broken_count", d->dir);
	if (read_file(path, buf, sizeof(buf)) < 0)
		return ~0u;
	return (unsigned int)strtoul(buf, NULL, 10);
}

void neighbour_start(struct device *d, unsigned int flags, unsigned int cpu)
{
	struct iq_neighbour a = {
		.bdf = d->rid, .flags = flags, .cpu = cpu,
		/* Far above what two shared host CPUs do to an innocent operation. */
		.stall_ms = opt.hw_timeout_ms * 2 / 3,
	};
	int ret = iq(IQ_N_START, &a);

	require(!ret, "neighbour-started", "%s", strerror(-ret));
}

struct iq_neighbour neighbour_read(struct device *d)
{
	struct iq_neighbour a = { .bdf = d->rid };

	iq(IQ_N_READ, &a);
	return a;
}

static long do_neighbour_stop(void *arg)
{
	return iq(IQ_N_STOP, arg);
}

struct iq_neighbour neighbour_stop(struct device *d)
{
	struct iq_neighbour a = { .bdf = d->rid };
	long ret = job_run(CPU_SECOND, do_neighbour_stop, &a, sizeof(a), "neighbour-stopped");

	require(!ret, "neighbour-ended", "%s", strerror((int)-ret));
	return a;
}

struct iq_beat beat(bool reset)
{
	struct iq_beat a = { .reset = reset };

	iq(IQ_BEAT, &a);
	return a;
}

/* ---- back to two healthy devices ---- */

static bool is_clean(struct device *d)
{
	return !ctl_read(d, CTL_INV_TOTAL) && !ctl_read(d, CTL_RESETS) &&
	       !(ep_read(d, EP_STATUS) & EP_ST_ATC);
}

static long do_heal(void *arg)
{
	struct device *all[] = { &dev_a, &dev_b, &dev_c, &dev_d };
	struct iq_neighbour n = {};
	struct iq_range all_pages = {};
	unsigned int i;
	char path[128];

	(void)arg;
	if (exists(HOLD_FENCE))
		write_file(HOLD_FENCE, "0");
	if (exists(HOLD_WORK))
		write_file(HOLD_WORK, "0");
	ctl_write(&dev_a, CTL_FLAGS, 0);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		ctl_write(all[i], CTL_WEDGE, WEDGE_HEALTHY);
	if (!device_present(&dev_a) || !device_present(&dev_b))
		write_file("/sys/bus/pci/rescan", "1");
	if (n_vfs) {
		for (i = 0; i < n_vfs; i++)
			ctl_write(&dev_vf[i], CTL_WEDGE, WEDGE_HEALTHY);
		snprintf(path, sizeof(path), "%s/sriov_numvfs", dev_a.dir);
		write_file(path, "0");
	}
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		struct iq_dev dom = { .bdf = all[i]->rid };

		/* Nobody has touched it, and each reset takes its time. */
		if (i >= 2 && is_clean(all[i]))
			continue;

		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/iqtest/%s", all[i]->bdf);
		if (!exists(path))
			vm_give_back(all[i]);
		ep_cmd(all[i], EP_STOP, 0, 0);
		n.bdf = all[i]->rid;
		iq(IQ_N_STOP, &n);
		iq(IQ_DETACH, &dom);
		for (dom.pasid = 1; dom.pasid <= IQ_PASIDS; dom.pasid++)
			iq(IQ_DETACH, &dom);
		snprintf(path, sizeof(path), "%s/reset_method", all[i]->dir);
		write_file(path, "default");
		/* The model forgets nothing but by a reset: always one. */
		snprintf(path, sizeof(path), "%s/reset", all[i]->dir);
		if (write_file(path, "1"))
			return -1;
	}
	iq(IQ_FREE, &all_pages);
	ctl_write(&dev_a, CTL_TIMEOUT_MS, opt.hw_timeout_ms);
	ctl_write(&dev_a, CTL_CLEAR, 1);
	return 0;
}

static bool is_healthy(void *d)
{
	return (!grafted || state_is(d, "healthy")) && ats_enabled(d) &&
	       ep_read(d, EP_MAGIC) == IQ_EP_MAGIC_VALUE &&
	       !(ep_read(d, EP_STATUS) & EP_ST_ATC);
}

bool unstick(void)
{
	struct device *all[] = { &dev_a, &dev_b, &dev_c, &dev_d };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		ctl_write(all[i], CTL_WEDGE, WEDGE_HEALTHY);
	for (i = 0; i < n_vfs; i++)
		ctl_write(&dev_vf[i], CTL_WEDGE, WEDGE_HEALTHY);
	for (i = 0; i < n_jobs; i++)
		if (jobs[i].go && !wait_for(job_is_over, &jobs[i], opt.limit_ms))
			return false;
	return true;
}

bool heal(void)
{
	struct job *job = job_prepare(CPU_SECOND, do_heal, NULL, 0);

	/* A virtual machine that a failure has left: closed there. */
	vm_drop();
	job_go(job);
	/* Twice the longest: a reset of a device that was gone takes its time. */
	if (!job_wait(job, 2 * opt.limit_ms) || job->ret)
		return false;
	n_vfs = 0;
	return wait_for(is_healthy, &dev_a, opt.limit_ms) &&
	       wait_for(is_healthy, &dev_b, opt.limit_ms) &&
	       wait_for(is_healthy, &dev_c, opt.limit_ms) &&
	       wait_for(is_healthy, &dev_d, opt.limit_ms);
}
