// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's init: mounts what it needs, loads the SMMU's driver if that is a
 * module, and the test module, runs the scenarios that the kernel command line
 * asks for, and says the outcome as KTAP over a virtio port.
 *
 *   iq.run=NAME,NAME... | iq.run=@GROUP   which scenarios
 *   iq.mode=check|demo                    demo: iq.run is what breaks
 *   iq.timeout=MS                         the hardware's invalidation timeout
 *   iq.pasids=1                           there are PASIDs
 *   iq.vfio=0                             VFIO gets no domain on this machine
 *   iq.vendor=intel|amd|arm               whose IOMMU it is
 *   iq.intremap=0                         interrupts are not remapped
 *   iq.limit=MS                           when an operation counts as stuck
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

static void __noreturn die(const char *what)
{
	fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
	if (results_open(NULL))
		emit("# iq: broken %s: %s", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	abort();
}

static void mount_all(void)
{
	static const struct {
		const char *type, *where;
	} fs[] = {
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "devtmpfs", "/dev" },
		{ "debugfs", "/sys/kernel/debug" },
		{ "tracefs", TRACING },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(fs); i++) {
		mkdir(fs[i].where, 0755);
		if (mount(fs[i].type, fs[i].where, fs[i].type, 0, NULL) && errno != EBUSY)
			die(fs[i].where);
	}
}

#define SMMU_MODULE	"/arm_smmu_v3.ko"

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		die(path);
	close(fd);
}

/* Where the IOMMU's driver is a module, the rest of PCI waits for it. */
static bool devices_there(void *unused)
{
	(void)unused;
	find_devices();
	return dev_a.rid && dev_b.rid && dev_c.rid && dev_d.rid &&
	       ctl_read(&dev_a, CTL_MAGIC) == IQ_CTL_MAGIC_VALUE;
}

static const char *word_of(const char *line, const char *key, char *buf, size_t size)
{
	const char *p = line;
	size_t n;

	while ((p = strstr(p, key)) && p != line && p[-1] != ' ')
		p++;
	if (!p)
		return NULL;
	p += strlen(key);
	n = strcspn(p, "\n ");
	if (n >= size)
		die("command line");
	memcpy(buf, p, n);
	buf[n] = 0;
	return buf;
}

static enum vendor vendor_named(const char *name)
{
	static const char * const names[] = { [INTEL] = "intel", [AMD] = "amd", [ARM] = "arm" };

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return i;
	errno = EINVAL;
	die("iq.vendor");
}

static void read_options(void)
{
	char line[4096], num[16];

	if (read_file("/proc/cmdline", line, sizeof(line)) < 0)
		die("/proc/cmdline");
	if (!word_of(line, "iq.run=", opt.run, sizeof(opt.run)))
		snprintf(opt.run, sizeof(opt.run), "@main");
	if (!word_of(line, "iq.mode=", opt.mode, sizeof(opt.mode)))
		snprintf(opt.mode, sizeof(opt.mode), "check");
	opt.pasids = word_of(line, "iq.pasids=", num, sizeof(num)) && atoi(num);
	opt.vfio = !word_of(line, "iq.vfio=", num, sizeof(num)) || atoi(num);
	opt.vendor = word_of(line, "iq.vendor=", num, sizeof(num)) ? vendor_named(num) : INTEL;
	opt.intremap = !word_of(line, "iq.intremap=", num, sizeof(num)) || atoi(num);
	opt.resume = word_of(line, "iq.resume=", num, sizeof(num)) && atoi(num);
	opt.second = word_of(line, "iq.second=", num, sizeof(num));
	opt.hw_timeout_ms = word_of(line, "iq.timeout=", num, sizeof(num)) ?
			    (unsigned int)atoi(num) : 300;
	opt.limit_ms = word_of(line, "iq.limit=", num, sizeof(num)) ?
		       (unsigned int)atoi(num) : 15000;
}

static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == len && !memcmp(p, name, len))
			return true;
	return false;
}

