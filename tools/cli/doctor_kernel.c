// SPDX-License-Identifier: Apache-2.0
// Checks of the kernel, its io_uring, the processors and NUMA nodes.
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli/doctor.h"

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

void doctor_kernel(const struct doctor *d, struct doctor_finding *f)
{
	char release[128] = "";
	int major = 0, minor = 0;

	doctor_read(d, "/proc/sys/kernel/osrelease", release, sizeof(release));
	if (sscanf(release, "%d.%d", &major, &minor) != 2)
		doctor_find(f, DOCTOR_FAIL, NULL, "cannot tell the kernel's version: mount /proc");
	else if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		doctor_find(f, DOCTOR_FAIL, "sudo apt install linux-image-amd64 && sudo reboot",
			"Linux %s is older than %d.%d, the one of Debian 12", release, KERNEL_MAJOR,
			KERNEL_MINOR);
	else
		doctor_find(f, DOCTOR_OK, NULL, "Linux %s", release);
}

// Makes a small ring as the event loop does. 0 or -errno.
static int try_ring(unsigned flags)
{
	struct io_uring ring;
	int r = io_uring_queue_init(8, &ring, flags);

	if (r == 0)
		io_uring_queue_exit(&ring);
	return r;
}

void doctor_io_uring(const struct doctor *d, struct doctor_finding *f)
{
	int64_t disabled = doctor_number(d, "/proc/sys/kernel/io_uring_disabled");
	int r;

	if (disabled == 2 || (disabled == 1 && d->uid != 0)) {
		doctor_find(f, DOCTOR_FAIL, "sudo sysctl -w kernel.io_uring_disabled=0",
			"disabled by kernel.io_uring_disabled=%d", (int)disabled);
		return;
	}
	r = try_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (r == 0)
		doctor_find(f, DOCTOR_OK, NULL, "enabled, with deferred task work");
	else if (r == -EINVAL && try_ring(0) == 0)
		doctor_find(f, DOCTOR_FAIL, "sudo apt install linux-image-amd64 && sudo reboot",
			"enabled, but this kernel lacks what Linux 6.1 has");
	else if (r == -ENOMEM)
		doctor_find(f, DOCTOR_FAIL, "ulimit -l unlimited",
			"no memory for a ring: the memlock limit");
	else if (r == -EPERM)
		doctor_find(f, DOCTOR_FAIL, NULL,
			"not permitted: a container's seccomp profile forbids it; allow "
			"io_uring_setup, "
			"io_uring_enter, io_uring_register");
	else
		doctor_find(f, DOCTOR_FAIL, NULL, "not available: %s", strerror(-r));
}

void doctor_cores(const struct doctor *d, struct doctor_finding *f)
{
	char online[256] = "", isolated[256] = "";
	unsigned count;

	doctor_read(d, "/sys/devices/system/cpu/online", online, sizeof(online));
	doctor_read(d, "/sys/devices/system/cpu/isolated", isolated, sizeof(isolated));
	count = doctor_list_count(online);
	if (count < 2)
		doctor_find(f, DOCTOR_WARN, NULL,
			"%u core: a worker of the data plane and all else share it; use two or "
			"more",
			count);
	else if (!*isolated)
		doctor_find(f, DOCTOR_OK, NULL,
			"%u (%s), none isolated; the boot option isolcpus=LIST steadies the tail",
			count, online);
	else
		doctor_find(f, DOCTOR_OK, NULL, "%u (%s), isolated for workers: %s", count, online,
			isolated);
}

void doctor_numa(const struct doctor *d, struct doctor_finding *f)
{
	char online[256] = "0";
	unsigned nodes;

	doctor_read(d, "/sys/devices/system/node/online", online, sizeof(online));
	nodes = doctor_list_count(online);
	if (nodes <= 1)
		doctor_find(f, DOCTOR_OK, NULL, "one node");
	else
		doctor_find(f, DOCTOR_OK, NULL,
			"%u nodes (%s): give workers cores of the node that its NIC is on "
			"(/sys/class/net/NIC/device/numa_node)",
			nodes, online);
}
