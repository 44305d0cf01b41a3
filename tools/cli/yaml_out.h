// SPDX-License-Identifier: Apache-2.0
// JSON values as YAML, which manifest_read() reads back to the same values.
#pragma once

#include <jansson.h>
#include <stdio.h>

// Block style, two spaces an indent; lists of few plain words in brackets. indent: spaces before
// each line.
void yaml_write(FILE *out, const json_t *value, unsigned indent);
