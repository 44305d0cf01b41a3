// SPDX-License-Identifier: Apache-2.0
// What penstock-fnhost needs to start: flags, and /etc/penstock/fnhost.yaml with the same names.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/settings/settings.h"

#define OPTIONS_CONFIG_DEFAULT "/etc/penstock/fnhost.yaml"
#define OPTION_TEXT_MAX 256
#define OPTION_INSTANCES_MAX 1024 // that run at a time

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
	char attributes[OPTION_TEXT_MAX]; // rack=r1,zone=z1
	char cgroup[OPTION_TEXT_MAX];     // auto, none, or a folder
	uint32_t cpu_milli;
	uint64_t memory_bytes;
	uint32_t instances;
	uint64_t log_bytes_max;
	uint32_t logs_kept; // of instances that are gone
	uint64_t logs_kept_bytes;
	enum log_level log_level;
	// Made from these, or found.
	char token[OPTION_TEXT_MAX], gateway_token[OPTION_TEXT_MAX];
	char machine_id[64]; // or the boot's: random(4)
};

// Everything is filled in. SETTINGS_WRONG after a complaint.
enum settings_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err);
