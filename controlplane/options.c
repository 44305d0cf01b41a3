// SPDX-License-Identifier: Apache-2.0
// Start-up settings of the control plane, as a table for lib/settings.
#include "controlplane/options.h"

#include "controlplane/scheduler.h"

#define TEXT(field) SETTING_AS_TEXT(struct options, field, 1)
#define TEXT_OR_NONE(field) SETTING_AS_TEXT(struct options, field, 0)
#define NUMBER(field, min, max) SETTING_AS_NUMBER(struct options, field, min, max)

static const struct setting table[] = {
	{"control", "PATH",
		"Unix socket of the API, mode 0660, group penstock if there is one\n"
		"[/run/penstock/control.sock]",
		TEXT(control)},
	{"peer", "PATH|HOST:PORT",
		"where gateways and hosts connect; a Unix socket has mode 0600\n"
		"[unix:/run/penstock/peer.sock]",
		TEXT(peer)},
	{"peer-group", "GROUP", "the Unix socket is for its members, too: mode 0660 [none]",
		TEXT_OR_NONE(peer_group)},
	{"peer-tcp", "HOST:PORT|off",
		"where those of other machines connect; port 7879 is usual [off]", TEXT(peer_tcp)},
	{"token-file", "PATH",
		"the join token that they must know; without one none joins [none]",
		TEXT_OR_NONE(token_file)},
	{"lease", "SECONDS", "a node is down so long after its host left [10]",
		NUMBER(lease_s, 1, 3600)},
	{"workers", "N", "threads that plan placements [2]",
		NUMBER(workers, 1, SCHEDULER_WORKERS_MAX)},
	{"state", "DIR", "where state is kept [/var/lib/penstock]", TEXT(state)},
	{"metrics", "HOST:PORT|off", "metrics for Prometheus [127.0.0.1:9478]", TEXT(metrics)},
	{"log-level", "LEVEL", "error, warn, info or debug [info]",
		SETTING_AS_LEVEL(struct options, log_level)},
};

static const struct settings settings = {
	.program = "penstock-controlplane",
	.about = "keeps what is wanted and tells gateways and hosts.",
	.usage = "[--NAME VALUE]...",
	.file = OPTIONS_CONFIG_DEFAULT,
	.table = table,
	.count = sizeof(table) / sizeof(table[0]),
};

enum settings_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	*o = (struct options){
		.control = "/run/penstock/control.sock",
		.peer = "unix:/run/penstock/peer.sock",
		.peer_tcp = "off",
		.state = "/var/lib/penstock",
		.metrics = "127.0.0.1:9478",
		.lease_s = 10,
		.workers = 2,
		.log_level = LOG_INFO,
	};
	return settings_read(&settings, o, argc, argv, out, err);
}
