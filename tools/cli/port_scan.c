// SPDX-License-Identifier: Apache-2.0
// The network cards as sysfs shows them.
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/port.h"

#define PATH_ROOM 4096
#define DEVICE_ROOM 512 // of a device's folder, which has no long names
#define CLASS_NETWORK 0x02

// root and the rest of a path. False: it is too long.
static bool make_path(
	const struct port_system *s, char path[PATH_ROOM], const char *format, va_list args)
{
	int n = snprintf(path, PATH_ROOM, "%s", s->root), m;

	if (n < 0 || n >= PATH_ROOM)
		return false;
	m = vsnprintf(path + n, (size_t)(PATH_ROOM - n), format, args);
	return m >= 0 && m < PATH_ROOM - n;
}

bool port_read(const struct port_system *s, char *text, size_t size, const char *format, ...)
{
	char path[PATH_ROOM];
	va_list args;
	FILE *file;
	bool good;

	va_start(args, format);
	good = make_path(s, path, format, args);
	va_end(args);
	text[0] = 0;
	file = good ? fopen(path, "re") : NULL;
	if (!file)
		return false;
	good = fgets(text, (int)size, file) != NULL;
	fclose(file);
	text[good ? strcspn(text, "\n") : 0] = 0;
	return good;
}

bool port_link_name(const struct port_system *s, char *name, size_t size, const char *format, ...)
{
	char path[PATH_ROOM], target[PATH_ROOM], *last;
	va_list args;
	bool good;
	ssize_t n;

	va_start(args, format);
	good = make_path(s, path, format, args);
	va_end(args);
	name[0] = 0;
	n = good ? readlink(path, target, sizeof(target) - 1) : -1;
	if (n <= 0)
		return false;
	target[n] = 0;
	last = strrchr(target, '/');
	snprintf(name, size, "%s", last ? last + 1 : target);
	return true;
}

static int64_t number(const struct port_system *s, const char *folder, const char *file)
{
	char text[64], *end;
	long long n;

	if (!port_read(s, text, sizeof(text), "%s/%s", folder, file))
		return -1;
	n = strtoll(text, &end, 0);
	return end != text ? n : -1;
}

// The names in a folder, sorted; scandir's own, to be freed one by one.
static int names_in(const struct port_system *s, const char *folder, struct dirent ***list)
{
	char path[PATH_ROOM];

	if (snprintf(path, sizeof(path), "%s%s", s->root, folder) >= (int)sizeof(path))
		return 0;
	return scandir(path, list, NULL, alphasort);
}

// The first name that is not hidden, and that begins so. False: there is none.
static bool first_name(const struct port_system *s, const char *folder, const char *begin,
	char name[PORT_NAME_MAX])
{
	struct dirent **list = NULL;
	int count = names_in(s, folder, &list);

	name[0] = 0;
	for (int i = 0; i < count; i++) {
		const char *at = list[i]->d_name;

		if (!name[0] && at[0] != '.' && strncmp(at, begin, strlen(begin)) == 0 &&
			strlen(at) < PORT_NAME_MAX)
			strcpy(name, at);
		free(list[i]);
	}
	free(list);
	return name[0];
}

static void read_interface(const struct port_system *s, struct port_nic *nic)
{
	char folder[DEVICE_ROOM], state[32];

	snprintf(folder, sizeof(folder), "/sys/class/net/%s", nic->interface);
	port_read(s, nic->mac, sizeof(nic->mac), "%s/address", folder);
	if (port_read(s, state, sizeof(state), "%s/operstate", folder))
		nic->link = strcmp(state, "up") == 0     ? PORT_LINK_UP
			    : strcmp(state, "down") == 0 ? PORT_LINK_DOWN
							 : PORT_LINK_UNKNOWN;
	nic->speed_mbps = number(s, folder, "speed");
	port_carries(s, nic->interface, &nic->default_route, &nic->login);
}

// A device's interfaces lie in its folder net/, those of virtio one level below.
static void find_interface(const struct port_system *s, const char *device, struct port_nic *nic)
{
	char folder[DEVICE_ROOM + 2 * PORT_NAME_MAX], virtio[PORT_NAME_MAX];

	snprintf(folder, sizeof(folder), "%s/net", device);
	if (!first_name(s, folder, "", nic->interface) && first_name(s, device, "virtio", virtio)) {
		snprintf(folder, sizeof(folder), "%s/%s/net", device, virtio);
		first_name(s, folder, "", nic->interface);
	}
	if (nic->interface[0])
		read_interface(s, nic);
}

