// SPDX-License-Identifier: Apache-2.0
// completion: scripts for bash and zsh, made from the table of verbs, so they never name what is
// not there.
//
// Names of resources are asked for when they are needed: `penstock get NOUN -o name`.
#include <string.h>

#include "tools/cli/nouns.h"

static void write_verbs(FILE *out)
{
	for (size_t i = 0; i < cli_verb_count; i++)
		fprintf(out, "%s%s", i ? " " : "", cli_verbs[i]->name);
}

static void write_nouns(FILE *out)
{
	for (size_t i = 0; i < cli_noun_count; i++)
		fprintf(out, "%s%s %s", i ? " " : "", cli_nouns[i].plural, cli_nouns[i].singular);
}

static void write_options(FILE *out, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (options[i].letter)
			fprintf(out, " -%c", options[i].letter);
		fprintf(out, " --%s", options[i].name);
	}
}

// "verb) options="...";;" for each verb.
static void write_option_cases(FILE *out)
{
	for (size_t i = 0; i < cli_verb_count; i++) {
		if (!cli_verbs[i]->option_count)
			continue;
		fprintf(out, "\t%s) options=\"$options", cli_verbs[i]->name);
		write_options(out, cli_verbs[i]->options, cli_verbs[i]->option_count);
		fputs("\" ;;\n", out);
	}
}

// "\tget:0|describe:0) " of the verbs whose words are of this kind. False if there is none.
static bool write_case(FILE *out, enum cli_words words, int count)
{
	bool any = false;

	for (size_t i = 0; i < cli_verb_count; i++) {
		if (cli_verbs[i]->complete != words)
			continue;
		fprintf(out, "%s%s:%d", any ? "|" : "\t", cli_verbs[i]->name, count);
		any = true;
	}
	fputs(any ? ") " : "", out);
	return any;
}

