// SPDX-License-Identifier: Apache-2.0
// Checks of devices and DPDK's drivers.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/doctor.h"

void doctor_iommu(const struct doctor *d, struct doctor_finding *f)
{
	size_t groups = doctor_glob(d, "/sys/kernel/iommu_groups/*");

	if (groups > 0)
		doctor_find(f, DOCTOR_OK, NULL, "on, %zu groups", groups);
	else
		doctor_find(f, DOCTOR_WARN,
			"add intel_iommu=on iommu=pt (or amd_iommu=on iommu=pt) to the kernel's "
			"command line and reboot",
			"off: a NIC can be bound to vfio-pci without protection only; net_tap and "
			"af_xdp do not need it");
}

void doctor_vfio(const struct doctor *d, struct doctor_finding *f)
{
	if (doctor_exists(d, "/sys/module/vfio_pci") && doctor_exists(d, "/dev/vfio/vfio"))
		doctor_find(f, DOCTOR_OK, NULL, "vfio-pci is loaded");
	else
		doctor_find(f, DOCTOR_WARN, "sudo modprobe vfio-pci",
			"vfio-pci is not loaded: needed to bind a NIC, not for net_tap, net_memif "
			"and af_xdp");
}

void doctor_tun(const struct doctor *d, struct doctor_finding *f)
{
	char path[4096];
	int fd;

	if (!doctor_exists(d, "/dev/net/tun")) {
		doctor_find(f, DOCTOR_WARN, "sudo modprobe tun", "/dev/net/tun is not there");
		return;
	}
	snprintf(path, sizeof(path), "%s/dev/net/tun", d->root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		doctor_find(f, DOCTOR_OK, NULL, "/dev/net/tun");
		close(fd);
	} else if (errno == ENODEV || errno == ENXIO) {
		doctor_find(f, DOCTOR_WARN, "sudo modprobe tun",
			"/dev/net/tun has no driver behind it");
	} else {
		doctor_find(
			f, DOCTOR_WARN, NULL, "/dev/net/tun cannot be opened: %s", strerror(errno));
	}
}

// Drivers lie in one of a few folders, by distribution and by hand.
static size_t driver(const struct doctor *d, const char *name)
{
	static const char *const folders[] = {
		"/usr/lib/*/dpdk/pmds-*",
		"/usr/local/lib/*/dpdk/pmds-*",
		"/usr/lib64/dpdk/pmds-*",
		"/usr/lib/*",
		"/usr/local/lib/*",
	};
	char pattern[256];
	size_t count = 0;

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(pattern, sizeof(pattern), "%s/librte_%s.so*", folders[i], name);
		count += doctor_glob(d, pattern);
	}
	return count;
}

void doctor_dpdk(const struct doctor *d, struct doctor_finding *f)
{
	static const char *const wanted[] = {"net_tap", "net_memif", "net_af_xdp", "bus_pci"};
	char missing[128] = "";

	if (driver(d, "eal") == 0) {
		doctor_find(f, DOCTOR_FAIL, "sudo apt install dpdk", "DPDK is not installed");
		return;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		size_t len = strlen(missing);

		if (driver(d, wanted[i]) == 0)
			snprintf(missing + len, sizeof(missing) - len, "%s%s", len ? ", " : "",
				wanted[i]);
	}
	if (*missing)
		doctor_find(f, DOCTOR_WARN, "sudo apt install dpdk", "drivers are missing: %s",
			missing);
	else
		doctor_find(f, DOCTOR_OK, NULL,
			"net_tap, net_memif, net_af_xdp and PCI drivers are there");
}
