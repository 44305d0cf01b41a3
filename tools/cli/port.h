// SPDX-License-Identifier: Apache-2.0
// Network cards: what the kernel says of them, and giving them to DPDK (vfio-pci) and back.
//
// A card that carries the default route or somebody's login is never taken from the kernel.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_NICS_MAX 256
#define PORT_NAME_MAX 32
#define PORT_WHY_MAX 640

// The system that is looked at. Tests give another root, and their own kernel behind write().
struct port_system {
	const char *root;           // "" or a folder that stands for "/"
	const char *ssh_connection; // $SSH_CONNECTION, or NULL
	// Writes a text into a file of sysfs. 0 or -errno.
	int (*write)(void *user, const char *path, const char *text);
	void *user;
};

enum port_link { PORT_LINK_UNKNOWN, PORT_LINK_DOWN, PORT_LINK_UP };

struct port_nic {
	char address[PORT_NAME_MAX];   // of PCI, "0000:03:00.0"; empty: not on PCI
	char interface[PORT_NAME_MAX]; // its first; empty: the kernel drives none
	char driver[PORT_NAME_MAX];    // empty: none
	char id[PORT_NAME_MAX];        // vendor and device, "8086:1572"
	char mac[PORT_NAME_MAX];
	char cpus[64];   // near it, "0-7"
	int numa_node;   // -1: not known
	int iommu_group; // -1: none
	enum port_link link;
	int64_t speed_mbps; // -1: not known
	bool default_route, login;
	bool noiommu; // vfio may be used without an IOMMU, and there is none for it
};

// What it is called: its PCI address, else its interface.
const char *port_name(const struct port_nic *nic);
// The cards, PCI ones by address first; how many.
size_t port_scan(const struct port_system *s, struct port_nic *nics, size_t max);
// By PCI address, with or without its domain, or interface. NULL: there is none.
const struct port_nic *port_find(const struct port_nic *nics, size_t count, const char *name);
// How DPDK can drive it: "vfio-pci", "virtio" (over vfio-pci, too), "mlx5" and "mlx4" (beside the
// kernel's driver), "af_xdp". How many, at most 2; none for what this machine cannot do without.
size_t port_uses(const struct port_nic *nic, const char *uses[2]);

// True if the interface, or one that lies above it (bond, bridge, VLAN), has a default route /
// leads to somebody who is logged in from elsewhere.
void port_carries(
	const struct port_system *s, const char *interface, bool *default_route, bool *login);

// A change of driver, step by step; said() is told each, before it is done.
struct port_change {
	const struct port_system *system;
	const struct port_nic *nics; // all of them
	size_t count;
	const char *const *together; // names that are bound by the same command
	size_t together_count;
	bool dry_run;
	void (*said)(void *user, const char *sentence);
	void *user;
	char why[PORT_WHY_MAX]; // after a refusal or failure: what, why, and what to do
};

// 1: done; 0: it was so already; -errno with why: nothing is changed, or it was taken back as far
// as that went.
int port_bind(struct port_change *c, const struct port_nic *nic);
int port_unbind(struct port_change *c, const struct port_nic *nic);

// For the parts of port: sysfs below root.

// The first line of a file. False: it cannot be read.
bool port_read(const struct port_system *s, char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
// The last part of where a link points. False: it is none.
bool port_link_name(const struct port_system *s, char *name, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
