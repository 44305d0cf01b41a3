// SPDX-License-Identifier: Apache-2.0
// What the two halves of settings share: one reading under way.
#pragma once

#include "lib/settings/settings.h"

#define SETTINGS_WHY_MAX 640

struct settings_reading {
	const struct settings *settings;
	void *values;
	uint64_t begun; // bit i: the list i was begun by this source, flags or file; more is added
			// to it
	char why[SETTINGS_WHY_MAX]; // after a failure: a sentence that begins with the name
};

// NULL: there is none of this name.
const struct setting *settings_find(const struct settings *s, const char *name, size_t len);
// value NULL: a switch's flag. 0 or -EINVAL with why.
int settings_set(struct settings_reading *r, const struct setting *setting, const char *value);
// Reads a file; path is for complaints. 0; -EINVAL or -ENOMEM with why, "PATH:LINE: ...".
int settings_read_yaml(struct settings_reading *r, FILE *file, const char *path);
