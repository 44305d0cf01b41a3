// SPDX-License-Identifier: Apache-2.0
// What the data plane needs to start: flags, and the same
// keys in a YAML file. Everything else comes from the control plane and may change while it runs.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/net/config.h"
#include "lib/base/log.h"

#define WORKERS_MAX 16          // net_tap has no more queues
#define OPTION_TEXT_MAX 256
#define OPTIONS_FILE "/etc/penstock/dataplane.yaml"

struct options_text {
	char text[OPTION_TEXT_MAX];
};

struct options {
	char name[64];
	char control[OPTION_TEXT_MAX];
	char token_file[OPTION_TEXT_MAX]; // empty: none
	char token[OPTION_TEXT_MAX];      // its first line
	char gateway_token_file[OPTION_TEXT_MAX]; // empty: none
	char gateway_token[OPTION_TEXT_MAX];      // its first line
	char metrics[OPTION_TEXT_MAX];
	unsigned workers;           // 0: as --lcores says, else 1
	char cores[OPTION_TEXT_MAX];   // "0,2-3"; empty: those the process may run on
	char lcores[OPTION_TEXT_MAX];  // as EAL takes it; overrides cores and workers
	unsigned spin_us;           // of polling without work before a worker sleeps
	bool no_huge;
	unsigned memory_mb;         // 0: without huge pages OPTIONS_NO_HUGE_MB, else as needed
	unsigned mbufs;             // of a pool; 0: by the number of workers
	unsigned mtu;               // 0: the port's own
	unsigned connections_max;   // of a worker
	char file_prefix[64];
	enum log_level log_level;

	unsigned ports;
	struct options_text port[NET_PORTS_MAX];        // NAME=DEVARGS
	unsigned addresses;
	struct options_text address[NET_ADDRESSES_MAX]; // [PORT=]CIDR
	unsigned routes;
	struct options_text route[NET_ROUTES_MAX];      // default=GATEWAY, CIDR=GATEWAY
	unsigned listens;
	struct options_text listen[NET_LISTENERS_MAX];
};

#define OPTIONS_NO_HUGE_MB 512

enum options_outcome { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_WRONG };

void options_defaults(struct options *out);
// Fills in defaults, the file, then the flags. EXIT: help or version was printed. WRONG: a
// sentence that says what to do was printed on standard error.
enum options_outcome options_parse(int argc, char **argv, struct options *out);
// Splits "NAME=REST". false when there is no '=' or a part is empty.
bool options_split(const char *text, char *name, size_t name_size, const char **rest);
