// SPDX-License-Identifier: Apache-2.0
// What all parts of the command line share: the context of one run, exit codes, the table of verbs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/cli/options.h"

#define CLI_SOCKET_DEFAULT "/run/penstock/control.sock"
#define CLI_SOCKET_ENV "PENSTOCK_SOCKET"
#define CLI_NAMESPACE_DEFAULT "default"

// Exit codes, fixed by docs/man/penstock.1. Functions that do a verb's work return one of these.
enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1,      // refused or failed
	CLI_USAGE = 2,        // wrong usage
	CLI_UNREACHABLE = 3,  // the control socket cannot be reached
};

enum cli_format { FORMAT_TABLE, FORMAT_WIDE, FORMAT_JSON, FORMAT_YAML, FORMAT_NAME };

// One run of the program. The first members are filled by the global options.
struct cli {
	const char *socket;  // NULL: the environment's, or the default
	const char *output;  // text of -o
	const char *ns;      // NULL: not given
	bool json;
	bool help;
	bool version;
	enum cli_format format;  // what `output` and `json` mean
	FILE *out;
	FILE *err;
	struct api *api;  // made at the first request (api.h)
};

// What the words after a verb are, for shell completion.
enum cli_words {
	WORDS_NONE,
	WORDS_NOUN,
	WORDS_FILE,
	WORDS_ROUTE,
	WORDS_VERB,
	WORDS_SHELL,
	WORDS_EXPLAIN,
	WORDS_FUNCTION,
	WORDS_NODE,
	WORDS_JOB,
	WORDS_ROLLOUT,
	WORDS_LOGS,
	WORDS_PORT
};

struct verb {
	const char *name;
	const char *words;     // of the usage line: "NOUN [NAME]"
	const char *summary;   // one line, without a full stop
	const char *about;     // a paragraph for --help; may be NULL
	const char *examples;  // lines, each a command; may be NULL
	const struct option *options;
	size_t option_count;
	size_t values_bytes;  // size of the struct that the options fill, zeroed before
	int words_min, words_max;
	enum cli_words complete;
	bool own_output;  // -o is the verb's own: formats do not apply
	enum cli_exit (*run)(struct cli *cli, const void *values, int argc, char **argv);
};

// verbs.c: every verb, in the order that help shows.
extern const struct verb *const cli_verbs[];
extern const size_t cli_verb_count;
extern const struct option cli_global_options[];
extern const size_t cli_global_option_count;

const struct verb *cli_verb_find(const char *name);
void cli_help(FILE *out);
void cli_verb_help(FILE *out, const struct verb *verb);
// All of the program but process exit: parses, runs the verb.
enum cli_exit cli_main(struct cli *cli, int argc, char **argv);

// One line "penstock: ..." on cli->err.
void cli_complain(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The same, and returns CLI_USAGE, for `return cli_usage(...)`.
enum cli_exit cli_usage(struct cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
// The namespace asked for, or the default one.
const char *cli_namespace(const struct cli *cli);

extern const struct verb verb_status, verb_apply, verb_plan, verb_get, verb_describe, verb_delete,
	verb_scale, verb_run, verb_rollout, verb_drain, verb_logs, verb_call, verb_stats, verb_top,
	verb_events, verb_explain, verb_doctor, verb_test, verb_port, verb_completion, verb_help;
