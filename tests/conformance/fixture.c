// SPDX-License-Identifier: GPL-2.0-only
/* See fixture.h */

#include <kunit/visibility.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/pci-ats.h>
#include <linux/sched.h>
#include <linux/sched/isolation.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <trace/events/iommu_quarantine.h>

#include "../../../iommu-priv.h"
#include "fixture.h"

/* ---- configuration space ---- */

#define CFG_PCIE	0x40
#define CFG_MSIX	0x80
#define CFG_ATS		0x100
#define CFG_PASID	0x120
#define CFG_PRI		0x130

/* x86 has a structure of its own behind bus->sysdata */
struct iq_host {
#ifdef CONFIG_X86
	struct pci_sysdata sysdata;
#endif
	struct iq_fixture *fx;
};

static void cfg_set(struct iq_dev *d, int where, u32 val, int size)
{
	while (size--) {
		d->cfg[where++] = val;
		val >>= 8;
	}
}

static u16 cfg_word(struct iq_dev *d, int where)
{
	return d->cfg[where] | d->cfg[where + 1] << 8;
}

static void cfg_init(struct iq_dev *d)
{
	memset(d->cfg, 0, sizeof(d->cfg));
	/* The second one is in the kernel's list of those that work with ATS only */
	cfg_set(d, PCI_VENDOR_ID, d->needs_ats ? PCI_VENDOR_ID_MELLANOX :
						 PCI_VENDOR_ID_REDHAT, 2);
	cfg_set(d, PCI_DEVICE_ID, d->needs_ats ? 0x2101 : 0x0fff, 2);
	/* Ready at once after a reset: no second is waited */
	cfg_set(d, PCI_STATUS, PCI_STATUS_CAP_LIST | PCI_STATUS_IMM_READY, 2);
	cfg_set(d, PCI_CLASS_DEVICE, PCI_CLASS_NOT_DEFINED, 2);
	cfg_set(d, PCI_HEADER_TYPE,
		PCI_SLOT(d->devfn) == 1 ? PCI_HEADER_TYPE_MFD : 0, 1);
	cfg_set(d, PCI_CAPABILITY_LIST, CFG_PCIE, 1);

	cfg_set(d, CFG_PCIE, PCI_CAP_ID_EXP | CFG_MSIX << 8, 2);
	cfg_set(d, CFG_PCIE + PCI_EXP_FLAGS, PCI_EXP_TYPE_RC_END << 4 | 2, 2);
	cfg_set(d, CFG_PCIE + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR, 4);

	cfg_set(d, CFG_MSIX, PCI_CAP_ID_MSIX, 1);

	if (d->no_ats)
		return;
	cfg_set(d, CFG_ATS, PCI_EXT_CAP_ID_ATS | 1 << 16, 4);
	cfg_set(d, CFG_ATS + PCI_ATS_CAP, PCI_ATS_CAP_PAGE_ALIGNED, 2);
	if (!d->pasids)
		return;
	cfg_set(d, CFG_PCIE + PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_EE_PREFIX, 4);
	cfg_set(d, CFG_ATS, PCI_EXT_CAP_ID_ATS | 1 << 16 | CFG_PASID << 20, 4);
	cfg_set(d, CFG_PASID, PCI_EXT_CAP_ID_PASID | 1 << 16, 4);
	cfg_set(d, CFG_PASID + PCI_PASID_CAP, 8 << 8, 2);
	if (!d->pri)
		return;
	cfg_set(d, CFG_PASID, PCI_EXT_CAP_ID_PASID | 1 << 16 | CFG_PRI << 20, 4);
	cfg_set(d, CFG_PRI, PCI_EXT_CAP_ID_PRI | 1 << 16, 4);
	cfg_set(d, CFG_PRI + PCI_PRI_STATUS, PCI_PRI_STATUS_STOPPED, 2);
	cfg_set(d, CFG_PRI + PCI_PRI_MAX_REQ, 32, 4);
}

/* The ids of a virtual function read as all ones, and most of Command as 0 */
static u8 cfg_byte(struct iq_dev *d, int where)
{
	if (d->virtual && where < PCI_COMMAND)
		return 0xff;
	if (d->virtual && where == PCI_COMMAND)
		return d->cfg[where] & PCI_COMMAND_MASTER;
	if (d->virtual && where == PCI_COMMAND + 1)
		return 0;
	return d->cfg[where];
}

