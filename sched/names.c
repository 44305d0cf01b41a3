// SPDX-License-Identifier: Apache-2.0
// Jobs by name in a snapshot, for readers: a hash whose buckets are rows of a table, so that a
// snapshot of it costs nothing. A bucket is the first of a chain through the jobs' rows. Written by
// the writer as jobs come and go.
#include "sched/names.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

// Chains are short up to some 100,000 jobs.
#define BUCKETS 65536u

// The row is the slot of the chain's first job and 1, since what was never written is 0.
struct bucket {
	uint32_t first;
};

static uint32_t bucket_of(const char *namespace, size_t len, const char *name)
{
	uint64_t hash = XXH3_64bits(namespace, len);

	return (uint32_t)XXH3_64bits_withSeed(name, strlen(name), hash) % BUCKETS;
}

struct sched_table sched_names_make(struct sched_pages *pages)
{
	return sched_table_make(pages, sizeof(struct bucket), 4);
}

uint32_t sched_names_find(
	const struct sched_snapshot *s, const char *namespace, size_t len, const char *name)
{
	const struct bucket *b = sched_table_row(&s->names, bucket_of(namespace, len, name));
	uint32_t at = b ? b->first : 0;

	while (at) {
		const struct sched_job *j = sched_job_at(s, at - 1);
		const struct sched_spec *spec = sched_job_spec(j);

		if (strcmp(spec->name, name) == 0 &&
			strncmp(spec->namespace, namespace, len) == 0 && !spec->namespace[len])
			return at - 1;
		at = j->next_named;
	}
	return SCHED_NONE;
}

uint32_t sched_names_find_text(const struct sched_snapshot *s, const char *text)
{
	const char *slash = strchr(text, '/');

	return slash ? sched_names_find(s, text, (size_t)(slash - text), slash + 1) : SCHED_NONE;
}

static struct bucket *row_of(struct sched_state *st, const struct sched_spec *spec)
{
	return sched_table_write(&st->pages, &st->head.names,
		bucket_of(spec->namespace, strlen(spec->namespace), spec->name));
}

int sched_names_add(
	struct sched_state *st, struct sched_job *j, uint32_t slot, const struct sched_spec *spec)
{
	struct bucket *b = row_of(st, spec);

	if (!b)
		return -ENOMEM;
	j->next_named = b->first;
	b->first = slot + 1;
	return 0;
}

int sched_names_del(struct sched_state *st, uint32_t slot, const struct sched_spec *spec)
{
	struct bucket *b = row_of(st, spec);
	uint32_t after = sched_job_at(&st->head, slot)->next_named, at;
	struct sched_job *before;

	if (!b)
		return -ENOMEM;
	if (b->first == slot + 1) {
		b->first = after;
		return 0;
	}
	for (at = b->first - 1; sched_job_at(&st->head, at)->next_named != slot + 1;)
		at = sched_job_at(&st->head, at)->next_named - 1;
	before = sched_table_write(&st->pages, &st->head.tables[SCHED_TABLE_JOBS], at);
	if (!before)
		return -ENOMEM;
	before->next_named = after;
	return 0;
}
