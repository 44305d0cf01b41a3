// SPDX-License-Identifier: Apache-2.0
// Counts of a client: calls, errors by kind. Kinds beyond the table's size count as "other".
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/gen/load.h"

int stats_init(struct load_stats *s, unsigned functions)
{
	s->functions = calloc(functions, sizeof(*s->functions));
	return s->functions ? 0 : -ENOMEM;
}

void stats_fini(struct load_stats *s)
{
	free(s->functions);
	s->functions = NULL;
}

static struct error_kind *kind_of(struct load_stats *s, const char *text)
{
	for (unsigned i = 0; i < s->kinds_count; i++)
		if (strcmp(s->kinds[i].text, text) == 0)
			return &s->kinds[i];
	if (s->kinds_count == ERROR_KINDS_MAX)
		return &s->kinds[ERROR_KINDS_MAX - 1];
	if (s->kinds_count == ERROR_KINDS_MAX - 1)
		text = "other";
	snprintf(s->kinds[s->kinds_count].text, ERROR_TEXT_MAX, "%s", text);
	return &s->kinds[s->kinds_count++];
}

void stats_error(struct load_stats *s, const char *text)
{
	kind_of(s, text)->count++;
	counter_add(&s->errors, 1);
}

void stats_merge(struct load_stats *to, const struct load_stats *from, unsigned functions)
{
	to->started += from->started;
	to->calls += from->calls;
	to->errors += from->errors;
	to->cancelled += from->cancelled;
	to->items += from->items;
	to->calls_in_time += from->calls_in_time;
	to->bytes_in += from->bytes_in;
	to->bytes_out += from->bytes_out;
	for (unsigned i = 0; i < functions; i++) {
		to->functions[i].calls += from->functions[i].calls;
		to->functions[i].errors += from->functions[i].errors;
		hist_merge(&to->functions[i].latency_ns, &from->functions[i].latency_ns);
	}
	for (unsigned i = 0; i < from->kinds_count; i++)
		kind_of(to, from->kinds[i].text)->count += from->kinds[i].count;
}
