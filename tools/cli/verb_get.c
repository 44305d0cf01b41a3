// SPDX-License-Identifier: Apache-2.0
// get: resources as a table, or whole.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/output.h"

struct values {
	const char *label, *of, *status;
	bool ended;
};

static const struct option options[] = {
	{'l', "label", "KEY=VALUE", "only resources with this label", OPTION_TEXT,
		offsetof(struct values, label)},
	{0, "of", "NAME", "only instances, evaluations and made jobs of this function or job",
		OPTION_TEXT, offsetof(struct values, of)},
	{0, "status", "STATUS",
		"only evaluations that are pending, blocked, complete, failed or cancelled",
		OPTION_TEXT, offsetof(struct values, status)},
	{0, "ended", NULL, "also instances that have ended", OPTION_FLAG,
		offsetof(struct values, ended)},
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

// Adds "NAME=VALUE" of what was given. False: out of memory.
static bool add_query(char **query, const char *name, const char *value)
{
	char *escaped = value ? api_escape(value) : NULL, *longer = NULL;
	int n = 0;

	if (!value)
		return true;
	if (escaped)
		n = asprintf(&longer, "%s%s%s=%s", *query ? *query : "", *query ? "&" : "", name,
			escaped);
	free(escaped);
	if (n <= 0)
		return false;
	free(*query);
	*query = longer;
	return true;
}

// What --of is called there.
static const char *owner_of(const struct noun *noun)
{
	if (strcmp(noun->singular, "instance") == 0)
		return "function";
	return strcmp(noun->singular, "job") == 0 ? "parent" : "job";
}

// "namespace=..&label=.." of what was given; NULL: out of memory.
static char *make_query(const struct cli *cli, const struct noun *noun, const struct values *values)
{
	char *query = NULL;

	if (add_query(&query, "namespace", cli->ns) && add_query(&query, "label", values->label) &&
		add_query(&query, owner_of(noun), values->of) &&
		add_query(&query, "status", values->status) &&
		add_query(&query, "ended", values->ended ? "1" : NULL))
		return query ? query : strdup("");
	free(query);
	return NULL;
}

static enum cli_exit get_list(struct cli *cli, const struct noun *noun, const struct values *values)
{
	char *path = noun_path(noun, NULL, NULL), *query = make_query(cli, noun, values);
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
	.summary = "Show resources: functions, jobs, instances, nodes, evaluations and so on",
	.about =
		"-o yaml shows a resource whole, with its defaults, in the form that apply takes.\n"
		"Without -n functions and jobs of all namespaces are listed. NOUN/NAME is taken as "
		"well.",
	.examples =
		"penstock get endpoints\npenstock get fn -n imagery -l team=imagery\n"
		"penstock get endpoint orders -o yaml\npenstock get evaluations --status blocked\n"
		"penstock get instances --of import --ended",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 2,
	.complete = WORDS_NOUN,
	.run = run,
};
