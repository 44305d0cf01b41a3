// SPDX-License-Identifier: Apache-2.0
// JSON merge patch, and the difference of two objects. Pure.
#pragma once

#include <jansson.h>

// RFC 7396: a new value; neither argument changes.
json_t *merge_patch(const json_t *target, const json_t *patch);
// [{"field": "spec.scale.min", "from": 1, "to": 2}, ...]; from or to is left out when the field was
// or will be absent. Arrays are compared as a whole. Either side may be NULL.
json_t *merge_changes(const json_t *before, const json_t *after);
