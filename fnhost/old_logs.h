// SPDX-License-Identifier: Apache-2.0
// Logs of instances that are gone stay for a while, for those who ask why: so many files, so many bytes, the oldest
// go first.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct old_logs {
	uint32_t instances;
	uint64_t bytes;
};

// Removes from the folder what exceeds the limits. lives() tells whose logs are not to be touched. Fills *kept (may
// be NULL) with what is left of those that are gone. How many instances' logs were removed, or -E... (the folder cannot
// be read).
int old_logs_trim(const char *dir, const struct old_logs *max,
	bool (*lives)(void *user, const char *id), void *user, struct old_logs *kept);
