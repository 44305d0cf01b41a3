// SPDX-License-Identifier: Apache-2.0
// Takes a card from the kernel's driver for vfio-pci, and gives it back.
//
//   bind:   driver_override = vfio-pci, driver/unbind, drivers_probe; looks who has it then, and
//   takes it back if not vfio-pci unbind: driver_override = nothing, driver/unbind, drivers_probe
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/port.h"

#define VFIO "vfio-pci"

__attribute__((format(printf, 3, 4))) static int refuse(
	struct port_change *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	return error;
}

__attribute__((format(printf, 2, 3))) static void say(
	struct port_change *c, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (c->said)
		c->said(c->user, text);
}

static int put(struct port_change *c, const char *path, const char *text)
{
	char full[4096];
	int error;

	say(c, "write '%s' to %s", *text == '\n' ? "" : text, path);
	if (c->dry_run)
		return 0;
	if (snprintf(full, sizeof(full), "%s%s", c->system->root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	error = c->system->write(c->system->user, full, text);
	if (!error)
		return 0;
	return refuse(c, error, "cannot write to %s: %s%s", path, strerror(-error),
		error == -EACCES || error == -EPERM ? "; run it as root: sudo penstock port ..."
						    : "");
}

static int put_device(
	struct port_change *c, const struct port_nic *nic, const char *file, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", nic->address, file);
	return put(c, path, text);
}

static int probe(struct port_change *c, const struct port_nic *nic)
{
	return put(c, "/sys/bus/pci/drivers_probe", nic->address);
}

// Who drives it now; empty: nobody.
static void driver_now(
	const struct port_change *c, const struct port_nic *nic, char driver[PORT_NAME_MAX])
{
	port_link_name(
		c->system, driver, PORT_NAME_MAX, "/sys/bus/pci/devices/%s/driver", nic->address);
}

// ---- what must not be ----

static int refuse_carrying(struct port_change *c, const struct port_nic *nic)
{
	const char *what = nic->default_route && nic->login
				   ? "the default route and a login from elsewhere"
			   : nic->default_route ? "the default route"
						: "a login from elsewhere";

	return refuse(c, -EBUSY,
		"%s (%s) carries %s, and would be gone: give the gateway another card, or a "
		"virtual function of this "
		"one (docs/DEPLOY.md), or move that to another card first",
		nic->address, nic->interface, what);
}

static bool goes_too(const struct port_change *c, const char *address)
{
	for (size_t i = 0; i < c->together_count; i++)
		if (port_find(c->nics, c->count, c->together[i]) ==
				port_find(c->nics, c->count, address) &&
			port_find(c->nics, c->count, address))
			return true;
	return false;
}

// Devices of one IOMMU group are used together or not at all; what other drivers hold of it stands
// in the way. Bridges do not.
static int check_group(struct port_change *c, const struct port_nic *nic)
{
	char path[512], others[256] = "", driver[PORT_NAME_MAX];
	struct dirent *entry;
	size_t len = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/devices", c->system->root,
		nic->iommu_group);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) && len < sizeof(others)) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, nic->address) == 0 ||
			goes_too(c, entry->d_name) ||
			!port_link_name(c->system, driver, sizeof(driver),
				"/sys/bus/pci/devices/%s/driver", entry->d_name) ||
			strcmp(driver, VFIO) == 0 || strcmp(driver, "pcieport") == 0)
			continue;
		len += (size_t)snprintf(others + len, sizeof(others) - len, "%s%s (%s)",
			len ? ", " : "", entry->d_name, driver);
	}
	if (dir)
		closedir(dir);
	if (!len)
		return 0;
	return refuse(c, -EBUSY,
		"%s is in IOMMU group %d with %s, and all of a group go together: name these, too, "
		"or put the card into "
		"another slot",
		nic->address, nic->iommu_group, others);
}

static int check_iommu(struct port_change *c, const struct port_nic *nic)
{
	if (nic->iommu_group >= 0)
		return check_group(c, nic);
	if (nic->noiommu)
		return 0;
	return refuse(c, -ENODEV,
		"%s is in no IOMMU group: switch the IOMMU on in the firmware and boot with "
		"intel_iommu=on iommu=pt (or "
		"amd_iommu=on iommu=pt); or, in a virtual machine without one and unprotected, "
		"echo 1 > "
		"/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
		nic->address);
}

static int check_bind(struct port_change *c, const struct port_nic *nic)
{
	char path[512];

	if (!nic->address[0])
		return refuse(c, -ENOTSUP,
			"%s is not on PCI: use it as it is, with --port p0=net_af_xdp0,iface=%s",
			nic->interface, nic->interface);
	if (nic->default_route || nic->login)
		return refuse_carrying(c, nic);
	if (strncmp(nic->driver, "mlx", 3) == 0)
		return refuse(c, -ENOTSUP,
			"%s stays with its driver %s, beside which DPDK uses it: "
			"penstock-dataplane --port p0=%s",
			nic->address, nic->driver, nic->address);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/" VFIO, c->system->root);
	if (access(path, F_OK) != 0)
		return refuse(
			c, -ENOENT, "the driver vfio-pci is not loaded: sudo modprobe vfio-pci");
	return check_iommu(c, nic);
}

