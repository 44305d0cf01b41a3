// SPDX-License-Identifier: Apache-2.0
// A snapshot as a log, written in the background while the state goes on; and a hash of a state for
// tests. Any thread that has the snapshot pinned.
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "sched/block.h"
#include "sched/state.h"

static void put(struct sched_encoder *out, uint8_t type, uint32_t slot, struct sched_change c)
{
	c.type = type;
	c.slot = slot;
	sched_encode(out, &c);
}

static void put_nodes(const struct sched_snapshot *s, struct sched_encoder *out)
{
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_NODES].high; i++) {
		const struct sched_node *n = sched_node_at(s, i);

		if (!n)
			continue;
		put(out, SCHED_NODE_PUT, i, (struct sched_change){.node = {n->info, n->capacity}});
		put(out, SCHED_NODE_STATE, i,
			(struct sched_change){.node_state = {n->status, n->eligible, n->draining}});
	}
}

static void put_job(const struct sched_job *j, uint32_t slot, struct sched_encoder *out)
{
	for (uint32_t k = 0; k < j->versions->count; k++)
		put(out, SCHED_JOB_PUT_SPEC, slot,
			(struct sched_change){.job = {j->versions->spec[k], j->purge, k > 0}});
	if (j->deployment)
		put(out, SCHED_DEPLOYMENT_PUT, slot,
			(struct sched_change){.deployment = j->deployment});
	if (j->launched_ns || j->launches || j->skips)
		put(out, SCHED_JOB_LAUNCH, slot,
			(struct sched_change){.launch = {j->launched_ns, j->launches, j->skips}});
	if (j->ended_ns)
		put(out, SCHED_JOB_ENDED, slot, (struct sched_change){.ended_ns = j->ended_ns});
}

// Parents before children.
static void put_jobs(const struct sched_snapshot *s, struct sched_encoder *out)
{
	for (int children = 0; children < 2; children++)
		for (uint32_t i = 0; i < s->tables[SCHED_TABLE_JOBS].high; i++) {
			const struct sched_job *j = sched_job_at(s, i);

			if (j && (j->parent != SCHED_NONE) == children)
				put_job(j, i, out);
		}
}

static void put_quotas(const struct sched_snapshot *s, struct sched_encoder *out)
{
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_QUOTAS].high; i++) {
		const struct sched_quota *q = sched_quota_at(s, i);

		if (q)
			put(out, SCHED_QUOTA_PUT, i,
				(struct sched_change){
					.quota = {q->namespace, (uint32_t)strlen(q->namespace),
						q->limit}});
	}
}

static void put_instances(const struct sched_snapshot *s, struct sched_encoder *out)
{
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_INSTANCES].high; i++) {
		const struct sched_instance *row = sched_instance_at(s, i);

		if (row)
			put(out, SCHED_INSTANCE_ROW, i, (struct sched_change){.instance = row});
	}
}

static void put_evals(const struct sched_snapshot *s, struct sched_encoder *out)
{
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_EVALS].high; i++) {
		const struct sched_eval *e = sched_eval_at(s, i);

		if (e)
			put(out, SCHED_EVAL_PUT, i, (struct sched_change){.eval = e});
	}
}

int sched_checkpoint(const struct sched_snapshot *s, struct sched_encoder *out)
{
	sched_encode_begin(out, s->index);
	put_nodes(s, out);
	put_quotas(s, out);
	put_jobs(s, out);
	put_instances(s, out);
	put_evals(s, out);
	return sched_encode_end(out);
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	return XXH3_64bits_withSeed(bytes, len, hash);
}

// Only what the log keeps: no order of lists, no soft status, no index of a change.
static uint64_t hash_instance(uint64_t hash, const struct sched_instance *i)
{
	const uint64_t parts[] = {i->id.nonce, i->id.seq, i->id.slot, i->job, i->node, i->version,
		i->name_index, i->previous, i->next, i->why.eval, i->desired, i->group,
		sched_terminal(i->status) ? i->status : 0,
		i->flags & (SCHED_INSTANCE_HOLDS | SCHED_INSTANCE_CANARY), i->exit_code,
		i->exit_signal};

	hash = mix(hash, parts, sizeof(parts));
	return mix(hash, &i->ask, sizeof(i->ask));
}

static uint64_t hash_node(uint64_t hash, const struct sched_node *n)
{
	const uint64_t parts[] = {
		n->status, n->eligible, n->draining, n->holding, n->info->class_hash};

	hash = mix(hash, parts, sizeof(parts));
	hash = mix(hash, &n->capacity, sizeof(n->capacity));
	hash = mix(hash, &n->used, sizeof(n->used));
	return mix(hash, n->info->name, strlen(n->info->name));
}

static uint64_t hash_deployment(uint64_t hash, const struct sched_deployment *d)
{
	const uint64_t parts[] = {d->version, d->from, d->stable, d->canary_groups, d->promoted,
		d->before, d->before_status, d->status, d->why, d->revert, d->refused,
		d->create_index, (uint64_t)d->changed_ns};

	return mix(hash, parts, sizeof(parts));
}

static uint64_t hash_job(uint64_t hash, const struct sched_job *j)
{
	const struct sched_spec *spec = sched_job_spec(j);
	const uint64_t parts[] = {spec->version, j->live, j->instances, j->last_eval, j->purge,
		spec->stopped, j->priority, spec->group_count, j->parent, j->children,
		j->children_alive, j->launches, j->skips, (uint64_t)j->launched_ns,
		(uint64_t)j->ended_ns};

	hash = mix(hash, parts, sizeof(parts));
	for (uint32_t g = 0; g < spec->group_count; g++)
		hash = mix(hash, &spec->groups[g].count, sizeof(spec->groups[g].count));
	if (j->deployment)
		hash = hash_deployment(hash, j->deployment);
	return mix(hash, spec->name, strlen(spec->name));
}

static uint64_t hash_quota(uint64_t hash, const struct sched_quota *q)
{
	hash = mix(hash, &q->limit, sizeof(q->limit));
	hash = mix(hash, &q->used, sizeof(q->used));
	return mix(hash, q->namespace, strlen(q->namespace));
}

static uint64_t hash_eval(uint64_t hash, const struct sched_eval *e)
{
	const uint64_t parts[] = {e->id, e->previous, e->slot, e->job, e->status, e->type,
		e->trigger, e->priority, (uint64_t)e->wait_until};

	return mix(hash, parts, sizeof(parts));
}

uint64_t sched_state_hash(const struct sched_snapshot *s)
{
	uint64_t hash = 1;

	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_NODES].high; i++)
		if (sched_node_at(s, i))
			hash = hash_node(hash + i, sched_node_at(s, i));
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_JOBS].high; i++)
		if (sched_job_at(s, i))
			hash = hash_job(hash + i, sched_job_at(s, i));
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_INSTANCES].high; i++)
		if (sched_instance_at(s, i))
			hash = hash_instance(hash + i, sched_instance_at(s, i));
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_EVALS].high; i++)
		if (sched_eval_at(s, i))
			hash = hash_eval(hash + i, sched_eval_at(s, i));
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_QUOTAS].high; i++)
		if (sched_quota_at(s, i))
			hash = hash_quota(hash + i, sched_quota_at(s, i));
	return hash;
}
