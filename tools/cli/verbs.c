// SPDX-License-Identifier: Apache-2.0
// The tables: every verb, the options that all verbs take; and the help that is printed from them.
#include <string.h>

#include "tools/cli/nouns.h"

const struct verb *const cli_verbs[] = {
	&verb_status,
	&verb_apply,
	&verb_plan,
	&verb_get,
	&verb_describe,
	&verb_delete,
	&verb_scale,
	&verb_run,
	&verb_rollout,
	&verb_drain,
	&verb_logs,
	&verb_call,
	&verb_stats,
	&verb_top,
	&verb_events,
	&verb_explain,
	&verb_doctor,
	&verb_test,
	&verb_port,
	&verb_completion,
	&verb_help,
};
const size_t cli_verb_count = sizeof(cli_verbs) / sizeof(cli_verbs[0]);

const struct option cli_global_options[] = {
	{0, "socket", "PATH", "the control socket (" CLI_SOCKET_DEFAULT ", or $" CLI_SOCKET_ENV ")",
		OPTION_TEXT, offsetof(struct cli, socket)},
	{'o', "output", "FORMAT", "table, wide, json, yaml or name", OPTION_TEXT,
		offsetof(struct cli, output)},
	{0, "json", NULL, "short for -o json", OPTION_FLAG, offsetof(struct cli, json)},
	{'n', "namespace", "NAME", "the namespace of functions (" CLI_NAMESPACE_DEFAULT ")",
		OPTION_TEXT, offsetof(struct cli, ns)},
	{'h', "help", NULL, "tell how to use penstock or the verb", OPTION_FLAG,
		offsetof(struct cli, help)},
	{'V', "version", NULL, "print the version", OPTION_FLAG, offsetof(struct cli, version)},
};
const size_t cli_global_option_count = sizeof(cli_global_options) / sizeof(cli_global_options[0]);

const struct verb *cli_verb_find(const char *name)
{
	for (size_t i = 0; i < cli_verb_count; i++) {
		if (strcmp(cli_verbs[i]->name, name) == 0)
			return cli_verbs[i];
	}
	return NULL;
}

static void print_options(FILE *out, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct option *o = &options[i];
		int width = fprintf(out, "  %c%c%s --%s%s%s", o->letter ? '-' : ' ',
			o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
			o->value ? " " : "", o->value ? o->value : "");

		fprintf(out, "%*s%s\n", width < 28 ? 28 - width : 2, "", o->help);
	}
}

void cli_help(FILE *out)
{
	char names[200];

	fputs("usage: penstock VERB [NOUN] [NAME] [OPTIONS]\n\nVerbs\n", out);
	for (size_t i = 0; i < cli_verb_count; i++)
		fprintf(out, "  %-12s%s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
	fprintf(out,
		"\nNouns: %s (singular and short forms too)\n\nOptions of all verbs\n",
		noun_names(names, sizeof(names)));
	print_options(out, cli_global_options, cli_global_option_count);
	fputs("\nExit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 control socket not "
	      "reached.\n"
	      "`penstock VERB --help` tells more; `penstock doctor` checks this machine.\n",
		out);
}

// The examples' lines, indented.
static void print_lines(FILE *out, const char *lines)
{
	while (*lines) {
		size_t len = strcspn(lines, "\n");

		fprintf(out, "  %.*s\n", (int)len, lines);
		lines += len + (lines[len] == '\n');
	}
}

void cli_verb_help(FILE *out, const struct verb *verb)
{
	fprintf(out, "usage: penstock %s%s%s [OPTIONS]\n\n%s.\n", verb->name,
		*verb->words ? " " : "", verb->words, verb->summary);
	if (verb->about)
		fprintf(out, "%s\n", verb->about);
	if (verb->option_count) {
		fputs("\nOptions\n", out);
		print_options(out, verb->options, verb->option_count);
	}
	if (verb->examples) {
		fputs("\nExamples\n", out);
		print_lines(out, verb->examples);
	}
	fputs("\n`penstock --help` shows the options of all verbs.\n", out);
}
