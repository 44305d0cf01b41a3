// SPDX-License-Identifier: Apache-2.0
// The state as a whole: making and freeing it, free rows, names, transactions, publishing, replay.
// What the changes do is in apply.c. Writer's thread, but for sched_snapshot_pin.
#include "sched/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "sched/block.h"
#include "sched/images.h"
#include "sched/names.h"
#include "sched/state_internal.h"

static const struct {
	uint32_t row_bytes, leaf_bits;
} shapes[SCHED_TABLES] = {
	// Small leaves where rows are written at random, so that little is copied.
	[SCHED_TABLE_NODES] = {sizeof(struct sched_node), 4},
	[SCHED_TABLE_JOBS] = {sizeof(struct sched_job), 4},
	[SCHED_TABLE_INSTANCES] = {sizeof(struct sched_instance), 5},
	[SCHED_TABLE_EVALS] = {sizeof(struct sched_eval), 3},
	[SCHED_TABLE_QUOTAS] = {sizeof(struct sched_quota), 4},
};

struct sched_state *sched_state_new(void)
{
	struct sched_state *st = aligned_alloc(64, (sizeof(*st) + 63) & ~(size_t)63);

	if (!st)
		return NULL;
	memset(st, 0, sizeof(*st));
	sched_pages_init(&st->pages);
	for (int i = 0; i < SCHED_TABLES; i++)
		st->head.tables[i] =
			sched_table_make(&st->pages, shapes[i].row_bytes, shapes[i].leaf_bits);
	st->head.names = sched_names_make(&st->pages);
	sched_images_init(st);
	if (sched_publish(st)) {
		sched_state_destroy(st);
		return NULL;
	}
	return st;
}

static void free_blocks(struct sched_state *st)
{
	for (uint32_t i = 0; i < st->head.tables[SCHED_TABLE_NODES].high; i++) {
		const struct sched_node *n = sched_node_at(&st->head, i);

		free(n ? (void *)(uintptr_t)n->info : NULL);
	}
	for (uint32_t i = 0; i < st->head.tables[SCHED_TABLE_JOBS].high; i++) {
		const struct sched_job *j = sched_job_at(&st->head, i);

		for (uint32_t k = 0; j && k < j->versions->count; k++)
			free((void *)(uintptr_t)j->versions->spec[k]);
		free(j ? (void *)(uintptr_t)j->versions : NULL);
		free(j ? (void *)(uintptr_t)j->deployment : NULL);
	}
	for (uint32_t i = 0; i < st->head.tables[SCHED_TABLE_QUOTAS].high; i++) {
		const struct sched_quota *q = sched_quota_at(&st->head, i);

		free(q ? (void *)(uintptr_t)q->namespace : NULL);
	}
}

void sched_state_destroy(struct sched_state *st)
{
	if (!st)
		return;
	free_blocks(st);
	sched_images_fini(st);
	for (int i = 0; i < SCHED_TABLES; i++)
		free(st->slots[i].free);
	free(st->system_jobs.free);
	free((void *)(uintptr_t)st->published);
	free(st->prev_in_job);
	free(st->prev_on_node);
	free(st->readiness);
	sched_map_fini(&st->job_names);
	sched_map_fini(&st->node_names);
	sched_map_fini(&st->quota_names);
	sched_map_fini(&st->classes);
	sched_map_fini(&st->tokens);
	sched_bytes_fini(&st->log.out);
	sched_pages_fini(&st->pages);
	free(st);
}

size_t sched_state_bytes(const struct sched_state *st)
{
	size_t bytes = sizeof(*st) + sched_pages_bytes(&st->pages);

	for (int i = 0; i < SCHED_TABLES; i++)
		bytes += st->slots[i].room * sizeof(uint32_t);
	bytes += st->readiness_room * sizeof(*st->readiness);
	return bytes + st->prev_room * 2 * sizeof(uint32_t) + sched_map_bytes(&st->job_names) +
	       sched_map_bytes(&st->node_names) + sched_map_bytes(&st->classes) +
	       sched_map_bytes(&st->tokens) + st->log.out.room;
}

// ---- names ----

uint64_t sched_name_key(const char *namespace, const char *name)
{
	uint64_t hash = XXH3_64bits(namespace, strlen(namespace));

	return XXH3_64bits_withSeed(name, strlen(name), hash);
}

uint32_t sched_job_find(const struct sched_state *st, const char *namespace, const char *name)
{
	uint32_t slot = sched_map_get(&st->job_names, sched_name_key(namespace, name));
	const struct sched_job *j = sched_job_at(&st->head, slot);

	// Two names with one hash: the second cannot be registered (apply.c).
	return j && strcmp(sched_job_spec(j)->name, name) == 0 &&
			       strcmp(sched_job_spec(j)->namespace, namespace) == 0
		       ? slot
		       : SCHED_NONE;
}

uint32_t sched_node_find(const struct sched_state *st, const char *name)
{
	uint32_t slot = sched_map_get(&st->node_names, sched_name_key("", name));
	const struct sched_node *n = sched_node_at(&st->head, slot);

	return n && strcmp(n->info->name, name) == 0 ? slot : SCHED_NONE;
}

