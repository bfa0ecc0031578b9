// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that belongs to user space: what a virtual machine monitor does with
 * VFIO and iommufd, as far as the scenarios need it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

/* Of the kernel's interface, what older headers do not have */
struct bind_iommufd {
	u32 argsz, flags;
	int32_t iommufd;
	u32 devid;
};

struct attach_pt {
	u32 argsz, flags, pt_id;
};

struct ioas_alloc {
	u32 size, flags, ioas;
};

struct ioas_map {
	u32 size, flags, ioas, reserved;
	u64 va, length, iova;
};

struct ioas_unmap {
	u32 size, ioas;
	u64 iova, length;
};

#define BIND_IOMMUFD	_IO(VFIO_TYPE, VFIO_BASE + 18)
#define ATTACH_PT	_IO(VFIO_TYPE, VFIO_BASE + 19)
#define IOAS_ALLOC	_IO(';', 0x81)
#define IOAS_MAP	_IO(';', 0x85)
#define   IOAS_MAP_FIXED_RW	7
#define IOAS_UNMAP	_IO(';', 0x86)

#define PAGE		4096u
#define IOVA		0x10000000ull
#define CANARY		0x5ca1ab1eu

#define VFIO_DRIVER	"/sys/bus/pci/drivers/vfio-pci/"
#define UNSAFE_IRQS	"/sys/module/iommufd/parameters/allow_unsafe_interrupts"

/* One at a time. Its files are open in init; a job has copies. */
static struct {
	struct device *d;
	int fd, iommufd, err_fd;
	u32 ioas;
	u64 bar;
	u32 *page;		/* init's: a fork() copies what is pinned */
} vm = { .fd = -1, .iommufd = -1, .err_fd = -1 };

static int vm_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

static u32 vm_new_ioas(void)
{
	struct ioas_alloc a = { .size = sizeof(a) };
	int ret = vm_ioctl(vm.iommufd, IOAS_ALLOC, &a);

	require(!ret, "ioas", "%s", strerror(-ret));
	return a.ioas;
}

static int vm_attach(u32 ioas)
{
	struct attach_pt a = { .argsz = sizeof(a), .pt_id = ioas };

	return vm_ioctl(vm.fd, ATTACH_PT, &a);
}

int vm_attach_another(void)
{
	return vm_attach(vm_new_ioas());
}

static u32 vm_reg(unsigned int reg)
{
	u32 val = ~0u;

	if (pread(vm.fd, &val, sizeof(val), (off_t)(vm.bar + reg)) != sizeof(val))
		return ~0u;
	return val;
}

static void vm_set_reg(unsigned int reg, u32 val)
{
	if (pwrite(vm.fd, &val, sizeof(val), (off_t)(vm.bar + reg)) != sizeof(val))
		check(false, "vm-register", "%#x: %s", reg, strerror(errno));
}

u32 vm_cmd(unsigned int cmd, u32 pattern)
{
	vm_set_reg(EP_IOVA_LO, (u32)IOVA);
	vm_set_reg(EP_IOVA_HI, (u32)(IOVA >> 32));
	vm_set_reg(EP_PASID, 0);
	vm_set_reg(EP_PATTERN, pattern);
	vm_set_reg(EP_LEN, PAGE);
	vm_set_reg(EP_CMD, cmd);
	return vm_reg(EP_STATUS);
}

bool vm_page_is(u32 pattern)
{
	for (unsigned int i = 0; i < PAGE / sizeof(*vm.page); i++)
		if (__atomic_load_n(&vm.page[i], __ATOMIC_RELAXED) != (pattern ? pattern : CANARY))
			return false;
	return true;
}

static void vm_fill_page(void)
{
	for (unsigned int i = 0; i < PAGE / sizeof(*vm.page); i++)
		__atomic_store_n(&vm.page[i], CANARY, __ATOMIC_RELAXED);
}

/* Somebody else has it now, and the device goes on. */
void vm_reuse_page(void)
{
	vm_fill_page();
	ctl_write(vm.d, CTL_DOORBELL, 1);
}

void vm_map_with_ats(void)
{
	struct ioas_map a = {
		.size = sizeof(a), .flags = IOAS_MAP_FIXED_RW, .ioas = vm.ioas,
		.va = (uintptr_t)vm.page, .length = PAGE, .iova = IOVA,
	};
	int ret = vm_ioctl(vm.iommufd, IOAS_MAP, &a);
	u32 st;

	require(!ret, "vm-mapped", "%s", strerror(-ret));
	st = vm_cmd(EP_FETCH, 0);
	if (st & EP_ST_OK)
		st = vm_cmd(EP_WRITE, 0xa75a75);
	require(st != ~0u && st & EP_ST_OK && st & EP_ST_ATS && vm_page_is(0xa75a75), "vm-ats-io",
		"status %#x after a write through the ATC of %s", st, vm.d->bdf);
}

static long do_unmap(void *unused)
{
	struct ioas_unmap a = {
		.size = sizeof(a), .ioas = vm.ioas, .iova = IOVA, .length = PAGE,
	};

	(void)unused;
	return vm_ioctl(vm.iommufd, IOAS_UNMAP, &a);
}

void vm_unmap(void)
{
	long ret = job_run(CPU_CULPRIT, do_unmap, NULL, 0, "unmap-returned");

	require(!ret, "vm-unmapped", "%s", strerror((int)-ret));
	vm_reuse_page();
	check(vm_page_is(0), "reused-pages-damaged", "of the virtual machine");
}

static long do_reset(void *unused)
{
	(void)unused;
	return vm_ioctl(vm.fd, VFIO_DEVICE_RESET, NULL);
}

int vm_reset(struct device *unused)
{
	(void)unused;
	return (int)job_run(CPU_SECOND, do_reset, NULL, 0, "reset-returned");
}

