// SPDX-License-Identifier: Apache-2.0
// Turns our options into arguments of the EAL. Main thread.
//
// The EAL runs in memory: no files in /run or in hugetlbfs that a killed process would leave
// behind, and any number of data planes on one machine.
#include "dataplane/eal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#define ARGS_MAX (24 + 2 * NET_PORTS_MAX)
#define ARG_MAX_LEN 512
#define CORES_MAX CPU_SETSIZE

struct args {
	int count;
	char *argv[ARGS_MAX + 1];
	char text[ARGS_MAX][ARG_MAX_LEN];
};

__attribute__((format(printf, 2, 3))) static void add(struct args *a, const char *format, ...)
{
	va_list list;

	if (a->count == ARGS_MAX)
		return;
	va_start(list, format);
	vsnprintf(a->text[a->count], ARG_MAX_LEN, format, list);
	va_end(list);
	a->argv[a->count] = a->text[a->count];
	a->count++;
}

// "0,2-3" -> the cores named; what the process may not run on is left out. 0 or -EINVAL.
static int parse_cores(const char *text, const cpu_set_t *allowed, unsigned *cores, unsigned *count)
{
	*count = 0;
	while (*text) {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (end == text)
			return -EINVAL;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text)
				return -EINVAL;
		}
		if ((*end && *end != ',') || last < first || last >= CORES_MAX)
			return -EINVAL;
		for (unsigned long core = first; core <= last && *count < CORES_MAX; core++)
			if (CPU_ISSET(core, allowed))
				cores[(*count)++] = (unsigned)core;
		text = *end ? end + 1 : end;
	}
	return *count ? 0 : -EINVAL;
}

static unsigned all_cores(const cpu_set_t *allowed, unsigned *cores)
{
	unsigned count = 0;

	for (unsigned core = 0; core < CORES_MAX; core++)
		if (CPU_ISSET(core, allowed))
			cores[count++] = core;
	return count;
}

// Lcore 0 is the control thread, on any of the cores; worker i has lcore i+1, on one.
static int friendly_lcores(const struct options *o, char *out, size_t size)
{
	unsigned cores[CORES_MAX], count, workers = o->workers ? o->workers : 1;
	cpu_set_t allowed;
	size_t len;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	count = all_cores(&allowed, cores);
	if (o->cores[0] && parse_cores(o->cores, &allowed, cores, &count)) {
		log_error("eal",
			"--cores %s names no core that this process may run on; give some of "
			"'nproc', as 0,1",
			o->cores);
		return -EINVAL;
	}
	// The first worker leaves the first core to others where there is a choice.
	len = (size_t)snprintf(out, size, "0@(");
	for (unsigned i = 0; i < count && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%u", i ? "," : "", cores[i]);
	if (len < size)
		len += (size_t)snprintf(out + len, size - len, ")");
	for (unsigned i = 0; i < workers && len < size; i++)
		len += (size_t)snprintf(
			out + len, size - len, ",%u@%u", i + 1, cores[count - 1 - i % count]);
	return len < size ? 0 : -E2BIG;
}

bool eal_is_pci(const char *devargs)
{
	unsigned parts = 0;

	// [domain:]bus:device.function
	if (strncmp(devargs, "pci:", 4) == 0)
		return true;
	for (; *devargs && *devargs != ','; devargs++) {
		if (*devargs == ':')
			parts++;
		else if (!isxdigit((unsigned char)*devargs) && *devargs != '.')
			return false;
	}
	return parts >= 1;
}

static void add_devices(struct args *a, const struct options *o)
{
	bool pci = false;

	for (unsigned i = 0; i < o->ports; i++) {
		char name[64];
		const char *devargs;

		if (!options_split(o->port[i].text, name, sizeof(name), &devargs) ||
			!eal_is_pci(devargs))
			continue;
		pci = true;
		add(a, "-a");
		add(a, "%s", strncmp(devargs, "pci:", 4) == 0 ? devargs + 4 : devargs);
	}
	if (!pci)
		add(a, "--no-pci");
}

static void add_memory(struct args *a, const struct options *o)
{
	unsigned mb = o->memory_mb;

	if (o->no_huge) {
		add(a, "--no-huge");
		add(a, "--no-shconf");
		mb = mb ? mb : OPTIONS_NO_HUGE_MB;
	} else {
		add(a, "--in-memory");
	}
	if (mb) {
		add(a, "-m");
		add(a, "%u", mb);
	}
}

static unsigned long free_hugepages(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long pages = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "HugePages_Free: %lu", &pages) == 1)
			break;
	fclose(f);
	return pages;
}

