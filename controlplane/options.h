// SPDX-License-Identifier: Apache-2.0
// What the control plane needs to start: flags, and the same names in a YAML file.
#pragma once

#include <stdio.h>

#define OPTIONS_CONFIG_DEFAULT "/etc/penstock/controlplane.yaml"

struct options {
	char control[200], peer[200], peer_tcp[200], token_file[200], state[200], metrics[200];
	char lease[16], workers[16], log_level[16];
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_WRONG };

// Defaults, then the file, then flags. Complaints go to `err` and help to `out`.
enum options_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err);
// Reads one file into *o. 0; -ENOENT; -EINVAL with a complaint on `err`.
int options_read_file(struct options *o, const char *path, FILE *err);