static long do_hot_reset(void *unused)
{
	/* None of the groups is named: all that it needs is in the iommufd. */
	struct vfio_pci_hot_reset a = { .argsz = sizeof(a) };

	(void)unused;
	return vm_ioctl(vm.fd, VFIO_DEVICE_PCI_HOT_RESET, &a);
}

int vm_hot_reset(struct device *unused)
{
	(void)unused;
	return (int)job_run(CPU_SECOND, do_hot_reset, NULL, 0, "reset-returned");
}

u64 vm_told(void)
{
	u64 times = 0;

	return read(vm.err_fd, &times, sizeof(times)) == sizeof(times) ? times : 0;
}

static void vm_watch_errors(void)
{
	unsigned char buf[sizeof(struct vfio_irq_set) + sizeof(int)] __aligned(8);
	struct vfio_irq_set *set = (void *)buf;
	int ret;

	vm.err_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*set = (struct vfio_irq_set){
		.argsz = sizeof(buf), .index = VFIO_PCI_ERR_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
	};
	memcpy(set->data, &vm.err_fd, sizeof(int));
	ret = vm_ioctl(vm.fd, VFIO_DEVICE_SET_IRQS, set);
	require(!ret, "vm-error-eventfd", "%s", strerror(-ret));
}

static u64 vm_region(u32 index)
{
	struct vfio_region_info a = { .argsz = sizeof(a), .index = index };
	int ret = vm_ioctl(vm.fd, VFIO_DEVICE_GET_REGION_INFO, &a);

	require(!ret, "vm-region", "%u: %s", index, strerror(-ret));
	return a.offset;
}

static int open_cdev(struct device *d)
{
	char path[320];
	struct dirent *e;
	int fd = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/vfio-dev", d->dir);
	dir = opendir(path);
	while (dir && fd < 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.') {
			snprintf(path, sizeof(path), "/dev/vfio/devices/%.40s", e->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
	if (dir)
		closedir(dir);
	return fd;
}

static long do_bind(void *unused)
{
	struct bind_iommufd a = { .argsz = sizeof(a), .iommufd = vm.iommufd };

	(void)unused;
	return vm_ioctl(vm.fd, BIND_IOMMUFD, &a);
}

/* 0 or -errno of the call that makes it the owner, and that resets the device. */
int vm_open(void)
{
	vm.fd = open_cdev(vm.d);
	vm.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	require(vm.fd >= 0 && vm.iommufd >= 0, "vm-files", "%s", vm.d->bdf);
	return (int)job_run(CPU_SECOND, do_bind, NULL, 0, "bind-returned");
}

/* vfio-pci instead of our driver, and a machine with one page. */
void vm_start(struct device *d)
{
	const uint16_t command = 6;	/* memory space and bus master */
	int ret;

	if (!opt.vfio)
		skip("this kernel gives user space no domain on this machine");
	vm.d = d;
	if (!vm.page)
		vm.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	require(vm.page != MAP_FAILED, "vm-page", "%s", strerror(errno));
	/* Some of the machines do not remap interrupts. */
	write_file(UNSAFE_IRQS, "1");
	check_eq((u64)-device_write(d, "driver_override", "vfio-pci", "override"), 0, "override");
	check_eq((u64)-device_write(d, "driver/unbind", d->bdf, "unbind-returned"), 0, "unbind");
	check_eq((u64)-device_write(d, VFIO_DRIVER "bind", d->bdf, "bind-returned"), 0, "bind");
	ret = vm_open();
	require(!ret, "vm-bound", "%s", strerror(-ret));
	vm.ioas = vm_new_ioas();
	ret = vm_attach(vm.ioas);
	require(!ret, "vm-attached", "%s", strerror(-ret));
	vm.bar = vm_region(VFIO_PCI_BAR0_REGION_INDEX);
	if (pwrite(vm.fd, &command, sizeof(command),
		   (off_t)(vm_region(VFIO_PCI_CONFIG_REGION_INDEX) + 4)) != sizeof(command))
		require(false, "vm-command", "%s", strerror(errno));
	vm_watch_errors();
}

static void drop_files(void)
{
	int *fd[] = { &vm.fd, &vm.iommufd, &vm.err_fd };

	for (unsigned int i = 0; i < ARRAY_SIZE(fd); i++) {
		if (*fd[i] >= 0)
			close(*fd[i]);
		*fd[i] = -1;
	}
}

static long do_close(void *unused)
{
	(void)unused;
	drop_files();
	return 0;
}

/* The virtual machine is gone: the last to close its files is a job. */
void vm_close(void)
{
	struct job *job = job_prepare(CPU_SECOND, do_close, NULL, 0);

	drop_files();
	job_go(job);
	job_require(job, "close-returned");
}

void vm_drop(void)
{
	drop_files();
}

/* Our driver again; called where nothing may be required. */
int vm_give_back(struct device *d)
{
	char path[128];
	int ret = 0;

	drop_files();
	snprintf(path, sizeof(path), "%s/driver_override", d->dir);
	if (exists(path))
		write_file(path, "\n");
	snprintf(path, sizeof(path), VFIO_DRIVER "%s", d->bdf);
	if (exists(path))
		ret = write_file(VFIO_DRIVER "unbind", d->bdf);
	return ret ? ret : write_file("/sys/bus/pci/drivers/iqtest/bind", d->bdf);
}

static long do_give_back(void *unused)
{
	(void)unused;
	return vm_give_back(vm.d);
}

void vm_end(void)
{
	vm_close();
	check_eq((u64)-job_run(CPU_SECOND, do_give_back, NULL, 0, "unbind-returned"), 0,
		 "give-back");
}
