// SPDX-License-Identifier: Apache-2.0
// What verb_explain.c asks of explain_instance.c.
#pragma once

#include <jansson.h>

#include "tools/cli/cli.h"

// Why an instance is where it is.
enum cli_exit explain_instance(struct cli *cli, const char *id);
// Which hosts calls of a function go to; and if there are none, why.
enum cli_exit explain_hosts(struct cli *cli, const json_t *function);
