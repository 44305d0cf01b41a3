// SPDX-License-Identifier: Apache-2.0
// events: what happened, one line each; with --follow also what happens.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/events.h"
#include "tools/cli/format.h"
#include "tools/cli/output.h"

struct values {
	bool follow;
	const char *kind;
	uint64_t after;
	uint64_t count;
};

static const struct option options[] = {
	{'f', "follow", NULL, "go on with events as they happen", OPTION_FLAG,
		offsetof(struct values, follow)},
	{0, "after", "SEQ", "only events behind this number", OPTION_COUNT,
		offsetof(struct values, after)},
	{0, "kind", "NOUN", "only events of functions, of jobs, of evaluations ...", OPTION_TEXT,
		offsetof(struct values, kind)},
	{0, "count", "N", "end after N events", OPTION_COUNT, offsetof(struct values, count)},
};

struct progress {
	uint64_t seen, limit;
	bool failed;
};

void event_print(FILE *out, const json_t *event)
{
	const char *kind = json_string_value(json_object_get(event, "kind"));
	const struct noun *noun = kind ? noun_find_kind(kind) : NULL;
	char time[64], name[160], type[64], text[512];

	format_plain(json_object_get(event, "time"), time, sizeof(time));
	format_plain(json_object_get(event, "name"), name, sizeof(name));
	format_plain(json_object_get(event, "type"), type, sizeof(type));
	format_plain(json_object_get(event, "text"), text, sizeof(text));
	format_clean(time);
	format_clean(name);
	format_clean(type);
	format_clean(text);
	// Some events are of the control plane itself.
	fprintf(out, "%6lld  %s  %s%s%s %s%s%s\n",
		(long long)json_integer_value(json_object_get(event, "seq")), time,
		noun ? noun->singular : "", *name ? "/" : "", *name ? name : "control plane", type,
		*text ? ": " : "", text);
}

// The last line of a stream that the control plane gives up: the follower was too slow.
static bool is_error(struct cli *cli, const json_t *event)
{
	const char *message = json_string_value(json_at(event, "error.message"));

	if (message)
		cli_complain(cli, "events: %s", message);
	return message != NULL;
}

static void print_event(struct cli *cli, const char *line, const json_t *event)
{
	if (cli->format == FORMAT_JSON) {
		fprintf(cli->out, "%s\n", line);
	} else if (cli->format == FORMAT_YAML) {
		fputs("---\n", cli->out);
		output_value(cli, event);
	} else {
		event_print(cli->out, event);
	}
}

static bool on_line(struct cli *cli, const char *line, void *user)
{
	struct progress *p = user;
	json_t *event = json_loads(line, 0, NULL);

	// An empty line, or half a one, is no event.
	if (!event)
		return true;
	p->failed = is_error(cli, event);
	if (!p->failed)
		print_event(cli, line, event);
	json_decref(event);
	// Readers behind a pipe see each event at once; a closed pipe ends it.
	if (p->failed || fflush(cli->out) != 0)
		return false;
	return ++p->seen != p->limit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct progress progress = {.limit = v->count};
	const struct noun *noun = v->kind ? noun_parse(cli, v->kind) : NULL;
	enum cli_exit exit;
	char path[120];

	if (v->kind && !noun)
		return CLI_USAGE;
	snprintf(path, sizeof(path), "/v1/events?after=%llu%s%s%s", (unsigned long long)v->after,
		v->follow ? "&follow=1" : "", noun ? "&kind=" : "", noun ? noun->kind : "");
	exit = api_stream(cli, path, on_line, &progress);
	return progress.failed ? CLI_REFUSED : exit;
}

const struct verb verb_events = {
	.name = "events",
	.words = "",
	.summary = "Show what happened to resources",
	.about = "Of rollouts each step is told, of evaluations those that failed; all others by "
		 "`penstock get\nevaluations`. -o json prints one JSON object a line, as the "
		 "control plane sends them.",
	.examples = "penstock events -f --kind job\npenstock events --after 120 --json | jq .name",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.run = run,
};
