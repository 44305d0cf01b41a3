// SPDX-License-Identifier: Apache-2.0
// Edit distance (optimal string alignment) of short words. Pure.
#include "tools/cli/suggest.h"

#include <string.h>

#define WORD_MAX 32

static int least(int a, int b)
{
	return a < b ? a : b;
}

int suggest_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int d[WORD_MAX + 1][WORD_MAX + 1];

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return SUGGEST_DISTANCE_MAX + 1;
	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = (int)i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = (int)j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			best = least(best, least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = least(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	}
	return least(d[a_len][b_len], SUGGEST_DISTANCE_MAX + 1);
}

void suggest_closer(
	const char *word, size_t len, const char *candidate, const char **best, int *distance)
{
	size_t candidate_len = strlen(candidate);
	int d = suggest_distance(word, len, candidate, candidate_len);

	// A word must share something with what it is taken for: "ab" is not "cd".
	if (d >= (int)len || d >= *distance)
		return;
	*best = candidate;
	*distance = d;
}
