// SPDX-License-Identifier: Apache-2.0
// What the scheduler would do, as a dry run tells it, for people.
#pragma once

#include <jansson.h>
#include <stdio.h>

// Lines that begin with "  > ". plan: of a dry run's answer; NULL: nothing is printed.
void plan_print(FILE *out, const json_t *plan);
// "3 by arch = arm, 1 by memory": how many nodes each thing excluded. Returns text.
const char *plan_excluded(const json_t *excluded_nodes, char *text, size_t size);
