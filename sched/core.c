// SPDX-License-Identifier: Apache-2.0
// The core's machinery: evaluations into the broker, plans through the applier, timers. Events are
// in events.c. Thread: the core's (sched.h).
#include "sched/core.h"

#include <errno.h>
#include <stdlib.h>

#include "sched/core_internal.h"
#include "sched/deploy_core.h"

#define STEP 256 // of unblocking, a tick

const struct sched_core_config sched_core_defaults = {
	.broker = {60 * NS_PER_SEC, NS_PER_SEC, 20 * NS_PER_SEC, 3, 16},
	.applier = {100, 300 * NS_PER_SEC},
	.follow_up_ns = 60 * NS_PER_SEC,
	.unblock_failed_ns = 60 * NS_PER_SEC,
	.gc_age_ns = 600 * NS_PER_SEC,
};

static int evicted(void *user, uint32_t job, uint32_t node)
{
	return sched_core_eval_once(user, job, node, SCHED_PREEMPTION);
}

struct sched_core *sched_core_new(const struct sched_core_config *config, uint64_t seed)
{
	struct sched_core *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->config = config ? *config : sched_core_defaults;
	c->state = sched_state_new();
	c->broker = sched_broker_new(&c->config.broker, seed);
	c->blocked = sched_blocked_new();
	c->applier = c->state ? sched_applier_new(c->state, &c->config.applier) : NULL;
	sched_plan_queue_init(&c->queue);
	list_init(&c->results);
	if (c->state && c->broker && c->blocked && c->applier) {
		sched_launches_init(c, seed);
		sched_applier_on_evicted(c->applier, evicted, c);
		return c;
	}
	sched_core_destroy(c);
	return NULL;
}

void sched_core_destroy(struct sched_core *c)
{
	if (!c)
		return;
	sched_launches_fini(c);
	sched_applier_destroy(c->applier);
	sched_blocked_destroy(c->blocked);
	sched_broker_destroy(c->broker);
	sched_state_destroy(c->state);
	sched_due_fini(&c->deployments);
	free(c->made);
	free(c);
}

struct sched_ticket sched_ticket_of(const struct sched_eval *e)
{
	return (struct sched_ticket){.eval = e->id,
		.create_index = e->create_index,
		.min_index = e->modify_index,
		.wait_until = e->wait_until,
		.slot = e->slot,
		.job = e->job,
		.node = e->node,
		.type = e->type,
		.priority = e->priority,
		.trigger = e->trigger};
}

int sched_core_start(struct sched_core *c, ns_t now)
{
	const struct sched_snapshot *s = &c->state->head;

	sched_broker_enable(c->broker, true);
	sched_blocked_enable(c->blocked, true);
	sched_plan_queue_enable(&c->queue);
	c->unblock_failed_at = now + c->config.unblock_failed_ns;
	// Blocked ones run again: what unblocked them may have been in memory only when the program
	// ended.
	for (uint32_t i = 0; i < s->tables[SCHED_TABLE_EVALS].high; i++) {
		const struct sched_eval *e = sched_eval_at(s, i);
		struct sched_ticket t;

		if (!e || e->status >= SCHED_EVAL_COMPLETE)
			continue;
		t = sched_ticket_of(e);
		// It may have stood for others.
		t.node = SCHED_NONE;
		if (sched_broker_enqueue(c->broker, &t, now))
			return -ENOMEM;
		c->evals_made++;
	}
	return sched_launches_start(c, now) ? -ENOMEM : sched_deploy_recover(c, now);
}

void sched_core_stop(struct sched_core *c)
{
	sched_plan_queue_disable(&c->queue, &c->results);
	sched_broker_enable(c->broker, false);
	sched_blocked_enable(c->blocked, false);
}

// ---- evaluations ----

