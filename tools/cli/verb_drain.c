// SPDX-License-Identifier: Apache-2.0
// drain: moves the instances of a node elsewhere, or only keeps new ones off it, and lets it take
// them again.
#include <stdlib.h>

#include "tools/cli/api.h"
#include "tools/cli/output.h"

struct values {
	bool undo, keep;
	const char *deadline;
};

static const struct option options[] = {
	{0, "deadline", "TIME", "stop what is left there after this time, replaced or not",
		OPTION_TEXT, offsetof(struct values, deadline)},
	{0, "keep", NULL, "only put no new instances there: those that run stay", OPTION_FLAG,
		offsetof(struct values, keep)},
	{0, "undo", NULL, "let the node take instances again", OPTION_FLAG,
		offsetof(struct values, undo)},
};

// A deadline of an earlier drain does not count for this one.
static json_t *patch(const struct values *v, ns_t deadline)
{
	if (v->keep)
		return json_pack("{s:{s:b}}", "spec", "eligible", 0);
	return json_pack("{s:{s:b, s:b, s:I}}", "spec", "drain", (int)!v->undo, "eligible",
		(int)v->undo, "drain_deadline_ms", (json_int_t)(deadline / NS_PER_MS));
}

static void print(struct cli *cli, const struct values *v, const char *node)
{
	if (cli->format == FORMAT_NAME)
		fprintf(cli->out, "node/%s\n", node);
	else if (v->undo)
		fprintf(cli->out, "node/%s takes instances again\n", node);
	else if (v->keep)
		fprintf(cli->out, "node/%s takes no new instances; those that run there stay\n",
			node);
	else if (v->deadline)
		fprintf(cli->out,
			"node/%s is drained: its instances are replaced elsewhere, then stopped; "
			"what is left after %s is stopped all the same (penstock get nodes)\n",
			node, v->deadline);
	else
		fprintf(cli->out,
			"node/%s is drained: its instances are replaced elsewhere, then stopped "
			"(penstock get nodes)\n",
			node);
}

static enum cli_exit check(struct cli *cli, const struct values *v, ns_t *deadline)
{
	if (v->undo + v->keep + (v->deadline != NULL) > 1)
		return cli_usage(cli, "give one of --deadline, --keep and --undo");
	if (v->deadline && (option_span(v->deadline, deadline) != 0 || *deadline < NS_PER_MS))
		return cli_usage(
			cli, "--deadline takes a time such as 90s or 10m, not '%s'", v->deadline);
	return CLI_DONE;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct api_reply reply;
	char *path = noun_path(noun_find("node"), NULL, argv[0]);
	ns_t deadline = 0;
	json_t *body = NULL;
	enum cli_exit exit = check(cli, v, &deadline);

	if (exit == CLI_DONE)
		body = patch(v, deadline);
	if (exit != CLI_DONE) {
		free(path);
		return exit;
	}
	if (!path || !body) {
		free(path);
		json_decref(body);
		return CLI_REFUSED;
	}
	exit = api_call(cli,
		&(struct api_request){.method = "PATCH",
			.path = path,
			.body = body,
			.content_type = "application/merge-patch+json"},
		&reply);
	if (exit != CLI_DONE)
		api_complain(cli, argv[0], &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else
		print(cli, v, argv[0]);
	api_reply_end(&reply);
	json_decref(body);
	free(path);
	return exit;
}

const struct verb verb_drain = {
	.name = "drain",
	.words = "NODE",
	.summary = "Move the instances of a node to others",
	.about = "No new instances are put there until `penstock drain NODE --undo`.",
	.examples = "penstock drain node3\npenstock drain node3 --deadline 10m\n"
		    "penstock drain node3 --keep\npenstock drain node3 --undo",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.complete = WORDS_NODE,
	.run = run,
};
