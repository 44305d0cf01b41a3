// SPDX-License-Identifier: Apache-2.0
// explain: instances and the hosts of functions, from what the control plane knows.
#include "tools/cli/explain.h"

#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/format.h"
#include "tools/cli/nouns.h"
#include "tools/cli/output.h"
#include "tools/cli/table.h"

static const char *text(const json_t *value, const char *path)
{
	const char *found = json_string_value(json_at(value, path));

	return found ? found : "";
}

static long long number(const json_t *value, const char *path)
{
	return (long long)json_integer_value(json_at(value, path));
}

// ---- an instance ----

static void print_why(FILE *out, const json_t *why)
{
	long long considered = number(why, "considered");

	fprintf(out, "Placed by evaluation %lld, because %s.\n", number(why, "evaluation"),
		text(why, "trigger"));
	fprintf(out,
		"Of %lld node%s considered, %lld could not take it by state or constraint and %lld "
		"had no room.\n",
		considered, considered == 1 ? "" : "s", number(why, "infeasible"),
		number(why, "full"));
	fprintf(out, "This one scored %.3f (free room left, 1 is best)",
		json_real_value(json_at(why, "score")));
	if (json_real_value(json_at(why, "runner_up")) > 0)
		fprintf(out, "; the next best %.3f", json_real_value(json_at(why, "runner_up")));
	fputs(".\n", out);
}

static void print_instance(FILE *out, const json_t *i)
{
	const char *reason = text(i, "status.reason");
	const char *job = text(i, "spec.job");

	fprintf(out, "%s: instance of %s%s/%s, version %lld, on node %s\n",
		text(i, "metadata.name"), *job ? "job " : "", text(i, "metadata.namespace"),
		*job ? job : text(i, "spec.function"), number(i, "spec.version"),
		text(i, "spec.node"));
	fprintf(out, "It is to %s; it is %s since %s%s.%s%s\n", text(i, "spec.desired"),
		text(i, "status.state"), text(i, "status.since"),
		*job ? ""
		: json_is_true(json_at(i, "status.ready")) &&
				strcmp(text(i, "spec.desired"), "run") == 0
			? " and takes calls"
			: " and takes no calls",
		*reason ? " " : "", reason);
	if (number(i, "status.restarts"))
		fprintf(out, "It was started again %lld times.\n", number(i, "status.restarts"));
	if (json_at(i, "status.why"))
		print_why(out, json_at(i, "status.why"));
}

enum cli_exit explain_instance(struct cli *cli, const char *id)
{
	char *path = noun_path(noun_find("instance"), NULL, id);
	struct api_reply reply;
	enum cli_exit exit;

	if (!path)
		return CLI_REFUSED;
	exit = api_get(cli, path, &reply);
	if (exit != CLI_DONE)
		api_complain(cli, id, &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else
		print_instance(cli->out, reply.body);
	api_reply_end(&reply);
	free(path);
	return exit;
}

// ---- the hosts of a function ----

// As gateways are told.
static void print_targets(struct cli *cli, const json_t *function)
{
	static const char *const paths[] = {"name", "version", "instances", "address"};
	static const char *const titles[] = {"NODE", "VERSION", "INSTANCES", "ADDRESS"};
	struct table t = {0};
	char cell[TABLE_CELL_MAX];
	json_t *target;
	size_t i;

	for (int k = 0; k < 4; k++)
		table_column(&t, titles[k], k == 1 || k == 2);
	json_array_foreach(json_at(function, "status.targets"), i, target)
	{
		for (int k = 0; k < 4; k++) {
			format_plain(json_object_get(target, paths[k]), cell, sizeof(cell));
			table_cell(&t, cell);
		}
	}
	table_print(&t, cli->out);
	table_fini(&t);
	fputs("Each call goes to the less loaded of two of these hosts, chosen at random; there an "
	      "idle instance takes it.\n",
		cli->out);
	if (!number(function, "status.ready"))
		fputs("None of them was heard of lately: gateways are sent there until others are "
		      "ready, and find out themselves who answers.\n",
			cli->out);
}

static void print_waiting(struct cli *cli, const json_t *function)
{
	const json_t *evaluation = json_at(function, "status.evaluation");
	const json_t *excluded = json_at(evaluation, "excluded_nodes");
	const char *what;
	json_t *nodes;

	if (!number(evaluation, "failed"))
		return;
	fprintf(cli->out, "The last evaluation %s.\n", text(evaluation, "text"));
	json_object_foreach((json_t *)(uintptr_t)excluded, what, nodes)
		fprintf(cli->out, "  %s excluded %lld node%s\n", what,
			(long long)json_integer_value(nodes),
			json_integer_value(nodes) == 1 ? "" : "s");
	if (!number(evaluation, "considered"))
		fputs("  there is no node: start penstock-fnhost\n", cli->out);
}

static void print_function(struct cli *cli, const json_t *function)
{
	if (json_array_size(json_at(function, "status.targets")))
		print_targets(cli, function);
	else
		fputs("No instance takes calls: they are REJECTED.\n", cli->out);
	fprintf(cli->out, "Wanted are %lld, ready %lld, starting %lld, failed %lld.\n",
		number(function, "spec.scale.min"), number(function, "status.ready"),
		number(function, "status.starting"), number(function, "status.failed"));
	print_waiting(cli, function);
}

enum cli_exit explain_hosts(struct cli *cli, const json_t *function)
{
	char *path = noun_path(noun_find("function"), text(function, "metadata.namespace"),
		text(function, "metadata.name"));
	struct api_reply reply;
	enum cli_exit exit;

	if (!path)
		return CLI_REFUSED;
	exit = api_get(cli, path, &reply);
	if (exit == CLI_DONE)
		print_function(cli, reply.body);
	else
		api_complain(cli, path, &reply);
	api_reply_end(&reply);
	free(path);
	return exit;
}