static u8 cfg_writable(struct iq_dev *d, int where)
{
	u16 command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		      PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
		      (d->no_intx ? 0 : PCI_COMMAND_INTX_DISABLE);

	switch (where) {
	case PCI_COMMAND:
		return command;
	case PCI_COMMAND + 1:
		return command >> 8;
	case CFG_MSIX + PCI_MSIX_FLAGS + 1:
		return (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	case CFG_PCIE + PCI_EXP_DEVCTL ... CFG_PCIE + PCI_EXP_DEVCTL + 1:
	case CFG_ATS + PCI_ATS_CTRL ... CFG_ATS + PCI_ATS_CTRL + 1:
	case CFG_PASID + PCI_PASID_CTRL ... CFG_PASID + PCI_PASID_CTRL + 1:
		return 0xff;
	case CFG_PRI + PCI_PRI_CTRL:
		return d->pri ? PCI_PRI_CTRL_ENABLE : 0;
	default:
		return 0;
	}
}

static void iq_flr(struct iq_dev *d)
{
	atomic_inc(&d->flrs);
	if (d->flr_idle)
		return;
	cfg_init(d);
	if (!d->flr_mute)
		WRITE_ONCE(d->mute, false);
}

static struct iq_dev *cfg_dev(struct pci_bus *bus, unsigned int devfn)
{
	struct iq_host *host = bus->sysdata;
	int i;

	for (i = 0; i < IQ_DEVS; i++)
		if (host->fx->dev[i].devfn == devfn && host->fx->dev[i].plugged)
			return &host->fx->dev[i];
	return NULL;
}

static int cfg_read(struct pci_bus *bus, unsigned int devfn, int where,
		    int size, u32 *val)
{
	struct iq_dev *d = cfg_dev(bus, devfn);
	int i;

	*val = ~0U;
	if (!d || d->gone)
		return PCIBIOS_SUCCESSFUL;
	*val = 0;
	for (i = 0; i < size && where + i < sizeof(d->cfg); i++)
		*val |= (u32)cfg_byte(d, where + i) << 8 * i;
	return PCIBIOS_SUCCESSFUL;
}

static int cfg_write(struct pci_bus *bus, unsigned int devfn, int where,
		     int size, u32 val)
{
	struct iq_dev *d = cfg_dev(bus, devfn);
	u16 pasid;
	u8 mask;
	int i;

	if (!d || d->gone)
		return PCIBIOS_SUCCESSFUL;
	pasid = cfg_word(d, CFG_PASID + PCI_PASID_CTRL);
	for (i = 0; i < size && where + i < sizeof(d->cfg); i++, val >>= 8) {
		mask = cfg_writable(d, where + i);
		d->cfg[where + i] = (d->cfg[where + i] & ~mask) | (val & mask);
	}
	/*
	 * What becomes of its translations is undefined (PCIe, 10.5.1.3). With
	 * iommu_quarantine=off that is the kernel's own affair, which does so after a
	 * reset where the re-attach turns ATS on.
	 */
	if (pasid != cfg_word(d, CFG_PASID + PCI_PASID_CTRL) && iq_ats_on(d) &&
	    iommu_quarantine_reports())
		atomic_inc(&d->undefined);
	if (cfg_word(d, CFG_PCIE + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_BCR_FLR) {
		cfg_set(d, CFG_PCIE + PCI_EXP_DEVCTL,
			cfg_word(d, CFG_PCIE + PCI_EXP_DEVCTL) &
			~PCI_EXP_DEVCTL_BCR_FLR, 2);
		iq_flr(d);
	}
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops cfg_ops = {
	.read = cfg_read,
	.write = cfg_write,
};

/* ---- what the IOMMU's hardware sees of the functions ---- */

struct iq_dev *iq_find(struct iq_fixture *fx, u16 sid)
{
	int i;

	for (i = 0; i < IQ_DEVS; i++)
		if (fx->dev[i].sid == sid)
			return &fx->dev[i];
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(iq_find);

/* A device-TLB invalidation reaches a function. Returns whether it answers. */
bool iq_ask(struct iq_dev *d)
{
	if (!d)
		return false;
	atomic_inc(&d->asked);
	/* Whatever has become of its ATS, and it forgets nothing */
	if (d->fx->vendor->unsupported_is_answer && READ_ONCE(d->plugged) &&
	    !READ_ONCE(d->gone) && !iq_ats_on(d)) {
		atomic_inc(&d->answered);
		return true;
	}
	if (d->mute_at && !--d->mute_at)
		WRITE_ONCE(d->mute, true);
	if (READ_ONCE(d->mute) || !READ_ONCE(d->plugged))
		return false;
	if (d->mute_times) {
		d->mute_times--;
		return false;
	}
	atomic_inc(&d->answered);
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(iq_ask);

/*
 * The hardware looks at its tables whenever it can: what it has seen once it
 * holds until it is told to forget.
 */
void iq_look(struct iq_fixture *fx)
{
	struct iq_dev *d;
	int i;

	for (i = 0; i < IQ_DEVS; i++) {
		d = &fx->dev[i];
		if (!READ_ONCE(d->pdev) || !fx->vendor->allows(d))
			continue;
		WRITE_ONCE(d->cached, true);
		if (READ_ONCE(d->fenced))
			atomic_inc(&d->violations);
	}
}
EXPORT_SYMBOL_IF_KUNIT(iq_look);

/* An invalidation of the entry */
void iq_forget(struct iq_dev *d)
{
	WRITE_ONCE(d->cached, d->pdev && d->fx->vendor->allows(d));
}
EXPORT_SYMBOL_IF_KUNIT(iq_forget);

static int iq_thread(void *data)
{
	struct iq_fixture *fx = data;

	while (!kthread_should_stop()) {
		fx->vendor->step(fx);
		/* No timer: it might end up on a CPU with irqs off */
		cond_resched();
		cpu_relax();
	}
	return 0;
}

/* ---- what bodies do ---- */

static struct iommu_domain *iq_domain(struct iq_dev *d)
{
	return iommu_get_domain_for_dev(iq_device(d));
}

int iq_map(struct iq_dev *d, unsigned long iova)
{
	return iommu_map(iq_domain(d), iova, virt_to_phys(d->fx->page),
			 PAGE_SIZE, IOMMU_READ | IOMMU_WRITE, GFP_KERNEL);
}
EXPORT_SYMBOL_IF_KUNIT(iq_map);

void iq_unmap(struct iq_dev *d, unsigned long iova)
{
	iommu_unmap(iq_domain(d), iova, PAGE_SIZE);
}
EXPORT_SYMBOL_IF_KUNIT(iq_unmap);

/* Map a page and unmap it: when this returns the page may be used by others */
int iq_flush(struct iq_dev *d)
{
	int ret = iq_map(d, SZ_1M);

	if (!ret)
		iq_unmap(d, SZ_1M);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(iq_flush);

/* Could the function use what it has cached, as far as the hardware knows? */
bool iq_may_translate(struct iq_dev *d)
{
	return READ_ONCE(d->cached) || d->fx->vendor->allows(d);
}
EXPORT_SYMBOL_IF_KUNIT(iq_may_translate);

bool iq_ats_on(struct iq_dev *d)
{
	return cfg_word(d, CFG_ATS + PCI_ATS_CTRL) & PCI_ATS_CTRL_ENABLE;
}
EXPORT_SYMBOL_IF_KUNIT(iq_ats_on);

bool iq_pri_on(struct iq_dev *d)
{
	return cfg_word(d, CFG_PRI + PCI_PRI_CTRL) & PCI_PRI_CTRL_ENABLE;
}
EXPORT_SYMBOL_IF_KUNIT(iq_pri_on);

/* What an administrator reads, without the newline; kept until the test ends */
const char *iq_show(struct iq_dev *d, const char *name)
{
	struct device_attribute *attr = quarantine_kunit_attr(name);
	char *page = kunit_kzalloc(d->fx->test, PAGE_SIZE, GFP_KERNEL);
	const char *text = "no such attribute";

	if (!attr || !page)
		return text;
	if (attr->show(iq_device(d), attr, page) < 0)
		text = "none";
	else
		text = kunit_kstrdup(d->fx->test, strim(page), GFP_KERNEL);
	kunit_kfree(d->fx->test, page);
	return text;
}
EXPORT_SYMBOL_IF_KUNIT(iq_show);

int iq_store(struct iq_dev *d, const char *name, const char *text)
{
	struct device_attribute *attr = quarantine_kunit_attr(name);

	return attr ? attr->store(iq_device(d), attr, text, strlen(text)) :
		      -ENOENT;
}
EXPORT_SYMBOL_IF_KUNIT(iq_store);

const char *iq_state(struct iq_dev *d)
{
	return iq_show(d, "state");
}
EXPORT_SYMBOL_IF_KUNIT(iq_state);

/* Long enough for no hardware that a test plays to be taken for silent */
#define IQ_SILENT_NS	(500ULL * NSEC_PER_MSEC)

/* Wait for what a work item does; a condition, and a bound if it never comes */
#define IQ_WAIT_SECONDS	5

bool iq_wait_state(struct iq_dev *d, const char *state)
{
	unsigned long end = jiffies + IQ_WAIT_SECONDS * HZ;

	while (strcmp(iq_state(d), state) && time_before(jiffies, end))
		usleep_range(500, 1000);
	return !strcmp(iq_state(d), state);
}
EXPORT_SYMBOL_IF_KUNIT(iq_wait_state);

bool iq_wait_ats_off(struct iq_dev *d)
{
	unsigned long end = jiffies + IQ_WAIT_SECONDS * HZ;

	while (iq_ats_on(d) && time_before(jiffies, end))
		usleep_range(500, 1000);
	return !iq_ats_on(d);
}
EXPORT_SYMBOL_IF_KUNIT(iq_wait_ats_off);

int iq_count(struct iq_dev *d)
{
	int count = -1;

	return kstrtoint(iq_show(d, "broken_count"), 10, &count) ?: count;
}
EXPORT_SYMBOL_IF_KUNIT(iq_count);

/* The quarantine's work is over */
void iq_settle(struct iq_dev *d)
{
	quarantine_kunit_settle(iq_device(d));
}
EXPORT_SYMBOL_IF_KUNIT(iq_settle);

/* As an administrator does it */
int iq_reset(struct iq_dev *d)
{
	return pci_reset_function(d->pdev);
}
EXPORT_SYMBOL_IF_KUNIT(iq_reset);

/* As debugfs does it. Returns how many are held. */
int iq_hold_work(bool yes)
{
	return IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG) ?
		quarantine_kunit_hold_work(yes) : 0;
}
EXPORT_SYMBOL_IF_KUNIT(iq_hold_work);

/* -1: only ask */
int iq_hold_fences(int fences)
{
	return IS_ENABLED(CONFIG_IOMMU_QUARANTINE_DEBUG) ?
		quarantine_kunit_hold_fences(fences) : 0;
}
EXPORT_SYMBOL_IF_KUNIT(iq_hold_fences);

/* A name is written into debugfs, and the attribute allows it so many times */
int iq_pretend(struct iq_dev *d, const char *name, int times)
{
	int ret = -EOPNOTSUPP;
	loff_t pos = 0;

#ifdef CONFIG_IOMMU_QUARANTINE_FAULT
	char __user *user = (char __user *)
		kunit_vm_mmap(d->fx->test, NULL, 0, PAGE_SIZE,
			      PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, 0);

	if (!user || copy_to_user(user, name, strlen(name)))
		return -EFAULT;
	quarantine_fault_times(times);
	ret = quarantine_fault_write(NULL, user, strlen(name), &pos);
	quarantine_fault_times(0);
#endif
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(iq_pretend);

/* A driver has one blocking domain for all its devices */
static struct device *unblockable;
static const struct iommu_domain_ops *blocked_ops;

static int blocking_attach(struct iommu_domain *domain, struct device *dev,
			   struct iommu_domain *old)
{
	if (dev == unblockable)
		return -ENOMEM;
	return QUARANTINE_CALL_ATTACH(blocked_ops, domain, dev, old);
}

DEFINE_QUARANTINE_ATTACH(blocking_attach);

static const struct iommu_domain_ops failing_ops = {
	.attach_dev = QUARANTINE_ATTACH(blocking_attach),
};

/* Of one function at a time */
void iq_blocking_fails(struct iq_dev *d, bool fails)
{
	struct iommu_domain *domain =
		dev_iommu_ops(iq_device(d))->blocked_domain;

	if (domain->ops != &failing_ops)
		blocked_ops = domain->ops;
	unblockable = fails ? iq_device(d) : NULL;
	domain->ops = fails ? &failing_ops : blocked_ops;
}
EXPORT_SYMBOL_IF_KUNIT(iq_blocking_fails);

/* As if booted with it; until the test ends */
void iq_policy(enum quarantine_policy policy)
{
	quarantine_kunit_options((struct quarantine_options){
		.policy = policy,
		.last_resort = IOMMU_LAST_RESORT_PANIC,
	});
}
EXPORT_SYMBOL_IF_KUNIT(iq_policy);

/* The same, and it is asked for soon */
void iq_last_resort(struct kunit *test, enum iommu_last_resort last_resort)
{
	struct iq_fixture *fx = test->priv;

	quarantine_kunit_options((struct quarantine_options){
		.policy = Q_POLICY_QUARANTINE,
		.last_resort = last_resort,
	});
	if (quarantine_kunit_wait_bound(IQ_SILENT_NS))
		kunit_skip(test, "needs CONFIG_IOMMU_QUARANTINE_DEBUG");
	fx->lost = quarantine_counter(IOMMU_QUARANTINE_LOST);
}
EXPORT_SYMBOL_IF_KUNIT(iq_last_resort);

/* Flushes that returned without protection since iq_last_resort() */
int iq_lost(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;

	return quarantine_counter(IOMMU_QUARANTINE_LOST) - fx->lost;
}
EXPORT_SYMBOL_IF_KUNIT(iq_lost);

/*
 * A port above the functions, for which nobody but the quarantine looks; with
 * @far one above a bus of which theirs is a part. Their own bus is a root bus.
 */
struct pci_dev *iq_port(struct kunit *test, bool far)
{
	struct iq_fixture *fx = test->priv;

	fx->port = kunit_kzalloc(test, sizeof(*fx->port), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fx->port);
	fx->port->subordinate = fx->bus;
	if (far) {
		fx->above = kunit_kzalloc(test, sizeof(*fx->above), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, fx->above);
		*fx->above = *fx->bus;
		fx->port->subordinate = fx->above;
		fx->bus->parent = fx->above;
	}
	return fx->port;
}
EXPORT_SYMBOL_IF_KUNIT(iq_port);

void iq_port_gone(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;

	if (fx->above)
		fx->bus->parent = NULL;
	fx->above = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(iq_port_gone);

/* ---- what is told ---- */

static bool told_about(struct iq_fixture *fx, struct device *dev)
{
	int i;

	for (i = 0; i < IQ_DEVS; i++)
		if (fx->dev[i].pdev && dev == iq_device(&fx->dev[i]))
			return true;
	return false;
}

static void told_fenced(void *data, struct device *dev,
			const struct iommu_broken_evidence *evidence)
{
	struct iq_fixture *fx = data;

	if (told_about(fx, dev))
		atomic_inc(&fx->told.fenced);
}

static void told_broken(void *data, struct device *dev, const char *vendor,
			const struct iommu_broken_evidence *evidence,
			unsigned int count)
{
	struct iq_fixture *fx = data;

	if (!told_about(fx, dev))
		return;
	fx->told.fenced_first = atomic_read(&fx->told.fenced);
	fx->told.cause = evidence->cause;
	fx->told.epoch = evidence->epoch;
	fx->told.hw[0] = evidence->hw[0];
	fx->told.hw[1] = evidence->hw[1];
	strscpy(fx->told.device, dev_name(dev), sizeof(fx->told.device));
	strscpy(fx->told.vendor, vendor, sizeof(fx->told.vendor));
	atomic_inc(&fx->told.broken);
}

static void told_quarantined(void *data, struct device *dev,
			     const char *vendor, int error)
{
	struct iq_fixture *fx = data;

	if (!told_about(fx, dev))
		return;
	fx->told.error = error;
	atomic_inc(&fx->told.quarantined);
}

static void told_recovered(void *data, struct device *dev, const char *vendor,
			   u32 epoch)
{
	struct iq_fixture *fx = data;

	if (!told_about(fx, dev))
		return;
	fx->told.epoch = epoch;
	atomic_inc(&fx->told.recovered);
}

static struct iq_fixture *watched;

static int told_uevent(const struct device *dev, struct kobj_uevent_env *env)
{
	struct iq_told *told = &watched->told;
	int i;

	for (i = 0; i < env->envp_idx; i++) {
		const char *is = env->envp[i];
		size_t n = str_has_prefix(is, "IOMMU_QUARANTINE=");

		if (!n)
			continue;
		atomic_inc(&told->uevents);
		if (!strcmp(is + n, "broken"))
			atomic_inc(&told->uevent_broken);
		if (!strcmp(is + n, "quarantined"))
			atomic_inc(&told->uevent_quarantined);
		if (!strcmp(is + n, "recovered"))
			atomic_inc(&told->uevent_recovered);
		if (!strcmp(is + n, "failed"))
			atomic_inc(&told->uevent_failed);
	}
	return told->uevent_error;
}

/* A device's type adds to each of its uevents: look from there */
static const struct device_type told_type = {
	.name = "iq",
	.uevent = told_uevent,
};

void iq_watch_uevents(struct iq_dev *d, bool watch)
{
	static const struct device_type *before;

	if (watch) {
		watched = d->fx;
		before = iq_device(d)->type;
		iq_device(d)->type = &told_type;
	} else if (iq_device(d)->type == &told_type) {
		iq_device(d)->type = before;
	}
}
EXPORT_SYMBOL_IF_KUNIT(iq_watch_uevents);

/* ---- lifetime ---- */

/* What is plugged in next has just been switched on */
void iq_power_on(struct iq_dev *d)
{
	cfg_init(d);
}

int iq_plug(struct iq_dev *d)
{
	struct iq_fixture *fx = d->fx;
	struct pci_dev *pdev;
	int ret = 0;

	d->plugged = true;
	pci_lock_rescan_remove();
	pdev = pci_scan_single_device(fx->bus, d->devfn);
	if (!pdev)
		ret = -ENODEV;
	else if (fx->vendor->probe)
		ret = fx->vendor->probe(fx, pdev);
	if (pdev)
		pci_bus_add_device(pdev);
	pci_unlock_rescan_remove();
	if (!ret)
		WRITE_ONCE(d->pdev, pdev);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(iq_plug);

void iq_unplug(struct iq_dev *d)
{
	struct pci_dev *pdev = d->pdev;

	if (!pdev)
		return;
	pci_dev_get(pdev);
	pci_stop_and_remove_bus_device_locked(pdev);
	WRITE_ONCE(d->pdev, NULL);
	pci_dev_put(pdev);
	WRITE_ONCE(d->cached, false);
}
EXPORT_SYMBOL_IF_KUNIT(iq_unplug);

/* Take a function out, and put one in its place that has PASIDs */
int iq_plug_pasids(struct iq_dev *d)
{
	iq_unplug(d);
	d->pasids = true;
	cfg_init(d);
	return iq_plug(d);
}
EXPORT_SYMBOL_IF_KUNIT(iq_plug_pasids);

/* The CPU on which the hardware runs; everybody else is kept off it */
static int iq_hw_cpu(void)
{
	int cpu;

	for_each_online_cpu(cpu)
		if (!housekeeping_cpu(cpu, HK_TYPE_DOMAIN))
			return cpu;
	return -1;
}

static void iq_keep_off_hw_cpu(void)
{
	set_cpus_allowed_ptr(current, housekeeping_cpumask(HK_TYPE_DOMAIN));
}

static int iq_bus(struct iq_fixture *fx)
{
	struct pci_host_bridge *bridge;
	struct iq_host *host;
	int ret;

	bridge = pci_alloc_host_bridge(sizeof(*host));
	if (!bridge)
		return -ENOMEM;
	host = pci_host_bridge_priv(bridge);
	host->fx = fx;
#ifdef CONFIG_X86
	host->sysdata.domain = 0x1000 + fx->nr;
	host->sysdata.node = NUMA_NO_NODE;
#endif
	bridge->domain_nr = 0x1000 + fx->nr;
	bridge->sysdata = host;
	bridge->busnr = fx->busnr;
	bridge->ops = &cfg_ops;
	pci_lock_rescan_remove();
	ret = pci_scan_root_bus_bridge(bridge);
	pci_unlock_rescan_remove();
	if (ret) {
		pci_free_host_bridge(bridge);
		return ret;
	}
	fx->bus = bridge->bus;
	return 0;
}

/**
 * iq_start() - bus, IOMMU and three functions, in service
 * @test: the test
 * @vendor: whose IOMMU
 *
 * Return: the fixture; the test has failed or is skipped if that is not possible.
 */
struct iq_fixture *iq_start(struct kunit *test, const struct iq_vendor *vendor)
{
	static const u8 devfns[] = {
		[IQ_BROKEN]	= PCI_DEVFN(1, 0),
		[IQ_SIBLING]	= PCI_DEVFN(1, 1),
		[IQ_OTHER]	= PCI_DEVFN(2, 0),
	};
	static int nr;
	struct iq_fixture *fx;
	int i;

	if (vendor->step && iq_hw_cpu() < 0)
		kunit_skip(test, "needs a CPU of its own: boot with isolcpus=");
	iq_keep_off_hw_cpu();

	fx = kunit_kzalloc(test, sizeof(*fx), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fx);
	fx->test = test;
	fx->vendor = vendor;
	/* What a device left behind must not be found by the next test */
	fx->nr = nr++ % 0x1000;
	fx->busnr = 0x10 + fx->nr % 0x80;
	fx->page = (void *)__get_free_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fx->page);
	for (i = 0; i < IQ_DEVS; i++) {
		fx->dev[i].fx = fx;
		fx->dev[i].devfn = devfns[i];
		fx->dev[i].sid = PCI_DEVID(fx->busnr, devfns[i]);
		fx->dev[i].pasids = vendor->pasid_allows && !vendor->sva;
		cfg_init(&fx->dev[i]);
	}
	test->priv = fx;
	fx->options = quarantine_kunit_options((struct quarantine_options){
		.policy = Q_POLICY_QUARANTINE,
		.last_resort = IOMMU_LAST_RESORT_PANIC,
	});

	KUNIT_ASSERT_EQ(test, iq_bus(fx), 0);
	if (vendor->step) {
		fx->thread = kthread_create(iq_thread, fx, "iq-hardware");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fx->thread);
		kthread_bind(fx->thread, iq_hw_cpu());
	}
	KUNIT_ASSERT_EQ(test, vendor->start(fx), 0);
	if (fx->thread)
		wake_up_process(fx->thread);
	KUNIT_ASSERT_EQ(test, register_trace_iommu_device_fenced(told_fenced, fx), 0);
	KUNIT_ASSERT_EQ(test, register_trace_iommu_device_broken(told_broken, fx), 0);
	KUNIT_ASSERT_EQ(test, register_trace_iommu_device_quarantined(told_quarantined, fx), 0);
	KUNIT_ASSERT_EQ(test, register_trace_iommu_device_recovered(told_recovered, fx), 0);

	for (i = 0; i < IQ_DEVS; i++) {
		KUNIT_ASSERT_EQ(test, iq_plug(&fx->dev[i]), 0);
		KUNIT_ASSERT_TRUE_MSG(test, device_iommu_mapped(iq_device(&fx->dev[i])),
				      "%s was not taken by its IOMMU",
				      pci_name(fx->dev[i].pdev));
	}
	return fx;
}
EXPORT_SYMBOL_IF_KUNIT(iq_start);

/**
 * iq_stop() - take all away, and see that nothing is left behind
 * @test: the test
 */
void iq_stop(struct kunit *test)
{
	struct iq_fixture *fx = test->priv;
	int i;

	if (!fx)
		return;
	iq_keep_off_hw_cpu();
	iq_port_gone(test);
	for (i = 0; i < IQ_DEVS; i++) {
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&fx->dev[i].violations), 0,
				    "function %d had a permission while it was fenced", i);
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&fx->dev[i].undefined), 0,
				    "PASID of function %d was changed while its ATS was on", i);
		fx->dev[i].fenced = false;
		if (fx->dev[i].pdev)
			iq_watch_uevents(&fx->dev[i], false);
		if (fx->dev[i].pdev && unblockable)
			iq_blocking_fails(&fx->dev[i], false);
		iq_unplug(&fx->dev[i]);
	}
	if (fx->vendor->leaks)
		KUNIT_EXPECT_EQ_MSG(test, fx->vendor->leaks(fx), 0,
				    "the backend still counts a device that is gone");
	unregister_trace_iommu_device_fenced(told_fenced, fx);
	unregister_trace_iommu_device_broken(told_broken, fx);
	unregister_trace_iommu_device_quarantined(told_quarantined, fx);
	unregister_trace_iommu_device_recovered(told_recovered, fx);
	tracepoint_synchronize_unregister();
	if (fx->hw)
		fx->vendor->stop(fx);
	if (!IS_ERR_OR_NULL(fx->thread))
		kthread_stop(fx->thread);
	if (fx->bus) {
		pci_lock_rescan_remove();
		pci_stop_root_bus(fx->bus);
		pci_remove_root_bus(fx->bus);
		pci_unlock_rescan_remove();
	}
	free_page((unsigned long)fx->page);
	quarantine_kunit_options(fx->options);
	quarantine_kunit_wait_bound(0);
	iq_hold_work(false);
	iq_hold_fences(0);
	test->priv = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(iq_stop);
