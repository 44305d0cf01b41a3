// SPDX-License-Identifier: Apache-2.0
// explain: why a call to a route goes where it goes. Applies the gateways' own rule (exact first,
// then the longest prefix) to what the control plane knows, and shows what each gateway sees of the
// targets.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/explain.h"
#include "tools/cli/format.h"
#include "tools/cli/output.h"
#include "tools/cli/suggest.h"
#include "tools/cli/table.h"

struct search {
	char ns[64];
	const char *route;
	json_t *found;        // resources that declare the best route
	char best[256];       // that route; empty: none
	const char *nearest;  // a similar exact route
	int distance;
};

// Bytes of the route that this declaration covers: all for an exact one. 0: it does not match.
static size_t match(const struct search *s, const char *ns, const char *declared)
{
	const char *slash = strchr(declared, '/');
	size_t ns_len = slash ? (size_t)(slash - declared) : strlen(ns), len;

	if (slash)
		ns = declared;
	if (strlen(s->ns) != ns_len || strncmp(s->ns, ns, ns_len) != 0)
		return 0;
	declared = slash ? slash + 1 : declared;
	len = strlen(declared);
	if (strcmp(declared, s->route) == 0)
		return len + 1;  // exact beats a prefix of the same length
	return len && declared[len - 1] == '.' && strncmp(s->route, declared, len) == 0 ? len : 0;
}

static size_t best_len(const struct search *s)
{
	size_t len = strlen(s->best);

	return strcmp(s->best, s->route) == 0 ? len + 1 : len;
}

static void consider(struct search *s, json_t *resource, const char *declared)
{
	const char *ns = json_string_value(json_at(resource, "metadata.namespace"));
	const char *slash = strchr(declared, '/'), *route = slash ? slash + 1 : declared;
	size_t len = match(s, ns ? ns : CLI_NAMESPACE_DEFAULT, declared);

	suggest_closer(s->route, strlen(s->route), route, &s->nearest, &s->distance);
	if (!len || len < best_len(s))
		return;
	if (len > best_len(s) || !*s->best) {
		json_array_clear(s->found);
		snprintf(s->best, sizeof(s->best), "%s", route);
	}
	json_array_append(s->found, resource);
}

static enum cli_exit look(struct cli *cli, struct search *s, json_t **functions, json_t **endpoints)
{
	enum cli_exit exit;
	size_t i, r;
	json_t *item, *route;

	*functions = api_list(cli, "/v1/functions", NULL, &exit);
	if (exit == CLI_DONE)
		*endpoints = api_list(cli, "/v1/endpoints", NULL, &exit);
	if (exit != CLI_DONE)
		return exit;
	json_array_foreach(*functions, i, item)
	{
		const char *name = json_string_value(json_at(item, "metadata.name"));

		if (name)
			consider(s, item, name);
	}
	json_array_foreach(*endpoints, i, item)
	{
		json_array_foreach(json_at(item, "spec.routes"), r, route)
		{
			if (json_is_string(route))
				consider(s, item, json_string_value(route));
		}
	}
	return CLI_DONE;
}

static void add_target(
	struct table *t, const char *endpoint, const json_t *address, const json_t *seen)
{
	static const char *const paths[] = {
		"gateway", "state", "connections", "in_flight", "last_error"};
	char text[TABLE_CELL_MAX];

	table_cell(t, endpoint);
	format_plain(json_object_get(address, "address"), text, sizeof(text));
	table_cell(t, text);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		format_plain(json_object_get(seen, paths[i]), text, sizeof(text));
		table_cell(t, text);
	}
}

// Every address of the endpoints found, once for each gateway; their states go to count.
static void print_targets(struct cli *cli, const json_t *found, size_t count[ADDRESS_STATES])
{
	static const char *const titles[] = {
		"FROM", "ADDRESS", "GATEWAY", "STATE", "CONNECTIONS", "IN FLIGHT", "LAST ERROR"};
	struct table t = {0};
	size_t i, a, g;
	json_t *resource, *address, *seen;

	for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		table_column(&t, titles[i], i == 4 || i == 5);
	json_array_foreach(found, i, resource)
	{
		const char *name = json_string_value(json_at(resource, "metadata.name"));

		format_address_states(json_object_get(resource, "status"), count);
		json_array_foreach(json_at(resource, "status.addresses"), a, address)
		{
			const json_t *gateways = json_object_get(address, "gateways");

			if (json_array_size(gateways) == 0)
				add_target(&t, name ? name : "", address, NULL);
			json_array_foreach(gateways, g, seen)
				add_target(&t, name ? name : "", address, seen);
		}
	}
	if (t.count)
		table_print(&t, cli->out);
	table_fini(&t);
}

