// SPDX-License-Identifier: Apache-2.0
// Start-up settings of the control plane, as a table for lib/settings.
#include "controlplane/options.h"

#include <string.h>

#include "controlplane/job_spec.h"
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
	{"token-file", "PATH", "the join token that they must know; without one none joins [none]",
		TEXT_OR_NONE(token_file)},
	{"lease", "SECONDS", "a node is down so long after its host left [10]",
		NUMBER(lease_s, 1, 3600)},
	{"workers", "N", "threads that plan placements [2]",
		NUMBER(workers, 1, SCHEDULER_WORKERS_MAX)},
	{"placement", "spread|pack",
		"put instances where most is free, or fill nodes one after the other [spread]",
		TEXT(placement)},
	{"preempt", "none|TYPE,...",
		"jobs of these types (service, batch, system, sysbatch) that find no room may "
		"stop\n"
		"instances of jobs with a priority at least 10 lower; functions are services "
		"[none]",
		TEXT(preempt)},
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

static int read_placement(struct options *o)
{
	if (strcmp(o->placement, "spread") == 0)
		o->planning.algorithm = SCHED_LEAST_LOADED;
	else if (strcmp(o->placement, "pack") == 0)
		o->planning.algorithm = SCHED_BIN_PACK;
	else
		return -1;
	return 0;
}

static int read_preempt(struct options *o)
{
	char list[sizeof(o->preempt)], *save = NULL;

	if (strcmp(o->preempt, "none") == 0)
		return 0;
	memcpy(list, o->preempt, sizeof(list));
	for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int t = 0;

		while (t < SCHED_TYPES && strcmp(word, job_spec_type_names[t]) != 0)
			t++;
		if (t == SCHED_TYPES)
			return -1;
		o->planning.preempt |= SCHED_MASK(t);
	}
	return o->planning.preempt ? 0 : -1;
}

enum settings_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	enum settings_result result;

	*o = (struct options){
		.control = "/run/penstock/control.sock",
		.peer = "unix:/run/penstock/peer.sock",
		.peer_tcp = "off",
		.placement = "spread",
		.preempt = "none",
		.state = "/var/lib/penstock",
		.metrics = "127.0.0.1:9478",
		.lease_s = 10,
		.workers = 2,
		.log_level = LOG_INFO,
	};
	result = settings_read(&settings, o, argc, argv, out, err);
	if (result != SETTINGS_RUN)
		return result;
	if (read_placement(o)) {
		fprintf(err, "%s: placement must be spread or pack, but is '%s'\n",
			settings.program, o->placement);
		return SETTINGS_WRONG;
	}
	if (read_preempt(o)) {
		fprintf(err,
			"%s: preempt must be none, or a list of service, batch, system and "
			"sysbatch "
			"with commas between, but is '%s'\n",
			settings.program, o->preempt);
		return SETTINGS_WRONG;
	}
	return SETTINGS_RUN;
}
