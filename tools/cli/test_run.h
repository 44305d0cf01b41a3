// SPDX-License-Identifier: Apache-2.0
// A program under test: started with a socket over which it takes cases (lib/call/test_frame.h), asked one case
// after the other, started again when it has died of one.
#pragma once

#include <sys/types.h>

#include "lib/base/clock.h"
#include "tools/cli/test_file.h"

struct test_program {
	char **argv, **envp;
	pid_t pid; // 0: it does not run
	int fd;
	int output_fd; // what it writes, of all its lives
	off_t output_seen;
};

struct test_result {
	struct test_data *items;
	size_t items_count;
	struct test_data reply;
	uint32_t code; // of an error; 0: none
	char text[1025];
	uint32_t calls;
};

// command: of the file. over: another program instead of command's; NULL: none. functions: a folder where plain
// names are looked for first; NULL: none. 0, or -E... with a sentence in why.
int test_program_init(struct test_program *p, const struct test_file *file, const char *over,
	const char *functions, char *why, size_t room);
void test_program_fini(struct test_program *p);
// Runs one case. True: it came to its end, and result is filled; else why says what happened.
bool test_program_run(struct test_program *p, const struct test_file *file, const json_t *test,
	struct test_result *result, char *why, size_t room);
void test_result_fini(struct test_result *result);
// What the program has written since the last time; free it. NULL: nothing.
char *test_program_output(struct test_program *p);
