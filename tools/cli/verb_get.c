// SPDX-License-Identifier: Apache-2.0
// get: resources as a table, or whole.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/output.h"

struct values {
	const char *label;
};

static const struct option options[] = {
	{'l', "label", "KEY=VALUE", "only resources with this label", OPTION_TEXT,
		offsetof(struct values, label)},
};

static enum cli_exit get_one(struct cli *cli, const struct noun *noun, const char *name)
{
	struct api_reply reply;
	char *path = noun_path(noun, cli_namespace(cli), name);
	enum cli_exit exit = CLI_REFUSED;

	if (!path)
		return exit;
	exit = api_get(cli, path, &reply);
	if (exit == CLI_DONE) {
		json_t *list = json_pack("[O]", reply.body);

		exit = list ? output_resources(cli, noun, list, true) : CLI_REFUSED;
		json_decref(list);
	} else {
		api_complain(cli, name, &reply);
	}
	api_reply_end(&reply);
	free(path);
	return exit;
}

// "namespace=..&label=.." of what was given.
static char *make_query(const struct cli *cli, const struct values *values)
{
	char *ns = cli->ns ? api_escape(cli->ns) : NULL;
	char *label = values->label ? api_escape(values->label) : NULL;
	char *query = NULL;

	if (asprintf(&query, "%s%s%s%s%s", ns ? "namespace=" : "", ns ? ns : "",
		    ns && label ? "&" : "", label ? "label=" : "", label ? label : "") < 0)
		query = NULL;
	free(ns);
	free(label);
	return query;
}

static enum cli_exit get_list(struct cli *cli, const struct noun *noun, const struct values *values)
{
	char *path = noun_path(noun, NULL, NULL), *query = make_query(cli, values);
	enum cli_exit exit = CLI_REFUSED;
	json_t *list = path && query ? api_list(cli, path, query, &exit) : NULL;

	if (list)
		exit = output_resources(cli, noun, list, false);
	json_decref(list);
	free(path);
	free(query);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct noun *noun;
	char *name;
	enum cli_exit exit = noun_words(cli, argc, argv, &noun, &name);

	if (exit != CLI_DONE)
		return exit;
	return name ? get_one(cli, noun, name) : get_list(cli, noun, values);
}

const struct verb verb_get = {
	.name = "get",
	.words = "NOUN [NAME]",
	.summary = "Show resources: functions, endpoints, gateways, nodes, instances",
	.about =
		"-o yaml shows a resource whole, with its defaults, in the form that apply takes.\n"
		"Without -n functions of all namespaces are listed. NOUN/NAME is taken as well.",
	.examples = "penstock get endpoints\npenstock get fn -n imagery -l team=imagery\n"
		    "penstock get endpoint orders -o yaml",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 2,
	.complete = WORDS_NOUN,
	.run = run,
};
