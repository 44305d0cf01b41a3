// SPDX-License-Identifier: Apache-2.0
// Resources and answers in the format that -o asks for.
#pragma once

#include "tools/cli/nouns.h"

// True if -o asks for JSON or YAML: what is printed then is for programs.
bool output_is_data(const struct cli *cli);
// Any value as JSON or, for -o yaml, as YAML; a list in YAML as several documents.
void output_value(struct cli *cli, const json_t *value);
// An array of resources: a table, or what -o says. single: it was asked for by name, so JSON and
// YAML show the one resource instead of a list.
enum cli_exit output_resources(
	struct cli *cli, const struct noun *noun, const json_t *list, bool single);
