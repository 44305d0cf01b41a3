// SPDX-License-Identifier: Apache-2.0
// run: makes a job of a templated one, with a payload and meta.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/base64.h"
#include "tools/cli/api.h"
#include "tools/cli/nouns.h"
#include "tools/cli/output.h"

#define PAYLOAD_MAX ((size_t)16 << 10) // what the control plane takes

struct values {
	const char *data, *file, *token;
	struct option_list meta;
};

static const struct option options[] = {
	{'d', "data", "TEXT", "the payload", OPTION_TEXT, offsetof(struct values, data)},
	{'f', "file", "FILE", "the payload from a file, or - for standard input", OPTION_TEXT,
		offsetof(struct values, file)},
	{'m', "meta", "KEY=VALUE", "a value that the template asks for; may be repeated",
		OPTION_LIST, offsetof(struct values, meta)},
	{0, "token", "TOKEN", "run it once: again with the same token makes no other job",
		OPTION_TEXT, offsetof(struct values, token)},
};

static json_t *base64(const void *bytes, size_t len)
{
	char *text = malloc(BASE64_TEXT_BYTES(len));
	json_t *json = NULL;

	if (text) {
		base64_encode(bytes, len, text);
		json = json_string(text);
	}
	free(text);
	return json;
}

// The file's bytes as Base64; NULL after a complaint.
static json_t *read_file(struct cli *cli, const char *path)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *bytes = malloc(PAYLOAD_MAX + 1);
	json_t *json = NULL;
	size_t len = in && bytes ? fread(bytes, 1, PAYLOAD_MAX + 1, in) : 0;

	if (!in || (bytes && ferror(in)))
		cli_complain(cli, "cannot read %s: %s", path, strerror(errno));
	else if (len > PAYLOAD_MAX)
		cli_complain(cli,
			"%s is longer than %zu bytes, the most that a payload has: put it where "
			"the job can fetch it, and send its name",
			path, PAYLOAD_MAX);
	else if (bytes)
		json = base64(bytes, len);
	if (in && in != stdin)
		fclose(in);
	free(bytes);
	return json;
}

static enum cli_exit add_meta(struct cli *cli, const struct option_list *list, json_t *body)
{
	json_t *meta = json_object();

	for (size_t i = 0; i < list->count; i++) {
		const char *equals = strchr(list->item[i], '=');

		if (!equals || equals == list->item[i]) {
			json_decref(meta);
			return cli_usage(cli, "--meta takes KEY=VALUE, not '%s'", list->item[i]);
		}
		if (json_object_setn_new(meta, list->item[i], (size_t)(equals - list->item[i]),
			    json_string(equals + 1))) {
			json_decref(meta);
			return cli_usage(cli,
				"--meta takes UTF-8 text: give other bytes as the payload");
		}
	}
	if (list->count)
		json_object_set(body, "meta", meta);
	json_decref(meta);
	return CLI_DONE;
}

static enum cli_exit make_body(struct cli *cli, const struct values *v, json_t *body)
{
	json_t *payload;

	if (v->data && v->file)
		return cli_usage(cli, "give --data or --file, not both");
	if (v->token && json_object_set_new(body, "token", json_string(v->token)))
		return cli_usage(cli, "--token takes UTF-8 text");
	// What is no text goes as bytes.
	if (v->data && json_object_set_new(body, "text", json_string(v->data)))
		json_object_set_new(body, "payload", base64(v->data, strlen(v->data)));
	if (v->file) {
		payload = read_file(cli, v->file);
		if (!payload)
			return CLI_REFUSED;
		json_object_set_new(body, "payload", payload);
	}
	return add_meta(cli, &v->meta, body);
}

static void print(struct cli *cli, const char *template, const json_t *answer)
{
	const char *ns = json_string_value(json_object_get(answer, "namespace"));
	const char *job = json_string_value(json_object_get(answer, "job"));
	bool show = ns && strcmp(ns, CLI_NAMESPACE_DEFAULT) != 0;
	bool created = json_is_true(json_object_get(answer, "created"));

	fprintf(cli->out, "job/%s%s%s", show ? ns : "", show ? "/" : "", job ? job : "?");
	if (cli->format != FORMAT_NAME)
		fprintf(cli->out, "%s job/%s%s", created ? " made of" : " was made before of",
			template, created ? "" : ", with the same token");
	fputc('\n', cli->out);
}

static enum cli_exit dispatch(struct cli *cli, const char *name, const json_t *body)
{
	struct api_reply reply = {0};
	char *at = noun_path(noun_find("job"), cli_namespace(cli), name), *path = NULL;
	enum cli_exit exit = CLI_REFUSED;

	if (at && asprintf(&path, "%s/dispatch", at) >= 0)
		exit = api_call(cli,
			&(struct api_request){.method = "POST", .path = path, .body = body},
			&reply);
	if (exit != CLI_DONE)
		api_complain(cli, name, &reply);
	else if (output_is_data(cli))
		output_value(cli, reply.body);
	else
		print(cli, name, reply.body);
	api_reply_end(&reply);
	free(path);
	free(at);
	return exit;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct noun *noun;
	enum cli_exit exit;
	json_t *body;
	char *name;

	exit = noun_words(cli, argc, argv, &noun, &name);
	if (exit != CLI_DONE)
		return exit;
	if (strcmp(noun->singular, "job") != 0 || !name)
		return cli_usage(cli, "jobs are run: penstock run job NAME");
	body = json_object();
	exit = make_body(cli, values, body);
	if (exit == CLI_DONE)
		exit = dispatch(cli, name, body);
	json_decref(body);
	return exit;
}

const struct verb verb_run = {
	.name = "run",
	.words = "job NAME",
	.summary = "Run a templated job with a payload and meta, or a scheduled one now",
	.about = "The job that is made has a name of its own; it is printed. `penstock logs job "
		 "NAME` "
		 "shows\nwhat it writes, `penstock describe job NAME` how it ended.",
	.examples = "penstock run job render --data scene-7 --meta zoom=12\n"
		    "penstock run job import -f day.csv --token 2026-11-23\n"
		    "penstock run job nightly",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 2,
	.complete = WORDS_JOB,
	.run = run,
};
