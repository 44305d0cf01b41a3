// SPDX-License-Identifier: Apache-2.0
// drain: moves the instances of a node elsewhere, and lets it take new ones again.
#include <stdlib.h>

#include "tools/cli/api.h"
#include "tools/cli/nouns.h"

struct values {
	bool undo;
};

static const struct option options[] = {
	{0, "undo", NULL, "let the node take instances again", OPTION_FLAG,
		offsetof(struct values, undo)},
};

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct api_reply reply;
	char *path = noun_path(noun_find("node"), NULL, argv[0]);
	json_t *body = json_pack(
		"{s:{s:b, s:b}}", "spec", "drain", (int)!v->undo, "eligible", (int)v->undo);
	enum cli_exit exit;

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
	else if (cli->format == FORMAT_NAME)
		fprintf(cli->out, "node/%s\n", argv[0]);
	else if (v->undo)
		fprintf(cli->out, "node/%s takes instances again\n", argv[0]);
	else
		fprintf(cli->out,
			"node/%s is drained: its instances are replaced elsewhere, then stopped "
			"(penstock get nodes)\n",
			argv[0]);
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
	.examples = "penstock drain node3\npenstock drain node3 --undo",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.complete = WORDS_NODE,
	.run = run,
};
