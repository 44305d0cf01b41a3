// SPDX-License-Identifier: Apache-2.0
// help: what --help prints, by a verb's name.
#include "tools/cli/cli.h"

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct verb *verb = argc ? cli_verb_find(argv[0]) : NULL;

	if (argc && !verb)
		return cli_usage(cli, "there is no verb '%s'; `penstock help` lists them", argv[0]);
	if (verb)
		cli_verb_help(cli->out, verb);
	else
		cli_help(cli->out);
	return CLI_DONE;
}

const struct verb verb_help = {
	.name = "help",
	.words = "[VERB]",
	.summary = "Tell how to use penstock or a verb",
	.words_max = 1,
	.complete = WORDS_VERB,
	.run = run,
};
