// SPDX-License-Identifier: Apache-2.0
// The table of resources and its columns, and look-ups in it. Pure but for noun_parse(), which
// complains.
#include "tools/cli/nouns.h"

#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/format.h"
#include "tools/cli/suggest.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct column function_columns[] = {
	{"NAMESPACE", "metadata.namespace", .format = format_namespace},
	{"NAME", "metadata.name"},
	{"RUNTIME", "spec.runtime"},
	{"COMMAND", "spec.command", .wide = true, .format = format_command},
	{"MIN", "spec.scale.min"},
	{"MAX", "spec.scale.max"},
	{"INSTANCES", "status.instances"},
	{"READY", "status.ready"},
	{"ROLLOUT", "status.deployment.state", .wide = true},
	{"CLASS", "spec.call.class", .wide = true},
	{"VERSION", "metadata.version", .wide = true},
	{"AGE", "metadata.created", .format = format_age},
};

static const struct column endpoint_columns[] = {
	{"NAMESPACE", "metadata.namespace", .wide = true, .format = format_namespace},
	{"NAME", "metadata.name"},
	{"ADDRESSES", "spec.addresses", .format = format_list},
	{"ROUTES", "spec.routes", .format = format_list},
	{"STATE", "status", .format = format_endpoint_state},
	{"LEASE", "spec.lease", .wide = true},
	{"FRAGMENTS", "spec.fragments", .wide = true},
	{"VERSION", "metadata.version", .wide = true},
	{"AGE", "metadata.created", .format = format_age},
};

static const struct column gateway_columns[] = {
	{"NAME", "metadata.name"},
	{"ADDRESSES", "spec.ports", .format = format_port_addresses},
	{"LISTENERS", "spec.listeners", .format = format_listeners},
	{"STATE", "status", .format = format_gateway_state},
	{"CONNECTIONS", "status.connections"},
	{"IN FLIGHT", "status.calls_in_flight", .wide = true},
	{"WORKERS", "status.workers", .wide = true, .format = format_count},
	{"RELEASE", "status.version", .wide = true},
	{"VERSION", "metadata.version", .wide = true},
	{"AGE", "metadata.created", .format = format_age},
};

static const struct column node_columns[] = {
	{"NAME", "metadata.name"},
	{"STATE", "status.state"},
	{"ADDRESS", "status.address"},
	{"INSTANCES", "status.instances"},
	{"READY", "status.ready"},
	{"CPU", "status.capacity.cpu_milli", .wide = true},
	{"MEMORY", "status.capacity.memory", .wide = true, .format = format_bytes},
	{"RELEASE", "status.version", .wide = true},
	{"AGE", "metadata.created", .format = format_age},
};

static const struct column instance_columns[] = {
	{"ID", "metadata.name"},
	{"FUNCTION/JOB", "spec", .format = format_owner},
	{"GROUP", "spec.group", .wide = true},
	{"INDEX", "spec.index"},
	{"VERSION", "spec.version"},
	{"NODE", "spec.node"},
	{"STATE", "status.state"},
	{"READY", "status.ready"},
	{"RESTARTS", "status.restarts"},
	{"EXIT", "status.exit", .format = format_exit},
	{"PID", "status.pid", .wide = true},
	{"REASON", "status.reason", .wide = true},
	{"AGE", "metadata.created", .format = format_age},
};

static const struct column job_columns[] = {
	{"NAMESPACE", "metadata.namespace", .format = format_namespace},
	{"NAME", "metadata.name"},
	{"TYPE", "spec.type"},
	{"RUNTIME", "spec.runtime", .wide = true},
	{"COMMAND", "spec.command", .wide = true, .format = format_command},
	{"PRIORITY", "spec.priority", .wide = true},
	{"STATE", "status.state"},
	{"RUNNING", "status.running"},
	{"COMPLETE", "status.complete"},
	{"FAILED", "status.failed"},
	{"ROLLOUT", "status.deployment.state", .wide = true},
	{"NEXT LAUNCH", "status.launch.next"},
	{"VERSION", "metadata.version", .wide = true},
	{"AGE", "metadata.created", .format = format_age},
};

static const struct column quota_columns[] = {
	{"NAMESPACE", "metadata.name"},
	{"CPU", "status.used.cpu_milli"},
	{"OF", "spec.cpu_milli"},
	{"MEMORY", "status.used.memory", .format = format_bytes},
	{"OF", "spec.memory"},
	{"DISK", "status.used.disk", .wide = true, .format = format_bytes},
	{"OF", "spec.disk", .wide = true},
	{"INSTANCES", "status.used.instances"},
	{"OF", "spec.instances"},
	{"AGE", "metadata.created", .wide = true, .format = format_age},
};

static const struct column evaluation_columns[] = {
	{"ID", "metadata.name"},
	{"NAMESPACE", "metadata.namespace", .format = format_namespace},
	{"JOB", "spec.job"},
	{"TYPE", "spec.type", .wide = true},
	{"PRIORITY", "spec.priority", .wide = true},
	{"TRIGGER", "spec.trigger"},
	{"STATE", "status.state"},
	{"PLACED", "status.placed"},
	{"STOPPED", "status.stopped"},
	{"UNPLACED", "status.failed"},
	{"CONFLICTS", "status.conflicts", .wide = true},
	{"NOT BEFORE", "spec.wait_until", .wide = true},
	{"WAITS FOR", "status.waits_for"},
};

