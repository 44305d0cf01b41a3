// SPDX-License-Identifier: Apache-2.0
// Whole commands of the command line against a control socket that answers from a script.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/cli/cli.h"

struct answer {
	const char *request; // "GET /v1/health"; a prefix
	int status;
	const char *body;
};

struct fake {
	const struct answer *answers;
	char seen[16][256]; // request lines
	size_t seen_count;
	char body[8192]; // of the last request that had one
	int fd;
	pthread_t thread;
	char path[64];
};

void fake_start(struct fake *f, const struct answer *answers);
void fake_stop(struct fake *f);

// Of the last run.
extern char *out_text, *err_text;

// Runs "penstock LINE", split at spaces. Output is in out_text and err_text until the next run.
enum cli_exit run(const char *line);
// The same against a control socket that gives these answers.
enum cli_exit run_with(struct fake *f, const struct answer *answers, const char *line);
void expect_text(const char *text, const char *part);
// For the end of a group of tests.
int cleanup(void **state);

#define END                                                                                  \
	{                                                                                    \
		NULL, 404,                                                                   \
			"{\"error\":{\"code\":\"not_found\",\"message\":\"there is no such " \
			"thing\"}}"                                                          \
	}
