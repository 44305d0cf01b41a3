// SPDX-License-Identifier: Apache-2.0
// What each type of change does to the state; live and in replay the same. Writer's thread.
//
// Invariants: a node's `used` is the sum of the asks of its instances that have
// SCHED_INSTANCE_HOLDS; an instance holds while it is wanted and has not ended; a job's `live`
// counts these. Lists are pushed at the front, so that a placement writes only its own row, its
// job's and its node's.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"
#include "sched/fit.h"
#include "sched/images.h"
#include "sched/names.h"
#include "sched/state_internal.h"

static void *row(struct sched_state *st, enum sched_table_kind kind, uint32_t slot)
{
	return sched_table_write(&st->pages, &st->head.tables[kind], slot);
}

static struct sched_node *node_row(struct sched_state *st, uint32_t slot)
{
	return sched_node_at(&st->head, slot) ? row(st, SCHED_TABLE_NODES, slot) : NULL;
}

static struct sched_instance *instance_row(struct sched_state *st, uint32_t slot)
{
	return sched_instance_at(&st->head, slot) ? row(st, SCHED_TABLE_INSTANCES, slot) : NULL;
}

static void note_node(struct sched_state *st, uint32_t slot)
{
	struct sched_effects *e = &st->effects;

	if (e->node_count && e->node_count <= SCHED_EFFECT_NODES &&
		e->nodes[e->node_count - 1] == slot)
		return;
	if (e->node_count < SCHED_EFFECT_NODES)
		e->nodes[e->node_count] = slot;
	e->node_count += e->node_count <= SCHED_EFFECT_NODES;
}

static void room_appeared(struct sched_state *st, const struct sched_node *n, uint32_t slot)
{
	note_node(st, slot);
	if (n->class_id < SCHED_CLASSES_TRACKED)
		st->effects.freed[n->class_id / 64] |= 1ull << n->class_id % 64;
	else
		st->effects.freed_other = true;
}

// ---- nodes ----

static uint32_t class_of(struct sched_state *st, uint64_t hash)
{
	uint32_t id = sched_map_get(&st->classes, hash);

	if (id != SCHED_NONE)
		return id;
	return sched_map_set(&st->classes, hash, st->head.class_count) ? SCHED_NONE
								       : st->head.class_count++;
}

static int node_new(struct sched_state *st, const struct sched_change *c, uint32_t class_id)
{
	uint64_t key = sched_name_key("", c->node.info->name);
	struct sched_node *n;

	if (sched_map_get(&st->node_names, key) != SCHED_NONE)
		return -EEXIST;
	n = row(st, SCHED_TABLE_NODES, c->slot);
	if (!n || sched_map_set(&st->node_names, key, c->slot))
		return -ENOMEM;
	*n = (struct sched_node){.info = c->node.info,
		.capacity = c->node.capacity,
		.first_instance = SCHED_NONE,
		.class_id = class_id,
		.status = SCHED_NODE_INIT,
		.eligible = true,
		.in_use = true,
		.modify_index = st->head.index};
	sched_slot_taken(st, SCHED_TABLE_NODES, c->slot);
	st->head.topology = st->head.index;
	return 0;
}

// A host that registers again says what it said before.
static bool same_info(const struct sched_node_info *a, const struct sched_node_info *b)
{
	if (a->attribute_count != b->attribute_count)
		return false;
	for (uint32_t i = 0; i < a->attribute_count; i++)
		if (strcmp(a->attributes[i].key, b->attributes[i].key) != 0 ||
			strcmp(a->attributes[i].value, b->attributes[i].value) != 0)
			return false;
	return true;
}

static void replace_info(
	struct sched_state *st, struct sched_node *n, const struct sched_node_info *info)
{
	const struct sched_node_info *other = n->info;

	if (same_info(n->info, info)) {
		free((void *)(uintptr_t)info);
		return;
	}
	n->info = info;
	st->head.topology = st->head.index;
	sched_pages_retire(&st->pages, (void *)(uintptr_t)other);
}

