// SPDX-License-Identifier: Apache-2.0
// delete: a resource by name, or those of manifests, the last one first.
#include <stdlib.h>

#include "tools/cli/api.h"
#include "tools/cli/batch.h"
#include "tools/cli/output.h"

struct values {
	struct option_list files;
	bool if_exists;
};

static const struct option options[] = {
	{'f', "file", "FILE", "delete what these manifests name; may be repeated", OPTION_LIST,
		offsetof(struct values, files)},
	{0, "if-exists", NULL, "what is not there is no failure", OPTION_FLAG,
		offsetof(struct values, if_exists)},
};

static void tell(
	struct cli *cli, json_t *told, const char *title, bool absent, const json_t *was)
{
	if (output_is_data(cli))
		json_array_append_new(told,
			json_pack("{s:s, s:s, s:O*}", "resource", title, "change",
				absent ? "absent" : "deleted", "result", absent ? NULL : was));
	else if (cli->format != FORMAT_NAME)
		fprintf(cli->out, "%s %s\n", title, absent ? "not there" : "deleted");
	else if (!absent)
		fprintf(cli->out, "%s\n", title);
}

// told: an array, of what is printed for programs at the end.
static enum cli_exit delete_one(struct cli *cli, const struct values *values, json_t *told,
	const char *path, const char *title)
{
	struct api_reply reply;
	enum cli_exit exit =
		api_call(cli, &(struct api_request){.method = "DELETE", .path = path}, &reply);
	bool absent = exit == CLI_REFUSED && reply.status == 404 && values->if_exists;

	if (exit == CLI_DONE || absent)
		tell(cli, told, title, absent, reply.body);
	else
		api_complain(cli, title, &reply);
	api_reply_end(&reply);
	return absent ? CLI_DONE : exit;
}

// The last one first: a manifest names what others build on before them. Goes on after a refusal.
static enum cli_exit delete_files(struct cli *cli, const struct values *values, json_t *told)
{
	struct batch batch;
	enum cli_exit exit = batch_load(cli, &values->files, &batch);

	if (exit != CLI_DONE)
		goto out;
	for (size_t i = batch.count; i-- > 0 && exit != CLI_UNREACHABLE;) {
		enum cli_exit one =
			delete_one(cli, values, told, batch.items[i].path, batch.items[i].title);

		exit = one == CLI_DONE ? exit : one;
	}
out:
	batch_fini(&batch);
	return exit;
}

static enum cli_exit delete_name(
	struct cli *cli, const struct values *values, json_t *told, int argc, char **argv)
{
	const struct noun *noun;
	char *name, *path, *title = NULL;
	enum cli_exit exit = noun_words(cli, argc, argv, &noun, &name);

	if (exit != CLI_DONE)
		return exit;
	if (!name)
		return cli_usage(cli, "name the %s: penstock delete %s NAME", noun->singular,
			noun->singular);
	path = noun_path(noun, cli_namespace(cli), name);
	exit = CLI_REFUSED;
	if (path && asprintf(&title, "%s/%s", noun->singular, name) > 0)
		exit = delete_one(cli, values, told, path, title);
	free(title);
	free(path);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	enum cli_exit exit;
	json_t *told;

	if (argc > 0 && v->files.count > 0)
		return cli_usage(cli, "give a noun and a name, or -f FILE, not both");
	if (argc == 0 && v->files.count == 0)
		return cli_usage(
			cli, "usage: penstock delete NOUN NAME, or penstock delete -f FILE");
	told = json_array();
	exit = argc ? delete_name(cli, v, told, argc, argv) : delete_files(cli, v, told);
	if (output_is_data(cli) && exit != CLI_USAGE)
		output_value(cli, told);
	json_decref(told);
	return exit;
}

const struct verb verb_delete = {
	.name = "delete",
	.words = "[NOUN NAME]",
	.summary = "Delete a resource, or all that manifests name",
	.examples = "penstock delete endpoint orders\npenstock delete -f orders.yaml --if-exists",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_max = 2,
	.complete = WORDS_NOUN,
	.run = run,
};
