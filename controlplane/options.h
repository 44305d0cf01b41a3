// SPDX-License-Identifier: Apache-2.0
// What the control plane needs to start: flags, and the same names in a YAML file.
#pragma once

#include <stdio.h>

#include "lib/settings/settings.h"
#include "sched/worker.h"

#define OPTIONS_CONFIG_DEFAULT "/etc/penstock/controlplane.yaml"

struct options {
	char control[200], peer[200], peer_group[64], peer_tcp[200], token_file[200], state[200];
	char metrics[200];
	char preempt[64], placement[16];
	unsigned lease_s, workers;
	struct sched_worker_config planning;  // as preempt and placement say
	enum log_level log_level;
};

// Defaults, then the file, then flags. Complaints go to `err` and help to `out`.
enum settings_result options_read(struct options *o, int argc, char **argv, FILE *out, FILE *err);