// Room for what remember() takes.
static int reserve(struct sched_core *c)
{
	uint32_t room = c->made_room ? c->made_room * 2 : 64;
	struct sched_ticket *more;

	if (c->made_count < c->made_room)
		return 0;
	more = realloc(c->made, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->made = more;
	c->made_room = room;
	return 0;
}

static void remember(struct sched_core *c, const struct sched_eval *e)
{
	c->made[c->made_count++] = sched_ticket_of(e);
}

int sched_core_eval(struct sched_core *c, uint32_t job, uint8_t trigger, ns_t wait_until,
	const struct sched_eval *previous)
{
	return sched_core_eval_on(c, job, SCHED_NONE, trigger, wait_until, previous);
}

int sched_core_eval_once(struct sched_core *c, uint32_t job, uint32_t node, uint8_t trigger)
{
	// The broker knows of those made within this transaction only afterwards.
	for (uint32_t k = 0; k < c->made_count; k++) {
		if (c->made[k].job != job)
			continue;
		if (c->made[k].node != node)
			c->made[k].node = SCHED_NONE;
		return 0;
	}
	return sched_core_eval_on(c, job, node, trigger, 0, NULL);
}

int sched_core_eval_on(struct sched_core *c, uint32_t job, uint32_t node, uint8_t trigger,
	ns_t wait_until, const struct sched_eval *previous)
{
	const struct sched_job *j = sched_job_at(&c->state->head, job);
	struct sched_eval e = {.job = job,
		.node = sched_by_node(j->type) ? node : SCHED_NONE,
		.trigger = trigger,
		.wait_until = wait_until};
	int rc;

	// Only events have no time of their own to wait for: a later evaluation sees what they
	// changed.
	if (!wait_until &&
		sched_broker_covers(c->broker, job, e.node, j->priority, c->state->head.index))
		return 0;
	e.id = c->state->last_eval_id + 1;
	e.previous = previous ? previous->id : 0;
	e.nacks = previous ? (uint8_t)(previous->nacks + (previous->nacks < 255)) : 0;
	e.type = j->type;
	e.priority = j->priority;
	e.create_index = c->state->head.index;
	e.slot = sched_slot_new(c->state, SCHED_TABLE_EVALS);
	rc = reserve(c);
	if (!rc)
		rc = sched_core_change(
			c, SCHED_EVAL_PUT, e.slot, (struct sched_change){.eval = &e});
	if (rc)
		return rc;
	e.modify_index = c->state->head.index;
	c->evals_made++;
	remember(c, &e);
	return 0;
}

void sched_core_begin(struct sched_core *c)
{
	c->made_count = 0;
	sched_txn_begin(c->state);
}

void sched_core_effects(struct sched_core *c)
{
	struct sched_effects *e = &c->state->effects;

	for (uint32_t word = 0; word < SCHED_CLASSES_TRACKED / 64; word++) {
		for (uint64_t left = e->freed[word]; left; left &= left - 1)
			sched_blocked_unblock_class(c->blocked,
				word * 64 + (uint32_t)__builtin_ctzll(left), c->state->head.index);
	}
	if (e->freed_other)
		sched_blocked_unblock_class(
			c->blocked, SCHED_CLASSES_TRACKED, c->state->head.index);
	for (uint32_t k = 0; k < e->node_count && k < SCHED_EFFECT_NODES; k++)
		sched_blocked_unblock_node(c->blocked, e->nodes[k], c->state->head.index);
	if (e->node_count > SCHED_EFFECT_NODES)
		sched_blocked_unblock_nodes(c->blocked, c->state->head.index);
	for (uint64_t left = e->quotas; left; left &= left - 1)
		sched_blocked_unblock_quota(
			c->blocked, (uint32_t)__builtin_ctzll(left) + 1, c->state->head.index);
	*e = (struct sched_effects){0};
}

int sched_core_commit(struct sched_core *c, ns_t now)
{
	int rc = sched_txn_end(c->state);

	if (sched_publish(c->state))
		rc = -ENOMEM;
	if (sched_broker_enqueue_all(c->broker, c->made, c->made_count, now))
		rc = -ENOMEM;
	c->made_count = 0;
	sched_core_effects(c);
	return rc;
}

// Evaluations that will never run leave no trace.
static void forget(struct sched_core *c, const struct sched_ticket *t, uint32_t n)
{
	uint32_t gone = 0;

	for (uint32_t k = 0; k < n; k++) {
		const struct sched_eval *e = sched_eval_at(&c->state->head, t[k].slot);

		if (!e || e->id != t[k].eval || e->status >= SCHED_EVAL_COMPLETE)
			continue;
		if (!gone++)
			sched_txn_begin(c->state);
		sched_core_change(c, SCHED_EVAL_DEL, t[k].slot, (struct sched_change){0});
	}
	c->evals_ended += gone;
	if (gone)
		sched_txn_end(c->state);
}

// ---- plans ----

int sched_core_dequeue(
	struct sched_core *c, uint32_t mask, ns_t now, struct sched_ticket *t, uint64_t *token)
{
	return sched_broker_dequeue(c->broker, mask, now, t, token);
}

int sched_core_submit(struct sched_core *c, struct sched_plan *plan, ns_t now)
{
	// While the plan waits the worker is not at fault.
	if (sched_broker_pause(c->broker, plan->done.id, plan->token, now))
		return -ESTALE;
	plan->error = sched_plan_queue_put(&c->queue, plan);
	if (plan->error)
		list_push(&c->results, &plan->link);
	return 0;
}

static void wait_for_room(struct sched_core *c, const struct sched_eval *e, ns_t now)
{
	struct sched_waiting w = {.ticket = sched_ticket_of(e),
		.eligibility = e->eligibility,
		.snapshot_index = e->snapshot_index,
		.quota = e->quota,
		.max_plans = e->trigger == SCHED_MAX_PLANS};
	struct sched_ticket cancelled;
	int rc;

	w.ticket.wait_until = 0;
	rc = sched_blocked_add(c->blocked, &w, &cancelled);
	if (cancelled.eval)
		forget(c, &cancelled, 1);
	// Out of memory: better too early than never.
	if (rc)
		sched_broker_enqueue(c->broker, &w.ticket, now);
}

static void hand_on(struct sched_core *c, const struct sched_eval *e, ns_t now)
{
	const struct sched_eval *row = sched_eval_at(&c->state->head, e->slot);
	struct sched_ticket t;

	if (!row || row->id != e->id)
		return;
	if (row->status == SCHED_EVAL_BLOCKED) {
		wait_for_room(c, row, now);
		return;
	}
	t = sched_ticket_of(row);
	sched_broker_enqueue(c->broker, &t, now);
}

// All of the plan is committed: its evaluation ends, those it made go their way.
static void concluded(struct sched_core *c, struct sched_plan *plan, ns_t now)
{
	bool waits = plan->done.status == SCHED_EVAL_BLOCKED;
	struct sched_ticket old;

	sched_broker_ack(c->broker, plan->done.id, plan->token, now);
	// One that looked at all nodes replaces those that wait for some.
	while (sched_by_node(plan->done.type) && plan->node == SCHED_NONE &&
		(old = sched_blocked_untrack_any(c->blocked, plan->job)).eval)
		forget(c, &old, 1);
	c->evals_ended += !waits;
	c->evals_made += plan->follow_count;
	for (uint32_t k = 0; k < plan->follow_count; k++)
		waits |= plan->follow[k].status == SCHED_EVAL_BLOCKED;
	if (plan->done.status == SCHED_EVAL_BLOCKED)
		hand_on(c, &plan->done, now);
	for (uint32_t k = 0; k < plan->follow_count; k++)
		hand_on(c, &plan->follow[k], now);
	if (waits)
		return;
	old = sched_blocked_untrack(c->blocked, plan->job, plan->node);
	if (old.eval)
		forget(c, &old, 1);
}

static void apply_one(struct sched_core *c, struct sched_plan *plan, ns_t now)
{
	if (sched_broker_outstanding(c->broker, plan->done.id) != plan->token) {
		plan->error = -ESTALE;
		plan->full = false;
		return;
	}
	c->made_count = 0;
	sched_applier_apply(c->applier, plan);
	// Of the jobs whose instances had to go.
	sched_broker_enqueue_all(c->broker, c->made, c->made_count, now);
	c->made_count = 0;
	sched_core_effects(c);
	if (plan->index)
		sched_broker_changed(c->broker, plan->job, plan->index);
	if (plan->full) {
		concluded(c, plan, now);
		sched_launch_after_plan(c, plan->job, now);
	} else
		sched_broker_resume(c->broker, plan->done.id, plan->token, now);
	if (plan->index)
		sched_deploy_settle(c, plan->job, now);
}

uint32_t sched_core_apply(struct sched_core *c, uint32_t budget, ns_t now)
{
	struct list done;
	uint32_t n = 0;

	list_init(&done);
	for (struct sched_plan *plan; n < budget && (plan = sched_plan_queue_take(&c->queue));
		n++) {
		apply_one(c, plan, now);
		list_push(&done, &plan->link);
	}
	// A worker that must refresh finds the state it must see.
	if (n)
		sched_publish(c->state);
	for (struct list *at; (at = list_first(&done));) {
		list_del(at);
		list_push(&c->results, at);
	}
	return n;
}

struct sched_plan *sched_core_result(struct sched_core *c)
{
	struct list *at = list_first(&c->results);

	if (!at)
		return NULL;
	list_del(at);
	return list_entry(at, struct sched_plan, link);
}

void sched_core_drop(struct sched_core *c, const struct sched_ticket *t, uint64_t token, ns_t now)
{
	if (sched_broker_ack(c->broker, t->eval, token, now) == 0)
		forget(c, t, 1);
}

void sched_core_nack(struct sched_core *c, const struct sched_ticket *t, uint64_t token, ns_t now)
{
	sched_broker_nack(c->broker, t->eval, token, now);
}

// ---- housekeeping ----

static bool unblock(struct sched_core *c, ns_t now)
{
	struct sched_waiting out[STEP];
	bool more;
	uint32_t n;

	if (now >= c->unblock_failed_at) {
		sched_blocked_unblock_failed(c->blocked);
		c->unblock_failed_at = now + c->config.unblock_failed_ns;
	}
	n = sched_blocked_step(c->blocked, STEP, out, &more);
	for (uint32_t k = 0; k < n; k++) {
		out[k].ticket.min_index = c->state->published->index;
		sched_broker_requeue(c->broker, &out[k].ticket, out[k].token, now);
	}
	return more;
}

// One whose workers failed again and again ends, and another tries later.
static bool reap(struct sched_core *c, ns_t now)
{
	struct sched_ticket t;
	struct sched_eval e;
	const struct sched_eval *row;
	uint64_t token;
	ns_t delay;

	if (!sched_broker_has(c->broker, SCHED_MASK(SCHED_TYPE_FAILED)) ||
		sched_broker_dequeue(c->broker, SCHED_MASK(SCHED_TYPE_FAILED), now, &t, &token))
		return false;
	row = sched_eval_at(&c->state->head, t.slot);
	if (!row || row->id != t.eval) {
		sched_broker_ack(c->broker, t.eval, token, now);
		return true;
	}
	e = *row;
	e.status = SCHED_EVAL_FAILED;
	delay = c->config.follow_up_ns << (e.nacks < 4 ? e.nacks : 4);
	sched_core_begin(c);
	sched_core_change(c, SCHED_EVAL_PUT, e.slot, (struct sched_change){.eval = &e});
	sched_core_eval(c, e.job, SCHED_FAILED_FOLLOW_UP, now + delay, &e);
	c->evals_ended++;
	sched_core_commit(c, now);
	sched_broker_ack(c->broker, t.eval, token, now);
	return true;
}

static bool clear_cancelled(struct sched_core *c)
{
	struct sched_ticket t[STEP];
	uint32_t n = sched_broker_cancelled(c->broker, t, STEP);

	forget(c, t, n);
	return n == STEP;
}

bool sched_core_tick(struct sched_core *c, ns_t now)
{
	bool more;

	sched_broker_run(c->broker, now);
	c->blocked_more = unblock(c, now);
	more = c->blocked_more;
	more |= reap(c, now);
	more |= clear_cancelled(c);
	more |= sched_deploy_tick(c, now);
	more |= sched_launches_tick(c, now);
	sched_garbage_step(c, now);
	return more;
}

ns_t sched_core_next(const struct sched_core *c)
{
	ns_t at = sched_broker_next(c->broker), deployment = sched_due_next(&c->deployments);
	ns_t launch = sched_launches_next(c);

	at = deployment < at ? deployment : at;
	at = launch < at ? launch : at;
	at = c->garbage.at < at ? c->garbage.at : at;
	return at < c->unblock_failed_at ? at : c->unblock_failed_at;
}
