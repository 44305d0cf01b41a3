// SPDX-License-Identifier: Apache-2.0
// describe: all about one resource on a page: what is wanted, what is observed, what happened to
// it.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/events.h"
#include "tools/cli/format.h"
#include "tools/cli/output.h"
#include "tools/cli/yaml_out.h"

#define EVENTS_SHOWN 10
#define RELATED_SHOWN 20

// The last events of one resource.
struct recent {
	const char *kind, *ns, *name;
	json_t *events;
};

static bool same_text(const json_t *event, const char *key, const char *want)
{
	const char *text = json_string_value(json_object_get(event, key));

	// An event says nothing of namespaces where its kind has none.
	return !want || (text ? strcmp(text, want) == 0 : strcmp(key, "namespace") == 0);
}

static bool on_event(struct cli *cli, const char *line, void *user)
{
	struct recent *recent = user;
	json_t *event = json_loads(line, 0, NULL);

	if (event && same_text(event, "kind", recent->kind) &&
		same_text(event, "name", recent->name) &&
		same_text(event, "namespace", recent->ns)) {
		if (json_array_size(recent->events) == EVENTS_SHOWN)
			json_array_remove(recent->events, 0);
		json_array_append(recent->events, event);
	}
	json_decref(event);
	return true;
}

static void print_head(struct cli *cli, const json_t *resource)
{
	static const struct {
		const char *title, *path;
	} rows[] = {
		{"Kind", "kind"},
		{"Name", "metadata.name"},
		{"Namespace", "metadata.namespace"},
		{"Version", "metadata.version"},
		{"Created", "metadata.created"},
		{"Updated", "metadata.updated"},
	};
	char text[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		format_plain(json_at(resource, rows[i].path), text, sizeof(text));
		format_clean(text);
		if (*text)
			fprintf(cli->out, "%-11s%s\n", rows[i].title, text);
	}
}

static void print_part(struct cli *cli, const char *title, const json_t *value)
{
	if (!value || (json_is_object(value) && json_object_size(value) == 0))
		return;
	fprintf(cli->out, "%s\n", title);
	yaml_write(cli->out, value, 2);
}

static enum cli_exit print_events(struct cli *cli, const struct noun *noun, const json_t *resource)
{
	struct recent recent = {
		.kind = noun->kind,
		.ns = json_string_value(json_at(resource, "metadata.namespace")),
		.name = json_string_value(json_at(resource, "metadata.name")),
		.events = json_array(),
	};
	enum cli_exit exit = api_stream(cli, "/v1/events?after=0", on_event, &recent);
	size_t i;
	json_t *event;

	if (json_array_size(recent.events) > 0)
		fputs("Events\n", cli->out);
	json_array_foreach(recent.events, i, event) event_print(cli->out, event);
	json_decref(recent.events);
	return exit;
}

// ---- what belongs to it ----

// The first ones of a list, under a title, if there are any.
static enum cli_exit print_list(
	struct cli *cli, const char *title, const struct noun *noun, const char *query)
{
	struct api_reply reply = {0};
	enum cli_exit exit;
	char path[300];
	json_t *items;

	snprintf(path, sizeof(path), "/v1/%s?limit=%d&%s", noun->plural, RELATED_SHOWN, query);
	exit = api_get(cli, path, &reply);
	items = json_object_get(reply.body, "items");
	if (exit != CLI_DONE)
		api_complain(cli, noun->plural, &reply);
	if (json_array_size(items)) {
		fprintf(cli->out, "%s\n", title);
		exit = output_resources(cli, noun, items, false);
		if (json_object_get(reply.body, "next"))
			fprintf(cli->out, "... and more: penstock get %s\n", noun->plural);
	}
	api_reply_end(&reply);
	return exit;
}

// Instances of functions, jobs and nodes; evaluations; jobs that a job has made.
static enum cli_exit print_related(struct cli *cli, const struct noun *noun, const json_t *resource)
{
	const char *ns = json_string_value(json_at(resource, "metadata.namespace"));
	const char *name = json_string_value(json_at(resource, "metadata.name"));
	bool job = strcmp(noun->singular, "job") == 0;
	enum cli_exit exit = CLI_DONE;
	char query[200];

	if (name && strcmp(noun->singular, "node") == 0) {
		snprintf(query, sizeof(query), "node=%.63s", name);
		return print_list(cli, "Instances", noun_find("instance"), query);
	}
	if (!name || !ns || (!job && strcmp(noun->singular, "function") != 0))
		return CLI_DONE;
	snprintf(
		query, sizeof(query), "function=%.63s%%2F%.63s%s", ns, name, job ? "&ended=1" : "");
	exit = print_list(cli, "Instances", noun_find("instance"), query);
	snprintf(query, sizeof(query), "parent=%.63s%%2F%.63s", ns, name);
	if (exit == CLI_DONE && json_at(resource, "status.children"))
		exit = print_list(cli, "Jobs made", noun, query);
	snprintf(query, sizeof(query), "job=%.63s%%2F%.63s", ns, name);
	if (exit == CLI_DONE)
		exit = print_list(cli, "Evaluations", noun_find("evaluation"), query);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct noun *noun;
	struct api_reply reply = {0};
	char *name, *path = NULL;
	enum cli_exit exit = noun_words(cli, argc, argv, &noun, &name);

	if (exit != CLI_DONE)
		return exit;
	if (!name)
		return cli_usage(cli, "name the %s: penstock describe %s NAME", noun->singular,
			noun->singular);
	path = noun_path(noun, cli_namespace(cli), name);
	if (!path)
		return CLI_REFUSED;
	exit = api_get(cli, path, &reply);
	if (exit != CLI_DONE) {
		api_complain(cli, name, &reply);
	} else if (output_is_data(cli)) {
		output_value(cli, reply.body);
	} else {
		print_head(cli, reply.body);
		print_part(cli, "Labels", json_at(reply.body, "metadata.labels"));
		print_part(cli, "Spec", json_at(reply.body, "spec"));
		print_part(cli, "Status", json_at(reply.body, "status"));
		exit = print_related(cli, noun, reply.body);
		if (exit == CLI_DONE)
			exit = print_events(cli, noun, reply.body);
	}
	api_reply_end(&reply);
	free(path);
	return exit;
}

const struct verb verb_describe = {
	.name = "describe",
	.words = "NOUN NAME",
	.summary = "Show one resource with its state, what belongs to it and its last events",
	.examples = "penstock describe endpoint orders\npenstock describe gw gw1\n"
		    "penstock describe job import",
	.words_min = 1,
	.words_max = 2,
	.complete = WORDS_NOUN,
	.run = run,
};
