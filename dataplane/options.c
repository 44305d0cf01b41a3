// SPDX-License-Identifier: Apache-2.0
// Start-up settings of the data plane, as a table for lib/settings. Main thread.
#include "dataplane/options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/settings/settings.h"

#define TEXT(field) SETTING_AS_TEXT(struct options, field, 1)
#define TEXT_OR_NONE(field) SETTING_AS_TEXT(struct options, field, 0)
#define LIST(field, counter) SETTING_AS_LIST(struct options, field, counter)
#define NUMBER(field, max) SETTING_AS_NUMBER(struct options, field, 0, max)

static const struct setting table[] = {
	{"name", "NAME", "this gateway's name, as its Gateway resource has it [gw1]", TEXT(name)},
	{"control", "ADDR",
		"the control plane: unix:PATH or HOST:PORT [unix:/run/penstock/peer.sock]",
		TEXT(control)},
	{"token-file", "PATH",
		"the join token, for a control plane on another machine [none]",
		TEXT_OR_NONE(token_file)},
	{"gateway-token-file", "PATH", "the token that function hosts ask of gateways [none]",
		TEXT_OR_NONE(gateway_token_file)},
	{"metrics", "ADDR",
		"serve this process's counters as /metrics here [off: the control plane has them]",
		TEXT(metrics)},
	{"port", "NAME=DEVARGS",
		"a port: p0=net_tap0,iface=pn0  p0=net_memif0,role=client,id=0,socket=/run/m.sock\n"
		"p0=net_af_xdp0,iface=eth1  p0=0000:03:00.0 (a PCI device bound to vfio-pci); "
		"repeat it",
		LIST(port, ports)},
	{"workers", "N", "worker threads [1]", NUMBER(workers, WORKERS_MAX)},
	{"cores", "LIST",
		"cores for them, as 0,2-3; workers share cores when there are more [all allowed]",
		TEXT(cores)},
	{"lcores", "MAP",
		"instead: the EAL's own form, as '(0-2)@0'; the lowest lcore is the control thread",
		TEXT(lcores)},
	{"spin-us", "N",
		"poll this long without work before sleeping [50; 5 when workers share cores]",
		NUMBER(spin_us, 1000000)},
	{"no-huge", NULL, "do without huge pages", SETTING_AS_SWITCH(struct options, no_huge)},
	{"memory", "MB", "memory for packets [512 with --no-huge, else as needed]",
		NUMBER(memory_mb, 1 << 20)},
	{"mbufs", "N", "packet buffers [8192, and 4096 a worker]", NUMBER(mbufs, 1 << 24)},
	{"mtu", "BYTES", "largest IP packet [the port's]", NUMBER(mtu, NET_MTU_MAX)},
	{"connections", "N", "TCP connections of a worker [65536]",
		NUMBER(connections_max, 1 << 24)},
	{"file-prefix", "NAME", "tells data planes on one machine apart [penstock]",
		TEXT(file_prefix)},
	{"address", "[PORT=]CIDR", "an address to start with, as 10.77.0.2/24; repeat it",
		LIST(address, addresses)},
	{"route", "TO=VIA", "a route to start with, as default=10.77.0.1; repeat it",
		LIST(route, routes)},
	{"listen", "PORT", "a TCP port to listen on from the start; repeat it",
		LIST(listen, listens)},
	{"log-level", "LEVEL", "error, warn, info or debug [info]",
		SETTING_AS_LEVEL(struct options, log_level)},
};

static const struct settings settings = {
	.program = "penstock-dataplane",
	.about = "terminates client connections on DPDK ports and carries their calls.",
	.usage = "--port NAME=DEVARGS [--NAME VALUE]...",
	.notes = "Addresses, routes and listeners come from the control plane (the Gateway "
		 "resource); those given here\nhold until it has spoken.",
	.file = OPTIONS_FILE,
	.table = table,
	.count = sizeof(table) / sizeof(table[0]),
};

void options_defaults(struct options *out)
{
	*out = (struct options){
		.spin_us = UINT32_MAX, .connections_max = 65536, .log_level = LOG_INFO};
	strcpy(out->name, "gw1");
	strcpy(out->control, "unix:/run/penstock/peer.sock");
	strcpy(out->metrics, "off");
	strcpy(out->file_prefix, "penstock");
}

// The first line of the file, which may be none; false after a complaint.
static bool read_token(const char *flag, const char *path, char to[OPTION_TEXT_MAX])
{
	FILE *file = path[0] ? fopen(path, "re") : NULL;
	bool good = file && fgets(to, OPTION_TEXT_MAX, file);
	int error = file ? 0 : errno;

	if (!path[0])
		return true;
	if (file)
		fclose(file);
	to[strcspn(to, "\r\n")] = 0;
	if (good && to[0])
		return true;
	fprintf(stderr, "penstock-dataplane: cannot use --%s %s: %s\n", flag, path,
		error ? strerror(error) : "its first line must be the token");
	return false;
}

static bool read_tokens(struct options *o)
{
	return read_token("token-file", o->token_file, o->token) &&
	       read_token("gateway-token-file", o->gateway_token_file, o->gateway_token);
}

enum options_outcome options_parse(int argc, char **argv, struct options *out)
{
	enum settings_result result;

	options_defaults(out);
	result = settings_read(&settings, out, argc, argv, stdout, stderr);
	if (result != SETTINGS_RUN)
		return result == SETTINGS_EXIT ? OPTIONS_EXIT : OPTIONS_WRONG;
	if (!out->ports) {
		fputs("penstock-dataplane: no port: give one, as --port p0=net_tap0,iface=pn0 "
		      "(--help shows more)\n",
			stderr);
		return OPTIONS_WRONG;
	}
	return read_tokens(out) ? OPTIONS_RUN : OPTIONS_WRONG;
}

bool options_split(const char *text, char *name, size_t name_size, const char **rest)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;

	if (len == 0 || len >= name_size || !equals[1])
		return false;
	memcpy(name, text, len);
	name[len] = 0;
	*rest = equals + 1;
	return true;
}