static bool wanted(const struct scenario *s)
{
	if (opt.run[0] == '@')
		return !strcmp(opt.run + 1, s->group);
	return listed(opt.run, s->name);
}

/*
 * What the kernel holds against us, read from its state: taint by a warning, a bad
 * page (KASAN) or a lockup, and lockdep having given up. Wrong use of RCU leaves
 * nothing but lines in the log. What is not a warning to the kernel but one of
 * these still counts; what panics does not come here.
 */
#define TAINT_DIE		BIT(7)
#define TAINT_BAD_PAGE		BIT(5)
#define TAINT_WARN		BIT(9)
#define TAINT_SOFTLOCKUP	BIT(14)
#define RCU_SUSPICIOUS		BIT(62)
#define LOCKDEP_GAVE_UP		BIT(63)

static unsigned long complaints(void)
{
	char text[8192], *p;
	unsigned long found = 0;

	if (read_file("/proc/sys/kernel/tainted", text, sizeof(text)) > 0)
		found = strtoul(text, NULL, 10) &
			(TAINT_DIE | TAINT_BAD_PAGE | TAINT_WARN | TAINT_SOFTLOCKUP);
	if (read_file("/proc/lockdep_stats", text, sizeof(text)) > 0) {
		p = strstr(text, "debug_locks:");
		if (p && !strtoul(p + strlen("debug_locks:"), NULL, 10))
			found |= LOCKDEP_GAVE_UP;
	}
	if (kmsg_count("suspicious RCU usage"))
		found |= RCU_SUSPICIOUS;
	return found;
}

static const char *word_for(unsigned long found)
{
	if (found & LOCKDEP_GAVE_UP)
		return "lockdep complained";
	if (found & RCU_SUSPICIOUS)
		return "suspicious RCU usage";
	if (found & TAINT_BAD_PAGE)
		return "KASAN or a bad page";
	if (found & TAINT_SOFTLOCKUP)
		return "a lockup";
	return "a warning";
}

#define ATTEMPTS	3u

static enum verdict report(unsigned int n, const struct scenario *s, enum verdict v,
			   unsigned long fresh)
{
	if (fresh == LOCKDEP_GAVE_UP && forgives_lockdep()) {
		emit("# %s: note lockdep_complained = 1", s->name);
		fresh = 0;
	}
	if (fresh) {
		emit("# %s: FAIL kernel-quiet: %s, see the serial log", s->name, word_for(fresh));
		if (v == PASSED || v == SKIPPED) {
			emit("not ok %u %s # kernel-quiet: %s", n, s->name, word_for(fresh));
			return FAILED;
		}
	}
	if (v == SKIPPED)
		emit("ok %u %s # SKIP %s", n, s->name, skip_reason());
	else if (v == PASSED || (v == STUCK && !first_failure()[0]))
		emit("ok %u %s", n, s->name);
	else if (v == AGAIN)
		emit("not ok %u %s # %u attempts said nothing", n, s->name, ATTEMPTS);
	else
		emit("not ok %u %s # %s", n, s->name, first_failure());
	return v;
}

/* False when the machine is of no more use. */
static bool run_all(void)
{
	unsigned int n = 0, total = 0;
	/* On the grafted kernel the first scenario answers for what was before it */
	unsigned long before = complaints(), known = grafted ? 0 : before, seen;
	bool clean = true;

	for (unsigned int i = 0; i < n_scenarios; i++)
		total += wanted(&scenarios[i]);
	emit("KTAP version 1");
	emit("1..%u", total);
	if (before)
		emit("# iq: the kernel complained before the first scenario: %s", word_for(before));

	for (unsigned int i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		enum verdict v;

		if (!wanted(s))
			continue;
		n++;
		if (!clean) {
			emit("not ok %u %s # not run: no healthy machine after %s", n, s->name,
			     "the scenario before");
			continue;
		}
		emit("# iq: start %s", s->name);
		for (unsigned int attempt = 1;; attempt++) {
			jobs_forget();
			v = run_scenario(s->name, s->fn);
			/* The way back belongs to the scenario: it can complain too. */
			if (v == STUCK)
				clean = !shuts_down_like_this() && !is_lost_as_ungrafted() &&
					unstick() && heal();
			else if (!shuts_down_like_this())
				clean = heal();
			if (v != AGAIN || !clean || attempt == ATTEMPTS)
				break;
		}
		seen = is_lost_as_ungrafted() && !first_failure()[0] ? known : complaints();
		report(n, s, v, seen & ~known);
		known |= seen;
		if (!clean) {
			emit("# iq: no healthy machine after %s", s->name);
			show_stacks();
		}
		/* What is left of the list is for that one */
		if (goes_on_in_another_kernel())
			break;
	}
	return clean;
}

