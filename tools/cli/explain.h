// SPDX-License-Identifier: Apache-2.0
// What verb_explain.c asks of explain_instance.c and explain_job.c.
#pragma once

#include <jansson.h>

#include "tools/cli/nouns.h"

// Why an instance is where it is.
enum cli_exit explain_instance(struct cli *cli, const char *id);
// Why a function or job has the instances it has.
enum cli_exit explain_job(struct cli *cli, const struct noun *noun, const char *name);
// What an evaluation saw and what it waits for.
enum cli_exit explain_evaluation(struct cli *cli, const char *id);
// Which hosts calls of a function go to; and if there are none, why.
enum cli_exit explain_hosts(struct cli *cli, const json_t *function);
