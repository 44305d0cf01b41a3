// SPDX-License-Identifier: Apache-2.0
// status: is everything well? Control plane, gateways, endpoints, calls at a glance; what is wrong,
// with what to do.
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/format.h"
#include "tools/cli/output.h"
#include "tools/cli/stats_view.h"
#include "tools/cli/table.h"

struct overview {
	json_t *health, *stats, *gateways, *endpoints;
};

// Health is an answer also when it is bad: 503 with the same body.
static enum cli_exit get_health(struct cli *cli, json_t **out)
{
	struct api_reply reply;
	enum cli_exit exit = api_get(cli, "/v1/health", &reply);

	if (exit != CLI_UNREACHABLE && json_object_get(reply.body, "status")) {
		*out = json_incref(reply.body);
		exit = CLI_DONE;
	} else {
		api_complain(cli, "health", &reply);
	}
	api_reply_end(&reply);
	return exit;
}

static enum cli_exit get_stats(struct cli *cli, json_t **out)
{
	struct api_reply reply;
	enum cli_exit exit = api_get(cli, "/v1/stats", &reply);

	if (exit == CLI_DONE)
		*out = json_incref(reply.body);
	else
		api_complain(cli, "stats", &reply);
	api_reply_end(&reply);
	return exit;
}

static enum cli_exit get_all(struct cli *cli, struct overview *o)
{
	enum cli_exit exit = get_health(cli, &o->health);

	if (exit == CLI_DONE)
		exit = get_stats(cli, &o->stats);
	if (exit == CLI_DONE)
		o->gateways = api_list(cli, "/v1/gateways", NULL, &exit);
	if (exit == CLI_DONE)
		o->endpoints = api_list(cli, "/v1/endpoints", NULL, &exit);
	return exit;
}

static void print_control_plane(struct cli *cli, const json_t *health)
{
	char version[64], up[32];

	format_plain(json_object_get(health, "version"), version, sizeof(version));
	fprintf(cli->out, "control plane  %s, version %s, up %s, %lld routes, change %lld\n",
		json_string_value(json_object_get(health, "status")), version,
		format_span(json_number_value(json_object_get(health, "uptime_ms")) / 1000, up,
			sizeof(up)),
		(long long)json_integer_value(json_object_get(health, "services")),
		(long long)json_integer_value(json_object_get(health, "seq")));
}

static void print_counts(struct cli *cli, const struct overview *o)
{
	size_t connected = 0, count[ADDRESS_STATES] = {0}, i;
	char states[128];
	json_t *item;

	json_array_foreach(o->gateways, i, item) connected +=
		json_is_true(json_at(item, "status.connected"));
	json_array_foreach(o->endpoints, i, item)
		format_address_states(json_object_get(item, "status"), count);
	format_states(count, states, sizeof(states));
	fprintf(cli->out, "gateways       %zu of %zu connected\n", connected,
		json_array_size(o->gateways));
	fprintf(cli->out, "nodes          %lld of %lld ready\n",
		(long long)json_integer_value(json_at(o->health, "nodes.ready")),
		(long long)json_integer_value(json_at(o->health, "nodes.known")));
	if (json_at(o->health, "evaluations"))
		fprintf(cli->out, "evaluations    %lld wait for a worker, %lld for room%s\n",
			(long long)json_integer_value(json_at(o->health, "evaluations.ready")),
			(long long)json_integer_value(json_at(o->health, "evaluations.blocked")),
			json_integer_value(json_at(o->health, "evaluations.blocked"))
				? " (penstock get evaluations --status blocked)"
				: "");
	fprintf(cli->out, "endpoints      %zu%s%s\n", json_array_size(o->endpoints),
		*states ? ", addresses: " : "", states);
	fputs("calls          ", cli->out);
	stats_write_total(cli->out, o->stats);
}

static void print_problems(struct cli *cli, const json_t *problems)
{
	char text[512];
	size_t i;
	json_t *problem;

	json_array_foreach(problems, i, problem)
	{
		format_plain(json_object_get(problem, "problem"), text, sizeof(text));
		format_clean(text);
		fprintf(cli->out, "problem        %s\n", text);
		format_plain(json_object_get(problem, "hint"), text, sizeof(text));
		format_clean(text);
		if (*text)
			fprintf(cli->out, "               %s\n", text);
	}
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	struct overview o = {0};
	enum cli_exit exit = get_all(cli, &o);
	const char *status = json_string_value(json_object_get(o.health, "status"));

	if (exit != CLI_DONE)
		goto out;
	if (output_is_data(cli)) {
		json_t *all = json_pack("{s:O, s:O, s:O, s:O}", "health", o.health, "gateways",
			o.gateways, "endpoints", o.endpoints, "stats", o.stats);

		output_value(cli, all);
		json_decref(all);
	} else {
		print_control_plane(cli, o.health);
		print_counts(cli, &o);
		print_problems(cli, json_object_get(o.health, "problems"));
	}
	if (status && strcmp(status, "failed") == 0)
		exit = CLI_REFUSED;
out:
	json_decref(o.health);
	json_decref(o.stats);
	json_decref(o.gateways);
	json_decref(o.endpoints);
	return exit;
}

const struct verb verb_status = {
	.name = "status",
	.words = "",
	.summary = "Tell at a glance whether everything is well",
	.about = "Exit code 1 when the control plane says that it failed; what is merely degraded "
		 "is told.",
	.examples = "penstock status\npenstock status --json | jq .health.problems",
	.run = run,
};
