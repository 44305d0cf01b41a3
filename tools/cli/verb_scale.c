// SPDX-License-Identifier: Apache-2.0
// scale: how many instances a function has.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/output.h"

// A maximum below the new count moves along; else it stays what it is.
static json_t *patch(const json_t *resource, uint64_t count)
{
	json_int_t max = json_integer_value(json_at(resource, "spec.scale.max"));
	json_t *scale = json_pack("{s:I}", "min", (json_int_t)count);

	if ((json_int_t)count > max)
		json_object_set_new(scale, "max", json_integer((json_int_t)count));
	return json_pack("{s:{s:o}}", "spec", "scale", scale);
}

static enum cli_exit scale(struct cli *cli, const char *path, const char *name, uint64_t count)
{
	struct api_reply now, reply = {0};
	enum cli_exit exit = api_get(cli, path, &now);
	json_t *body;

	if (exit != CLI_DONE) {
		api_complain(cli, name, &now);
		api_reply_end(&now);
		return exit;
	}
	body = patch(now.body, count);
	// Only as it was seen: else a maximum set meanwhile might be undone.
	exit = api_call(cli,
		&(struct api_request){.method = "PATCH",
			.path = path,
			.body = body,
			.if_match = now.etag,
			.content_type = "application/merge-patch+json"},
		&reply);
	if (exit != CLI_DONE)
		api_complain(cli, name, &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else if (cli->format == FORMAT_NAME)
		fprintf(cli->out, "function/%s\n", name);
	else
		fprintf(cli->out, "function/%s scaled from %lld to %llu\n", name,
			(long long)json_integer_value(json_at(now.body, "spec.scale.min")),
			(unsigned long long)count);
	json_decref(body);
	api_reply_end(&now);
	api_reply_end(&reply);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct noun *noun = noun_find("function");
	enum cli_exit exit;
	uint64_t count;
	char *path;

	if (option_count(argv[1], &count) != 0)
		return cli_usage(cli, "the number of instances must be a whole number, but is '%s'",
			argv[1]);
	path = noun_path(noun, cli_namespace(cli), argv[0]);
	if (!path)
		return CLI_REFUSED;
	exit = scale(cli, path, argv[0], count);
	free(path);
	return exit;
}

const struct verb verb_scale = {
	.name = "scale",
	.words = "FUNCTION N",
	.summary = "Set how many instances a function has",
	.about = "Sets spec.scale.min, and raises spec.scale.max if it is smaller.",
	.examples = "penstock scale thumbnail 20\npenstock scale imagery/tiles 0",
	.words_min = 2,
	.words_max = 2,
	.complete = WORDS_FUNCTION,
	.run = run,
};