// What may stand at a verb's first and second word.
static void write_words(FILE *out)
{
	if (write_case(out, WORDS_NOUN, 0)) {
		fputs("echo \"", out);
		write_nouns(out);
		fputs("\" ;;\n", out);
	}
	if (write_case(out, WORDS_NOUN, 1))
		fputs("penstock get \"$noun\" -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
	if (write_case(out, WORDS_ROUTE, 0))
		fputs("penstock get functions -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
	if (write_case(out, WORDS_VERB, 0)) {
		fputs("echo \"", out);
		write_verbs(out);
		fputs("\" ;;\n", out);
	}
	if (write_case(out, WORDS_SHELL, 0))
		fputs("echo \"bash zsh\" ;;\n", out);
	if (write_case(out, WORDS_EXPLAIN, 0))
		fputs("echo \"route instance job function evaluation\" ;;\n", out);
	if (write_case(out, WORDS_EXPLAIN, 1))
		fputs("[[ $noun == route ]] || penstock get \"$noun\" -o name 2>/dev/null "
		      "| sed 's,^[^/]*/,,' ;;\n",
			out);
	if (write_case(out, WORDS_PORT, 0))
		fputs("echo \"list bind unbind\" ;;\n", out);
	if (write_case(out, WORDS_PORT, 1))
		fputs("[[ $noun == list ]] || penstock port list -o name 2>/dev/null ;;\n", out);
	if (write_case(out, WORDS_FUNCTION, 0))
		fputs("penstock get functions -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
	if (write_case(out, WORDS_JOB, 0))
		fputs("echo \"job\" ;;\n", out);
	if (write_case(out, WORDS_JOB, 1))
		fputs("penstock get jobs -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
	if (write_case(out, WORDS_ROLLOUT, 0))
		fputs("echo \"promote pause resume fail\" ;;\n", out);
	if (write_case(out, WORDS_ROLLOUT, 1))
		fputs("echo \"function job\" ;;\n", out);
	if (write_case(out, WORDS_ROLLOUT, 2))
		fputs("penstock get \"$noun\" -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
	if (write_case(out, WORDS_LOGS, 0))
		fputs("echo \"function job instance $(penstock get functions -o name 2>/dev/null | sed "
		      "'s,^[^/]*/,,')\" ;;\n",
			out);
	if (write_case(out, WORDS_LOGS, 1))
		fputs("penstock get \"$noun\" -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
	if (write_case(out, WORDS_NODE, 0))
		fputs("penstock get nodes -o name 2>/dev/null | sed 's,^[^/]*/,,' ;;\n", out);
}

static void write_value_cases(
	FILE *out, const char *verb, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct option *o = &options[i];

		if (!o->value)
			continue;
		fputc('\t', out);
		if (o->letter)
			fprintf(out, "%s:-%c|", verb, o->letter);
		fprintf(out, "%s:--%s) echo '%s' ;;\n", verb, o->name, o->value);
	}
}

// A function that prints what the option $2 of the verb $1 takes, as --help calls it; nothing for
// flags.
static void write_values(FILE *out)
{
	fputs("_penstock_value() {\n\tcase $1:$2 in\n", out);
	for (size_t i = 0; i < cli_verb_count; i++)
		write_value_cases(
			out, cli_verbs[i]->name, cli_verbs[i]->options, cli_verbs[i]->option_count);
	write_value_cases(out, "*", cli_global_options, cli_global_option_count);
	fputs("\tesac\n}\n\n", out);
}

// The function both shells share: prints the candidates for the word $4 behind the verb $1, $2
// words after it, of which $3 is the last.
static void write_candidates(FILE *out)
{
	fputs("_penstock_candidates() {\n\tlocal verb=$1 count=$2 noun=$3 word=$4 options=\"", out);
	write_options(out, cli_global_options, cli_global_option_count);
	fputs("\"\n\tcase $verb in\n", out);
	write_option_cases(out);
	fputs("\tesac\n\tif [[ $word == -* ]]; then\n\t\techo \"$options\"\n\t\treturn\n\tfi\n"
	      "\tif [[ -z $verb ]]; then\n\t\techo \"",
		out);
	write_verbs(out);
	fputs("\"\n\t\treturn\n\tfi\n\tcase $verb:$count in\n", out);
	write_words(out);
	fputs("\tesac\n}\n\n", out);
}

// Finds verb, last word and count of the words before the one to complete; the shells differ in how
// they call the words.
static void write_scan(FILE *out, const char *words, const char *current, int first)
{
	fprintf(out,
		"\tlocal word=${%s[%s]} takes= verb= noun= count=0 i\n"
		"\tfor ((i = %d; i < %s; i++)); do\n"
		"\t\ttakes=$(_penstock_value \"$verb\" \"${%s[i]}\")\n"
		"\t\tif [[ -n $takes ]]; then\n\t\t\t((i++))\n"
		"\t\telif [[ ${%s[i]} == -* ]]; then\n\t\t\tcontinue\n"
		"\t\telif [[ -z $verb ]]; then\n\t\t\tverb=${%s[i]}\n"
		"\t\telse\n\t\t\tnoun=${%s[i]}\n\t\t\t((++count))\n\t\tfi\n"
		"\tdone\n"
		"\ttakes=$(_penstock_value \"$verb\" \"${%s[%s-1]}\")\n",
		words, current, first, current, words, words, words, words, words, current);
}

static void write_bash(FILE *out)
{
	fputs("# bash completion of penstock; made by `penstock completion bash`\n\n", out);
	write_values(out);
	write_candidates(out);
	fputs("_penstock() {\n", out);
	write_scan(out, "COMP_WORDS", "COMP_CWORD", 1);
	fputs("\tcase $takes in\n"
	      "\tFILE|PATH|DIRECTORY) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
	      "\tFORMAT) COMPREPLY=($(compgen -W 'table wide json yaml name' -- \"$word\")) ;;\n"
	      "\t?*) COMPREPLY=() ;;\n"
	      "\t*) COMPREPLY=($(compgen -W \\\n"
	      "\t\t\"$(_penstock_candidates \"$verb\" \"$count\" \"$noun\" \"$word\")\" -- "
	      "\"$word\")) ;;\n"
	      "\tesac\n}\n\ncomplete -F _penstock penstock\n",
		out);
}

static void write_zsh(FILE *out)
{
	fputs("#compdef penstock\n# zsh completion of penstock; made by `penstock completion "
	      "zsh`\n\n",
		out);
	write_values(out);
	write_candidates(out);
	fputs("_penstock() {\n", out);
	write_scan(out, "words", "CURRENT", 2);
	fputs("\tcase $takes in\n"
	      "\tFILE|PATH|DIRECTORY) _files ;;\n"
	      "\tFORMAT) compadd -- table wide json yaml name ;;\n"
	      "\t?*) ;;\n"
	      "\t*) compadd -- ${=\"$(_penstock_candidates \"$verb\" \"$count\" \"$noun\" "
	      "\"$word\")\"} ;;\n"
	      "\tesac\n}\n\n"
	      "if [[ $funcstack[1] == _penstock ]]; then _penstock; else compdef _penstock "
	      "penstock; fi\n",
		out);
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	if (strcmp(argv[0], "bash") == 0)
		write_bash(cli->out);
	else if (strcmp(argv[0], "zsh") == 0)
		write_zsh(cli->out);
	else
		return cli_usage(
			cli, "there is completion for bash and zsh, not for '%s'", argv[0]);
	return CLI_DONE;
}

const struct verb verb_completion = {
	.name = "completion",
	.words = "bash|zsh",
	.summary = "Print a script that completes penstock's verbs, nouns, names and options",
	.examples = "source <(penstock completion bash)\n"
		    "penstock completion zsh > \"${fpath[1]}/_penstock\"",
	.words_min = 1,
	.words_max = 1,
	.complete = WORDS_SHELL,
	.run = run,
};