static void explain(const struct options *o, int error)
{
	if (o->lcores[0] && error == EINVAL)
		log_error("eal",
			"DPDK does not take these arguments: check --lcores '%s'; --log-level "
			"debug shows its own messages",
			o->lcores);
	else if (!o->no_huge && free_hugepages() == 0)
		log_error("eal", "no huge page is free: reserve some with 'sysctl "
				 "vm.nr_hugepages=256', or start with --no-huge");
	else
		log_error("eal",
			"DPDK did not start (%s): --log-level debug shows its own messages",
			rte_strerror(error));
}

// The EAL prints its own usage on standard output when it does not like an argument: ours is
// another.
static int quiet_init(struct args *a, bool debug)
{
	int null = debug ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
	int out = null < 0 ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int error;

	if (out >= 0)
		dup2(null, STDOUT_FILENO);
	error = rte_eal_init(a->count, a->argv);
	fflush(stdout);
	if (out >= 0) {
		dup2(out, STDOUT_FILENO);
		close(out);
	}
	if (null >= 0)
		close(null);
	return error;
}

// More workers than cores they may run on.
static bool cores_are_shared(unsigned workers)
{
	cpu_set_t all;
	unsigned lcore;

	CPU_ZERO(&all);
	RTE_LCORE_FOREACH_WORKER (lcore) {
		cpu_set_t own = rte_lcore_cpuset(lcore);

		CPU_OR(&all, &all, &own);
	}
	return workers > (unsigned)CPU_COUNT(&all);
}

int eal_start(const struct options *o, unsigned *workers, bool *shared)
{
	static const char *const levels[] = {[LOG_ERROR] = "critical", [LOG_WARN] = "critical",
		[LOG_INFO] = "critical", [LOG_DEBUG] = "debug"};
	struct args a = {0};
	char lcores[ARG_MAX_LEN];
	int error = 0;

	snprintf(lcores, sizeof(lcores), "%s", o->lcores);
	if (!o->lcores[0])
		error = friendly_lcores(o, lcores, sizeof(lcores));
	if (error)
		return error;
	add(&a, "penstock-dataplane");
	add(&a, "--lcores");
	add(&a, "%s", lcores);
	add(&a, "--log-level=*:%s", levels[o->log_level]);
	add(&a, "--file-prefix=%s", o->file_prefix);
	add(&a, "--no-telemetry");
	add_memory(&a, o);
	add_devices(&a, o);
	if (quiet_init(&a, o->log_level == LOG_DEBUG) < 0) {
		error = rte_errno ? rte_errno : EINVAL;
		explain(o, error);
		return -error;
	}
	*workers = rte_lcore_count() - 1;
	if (*workers == 0 || *workers > WORKERS_MAX) {
		log_error("eal",
			"--lcores '%s' makes %u workers; it must make 1 to %u (one lcore more than "
			"workers)",
			lcores, *workers, WORKERS_MAX);
		eal_stop();
		return -EINVAL;
	}
	*shared = cores_are_shared(*workers);
	return 0;
}

void eal_stop(void)
{
	const char *folder = rte_eal_get_runtime_dir();

	rte_eal_cleanup();
	// Empty, since we run in memory. If another process uses it still, it has no need of it.
	rmdir(folder);
}
