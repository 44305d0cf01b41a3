// SPDX-License-Identifier: Apache-2.0
// Checks of memory, limits and rights.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/cli/doctor.h"

#define HUGE_MIB_WANTED 512
#define MEMLOCK_MIB_WANTED 64
#define FILES_WANTED 65536

#define CAP_NET_ADMIN_BIT 12
#define CAP_IPC_LOCK_BIT 14
#define CAP_SYS_ADMIN_BIT 21

// MiB of hugepages of one size that are free, or of all of them.
static int64_t huge_mib(const struct doctor *d, unsigned kib, const char *what)
{
	char path[128];
	int64_t n;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%ukB/%s", kib, what);
	n = doctor_number(d, path);
	return n < 0 ? 0 : n * kib / 1024;
}

void doctor_hugepages(const struct doctor *d, struct doctor_finding *f)
{
	int64_t all = huge_mib(d, 2048, "nr_hugepages") + huge_mib(d, 1048576, "nr_hugepages");
	int64_t unused =
		huge_mib(d, 2048, "free_hugepages") + huge_mib(d, 1048576, "free_hugepages");
	char mounts[16384] = "";

	doctor_read(d, "/proc/mounts", mounts, sizeof(mounts));
	if (all == 0)
		doctor_find(f, DOCTOR_WARN, "sudo sysctl -w vm.nr_hugepages=512",
			"none reserved: the data plane runs with --no-huge, more slowly and not "
			"with a NIC");
	else if (!strstr(mounts, " hugetlbfs "))
		doctor_find(f, DOCTOR_WARN,
			"sudo mkdir -p /dev/hugepages && sudo mount -t hugetlbfs none "
			"/dev/hugepages",
			"%lld MiB reserved, but hugetlbfs is not mounted", (long long)all);
	else if (unused < HUGE_MIB_WANTED)
		doctor_find(f, DOCTOR_WARN, "sudo sysctl -w vm.nr_hugepages=1024",
			"%lld of %lld MiB free (a running gateway holds its own); a new gateway "
			"wants %d",
			(long long)unused, (long long)all, HUGE_MIB_WANTED);
	else
		doctor_find(f, DOCTOR_OK, NULL, "%lld of %lld MiB free", (long long)unused,
			(long long)all);
}

// The effective capabilities of this process.
static uint64_t capabilities(const struct doctor *d)
{
	char status[4096] = "";
	const char *at;

	doctor_read(d, "/proc/self/status", status, sizeof(status));
	at = strstr(status, "CapEff:");
	return at ? strtoull(at + 7, NULL, 16) : 0;
}

static bool has(uint64_t caps, unsigned bit)
{
	return caps >> bit & 1;
}

void doctor_privileges(const struct doctor *d, struct doctor_finding *f)
{
	uint64_t caps = capabilities(d);
	bool all = has(caps, CAP_NET_ADMIN_BIT) && has(caps, CAP_IPC_LOCK_BIT) &&
		   has(caps, CAP_SYS_ADMIN_BIT);

	if (all)
		doctor_find(
			f, DOCTOR_OK, NULL, d->uid == 0 ? "root" : "the capabilities are there");
	else if (d->uid == 0)
		doctor_find(f, DOCTOR_WARN, NULL,
			"root without CAP_NET_ADMIN, CAP_IPC_LOCK or CAP_SYS_ADMIN (a container?): "
			"the data plane "
			"cannot make its ports");
	else
		doctor_find(f, DOCTOR_WARN, "sudo penstock doctor",
			"not root: enough for this program; the daemons are to be started as root");
}

void doctor_memlock(const struct doctor *d, struct doctor_finding *f)
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_MEMLOCK, &limit);
	// CAP_IPC_LOCK is above the limit.
	if (limit.rlim_cur == RLIM_INFINITY || has(capabilities(d), CAP_IPC_LOCK_BIT))
		doctor_find(f, DOCTOR_OK, NULL, "no limit");
	else if (limit.rlim_cur >= (rlim_t)MEMLOCK_MIB_WANTED << 20)
		doctor_find(
			f, DOCTOR_OK, NULL, "%llu MiB", (unsigned long long)limit.rlim_cur >> 20);
	else
		doctor_find(f, DOCTOR_WARN, "ulimit -l unlimited",
			"%llu KiB of locked memory: the data plane wants %d MiB (under systemd "
			"LimitMEMLOCK=infinity)",
			(unsigned long long)limit.rlim_cur >> 10, MEMLOCK_MIB_WANTED);
}

void doctor_files(const struct doctor *d, struct doctor_finding *f)
{
	struct rlimit limit = {0};
	char mend[64];

	getrlimit(RLIMIT_NOFILE, &limit);
	// Daemons raise the soft limit themselves; the hard one must allow it.
	if (limit.rlim_max >= FILES_WANTED) {
		doctor_find(
			f, DOCTOR_OK, NULL, "%llu open files", (unsigned long long)limit.rlim_max);
		return;
	}
	snprintf(mend, sizeof(mend), "ulimit -Hn %d", FILES_WANTED);
	doctor_find(f, DOCTOR_WARN, mend, "%llu open files at most; %d are for many connections",
		(unsigned long long)limit.rlim_max, FILES_WANTED);
}
