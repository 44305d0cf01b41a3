// SPDX-License-Identifier: Apache-2.0
// Quotas of namespaces: what is used is the sum of what the instances of their jobs hold. Writer's
// thread, live and in replay the same.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/fit.h"
#include "sched/state_internal.h"

static struct sched_quota *quota_row(struct sched_state *st, uint32_t slot)
{
	if (!sched_quota_at(&st->head, slot))
		return NULL;
	return sched_table_write(&st->pages, &st->head.tables[SCHED_TABLE_QUOTAS], slot);
}

static void room_appeared(struct sched_state *st, uint32_t slot)
{
	st->effects.quotas |= 1ull << (sched_quota_key(slot) - 1);
}

void sched_quota_hold(struct sched_state *st, uint32_t quota, const struct sched_res *ask)
{
	struct sched_quota *q = quota_row(st, quota);

	if (q)
		sched_res_add(&q->used, ask);
}

void sched_quota_release(struct sched_state *st, uint32_t quota, const struct sched_res *ask)
{
	struct sched_quota *q = quota_row(st, quota);

	if (!q)
		return;
	sched_res_sub(&q->used, ask);
	room_appeared(st, quota);
}

// Jobs that are there already; seldom, so all jobs are looked at.
static void assign_jobs(
	struct sched_state *st, const char *namespace, uint32_t slot, struct sched_quota *q)
{
	for (uint32_t i = 0; i < st->head.tables[SCHED_TABLE_JOBS].high; i++) {
		const struct sched_job *j = sched_job_at(&st->head, i);
		struct sched_job *row;

		if (!j || strcmp(sched_job_spec(j)->namespace, namespace) != 0)
			continue;
		row = sched_table_write(&st->pages, &st->head.tables[SCHED_TABLE_JOBS], i);
		if (!row)
			continue;
		row->quota = slot;
		for (uint32_t at = row->first_instance; q && at != SCHED_NONE;) {
			const struct sched_instance *instance = sched_instance_at(&st->head, at);

			if (instance->flags & SCHED_INSTANCE_HOLDS)
				sched_res_add(&q->used, &instance->ask);
			at = instance->next_in_job;
		}
	}
}

static int quota_new(struct sched_state *st, uint32_t slot, char *namespace)
{
	uint64_t key = sched_name_key(namespace, "");
	struct sched_quota *q;

	if (sched_map_get(&st->quota_names, key) != SCHED_NONE)
		return -EEXIST;
	q = sched_table_write(&st->pages, &st->head.tables[SCHED_TABLE_QUOTAS], slot);
	if (!q || sched_map_set(&st->quota_names, key, slot))
		return -ENOMEM;
	*q = (struct sched_quota){.namespace = namespace, .in_use = true};
	sched_slot_taken(st, SCHED_TABLE_QUOTAS, slot);
	assign_jobs(st, namespace, slot, q);
	return 0;
}

int sched_quota_put(struct sched_state *st, const struct sched_change *c)
{
	const struct sched_quota *old = sched_quota_at(&st->head, c->slot);
	struct sched_quota *q;
	char *namespace;
	int rc;

	if (old && (strlen(old->namespace) != c->quota.namespace_len ||
			   memcmp(old->namespace, c->quota.namespace, c->quota.namespace_len) != 0))
		return -EBADMSG;
	if (!old) {
		namespace = strndup(c->quota.namespace, c->quota.namespace_len);
		rc = namespace ? quota_new(st, c->slot, namespace) : -ENOMEM;
		if (rc) {
			free(namespace);
			return rc;
		}
	}
	q = quota_row(st, c->slot);
	if (!q)
		return -ENOMEM;
	q->limit = c->quota.limit;
	room_appeared(st, c->slot);
	return 0;
}

int sched_quota_del(struct sched_state *st, const struct sched_change *c)
{
	struct sched_quota *q = quota_row(st, c->slot);

	if (!q)
		return -EBADMSG;
	assign_jobs(st, q->namespace, SCHED_NONE, NULL);
	sched_map_del(&st->quota_names, sched_name_key(q->namespace, ""));
	sched_pages_retire(&st->pages, (void *)(uintptr_t)q->namespace);
	*q = (struct sched_quota){0};
	sched_slot_freed(st, SCHED_TABLE_QUOTAS, c->slot);
	room_appeared(st, c->slot);
	return 0;
}
