// SPDX-License-Identifier: Apache-2.0
// Start-up settings of the function host, as a table for lib/settings. What is not said is found out: the node's
// name from /etc/machine-id, its capacity from the kernel.
#include "fnhost/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#ifndef FUNCTIONS_DIR // tests; the build says where they are installed
#define FUNCTIONS_DIR "/usr/libexec/penstock/functions"
#endif
#define TEXT(field) SETTING_AS_TEXT(struct options, field, 1)
#define TEXT_OR_NONE(field) SETTING_AS_TEXT(struct options, field, 0)

static const struct setting table[] = {
	{"name", "NAME", "of this node [node- and the machine id's first 12]", TEXT_OR_NONE(name)},
	{"control", "ADDR",
		"the control plane: unix:PATH or HOST:PORT [unix:/run/penstock/peer.sock]",
		TEXT(control)},
	{"listen", "ADDR", "where gateways connect [0.0.0.0:7880]", TEXT(listen)},
	{"advertise", "ADDR", "what gateways are told to dial [as --listen]",
		TEXT_OR_NONE(advertise)},
	{"token-file", "PATH", "the join token, for a control plane on another machine [none]",
		TEXT_OR_NONE(token_file)},
	{"gateway-token-file", "PATH", "token that gateways must show [none]",
		TEXT_OR_NONE(gateway_token_file)},
	{"state", "DIR", "sockets, records and logs [/run/penstock/fnhost]", TEXT(state)},
	{"functions", "DIR",
		"where commands are looked for first\n[" FUNCTIONS_DIR "]",
		TEXT(functions)},
	{"shim", "PATH", "penstock-shim [beside this program, or libexec]", TEXT_OR_NONE(shim)},
	{"cpu", "MILLI", "capacity in thousandths of a processor [all]",
		SETTING_AS_NUMBER(struct options, cpu_milli, 0, UINT32_MAX)},
	{"memory", "BYTES", "capacity; k, m, g are allowed [all]",
		SETTING_AS_BYTES(struct options, memory_bytes, 0)},
	{"instances", "N", "capacity: how many run at a time [1024]",
		SETTING_AS_NUMBER(struct options, instances, 1, OPTION_INSTANCES_MAX)},
	{"attributes", "K=V,...", "what placement may ask for, as rack=r1 [none]",
		TEXT_OR_NONE(attributes)},
	{"log-bytes", "BYTES", "of an instance's log before it is rotated [4m]",
		SETTING_AS_BYTES(struct options, log_bytes_max, 4096)},
	{"logs-kept", "N", "logs kept of instances that are gone [1024]",
		SETTING_AS_NUMBER(struct options, logs_kept, 0, 100000)},
	{"logs-kept-bytes", "BYTES", "that these may have together [256m]",
		SETTING_AS_BYTES(struct options, logs_kept_bytes, 0)},
	{"cgroup", "DIR", "subtree for the limits of instances, or none [auto: the own cgroup]",
		TEXT(cgroup)},
	{"log-level", "LEVEL", "error, warn, info or debug [info]",
		SETTING_AS_LEVEL(struct options, log_level)},
};

static const struct settings settings = {
	.program = "penstock-fnhost",
	.about = "runs functions on this node and gives gateways access to them.",
	.usage = "[--NAME VALUE]...",
	.file = OPTIONS_CONFIG_DEFAULT,
	.table = table,
	.count = sizeof(table) / sizeof(table[0]),
};

static bool read_line(const char *path, char *to, size_t room, FILE *err)
{
	FILE *file = fopen(path, "re");
	int error = file ? 0 : errno;
	bool good = file && fgets(to, (int)room, file);

	to[good ? strcspn(to, "\r\n") : 0] = 0;
	good = to[0]; // an empty token would let in everybody
	if (!good && err)
		fprintf(err, "cannot read a line from %s: %s\n", path,
			error ? strerror(error) : "it is empty");
	if (file)
		fclose(file);
	return good;
}

static void find_capacity(struct options *o)
{
	struct sysinfo info;

	sysinfo(&info);
	if (!o->cpu_milli)
		o->cpu_milli = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;
	if (!o->memory_bytes)
		o->memory_bytes = (uint64_t)info.totalram * info.mem_unit;
}

static bool find_shim(struct options *o, FILE *err)
{
	static const char *const places[] = {"%s/penstock-shim", "%s/shim/penstock-shim",
		"%s/../libexec/penstock/penstock-shim"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (o->shim[0])
		return true;
	self[n > 0 ? n : 0] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(path, sizeof(path), places[i], self);
#pragma GCC diagnostic pop
		if (access(path, X_OK) == 0 && strlen(path) < sizeof(o->shim)) {
			strcpy(o->shim, path);
			return true;
		}
	}
	fprintf(err, "penstock-shim is not beside this program nor in libexec: say --shim PATH\n");
	return false;
}

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 63 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && name[0] != '-';
}

static bool complete(struct options *o, FILE *err)
{
	read_line("/etc/machine-id", o->machine_id, sizeof(o->machine_id), NULL);
	if (!o->name[0] && o->machine_id[0])
		snprintf(o->name, sizeof(o->name), "node-%.12s", o->machine_id);
	if (!name_valid(o->name)) {
		fprintf(err, "the node's name '%s' must be of a-z, 0-9 and -, at most 63: say --name\n",
			o->name);
		return false;
	}
	// Not every system has one (containers do not). The boot's, too, is the same for the host that is started
	// again, and no instance lives longer; but it is no name to keep.
	if (!o->machine_id[0])
		read_line("/proc/sys/kernel/random/boot_id", o->machine_id, sizeof(o->machine_id),
			NULL);
	if (o->token_file[0] && !read_line(o->token_file, o->token, sizeof(o->token), err))
		return false;
	if (o->gateway_token_file[0] && !read_line(o->gateway_token_file, o->gateway_token,
						sizeof(o->gateway_token), err))
		return false;
	if (!o->advertise[0])
		strcpy(o->advertise, o->listen);
	if (strcmp(o->cgroup, "auto") != 0 && strcmp(o->cgroup, "none") != 0 && o->cgroup[0] != '/') {
		fprintf(err, "--cgroup takes auto, none or a folder such as "
			     "/sys/fs/cgroup/penstock, not '%s'\n", o->cgroup);
		return false;
	}
	find_capacity(o);
	return find_shim(o, err);
}

enum settings_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	enum settings_result result;

	*o = (struct options){
		.control = "unix:/run/penstock/peer.sock",
		.listen = "0.0.0.0:7880",
		.state = "/run/penstock/fnhost",
		.functions = FUNCTIONS_DIR,
		.instances = OPTION_INSTANCES_MAX,
		.log_bytes_max = 4 << 20,
		.logs_kept = 1024,
		.logs_kept_bytes = (uint64_t)256 << 20,
		.cgroup = "auto",
		.log_level = LOG_INFO,
	};
	result = settings_read(&settings, o, argc, argv, out, err);
	if (result != SETTINGS_RUN)
		return result;
	return complete(o, err) ? SETTINGS_RUN : SETTINGS_WRONG;
}
