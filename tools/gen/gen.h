// SPDX-License-Identifier: Apache-2.0
// What the verbs of penstock-gen share.
#pragma once

#include <stddef.h>

enum gen_exit { GEN_DONE = 0, GEN_FAILED = 1, GEN_USAGE = 2 };

// Each takes what follows its name on the command line and returns the exit code.
int gen_serve(int argc, char **argv);
int gen_load(int argc, char **argv);

// The test function that a route names: what follows its namespace and the prefix before the last
// dot, without the version. "imagery/fast.echo@2" is echo. Points into route; *len is its length.
const char *function_name(const char *route, size_t *len);

// serve.c: a server of one thread on a loop that somebody else steps, for who calls and answers on
// one core. NULL after a sentence. server_off() after the loop's end.
struct link_hub;
struct server;
struct server *server_on(const char *listen, struct link_hub *hub);
void server_off(struct server *server);