#define COLUMNS(a) .columns = (a), .column_count = COUNT(a)

const struct noun cli_nouns[] = {
	{"functions", "function", "fn", "Function", .writable = true, .namespaced = true,
		COLUMNS(function_columns)},
	{"endpoints", "endpoint", "ep", "Endpoint", .writable = true, COLUMNS(endpoint_columns)},
	{"gateways", "gateway", "gw", "Gateway", .writable = true, COLUMNS(gateway_columns)},
	{"jobs", "job", "jo", "Job", .writable = true, .namespaced = true, COLUMNS(job_columns)},
	{"quotas", "quota", "qu", "Quota", .writable = true, COLUMNS(quota_columns)},
	{"nodes", "node", "no", "Node", COLUMNS(node_columns)},
	{"instances", "instance", "in", "Instance", COLUMNS(instance_columns)},
	{"evaluations", "evaluation", "ev", "Evaluation", .numbered = true,
		COLUMNS(evaluation_columns)},
};
const size_t cli_noun_count = COUNT(cli_nouns);

const struct noun *noun_find(const char *word)
{
	for (size_t i = 0; i < cli_noun_count; i++) {
		const struct noun *n = &cli_nouns[i];

		if (!strcmp(word, n->plural) || !strcmp(word, n->singular) ||
			!strcmp(word, n->brief))
			return n;
	}
	return NULL;
}

const struct noun *noun_find_kind(const char *kind)
{
	for (size_t i = 0; i < cli_noun_count; i++) {
		if (strcmp(cli_nouns[i].kind, kind) == 0)
			return &cli_nouns[i];
	}
	return NULL;
}

const char *noun_names(char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < cli_noun_count && n < size; i++)
		n += (size_t)snprintf(
			text + n, size - n, "%s%s", i ? ", " : "", cli_nouns[i].plural);
	return text;
}

const char *noun_kinds(char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < cli_noun_count && n < size; i++)
		if (cli_nouns[i].writable)
			n += (size_t)snprintf(
				text + n, size - n, "%s%s", n ? ", " : "", cli_nouns[i].kind);
	return text;
}

const struct noun *noun_parse(struct cli *cli, const char *word)
{
	const struct noun *noun = noun_find(word);
	const char *best = NULL;
	int distance = SUGGEST_DISTANCE_MAX + 1;
	char names[200];

	if (noun)
		return noun;
	for (size_t i = 0; i < cli_noun_count; i++) {
		suggest_closer(word, strlen(word), cli_nouns[i].plural, &best, &distance);
		suggest_closer(word, strlen(word), cli_nouns[i].singular, &best, &distance);
	}
	if (best)
		cli_complain(cli, "there are no '%s'; did you mean '%s'?", word, best);
	else
		cli_complain(cli, "there are no '%s'; there are %s", word,
			noun_names(names, sizeof(names)));
	return NULL;
}

enum cli_exit noun_words(
	struct cli *cli, int argc, char **argv, const struct noun **noun, char **name)
{
	char *slash = argc == 1 ? strchr(argv[0], '/') : NULL;

	if (slash)
		*slash = '\0';
	*name = slash ? slash + 1 : argc > 1 ? argv[1] : NULL;
	*noun = noun_parse(cli, argv[0]);
	return *noun ? CLI_DONE : CLI_USAGE;
}

char *noun_path(const struct noun *noun, const char *ns, const char *name)
{
	const char *slash = name && noun->namespaced ? strchr(name, '/') : NULL;
	char *space = NULL, *last = NULL, *path = NULL;
	int r = -1;

	if (slash)
		space = strndup(name, (size_t)(slash - name));
	if (!name)
		return asprintf(&path, "/v1/%s", noun->plural) < 0 ? NULL : path;
	last = api_escape(slash ? slash + 1 : name);
	if (last && noun->namespaced) {
		char *first = api_escape(space ? space : ns);

		if (first)
			r = asprintf(&path, "/v1/%s/%s/%s", noun->plural, first, last);
		free(first);
	} else if (last) {
		r = asprintf(&path, "/v1/%s/%s", noun->plural, last);
	}
	free(space);
	free(last);
	return r < 0 ? NULL : path;
}

char *noun_title(const struct noun *noun, const json_t *resource)
{
	const char *ns = json_string_value(json_at(resource, "metadata.namespace"));
	const char *name = json_string_value(json_at(resource, "metadata.name"));
	bool show = noun->namespaced && ns && strcmp(ns, CLI_NAMESPACE_DEFAULT) != 0;
	char *title = NULL;

	if (asprintf(&title, "%s/%s%s%s", noun->singular, show ? ns : "", show ? "/" : "",
		    name ? name : "?") < 0)
		return NULL;
	return title;
}

const json_t *json_at(const json_t *value, const char *path)
{
	while (value && *path) {
		size_t len = strcspn(path, ".");

		value = json_object_getn(value, path, len);
		path += len + (path[len] == '.');
	}
	return value;
}