/*
 * QEMU was seen to lose a CPU's timer for good (tests/qemu/README.md), also before
 * anything was tested. Such a machine says nothing about what is to be tested.
 */
static bool all_cpus_beat(void *unused)
{
	struct iq_beat b = beat(false);

	(void)unused;
	for (unsigned int cpu = 0; cpu < b.cpus; cpu++)
		if (!b.beats[cpu])
			return false;
	return true;
}

/* Called by the kernel as uevent helper: append what the scenario looks for. */
static int uevent_helper(void)
{
	const char *what = getenv("IOMMU_QUARANTINE"), *path = getenv("DEVPATH");
	char line[256];
	int fd, len;

	if (!what || !path)
		return 0;
	fd = open(UEVENTS, O_WRONLY | O_CREAT | O_APPEND, 0644);
	len = snprintf(line, sizeof(line), "IOMMU_QUARANTINE=%s %s\n", what, path);
	return fd < 0 || write(fd, line, (size_t)len) != len;
}

int main(int argc, char **argv)
{
	cpu_set_t set;
	bool clean = true;
	char path[96];

	if (argc > 1 && !strcmp(argv[1], "--list")) {
		for (unsigned int i = 0; i < n_scenarios; i++)
			printf("%s %s\n", scenarios[i].name, scenarios[i].group);
		return 0;
	}
	if (getpid() != 1)
		return uevent_helper();
	signal(SIGCHLD, SIG_IGN);
	mount_all();
	CPU_ZERO(&set);
	CPU_SET(CPU_INIT, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	read_options();
	/* No driver has used the devices yet, but the kernel's own */
	if (opt.resume)
		resume_another();
	if (exists(SMMU_MODULE))
		load_module(SMMU_MODULE);
	if (!wait_for(results_open, NULL, 10000))
		die("no virtio port iq.ktap");
	load_module("/iqtest.ko");
	if (!wait_for(all_cpus_beat, NULL, 10000)) {
		errno = ETIME;
		die("a timer on each CPU");
	}
	if (!wait_for(devices_there, NULL, 10000))
		die("four fault endpoints and the fault control device");
	snprintf(path, sizeof(path), "%s/iommu_quarantine", dev_a.dir);
	/* With iommu_quarantine=off there may be no state to show. */
	grafted = exists(path) || exists("/sys/kernel/debug/iommu_quarantine");
	ctl_write(&dev_a, CTL_TIMEOUT_MS, opt.hw_timeout_ms);
	emit("# iq: booted grafted=%d at %llu", grafted, (unsigned long long)now_ns());

	if (!strcmp(opt.mode, "demo"))
		clean = demo();
	else
		clean = run_all();
	if (clean && goes_on_in_another_kernel()) {
		emit("# iq: another kernel goes on");
		if (goes_on_after_a_crash())
			iq(IQ_PANIC, NULL);
		reboot(RB_KEXEC);
		emit("# iq: no other kernel: %s", strerror(errno));
		clean = false;
	}
	emit("# iq: done %s", clean ? "clean" : "lost");
	if (clean) {
		/* Shutdown is a test of its own: the runner waits for it. */
		reboot(RB_POWER_OFF);
	}
	for (;;)
		pause();
}