static int node_put(struct sched_state *st, const struct sched_change *c)
{
	uint32_t class_id = class_of(st, c->node.info->class_hash);
	const struct sched_node *old = sched_node_at(&st->head, c->slot);
	struct sched_node *n;
	int rc = -ENOMEM;

	if (class_id == SCHED_NONE)
		goto out;
	if (!old) {
		rc = node_new(st, c, class_id);
		goto out;
	}
	rc = -EBADMSG;
	if (strcmp(old->info->name, c->node.info->name) != 0)
		goto out;
	rc = -ENOMEM;
	n = node_row(st, c->slot);
	if (!n)
		goto out;
	replace_info(st, n, c->node.info);
	n->capacity = c->node.capacity;
	n->class_id = class_id;
	n->modify_index = st->head.index;
	room_appeared(st, n, c->slot);
	return 0;
out:
	if (rc)
		free((void *)(uintptr_t)c->node.info);
	return rc;
}

static int node_state(struct sched_state *st, const struct sched_change *c)
{
	struct sched_node *n = node_row(st, c->slot);

	if (!n)
		return -EBADMSG;
	n->status = c->node_state.status;
	n->eligible = c->node_state.eligible;
	n->draining = c->node_state.draining;
	n->modify_index = st->head.index;
	if (sched_node_takes(n))
		room_appeared(st, n, c->slot);
	return 0;
}

static int node_del(struct sched_state *st, const struct sched_change *c)
{
	struct sched_node *n = node_row(st, c->slot);

	if (!n || n->first_instance != SCHED_NONE)
		return -EBADMSG;
	sched_images_forget(st, c->slot);
	sched_map_del(&st->node_names, sched_name_key("", n->info->name));
	sched_pages_retire(&st->pages, (void *)(uintptr_t)n->info);
	*n = (struct sched_node){.first_instance = SCHED_NONE};
	sched_slot_freed(st, SCHED_TABLE_NODES, c->slot);
	st->head.topology = st->head.index;
	note_node(st, c->slot);
	return 0;
}

// ---- jobs ----

static void forget_system_job(struct sched_state *st, uint32_t slot)
{
	struct sched_slots *list = &st->system_jobs;

	for (uint32_t k = 0; k < list->count; k++)
		if (list->free[k] == slot) {
			list->free[k] = list->free[--list->count];
			return;
		}
}

