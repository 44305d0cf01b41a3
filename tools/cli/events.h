// SPDX-License-Identifier: Apache-2.0
// An event as a line.
#pragma once

#include <jansson.h>
#include <stdio.h>

void event_print(FILE *out, const json_t *event);
