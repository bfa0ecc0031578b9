// SPDX-License-Identifier: GPL-2.0-only
/*
 * The init of a machine that runs KUnit tests. Those that are modules run when
 * they are loaded: each /N.ko is, in the order of N, and then unloaded. What
 * gcov has counted in the kernel goes out over the console, in hex:
 *
 *   gcov: file PATH
 *   gcov: data 0123...
 *   gcov: end
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define GCOV		"/sys/kernel/debug/gcov"
#define CONSOLE_OFF	6	/* of klogctl() */
#define CONSOLE_ON	7

/* Said as the kernel says it: the log is looked at for such words */
static void complain(const char *what, const char *of)
{
	printf("BUG: init: %s %s: %m\n", what, of);
}

static const char *read_name(const char *path, char *name, size_t size)
{
	FILE *f = fopen(path, "r");

	if (!f || !fgets(name, size, f))
		complain("read", path);
	if (f)
		fclose(f);
	name[strcspn(name, "\n")] = 0;
	return name;
}

static void load_modules(void)
{
	char path[32], name[64] = "";
	int n, fd;

	for (n = 0; ; n++) {
		snprintf(path, sizeof(path), "/%d.ko", n);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			break;
		if (syscall(SYS_finit_module, fd, "", 0))
			complain("load", path);
		close(fd);
	}
	while (n--) {
		snprintf(path, sizeof(path), "/%d.name", n);
		if (syscall(SYS_delete_module,
			    read_name(path, name, sizeof(name)), O_NONBLOCK))
			complain("unload", name);
	}
}

static void dump(const char *path)
{
	static unsigned char data[64];
	int i, n, fd = open(path, O_RDONLY);

	printf("gcov: file %s\n", path + strlen(GCOV));
	while (fd >= 0 && (n = read(fd, data, sizeof(data))) > 0) {
		printf("gcov: data ");
		for (i = 0; i < n; i++)
			printf("%02x", data[i]);
		printf("\n");
	}
	printf(fd < 0 || n < 0 ? "gcov: unreadable\n" : "gcov: end\n");
	if (fd >= 0)
		close(fd);
}

static void walk(const char *where)
{
	char path[4096];
	struct dirent *e;
	DIR *d = opendir(where);

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", where, e->d_name);
		if (e->d_type == DT_DIR)
			walk(path);
		else if (e->d_type == DT_REG && strstr(path, ".gcda"))
			dump(path);
	}
	if (d)
		closedir(d);
}

int main(void)
{
	const char *how;

	if (mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL))
		complain("mount", "debugfs");
	load_modules();
	fflush(stdout);
	klogctl(CONSOLE_OFF, NULL, 0);
	walk(GCOV);
	printf("gcov: over\n");
	fflush(stdout);
	/* Else the kernel's last words come in the middle of it */
	tcdrain(STDOUT_FILENO);
	klogctl(CONSOLE_ON, NULL, 0);
	/* QEMU ends at a restart, user mode Linux when it is off */
	how = getenv("kunit_shutdown");
	reboot(how && !strcmp(how, "halt") ? RB_POWER_OFF : RB_AUTOBOOT);
	return 1;
}
