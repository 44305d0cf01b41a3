// SPDX-License-Identifier: Apache-2.0
// logs: what instances write to standard output and error; of one, or of all of a function or job.
// The control plane brings them together.
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/nouns.h"

#define SHORT_ID 8

struct values {
	bool follow;
	const char *tail, *instance;
};

static const struct option options[] = {
	{'f', "follow", NULL, "go on with what is written", OPTION_FLAG,
		offsetof(struct values, follow)},
	{0, "tail", "N", "so many lines of what each wrote before (100)", OPTION_TEXT,
		offsetof(struct values, tail)},
	{'i', "instance", "INSTANCE", "only this one: the index of a job's, or an id", OPTION_TEXT,
		offsetof(struct values, instance)},
};

static bool on_line(struct cli *cli, const char *line, void *user)
{
	fprintf(cli->out, "%s\n", line);
	// Readers behind a pipe see each line at once; a closed pipe ends it.
	return fflush(cli->out) == 0;
}

static enum cli_exit stream(
	struct cli *cli, const char *at, const struct values *v, unsigned long long tail)
{
	char *instance = v->instance ? api_escape(v->instance) : NULL, *path = NULL;
	enum cli_exit exit = CLI_REFUSED;

	if (asprintf(&path, "%s/logs?tail=%llu%s%s%s", at, tail, v->follow ? "&follow=1" : "",
		    instance ? "&instance=" : "", instance ? instance : "") >= 0)
		exit = api_stream(cli, path, on_line, NULL);
	free(path);
	free(instance);
	return exit;
}

// An id, or the beginning of one: nothing else is made of hexadecimal digits alone and so long.
static bool is_id(const char *word)
{
	return strlen(word) >= SHORT_ID && word[strspn(word, "0123456789abcdef")] == '\0';
}

// A name alone is a function's, or else a job's: there is none of both.
static const struct noun *noun_of(struct cli *cli, const char *name)
{
	char *path = noun_path(noun_find("function"), cli_namespace(cli), name);
	struct api_reply reply = {0};
	const struct noun *noun = noun_find("function");

	if (path && api_get(cli, path, &reply) == CLI_REFUSED && reply.status == 404)
		noun = noun_find("job");
	if (reply.exit == CLI_UNREACHABLE)
		noun = NULL;
	api_reply_end(&reply);
	free(path);
	return noun;
}

// NOUN/NAME: the noun, and *name behind it. NULL: the word does not begin with a noun.
static const struct noun *cut_noun(char *word, char **name)
{
	char *slash = strchr(word, '/');
	const struct noun *noun;

	if (!slash)
		return NULL;
	*slash = '\0';
	noun = noun_find(word);
	if (noun)
		*name = slash + 1;
	else
		*slash = '/';
	return noun;
}

static enum cli_exit find(
	struct cli *cli, int argc, char **argv, const struct noun **noun, char **name)
{
	*name = argv[argc - 1];
	if (argc == 2) {
		*noun = noun_parse(cli, argv[0]);
		return *noun ? CLI_DONE : CLI_USAGE;
	}
	*noun = is_id(argv[0]) ? noun_find("instance") : cut_noun(argv[0], name);
	if (!*noun)
		*noun = noun_of(cli, *name);
	return *noun ? CLI_DONE : CLI_UNREACHABLE;
}

static bool has_logs(const struct noun *noun)
{
	static const char *const have[] = {"instance", "function", "job"};

	for (size_t i = 0; i < sizeof(have) / sizeof(have[0]); i++)
		if (strcmp(noun->singular, have[i]) == 0)
			return true;
	return false;
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	const struct noun *noun;
	uint64_t tail = 100;
	enum cli_exit exit;
	char *name, *at;

	if (v->tail && option_count(v->tail, &tail) != 0)
		return cli_usage(cli, "--tail must be a whole number, but is '%s'", v->tail);
	exit = find(cli, argc, argv, &noun, &name);
	if (exit != CLI_DONE)
		return exit;
	if (!has_logs(noun))
		return cli_usage(cli,
			"%s have no logs of their own: instances, functions and jobs do",
			noun->plural);
	if (v->instance && strcmp(noun->singular, "instance") == 0)
		return cli_usage(cli, "--instance is for functions and jobs");
	at = noun_path(noun, cli_namespace(cli), name);
	exit = at ? stream(cli, at, v, tail) : CLI_REFUSED;
	free(at);
	return exit;
}

const struct verb verb_logs = {
	.name = "logs",
	.words = "[function|job|instance] NAME",
	.summary = "Show what instances write to standard output and error",
	.about = "Of several instances each line begins with the instance: of a job its group and "
		 "index, of\na function a part of the id. A name alone is a function's or a job's, "
		 "or "
		 "the beginning of an\ninstance's id. Of each node at most 8 logs are read at a "
		 "time.",
	.examples = "penstock logs thumbnail\npenstock logs -f 12804192f07d1c34\n"
		    "penstock logs job import-1763900000\npenstock logs job render -f --instance 3",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 2,
	.complete = WORDS_LOGS,
	.run = run,
};
