// SPDX-License-Identifier: Apache-2.0
// Writing what is shown of the scheduler, for scheduler_*.c.
#pragma once

#include <jansson.h>
#include <stdint.h>

static inline void set(json_t *out, const char *name, uint64_t value)
{
	json_object_set_new(out, name, json_integer((json_int_t)value));
}
