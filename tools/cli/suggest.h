// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the nearest of some known words.
#pragma once

#include <stddef.h>

#define SUGGEST_DISTANCE_MAX 2

// Edit distance of two words (insert, delete, replace, swap of neighbours), but never more than
// SUGGEST_DISTANCE_MAX + 1. Words of more than 32 bytes are as far away as that.
int suggest_distance(const char *a, size_t a_len, const char *b, size_t b_len);
// Takes `candidate` as *best when it is nearer to `word` than *distance.
void suggest_closer(
	const char *word, size_t len, const char *candidate, const char **best, int *distance);
