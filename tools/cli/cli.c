// SPDX-License-Identifier: Apache-2.0
// One run of the command line: global options, the verb's row, its options, its function.
#include "tools/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/api.h"
#include "tools/cli/suggest.h"

void cli_complain(struct cli *cli, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("penstock: ", cli->err);
	vfprintf(cli->err, format, args);
	fputc('\n', cli->err);
	va_end(args);
}

enum cli_exit cli_usage(struct cli *cli, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("penstock: ", cli->err);
	vfprintf(cli->err, format, args);
	fputc('\n', cli->err);
	va_end(args);
	return CLI_USAGE;
}

const char *cli_namespace(const struct cli *cli)
{
	return cli->ns ? cli->ns : CLI_NAMESPACE_DEFAULT;
}

static enum cli_exit unknown_verb(struct cli *cli, const char *word)
{
	const char *best = NULL;
	int distance = SUGGEST_DISTANCE_MAX + 1;

	for (size_t i = 0; i < cli_verb_count; i++)
		suggest_closer(word, strlen(word), cli_verbs[i]->name, &best, &distance);
	if (best)
		return cli_usage(cli, "there is no verb '%s'; did you mean '%s'?", word, best);
	return cli_usage(cli, "there is no verb '%s'; `penstock --help` lists them", word);
}

static enum cli_exit choose_format(struct cli *cli)
{
	static const char *const names[] = {
		[FORMAT_TABLE] = "table",
		[FORMAT_WIDE] = "wide",
		[FORMAT_JSON] = "json",
		[FORMAT_YAML] = "yaml",
		[FORMAT_NAME] = "name",
	};

	cli->format = cli->json ? FORMAT_JSON : FORMAT_TABLE;
	if (!cli->output)
		return CLI_DONE;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(cli->output, names[i]) != 0)
			continue;
		if (cli->json && i != FORMAT_JSON)
			return cli_usage(
				cli, "--json and -o %s contradict each other", cli->output);
		cli->format = (enum cli_format)i;
		return CLI_DONE;
	}
	return cli_usage(cli, "-o takes table, wide, json, yaml or name, not '%s'", cli->output);
}

static void choose_socket(struct cli *cli)
{
	const char *env = getenv(CLI_SOCKET_ENV);

	if (!cli->socket)
		cli->socket = env && *env ? env : CLI_SOCKET_DEFAULT;
}

static enum cli_exit check_words(struct cli *cli, const struct verb *verb, int count, char **words)
{
	if (count < verb->words_min)
		return cli_usage(cli, "usage: penstock %s %s; `penstock %s --help` tells more",
			verb->name, verb->words, verb->name);
	if (count > verb->words_max)
		return cli_usage(cli, "unexpected '%s'; usage: penstock %s%s%s",
			words[verb->words_max], verb->name, *verb->words ? " " : "", verb->words);
	return CLI_DONE;
}

static enum cli_exit run_verb(
	struct cli *cli, const struct verb *verb, void *values, int argc, char **argv, char **words)
{
	const struct option_set sets[2] = {
		{verb->options, verb->option_count, values},
		{cli_global_options, cli_global_option_count, cli},
	};
	char error[OPTION_ERROR_MAX];
	int count;
	enum cli_exit exit;

	if (option_parse(sets, argc, argv, false, words, &count, error) < 0)
		return cli_usage(cli, "%s; `penstock %s --help` tells more", error, verb->name);
	if (cli->help) {
		cli_verb_help(cli->out, verb);
		return CLI_DONE;
	}
	choose_socket(cli);
	exit = verb->own_output ? CLI_DONE : choose_format(cli);
	if (exit == CLI_DONE)
		exit = check_words(cli, verb, count, words);
	return exit == CLI_DONE ? verb->run(cli, values, count, words) : exit;
}

static enum cli_exit find_and_run(struct cli *cli, int argc, char **argv, char **words)
{
	const struct verb *verb = cli_verb_find(argv[0]);
	void *values;
	enum cli_exit exit;

	if (!verb)
		return unknown_verb(cli, argv[0]);
	values = calloc(1, verb->values_bytes ? verb->values_bytes : 1);
	if (!values) {
		cli_complain(cli, "out of memory");
		return CLI_REFUSED;
	}
	exit = run_verb(cli, verb, values, argc - 1, argv + 1, words);
	free(values);
	return exit;
}

static enum cli_exit parse_and_run(struct cli *cli, int argc, char **argv, char **words)
{
	const struct option_set globals[2] = {{cli_global_options, cli_global_option_count, cli}};
	char error[OPTION_ERROR_MAX];
	int count;
	int at = option_parse(globals, argc - 1, argv + 1, true, words, &count, error);

	if (at < 0)
		return cli_usage(cli, "%s; `penstock --help` tells more", error);
	if (cli->version) {
		fprintf(cli->out, "penstock %s\n", PENSTOCK_VERSION);
		return CLI_DONE;
	}
	if (at + 1 < argc)
		return find_and_run(cli, argc - 1 - at, argv + 1 + at, words);
	if (!cli->help) {
		cli_help(cli->err);
		return CLI_USAGE;
	}
	cli_help(cli->out);
	return CLI_DONE;
}

enum cli_exit cli_main(struct cli *cli, int argc, char **argv)
{
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	enum cli_exit exit = CLI_REFUSED;

	if (words)
		exit = parse_and_run(cli, argc, argv, words);
	free(words);
	api_close(cli);
	// A reader that went away (`| head`) is no failure; a full disk is.
	if (fflush(cli->out) != 0 && exit == CLI_DONE) {
		cli_complain(cli, "cannot write the output");
		exit = CLI_REFUSED;
	}
	return exit;
}
