// SPDX-License-Identifier: Apache-2.0
// rollout: a word on how a new version of a function or job is rolled out.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/output.h"

static const struct {
	const char *action, *done;
} actions[] = {
	{"promote", "is promoted: the new version takes the place of the old one"},
	{"pause", "is paused: no more instances of the new version are placed"},
	{"resume", "goes on"},
	{"fail", "has failed: no more instances of the new version are placed"},
};
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

static enum cli_exit act(struct cli *cli, const struct noun *noun, const char *name, size_t action)
{
	struct api_reply reply = {0};
	char *at = noun_path(noun, cli_namespace(cli), name), *path = NULL;
	json_t *body = json_pack("{s:s}", "action", actions[action].action);
	enum cli_exit exit = CLI_REFUSED;

	if (at && body && asprintf(&path, "%s/deployment", at) >= 0)
		exit = api_call(cli,
			&(struct api_request){.method = "POST", .path = path, .body = body},
			&reply);
	if (exit != CLI_DONE)
		api_complain(cli, name, &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else if (cli->format == FORMAT_NAME)
		fprintf(cli->out, "%s/%s\n", noun->singular, name);
	else
		fprintf(cli->out, "%s/%s: the rollout %s\n", noun->singular, name,
			actions[action].done);
	api_reply_end(&reply);
	json_decref(body);
	free(path);
	free(at);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct noun *noun;
	enum cli_exit exit;
	size_t action = 0;
	char *name;

	while (action < ACTIONS && strcmp(argv[0], actions[action].action) != 0)
		action++;
	if (action == ACTIONS)
		return cli_usage(cli,
			"a rollout can be promoted, paused, resumed or failed, not "
			"'%s': penstock rollout promote function NAME",
			argv[0]);
	exit = noun_words(cli, argc - 1, argv + 1, &noun, &name);
	if (exit != CLI_DONE)
		return exit;
	if ((strcmp(noun->singular, "function") != 0 && strcmp(noun->singular, "job") != 0) ||
		!name)
		return cli_usage(cli,
			"functions and jobs are rolled out: penstock rollout %s "
			"function NAME",
			argv[0]);
	return act(cli, noun, name, action);
}

const struct verb verb_rollout = {
	.name = "rollout",
	.words = "promote|pause|resume|fail function|job NAME",
	.summary = "Promote, pause, resume or fail the rollout of a new version",
	.about = "How far it is: `penstock describe function NAME`, under status.deployment.",
	.examples =
		"penstock rollout promote function thumbnail\npenstock rollout pause job crawler",
	.words_min = 2,
	.words_max = 3,
	.complete = WORDS_ROLLOUT,
	.run = run,
};