uint32_t sched_quota_find(const struct sched_state *st, const char *namespace)
{
	uint32_t slot = sched_map_get(&st->quota_names, sched_name_key(namespace, ""));
	const struct sched_quota *q = sched_quota_at(&st->head, slot);

	return q && strcmp(q->namespace, namespace) == 0 ? slot : SCHED_NONE;
}

// ---- free rows ----

uint32_t sched_slot_new(struct sched_state *st, enum sched_table_kind kind)
{
	struct sched_slots *s = &st->slots[kind];

	// The change takes the row (sched_slot_taken); so one that is not applied takes none.
	if (s->count)
		return s->free[s->count - 1];
	return s->next < sched_table_max(&st->head.tables[kind]) ? s->next : SCHED_NONE;
}

void sched_slot_taken(struct sched_state *st, enum sched_table_kind kind, uint32_t slot)
{
	struct sched_slots *s = &st->slots[kind];

	st->head.counts[kind]++;
	if (st->replaying)
		return;
	if (s->count && s->free[s->count - 1] == slot)
		s->count--;
	else if (slot >= s->next)
		s->next = slot + 1;
}

void sched_slot_freed(struct sched_state *st, enum sched_table_kind kind, uint32_t slot)
{
	struct sched_slots *s = &st->slots[kind];

	st->head.counts[kind]--;
	if (st->replaying)
		return;
	if (s->count == s->room) {
		uint32_t room = s->room ? s->room * 2 : 64;
		uint32_t *bigger = realloc(s->free, room * sizeof(*bigger));

		if (!bigger)
			return; // the row is lost until the next restart
		s->free = bigger;
		s->room = room;
	}
	s->free[s->count++] = slot;
}

static bool in_use(const struct sched_state *st, int kind, uint32_t slot)
{
	const struct sched_snapshot *s = &st->head;

	return kind == SCHED_TABLE_NODES       ? sched_node_at(s, slot) != NULL
	       : kind == SCHED_TABLE_JOBS      ? sched_job_at(s, slot) != NULL
	       : kind == SCHED_TABLE_INSTANCES ? sched_instance_at(s, slot) != NULL
	       : kind == SCHED_TABLE_EVALS     ? sched_eval_at(s, slot) != NULL
					       : sched_quota_at(s, slot) != NULL;
}

// After a replay, which names rows in any order.
static void find_free_rows(struct sched_state *st)
{
	for (int kind = 0; kind < SCHED_TABLES; kind++) {
		st->slots[kind].count = 0;
		st->slots[kind].next = st->head.tables[kind].high;
		for (uint32_t i = st->head.tables[kind].high; i-- > 0;) {
			if (in_use(st, kind, i))
				continue;
			st->head.counts[kind]++;
			sched_slot_freed(st, kind, i);
		}
	}
}

// ---- transactions ----

uint64_t sched_txn_begin(struct sched_state *st)
{
	st->head.index++;
	sched_encode_begin(&st->log, st->head.index);
	return st->head.index;
}

bool sched_change_durable(const struct sched_change *c)
{
	return c->type != SCHED_INSTANCE_STATUS || c->status.status == SCHED_UNKNOWN ||
	       sched_terminal(c->status.status);
}

int sched_txn_change(struct sched_state *st, const struct sched_change *change)
{
	bool durable = sched_change_durable(change);
	size_t before = st->log.out.len;
	struct sched_instance head = st->log.head;
	int rc;

	// Encoded first: applying takes the blocks over.
	if (durable)
		sched_encode(&st->log, change);
	rc = sched_apply(st, change);
	if (rc && durable) {
		st->log.out.len = before;
		st->log.head = head;
	}
	return rc;
}

int sched_txn_end(struct sched_state *st)
{
	return sched_encode_end(&st->log);
}

int sched_publish(struct sched_state *st)
{
	struct sched_snapshot *next = malloc(sizeof(*next));

	if (!next)
		return -ENOMEM;
	*next = st->head;
	sched_pages_retire(&st->pages, (void *)(uintptr_t)st->published);
	__atomic_store_n(&st->published, next, __ATOMIC_RELEASE);
	sched_pages_publish(&st->pages);
	sched_pages_reclaim(&st->pages);
	return 0;
}

const struct sched_snapshot *sched_snapshot_pin(
	struct sched_reader *reader, const struct sched_state *st)
{
	sched_reader_pin(reader, &st->pages);
	return __atomic_load_n(&st->published, __ATOMIC_ACQUIRE);
}

// ---- replay ----

static int replay_txn(struct sched_state *st, struct sched_decoder *d)
{
	struct sched_change change;
	int rc;

	while ((rc = sched_decode(d, &change)) > 0) {
		rc = sched_apply(st, &change);
		if (rc)
			return rc;
	}
	return rc;
}

int sched_replay(struct sched_state *st, const void *bytes, size_t len)
{
	struct sched_decoder *d = malloc(sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	sched_decoder_init(d, len ? bytes : "", len);
	st->replaying = true;
	while ((rc = sched_decode_begin(d)) > 0) {
		st->head.index = d->index;
		rc = replay_txn(st, d);
		if (rc)
			break;
	}
	free(d);
	st->replaying = false;
	find_free_rows(st);
	st->effects = (struct sched_effects){0};
	return rc ? rc : sched_publish(st);
}
