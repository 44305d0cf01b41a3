// SPDX-License-Identifier: Apache-2.0
// penstock-gen: RSocket test backend and traffic generator. Picks the verb.
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/gen/gen.h"

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{"serve", gen_serve, "answer calls: echo, count, delay, error, size, sink"},
	{"load", gen_load, "make calls and measure them"},
};

static void help(FILE *to)
{
	fprintf(to,
		"penstock-gen: RSocket traffic generator and test backend, version %s\n\nverbs:\n",
		PENSTOCK_VERSION);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(to, "  penstock-gen %-6s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to, "\n`penstock-gen VERB --help` lists a verb's options.\n"
		    "exit codes: 0 done, 1 failed, 2 wrong usage\n");
}

// A connection is a descriptor, and the usual soft limit is 1024.
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	raise_descriptors();
	if (argc < 2) {
		help(stderr);
		return GEN_USAGE;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 2, argv + 2);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help(stdout);
		return GEN_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("penstock-gen %s\n", PENSTOCK_VERSION);
		return GEN_DONE;
	}
	fprintf(stderr, "there is no verb '%s'\n\n", argv[1]);
	help(stderr);
	return GEN_USAGE;
}