// ---- binding ----

// As it was, so far as that goes; the reason of the failure stays.
static void take_back(struct port_change *c, const struct port_nic *nic)
{
	char why[PORT_WHY_MAX], driver[PORT_NAME_MAX];

	memcpy(why, c->why, sizeof(why));
	say(c, "taking it back");
	put_device(c, nic, "driver_override", "\n");
	driver_now(c, nic, driver);
	if (!driver[0] || strcmp(driver, nic->driver) != 0)
		probe(c, nic);
	driver_now(c, nic, driver);
	memcpy(c->why, why, sizeof(why));
	if (strcmp(driver, nic->driver) != 0 && nic->driver[0]) {
		size_t len = strlen(c->why);

		snprintf(c->why + len, sizeof(c->why) - len,
			"; and %s did not take it back: echo %s | sudo tee "
			"/sys/bus/pci/drivers/%s/bind",
			nic->driver, nic->address, nic->driver);
	}
}

static int check_bound(struct port_change *c, const struct port_nic *nic)
{
	char driver[PORT_NAME_MAX];

	driver_now(c, nic, driver);
	if (c->dry_run || strcmp(driver, VFIO) == 0)
		return 0;
	return refuse(c, -EIO, "vfio-pci did not take %s; `dmesg | tail` says why", nic->address);
}

int port_bind(struct port_change *c, const struct port_nic *nic)
{
	int error;

	if (strcmp(nic->driver, VFIO) == 0)
		return 0;
	error = check_bind(c, nic);
	if (error)
		return error;
	error = put_device(c, nic, "driver_override", VFIO);
	if (error)
		return error;
	if (nic->driver[0])
		error = put_device(c, nic, "driver/unbind", nic->address);
	if (!error)
		error = probe(c, nic);
	if (!error)
		error = check_bound(c, nic);
	if (error)
		take_back(c, nic);
	return error ? error : 1;
}

// ---- giving back ----

// The process that has the card's group open. 0: none, or it cannot be seen.
static int user_of(
	const struct port_change *c, const struct port_nic *nic, char name[PORT_NAME_MAX])
{
	char path[512], wanted[64], unsafe[64], target[256];
	struct dirent *entry, *fd;
	DIR *proc, *fds;
	int found = 0;

	snprintf(wanted, sizeof(wanted), "/dev/vfio/%d", nic->iommu_group);
	snprintf(unsafe, sizeof(unsafe), "/dev/vfio/noiommu-%d", nic->iommu_group);
	snprintf(path, sizeof(path), "%s/proc", c->system->root);
	proc = opendir(path);
	while (proc && !found && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/proc/%.20s/fd", c->system->root, entry->d_name);
		fds = opendir(path);
		while (fds && !found && (fd = readdir(fds))) {
			char link[800];
			ssize_t n;

			snprintf(link, sizeof(link), "%s/%.20s", path, fd->d_name);
			n = readlink(link, target, sizeof(target) - 1);
			target[n > 0 ? n : 0] = 0;
			if (strcmp(target, wanted) == 0 || strcmp(target, unsafe) == 0)
				found = atoi(entry->d_name);
		}
		if (fds)
			closedir(fds);
	}
	if (proc)
		closedir(proc);
	if (found)
		port_read(c->system, name, PORT_NAME_MAX, "/proc/%d/comm", found);
	return found;
}

int port_unbind(struct port_change *c, const struct port_nic *nic)
{
	char name[PORT_NAME_MAX] = "", driver[PORT_NAME_MAX];
	int error, pid;

	if (strcmp(nic->driver, VFIO) != 0)
		return 0;
	// The kernel would wait for that process, for ever if need be.
	pid = user_of(c, nic, name);
	if (pid)
		return refuse(c, -EBUSY, "process %d (%s) uses %s: stop it first%s", pid, name,
			nic->address,
			strncmp(name, "penstock-datap", 14) == 0
				? ", systemctl stop penstock-dataplane"
				: "");
	error = put_device(c, nic, "driver_override", "\n");
	if (!error)
		error = put_device(c, nic, "driver/unbind", nic->address);
	if (!error)
		error = probe(c, nic);
	if (error)
		return error;
	driver_now(c, nic, driver);
	if (!c->dry_run && !driver[0])
		return refuse(c, -ENODEV,
			"no driver of the kernel took %s: load the one for %s (modprobe), then "
			"penstock port list",
			nic->address, nic->id);
	if (!c->dry_run && strcmp(driver, VFIO) == 0)
		return refuse(c, -EIO,
			"vfio-pci took %s again: it is told to take all cards %s (vfio-pci.ids=, "
			"or its new_id)",
			nic->address, nic->id);
	return 1;
}
