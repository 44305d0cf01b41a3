// SPDX-License-Identifier: Apache-2.0
// The changes that a dry run tells, for people.
#pragma once

#include <jansson.h>
#include <stdio.h>

// Lines such as "  ~ spec.scale.max: 10 -> 20"; + and - for fields that come and go. manifest: of a
// resource that is created, of which only what stands there is printed; NULL: all of it.
void change_print(FILE *out, const json_t *changes, const json_t *manifest);
