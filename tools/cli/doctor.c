// SPDX-License-Identifier: Apache-2.0
// The table of checks and what they share: reading files below a root, lists of processors.
#include "tools/cli/doctor.h"

#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct doctor_check doctor_checks[] = {
	{"kernel", "io_uring with multishot receive and provided-buffer rings", doctor_kernel},
	{"io_uring", "connections to backends and between the daemons", doctor_io_uring},
	{"privileges", "ports of the data plane, its memory and its namespaces", doctor_privileges},
	{"dpdk", "the data plane's libraries and drivers", doctor_dpdk},
	{"hugepages", "the data plane's packet buffers", doctor_hugepages},
	{"memlock", "memory of io_uring and DPDK that stays in place", doctor_memlock},
	{"files", "many connections", doctor_files},
	{"cores", "one for each worker of the data plane", doctor_cores},
	{"numa", "memory near the cores", doctor_numa},
	{"iommu", "a NIC in the hands of the data plane", doctor_iommu},
	{"vfio", "a NIC in the hands of the data plane", doctor_vfio},
	{"tun", "the port kind net_tap", doctor_tun},
	{"group", "the control socket without root", doctor_group},
	{"directory", "sockets of the daemons", doctor_run_directory},
	{"socket", "the control plane", doctor_socket},
};
const size_t doctor_check_count = sizeof(doctor_checks) / sizeof(doctor_checks[0]);

void doctor_find(struct doctor_finding *f, enum doctor_state state, const char *mend,
	const char *format, ...)
{
	va_list args;

	f->state = state;
	snprintf(f->mend, sizeof(f->mend), "%s", mend ? mend : "");
	va_start(args, format);
	vsnprintf(f->found, sizeof(f->found), format, args);
	va_end(args);
}

static const char *below(const struct doctor *d, const char *path, char *full, size_t size)
{
	snprintf(full, size, "%s%s", d->root, path);
	return full;
}

bool doctor_read(const struct doctor *d, const char *path, char *text, size_t size)
{
	char full[4096];
	int fd = open(below(d, path, full, sizeof(full)), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
	return true;
}

bool doctor_exists(const struct doctor *d, const char *path)
{
	char full[4096];

	return access(below(d, path, full, sizeof(full)), F_OK) == 0;
}

int64_t doctor_number(const struct doctor *d, const char *path)
{
	char text[64];

	return doctor_read(d, path, text, sizeof(text)) && *text ? strtoll(text, NULL, 10) : -1;
}

size_t doctor_glob(const struct doctor *d, const char *pattern)
{
	char full[4096];
	glob_t g;
	size_t count = 0;

	if (glob(below(d, pattern, full, sizeof(full)), GLOB_NOSORT, NULL, &g) == 0) {
		count = g.gl_pathc;
		globfree(&g);
	}
	return count;
}

unsigned doctor_list_count(const char *list)
{
	unsigned count = 0;

	while (*list) {
		char *end;
		unsigned long from = strtoul(list, &end, 10), to = from;

		if (end == list)
			break;
		if (*end == '-') {
			list = end + 1;
			to = strtoul(list, &end, 10);
		}
		if (to >= from && to - from < 65536)
			count += (unsigned)(to - from) + 1;
		list = *end == ',' ? end + 1 : end;
	}
	return count;
}