static enum cli_exit print(struct cli *cli, const struct search *s)
{
	const json_t *first = json_array_get(s->found, 0);
	const char *kind = json_string_value(json_at(first, "kind"));
	bool exact = strcmp(s->best, s->route) == 0;
	size_t count[ADDRESS_STATES] = {0};

	fprintf(cli->out, "%s in namespace %s: %s%s\n", s->route, s->ns,
		exact ? "declared as it is" : "by the longest prefix, ", exact ? "" : s->best);
	if (kind && strcmp(kind, "Function") == 0)
		return explain_hosts(cli, first);
	print_targets(cli, s->found, count);
	if (count[ADDRESS_UP] + count[ADDRESS_IDLE] + count[ADDRESS_CONNECTING] > 0)
		fputs("Each call goes to the less loaded of two that are not down; idle ones are "
		      "dialled then.\n",
			cli->out);
	else if (count[ADDRESS_DOWN] > 0)
		fputs("All are down: calls are REJECTED until one of them accepts a connection.\n",
			cli->out);
	else
		fputs("No connected gateway knows them: see `penstock status`.\n", cli->out);
	return CLI_DONE;
}

static enum cli_exit explain_route(struct cli *cli, const char *name)
{
	const char *slash = strchr(name, '/');
	struct search s = {.route = slash ? slash + 1 : name,
		.found = json_array(),
		.distance = SUGGEST_DISTANCE_MAX + 1};
	json_t *functions = NULL, *endpoints = NULL;
	enum cli_exit exit;

	snprintf(s.ns, sizeof(s.ns), "%.*s", slash ? (int)(slash - name) : 63,
		slash ? name : cli_namespace(cli));
	exit = look(cli, &s, &functions, &endpoints);
	if (exit != CLI_DONE)
		goto out;
	if (output_is_data(cli)) {
		json_t *all = json_pack("{s:s, s:s, s:s, s:O}", "namespace", s.ns, "route", s.route,
			"matched", s.best, "declared_by", s.found);

		output_value(cli, all);
		json_decref(all);
	} else if (json_array_size(s.found)) {
		exit = print(cli, &s);
	}
	if (json_array_size(s.found) == 0) {
		cli_complain(cli,
			"nothing declares the route %s in namespace %s: calls are REJECTED%s%s%s",
			s.route, s.ns, s.nearest ? "; did you mean " : "",
			s.nearest ? s.nearest : "", s.nearest ? "?" : "");
		exit = CLI_REFUSED;
	}
out:
	json_decref(functions);
	json_decref(endpoints);
	json_decref(s.found);
	return exit;
}

static enum cli_exit explain(struct cli *cli, const char *what, const char *name)
{
	const struct noun *noun = noun_find(what);

	if (strcmp(what, "route") == 0)
		return explain_route(cli, name);
	if (noun && strcmp(noun->singular, "instance") == 0)
		return explain_instance(cli, name);
	if (noun && (strcmp(noun->singular, "job") == 0 || strcmp(noun->singular, "function") == 0))
		return explain_job(cli, noun, name);
	if (noun && strcmp(noun->singular, "evaluation") == 0)
		return explain_evaluation(cli, name);
	return cli_usage(cli, "routes and instances, jobs, functions and evaluations can be "
			      "explained: penstock explain route NAME");
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	char *slash = argc == 1 ? strchr(argv[0], '/') : NULL;

	if (argc == 1 && !slash)
		return cli_usage(cli, "name the %s: penstock explain %s NAME", argv[0], argv[0]);
	if (slash)
		*slash = '\0';
	return explain(cli, argv[0], slash ? slash + 1 : argv[1]);
}

const struct verb verb_explain = {
	.name = "explain",
	.words = "route|instance|job|function|evaluation NAME",
	.summary = "Tell where calls go, why an instance is where it is, what a job waits for",
	.examples = "penstock explain route orders\npenstock explain route imagery/person.find\n"
		    "penstock explain instance 12804192f07d1c34\npenstock explain job import",
	.words_min = 1,
	.words_max = 2,
	.complete = WORDS_EXPLAIN,
	.run = run,
};
