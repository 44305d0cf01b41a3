// SPDX-License-Identifier: Apache-2.0
// logs: what instances write to standard output and error; of one, or of all of a function.
//
// Following several at a time takes a process for each, so that none waits for another.
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cli/api.h"
#include "tools/cli/nouns.h"

#define SHORT_ID 8
#define FOLLOWED_MAX 64

struct values {
	bool follow;
	const char *tail;
};

static const struct option options[] = {
	{'f', "follow", NULL, "go on with what is written", OPTION_FLAG,
		offsetof(struct values, follow)},
	{0, "tail", "N", "so many lines of what was written before (100)", OPTION_TEXT,
		offsetof(struct values, tail)},
};

struct source {
	const char *id;
	const char *prefix;  // of each line; NULL: none
};

static bool on_line(struct cli *cli, const char *line, void *user)
{
	const struct source *s = user;

	if (s->prefix)
		fprintf(cli->out, "%.*s | %s\n", SHORT_ID, s->prefix, line);
	else
		fprintf(cli->out, "%s\n", line);
	// Readers behind a pipe see each line at once; a closed pipe ends it.
	return fflush(cli->out) == 0;
}

static enum cli_exit stream(
	struct cli *cli, struct source *source, uint64_t tail, bool follow)
{
	char path[200];

	snprintf(path, sizeof(path), "/v1/instances/%s/logs?tail=%llu%s", source->id,
		(unsigned long long)tail, follow ? "&follow=1" : "");
	return api_stream(cli, path, on_line, source);
}

// A process an instance; ends when all have ended.
static enum cli_exit follow_all(struct cli *cli, const json_t *instances, uint64_t tail)
{
	pid_t children[FOLLOWED_MAX];
	enum cli_exit exit = CLI_DONE;
	size_t count = 0, i;
	json_t *item;

	fflush(cli->out);
	json_array_foreach(instances, i, item)
	{
		const char *id = json_string_value(json_at(item, "metadata.name"));
		struct source source = {id, id};

		if (!id || count == FOLLOWED_MAX)
			continue;
		children[count] = fork();
		if (children[count] == 0) {
			cli->api = NULL;  // its connection is the parent's
			_exit(stream(cli, &source, tail, true));
		}
		count += children[count] > 0;
	}
	for (i = 0; i < count; i++) {
		int status = 0;

		waitpid(children[i], &status, 0);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != CLI_DONE)
			exit = CLI_REFUSED;
	}
	return exit;
}

static enum cli_exit print_all(struct cli *cli, const json_t *instances, uint64_t tail)
{
	bool several = json_array_size(instances) > 1;
	enum cli_exit exit = CLI_DONE;
	size_t i;
	json_t *item;

	json_array_foreach(instances, i, item)
	{
		const char *id = json_string_value(json_at(item, "metadata.name"));
		struct source source = {id, several ? id : NULL};
		enum cli_exit one = id ? stream(cli, &source, tail, false) : CLI_DONE;

		exit = one == CLI_DONE ? exit : one;
	}
	return exit;
}

// The instances of a function of this name; NULL with *exit.
static json_t *instances_of(struct cli *cli, const char *name, enum cli_exit *exit)
{
	const char *slash = strchr(name, '/');
	char query[200];

	snprintf(query, sizeof(query), "function=%s%s%s", slash ? "" : cli_namespace(cli),
		slash ? "" : "%2F", name);
	return api_list(cli, "/v1/instances", query, exit);
}

// An id, or the beginning of one: nothing else is made of hexadecimal digits alone and so long.
static bool is_id(const char *word)
{
	return strlen(word) >= SHORT_ID && word[strspn(word, "0123456789abcdef")] == '\0';
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct source one = {argv[0], NULL};
	uint64_t tail = 100;
	enum cli_exit exit;
	json_t *instances;

	if (v->tail && option_count(v->tail, &tail) != 0)
		return cli_usage(cli, "--tail must be a whole number, but is '%s'", v->tail);
	if (is_id(argv[0]))
		return stream(cli, &one, tail, v->follow);
	instances = instances_of(cli, argv[0], &exit);
	if (!instances)
		return exit;
	if (json_array_size(instances) == 0) {
		cli_complain(cli, "there is no instance of a function %s (penstock get instances)",
			argv[0]);
		exit = CLI_REFUSED;
	} else if (v->follow && json_array_size(instances) > 1) {
		exit = follow_all(cli, instances, tail);
	} else if (v->follow) {
		one.id = json_string_value(
			json_at(json_array_get(instances, 0), "metadata.name"));
		exit = stream(cli, &one, tail, true);
	} else {
		exit = print_all(cli, instances, tail);
	}
	json_decref(instances);
	return exit;
}

const struct verb verb_logs = {
	.name = "logs",
	.words = "INSTANCE|FUNCTION",
	.summary = "Show what instances write to standard output and error",
	.about = "Of several instances each line begins with the first part of the id.",
	.examples = "penstock logs thumbnail\npenstock logs -f 12804192f07d1c34",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.complete = WORDS_FUNCTION,
	.run = run,
};