static void read_device(const struct port_system *s, const char *device, struct port_nic *nic)
{
	char text[64];

	nic->numa_node = (int)number(s, device, "numa_node");
	nic->speed_mbps = -1;
	nic->iommu_group = -1;
	port_link_name(s, nic->driver, sizeof(nic->driver), "%s/driver", device);
	port_read(s, nic->cpus, sizeof(nic->cpus), "%s/local_cpulist", device);
	if (port_link_name(s, text, sizeof(text), "%s/iommu_group", device))
		nic->iommu_group = atoi(text);
}

static bool add_pci(const struct port_system *s, const char *address, struct port_nic *nic)
{
	char device[DEVICE_ROOM], text[8];

	snprintf(device, sizeof(device), "/sys/bus/pci/devices/%s", address);
	if (strlen(address) >= PORT_NAME_MAX || number(s, device, "class") >> 16 != CLASS_NETWORK)
		return false;
	*nic = (struct port_nic){0};
	strcpy(nic->address, address);
	snprintf(nic->id, sizeof(nic->id), "%04x:%04x",
		(unsigned)(number(s, device, "vendor") & 0xffff),
		(unsigned)(number(s, device, "device") & 0xffff));
	read_device(s, device, nic);
	find_interface(s, device, nic);
	// Without an IOMMU there is a group only once vfio has made one up.
	nic->noiommu = nic->iommu_group < 0 &&
		       port_read(s, text, sizeof(text),
			       "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode") &&
		       text[0] == 'Y';
	return true;
}

// A second interface of a card: what it carries keeps the whole card with the kernel.
static void add_interface(const struct port_system *s, const char *interface, struct port_nic *nic)
{
	bool default_route, login;

	port_carries(s, interface, &default_route, &login);
	nic->default_route |= default_route;
	nic->login |= login;
}

// The card with that PCI address. NULL: there is none.
static struct port_nic *at_address(struct port_nic *nics, size_t count, const char *address)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(nics[i].address, address) == 0)
			return &nics[i];
	return NULL;
}

// Cards that are on another bus, such as those of some virtual machines.
static bool add_other(const struct port_system *s, const char *interface, struct port_nic *nics,
	size_t count, struct port_nic *nic)
{
	char device[DEVICE_ROOM], name[PORT_NAME_MAX];
	struct port_nic *owner;

	for (size_t i = 0; i < count; i++)
		if (strcmp(nics[i].interface, interface) == 0)
			return false;
	snprintf(device, sizeof(device), "/sys/class/net/%s/device", interface);
	if (strlen(interface) >= PORT_NAME_MAX ||
		!port_link_name(s, name, sizeof(name), "%s", device))
		return false;
	owner = at_address(nics, count, name);
	if (owner) {
		add_interface(s, interface, owner);
		return false;
	}
	*nic = (struct port_nic){0};
	strcpy(nic->interface, interface);
	read_device(s, device, nic);
	read_interface(s, nic);
	return true;
}

size_t port_scan(const struct port_system *s, struct port_nic *nics, size_t max)
{
	struct dirent **list = NULL;
	size_t count = 0;
	int names = names_in(s, "/sys/bus/pci/devices", &list);

	for (int i = 0; i < names; i++) {
		if (list[i]->d_name[0] != '.' && count < max)
			count += add_pci(s, list[i]->d_name, &nics[count]);
		free(list[i]);
	}
	free(list);
	list = NULL;
	names = names_in(s, "/sys/class/net", &list);
	for (int i = 0; i < names; i++) {
		if (list[i]->d_name[0] != '.' && count < max)
			count += add_other(s, list[i]->d_name, nics, count, &nics[count]);
		free(list[i]);
	}
	free(list);
	return count;
}

const char *port_name(const struct port_nic *nic)
{
	return nic->address[0] ? nic->address : nic->interface;
}

const struct port_nic *port_find(const struct port_nic *nics, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		const char *address = nics[i].address;

		if (!*name)
			break;
		if (strcasecmp(address, name) == 0 || strcmp(nics[i].interface, name) == 0 ||
			(strncmp(address, "0000:", 5) == 0 && strcasecmp(address + 5, name) == 0))
			return &nics[i];
	}
	return NULL;
}

size_t port_uses(const struct port_nic *nic, const char *uses[2])
{
	bool vfio = nic->iommu_group >= 0 || nic->noiommu || strcmp(nic->driver, "vfio-pci") == 0;
	size_t count = 0;

	// Each of these takes what arrives there from the kernel.
	if (nic->default_route || nic->login)
		return 0;
	if (strcmp(nic->driver, "mlx5_core") == 0)
		uses[count++] = "mlx5";
	else if (strcmp(nic->driver, "mlx4_core") == 0)
		uses[count++] = "mlx4";
	else if (nic->address[0] && vfio)
		uses[count++] = strncmp(nic->id, "1af4:", 5) == 0 ? "virtio" : "vfio-pci";
	if (nic->interface[0])
		uses[count++] = "af_xdp";
	return count;
}