// Room for one more of this type.
static int reserve_system_job(struct sched_state *st, uint8_t type)
{
	struct sched_slots *list = &st->system_jobs;
	uint32_t room = list->room ? list->room * 2 : 16, *bigger;

	if (!sched_by_node(type) || list->count < list->room)
		return 0;
	bigger = realloc(list->free, room * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	list->free = bigger;
	list->room = room;
	return 0;
}

// Keeps the list of jobs that a new node concerns.
static void list_system_job(struct sched_state *st, uint32_t slot, uint8_t type)
{
	forget_system_job(st, slot);
	if (sched_by_node(type))
		st->system_jobs.free[st->system_jobs.count++] = slot;
}

// Its row is filled, and can be found. What was done is taken back if memory runs out.
static int job_join(struct sched_state *st, struct sched_job *j, uint32_t slot)
{
	const struct sched_spec *spec = sched_job_spec(j);
	uint64_t key = sched_name_key(spec->namespace, spec->name);

	if (sched_map_set(&st->job_names, key, slot))
		return -ENOMEM;
	if (sched_names_add(st, j, slot, spec))
		goto no_name;
	if (sched_family_join(st, slot, spec))
		goto no_family;
	return 0;
no_family:
	// Takes no memory: what it writes was just written.
	sched_names_del(st, slot, spec);
no_name:
	sched_map_del(&st->job_names, key);
	return -ENOMEM;
}

static int job_new(struct sched_state *st, const struct sched_change *c)
{
	const struct sched_spec *spec = c->job.spec;
	struct sched_versions *v;
	struct sched_job *j;

	if (sched_map_get(&st->job_names, sched_name_key(spec->namespace, spec->name)) !=
		SCHED_NONE)
		return -EEXIST;
	if (!sched_family_fits(st, spec))
		return -EBADMSG;
	j = row(st, SCHED_TABLE_JOBS, c->slot);
	if (!j || sched_readiness_reserve(st, c->slot))
		return -ENOMEM;
	v = sched_versions_with(st, NULL, spec);
	if (!v)
		return -ENOMEM;
	*j = (struct sched_job){.first_instance = SCHED_NONE,
		.last_eval = SCHED_NONE,
		.quota = sched_quota_find(st, spec->namespace),
		.create_index = st->head.index,
		.versions = v,
		.in_use = true};
	if (job_join(st, j, c->slot)) {
		*j = (struct sched_job){.first_instance = SCHED_NONE};
		free(v);
		return -ENOMEM;
	}
	sched_slot_taken(st, SCHED_TABLE_JOBS, c->slot);
	sched_readiness_reset(st, c->slot);
	return 0;
}

static int job_renew(struct sched_state *st, const struct sched_change *c)
{
	struct sched_job *j = sched_job_row(st, c->slot);
	const struct sched_versions *old = j ? j->versions : NULL;
	struct sched_versions *v = j ? sched_versions_with(st, j, c->job.spec) : NULL;

	if (!v)
		return -ENOMEM;
	if (old->spec[0]->version != c->job.spec->version)
		sched_readiness_reset(st, c->slot);
	sched_pages_retire(&st->pages, (void *)(uintptr_t)old);
	j->versions = v;
	return 0;
}

// In a checkpoint the current spec comes first, then those that only instances have.
static int job_older(struct sched_state *st, const struct sched_change *c)
{
	const struct sched_job *j = sched_job_at(&st->head, c->slot);
	struct sched_versions *v = j ? (struct sched_versions *)(uintptr_t)j->versions : NULL;

	if (!v || v->count == SCHED_VERSIONS_MAX || !st->replaying)
		return -EBADMSG;
	v->spec[v->count++] = c->job.spec;
	return 0;
}

static int job_put(struct sched_state *st, const struct sched_change *c)
{
	const struct sched_job *old = sched_job_at(&st->head, c->slot);
	const struct sched_spec *spec = c->job.spec;
	struct sched_job *j;
	int rc = -EBADMSG;

	if (c->job.older) {
		rc = job_older(st, c);
		goto out;
	}
	if (old && (strcmp(sched_job_spec(old)->name, spec->name) != 0 ||
			   strcmp(sched_job_spec(old)->namespace, spec->namespace) != 0 ||
			   !sched_family_same(sched_job_spec(old), spec)))
		goto out;
	rc = reserve_system_job(st, spec->type);
	if (!rc)
		rc = old ? job_renew(st, c) : job_new(st, c);
	if (rc)
		goto out;
	list_system_job(st, c->slot, spec->type);
	// It was written just now, which takes no memory again.
	j = sched_job_row(st, c->slot);
	j->type = spec->type;
	j->priority = spec->priority;
	j->purge = c->job.purge;
	// Put again it may have more to do; a child is only ever stopped.
	if (j->parent == SCHED_NONE)
		j->ended_ns = 0;
	j->modify_index = j->spec_index = st->head.index;
	return 0;
out:
	if (rc)
		free((void *)(uintptr_t)spec);
	return rc;
}

static int job_del(struct sched_state *st, const struct sched_change *c)
{
	struct sched_job *j = sched_job_row(st, c->slot);
	const struct sched_spec *spec;

	if (!j || j->first_instance != SCHED_NONE || j->evals || j->children)
		return -EBADMSG;
	spec = sched_job_spec(j);
	if (sched_names_del(st, c->slot, spec))
		return -ENOMEM;
	sched_family_leave(st, c->slot, spec);
	sched_map_del(&st->job_names, sched_name_key(spec->namespace, spec->name));
	forget_system_job(st, c->slot);
	for (uint32_t k = 0; k < j->versions->count; k++)
		sched_pages_retire(&st->pages, (void *)(uintptr_t)j->versions->spec[k]);
	sched_pages_retire(&st->pages, (void *)(uintptr_t)j->versions);
	if (j->deployment)
		sched_pages_retire(&st->pages, (void *)(uintptr_t)j->deployment);
	sched_readiness_reset(st, c->slot);
	*j = (struct sched_job){.first_instance = SCHED_NONE};
	sched_slot_freed(st, SCHED_TABLE_JOBS, c->slot);
	return 0;
}

// ---- instances ----

static int prev_grow(struct sched_state *st, uint32_t slot)
{
	uint32_t room = st->prev_room ? st->prev_room : 1024;
	uint32_t *a, *b;

	if (slot < st->prev_room)
		return 0;
	while (room <= slot)
		room *= 2;
	a = realloc(st->prev_in_job, room * sizeof(*a));
	if (a)
		st->prev_in_job = a;
	b = realloc(st->prev_on_node, room * sizeof(*b));
	if (b)
		st->prev_on_node = b;
	if (!a || !b)
		return -ENOMEM;
	st->prev_room = room;
	return 0;
}

static void link_instance(struct sched_state *st, struct sched_instance *i, uint32_t slot,
	struct sched_job *j, struct sched_node *n)
{
	i->next_in_job = j->first_instance;
	i->next_on_node = n->first_instance;
	if (j->first_instance != SCHED_NONE)
		st->prev_in_job[j->first_instance] = slot;
	if (n->first_instance != SCHED_NONE)
		st->prev_on_node[n->first_instance] = slot;
	st->prev_in_job[slot] = st->prev_on_node[slot] = SCHED_NONE;
	j->first_instance = n->first_instance = slot;
	j->instances++;
}

// Counts it on its node and job if it is wanted and has not ended.
static void hold(
	struct sched_state *st, struct sched_instance *i, struct sched_job *j, struct sched_node *n)
{
	if (!sched_live(i))
		return;
	i->flags |= SCHED_INSTANCE_HOLDS;
	j->live++;
	n->holding++;
	sched_res_add(&n->used, &i->ask);
	sched_quota_hold(st, j->quota, &i->ask);
}

static void release(struct sched_state *st, struct sched_instance *i)
{
	struct sched_job *j;
	struct sched_node *n;

	if (sched_live(i) || !(i->flags & SCHED_INSTANCE_HOLDS))
		return;
	j = sched_job_row(st, i->job);
	n = node_row(st, i->node);
	i->flags &= (uint8_t)~SCHED_INSTANCE_HOLDS;
	j->live--;
	n->holding--;
	sched_res_sub(&n->used, &i->ask);
	sched_quota_release(st, j->quota, &i->ask);
	n->modify_index = j->modify_index = st->head.index;
	st->effects.freed_instances++;
	if (sched_node_takes(n))
		room_appeared(st, n, i->node);
}

// Placements and rows of checkpoints.
static int add(struct sched_state *st, const struct sched_change *c, bool whole)
{
	struct sched_job *j = sched_job_row(st, c->instance->job);
	struct sched_node *n = node_row(st, c->instance->node);
	struct sched_instance *i, *previous;

	if (!j || !n || sched_instance_at(&st->head, c->slot) || c->slot == SCHED_NONE)
		return -EBADMSG;
	i = row(st, SCHED_TABLE_INSTANCES, c->slot);
	if (!i || prev_grow(st, c->slot))
		return -ENOMEM;
	*i = *c->instance;
	i->id.slot = c->slot;
	i->flags = (uint8_t)(SCHED_INSTANCE_USED |
			     (whole ? i->flags & (SCHED_INSTANCE_READY_FLAG | SCHED_INSTANCE_CANARY)
				    : 0));
	if (!whole) {
		if (sched_deploy_is_canary(j, i))
			i->flags |= SCHED_INSTANCE_CANARY;
		i->create_index = i->modify_index = st->head.index;
		i->desired = SCHED_RUN;
		i->status = SCHED_PENDING;
		i->next = SCHED_NONE;
		n->modify_index = j->modify_index = st->head.index;
	}
	link_instance(st, i, c->slot, j, n);
	hold(st, i, j, n);
	sched_readiness_count(st, i, 1);
	sched_slot_taken(st, SCHED_TABLE_INSTANCES, c->slot);
	previous = whole ? NULL : instance_row(st, i->previous);
	if (previous) {
		previous->next = c->slot;
		// What ended and is replaced is settled.
		if (sched_terminal(previous->status))
			previous->desired = SCHED_STOP;
	}
	return 0;
}

static int place(struct sched_state *st, const struct sched_change *c)
{
	return add(st, c, false);
}

static int instance_put(struct sched_state *st, const struct sched_change *c)
{
	return add(st, c, true);
}

static int stop(struct sched_state *st, const struct sched_change *c)
{
	struct sched_instance *i = instance_row(st, c->slot);

	if (!i)
		return -EBADMSG;
	sched_readiness_count(st, i, -1);
	i->desired = c->stop.desired;
	if (c->stop.lost && !sched_terminal(i->status))
		i->status = SCHED_LOST;
	i->modify_index = st->head.index;
	release(st, i);
	return 0;
}

static int update(struct sched_state *st, const struct sched_change *c)
{
	struct sched_instance *i = instance_row(st, c->slot);
	struct sched_node *n;

	if (!i)
		return -EBADMSG;
	n = node_row(st, i->node);
	if (i->flags & SCHED_INSTANCE_HOLDS) {
		uint32_t quota = sched_job_at(&st->head, i->job)->quota;

		sched_res_sub(&n->used, &i->ask);
		sched_res_add(&n->used, &c->update.ask);
		sched_quota_release(st, quota, &i->ask);
		sched_quota_hold(st, quota, &c->update.ask);
	}
	sched_readiness_count(st, i, -1);
	i->ask = c->update.ask;
	i->version = c->update.version;
	sched_readiness_count(st, i, 1);
	i->modify_index = n->modify_index = st->head.index;
	return 0;
}

static int status(struct sched_state *st, const struct sched_change *c)
{
	struct sched_instance *i = instance_row(st, c->slot);

	// What has ended does not come back: a late report changes nothing.
	if (!i)
		return -EBADMSG;
	if (sched_terminal(i->status))
		return 0;
	sched_readiness_count(st, i, -1);
	i->status = c->status.status;
	i->flags = (uint8_t)(i->flags & ~SCHED_INSTANCE_READY_FLAG);
	if (c->status.ready)
		i->flags |= SCHED_INSTANCE_READY_FLAG;
	sched_readiness_count(st, i, 1);
	i->exit_code = c->status.exit_code;
	i->exit_signal = c->status.exit_signal;
	i->reschedules = c->status.reschedules;
	i->changed_ns = c->status.changed_ns;
	i->modify_index = st->head.index;
	release(st, i);
	return 0;
}

static void unlink_instance(struct sched_state *st, uint32_t slot, const struct sched_instance *i)
{
	uint32_t before = st->prev_in_job[slot];

	if (before == SCHED_NONE)
		sched_job_row(st, i->job)->first_instance = i->next_in_job;
	else
		instance_row(st, before)->next_in_job = i->next_in_job;
	if (i->next_in_job != SCHED_NONE)
		st->prev_in_job[i->next_in_job] = before;
	before = st->prev_on_node[slot];
	if (before == SCHED_NONE)
		node_row(st, i->node)->first_instance = i->next_on_node;
	else
		instance_row(st, before)->next_on_node = i->next_on_node;
	if (i->next_on_node != SCHED_NONE)
		st->prev_on_node[i->next_on_node] = before;
	sched_job_row(st, i->job)->instances--;
}

static int instance_del(struct sched_state *st, const struct sched_change *c)
{
	struct sched_instance *i = instance_row(st, c->slot), *other;

	if (!i || (i->flags & SCHED_INSTANCE_HOLDS))
		return -EBADMSG;
	unlink_instance(st, c->slot, i);
	other = instance_row(st, i->previous);
	if (other && other->next == c->slot)
		other->next = SCHED_NONE;
	other = instance_row(st, i->next);
	if (other && other->previous == c->slot)
		other->previous = SCHED_NONE;
	*i = (struct sched_instance){.next_in_job = SCHED_NONE};
	sched_slot_freed(st, SCHED_TABLE_INSTANCES, c->slot);
	return 0;
}

// ---- evaluations ----

// One that ended stays as its job's last, to be explained; the one before it goes.
static int keep_last(struct sched_state *st, uint32_t slot, const struct sched_eval *e)
{
	struct sched_job *j = sched_job_row(st, e->job);
	struct sched_eval *last;

	if (!j || j->last_eval == slot)
		return 0;
	last = sched_eval_at(&st->head, j->last_eval) ? row(st, SCHED_TABLE_EVALS, j->last_eval)
						      : NULL;
	if (last) {
		j->evals--;
		*last = (struct sched_eval){0};
		sched_slot_freed(st, SCHED_TABLE_EVALS, j->last_eval);
	}
	j->last_eval = slot;
	return 0;
}

// It stays itself and its job's, and what has ended does not begin again.
static bool eval_follows(const struct sched_eval *old, const struct sched_eval *e)
{
	return old->id == e->id && old->job == e->job &&
	       (old->status < SCHED_EVAL_COMPLETE || e->status >= SCHED_EVAL_COMPLETE);
}

static int eval_put(struct sched_state *st, const struct sched_change *c)
{
	const struct sched_eval *old = sched_eval_at(&st->head, c->slot);
	struct sched_eval *e;

	if ((old && !eval_follows(old, c->eval)) || !sched_job_at(&st->head, c->eval->job))
		return -EBADMSG;
	e = row(st, SCHED_TABLE_EVALS, c->slot);
	if (!e)
		return -ENOMEM;
	if (!old) {
		sched_slot_taken(st, SCHED_TABLE_EVALS, c->slot);
		sched_job_row(st, c->eval->job)->evals++;
	}
	*e = *c->eval;
	e->slot = c->slot;
	e->in_use = true;
	if (!e->create_index)
		e->create_index = st->head.index;
	e->modify_index = st->head.index;
	if (e->id > st->last_eval_id)
		st->last_eval_id = e->id;
	if (e->status >= SCHED_EVAL_COMPLETE)
		return keep_last(st, c->slot, e);
	return 0;
}

static int eval_del(struct sched_state *st, const struct sched_change *c)
{
	const struct sched_eval *old = sched_eval_at(&st->head, c->slot);
	struct sched_job *j = old ? sched_job_row(st, old->job) : NULL;

	if (!old)
		return -EBADMSG;
	if (j && j->last_eval == c->slot)
		j->last_eval = SCHED_NONE;
	if (j)
		j->evals--;
	*(struct sched_eval *)row(st, SCHED_TABLE_EVALS, c->slot) = (struct sched_eval){0};
	sched_slot_freed(st, SCHED_TABLE_EVALS, c->slot);
	return 0;
}

static int (*const appliers[SCHED_CHANGE_TYPES])(
	struct sched_state *, const struct sched_change *) = {
	[SCHED_NODE_PUT] = node_put,
	[SCHED_NODE_STATE] = node_state,
	[SCHED_NODE_DEL] = node_del,
	[SCHED_JOB_PUT_SPEC] = job_put,
	[SCHED_JOB_DEL] = job_del,
	[SCHED_PLACE] = place,
	[SCHED_STOP_INSTANCE] = stop,
	[SCHED_UPDATE_INSTANCE] = update,
	[SCHED_INSTANCE_STATUS] = status,
	[SCHED_INSTANCE_DEL] = instance_del,
	[SCHED_INSTANCE_ROW] = instance_put,
	[SCHED_EVAL_PUT] = eval_put,
	[SCHED_EVAL_DEL] = eval_del,
	[SCHED_QUOTA_PUT] = sched_quota_put,
	[SCHED_QUOTA_DEL] = sched_quota_del,
	[SCHED_JOB_LAUNCH] = sched_family_launch,
	[SCHED_JOB_ENDED] = sched_family_ended,
	[SCHED_DEPLOYMENT_PUT] = sched_deployment_put,
};

int sched_apply(struct sched_state *st, const struct sched_change *change)
{
	return appliers[change->type] ? appliers[change->type](st, change) : -EBADMSG;
}
