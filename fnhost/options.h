// SPDX-License-Identifier: Apache-2.0
// What penstock-fnhost needs to start: flags, and /etc/penstock/fnhost.yaml with the same names.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_CONFIG_DEFAULT "/etc/penstock/fnhost.yaml"
#define OPTION_TEXT_MAX 256

struct options {
	char name[OPTION_TEXT_MAX]; // of the node
	char control[OPTION_TEXT_MAX];
	char listen[OPTION_TEXT_MAX];
	char advertise[OPTION_TEXT_MAX]; // empty: as listen
	char token_file[OPTION_TEXT_MAX];
	char gateway_token_file[OPTION_TEXT_MAX];
	char state[OPTION_TEXT_MAX];
	char functions[OPTION_TEXT_MAX]; // a folder where commands are looked for first
	char shim[OPTION_TEXT_MAX];      // empty: beside this program, then libexec
	char cpu[OPTION_TEXT_MAX], memory[OPTION_TEXT_MAX];
	char attributes[OPTION_TEXT_MAX]; // rack=r1,zone=z1
	char log_bytes[OPTION_TEXT_MAX];
	char log_level[OPTION_TEXT_MAX];
	// Made from these.
	char token[OPTION_TEXT_MAX], gateway_token[OPTION_TEXT_MAX];
	char machine_id[64];
	uint32_t cpu_milli;
	uint64_t memory_bytes;
	uint64_t log_bytes_max;
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_WRONG };

// Everything is filled in. OPTIONS_WRONG after a complaint.
enum options_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err);
