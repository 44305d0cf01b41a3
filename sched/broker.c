// SPDX-License-Identifier: Apache-2.0
// The broker of broker.h. Entries lie in one array and refer to each other by number; a heap orders
// those with a deadline; ready ones stand in a list for each type and priority, with a bitmap of
// those in use.
//
// Invariants: a job's `holder` is its only entry that is ready, outstanding, failed or waits for a
// redelivery; all its other entries are in its pending list or wait for their time.
#include "sched/broker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/broker_internal.h"

const struct sched_broker_config sched_broker_defaults = {
	.nack_timeout_ns = 60 * NS_PER_SEC,
	.first_delay_ns = 1 * NS_PER_SEC,
	.further_delay_ns = 20 * NS_PER_SEC,
	.delivery_limit = 3,
	.pending_max = 16,
};

static void forget_all(struct sched_broker *b)
{
	b->free = SCHED_NONE;
	for (uint32_t i = b->entry_room; i-- > 0;) {
		b->entries[i] = (struct entry){.state = FREE, .next = b->free};
		b->free = i;
	}
	for (uint32_t i = 0; i < b->job_room; i++)
		b->jobs[i] = (struct job){SCHED_NONE, SCHED_NONE, SCHED_NONE, 0, 0};
	for (int q = 0; q < QUEUES; q++) {
		for (int p = 0; p < PRIORITIES; p++)
			b->queues[q][p] = (struct fifo){SCHED_NONE, SCHED_NONE};
		b->used[q][0] = b->used[q][1] = 0;
	}
	sched_map_fini(&b->by_eval);
	b->heap_count = b->cancelled_count = 0;
	b->stats.ready = b->stats.outstanding = b->stats.pending = 0;
	b->stats.waiting = b->stats.failed = 0;
	memset(b->stats.ready_by_type, 0, sizeof(b->stats.ready_by_type));
}

struct sched_broker *sched_broker_new(const struct sched_broker_config *config, uint64_t seed)
{
	struct sched_broker *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->config = config ? *config : sched_broker_defaults;
	rng_seed(&b->rng, seed);
	forget_all(b);
	return b;
}

void sched_broker_destroy(struct sched_broker *b)
{
	if (!b)
		return;
	sched_map_fini(&b->by_eval);
	free(b->entries);
	free(b->jobs);
	free(b->heap);
	free(b->cancelled);
	free(b);
}

void sched_broker_enable(struct sched_broker *b, bool enabled)
{
	if (!enabled)
		forget_all(b);
	b->enabled = enabled;
}

bool sched_broker_enabled(const struct sched_broker *b)
{
	return b->enabled;
}

// ---- room ----

static int grow_entries(struct sched_broker *b)
{
	uint32_t room = b->entry_room ? b->entry_room * 2 : 256;
	struct entry *entries = realloc(b->entries, room * sizeof(*entries));
	uint32_t *heap;

	if (!entries)
		return -ENOMEM;
	b->entries = entries;
	heap = realloc(b->heap, room * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	b->heap = heap;
	for (uint32_t i = room; i-- > b->entry_room;) {
		entries[i] = (struct entry){.state = FREE, .next = b->free};
		b->free = i;
	}
	b->entry_room = room;
	return 0;
}

static int reserve_job(struct sched_broker *b, uint32_t job)
{
	uint32_t room = b->job_room ? b->job_room : 256;
	struct job *jobs;

	if (job < b->job_room)
		return 0;
	while (room <= job)
		room *= 2;
	jobs = realloc(b->jobs, room * sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	for (uint32_t i = b->job_room; i < room; i++)
		jobs[i] = (struct job){SCHED_NONE, SCHED_NONE, SCHED_NONE, 0, 0};
	b->jobs = jobs;
	b->job_room = room;
	return 0;
}

static int entry_new(struct sched_broker *b, const struct sched_ticket *t)
{
	uint32_t i;

	if (reserve_job(b, t->job) || (b->free == SCHED_NONE && grow_entries(b)) ||
		sched_map_set(&b->by_eval, t->eval, b->free))
		return -ENOMEM;
	i = b->free;
	b->free = b->entries[i].next;
	b->entries[i] = (struct entry){
		.t = *t, .heap_at = SCHED_NONE, .next = SCHED_NONE, .prev = SCHED_NONE};
	return (int)i;
}

static void entry_free(struct sched_broker *b, uint32_t i)
{
	sched_broker_disarm(b, i);
	sched_map_del(&b->by_eval, b->entries[i].t.eval);
	b->entries[i].state = FREE;
	b->entries[i].next = b->free;
	b->free = i;
}

static void cancel(struct sched_broker *b, uint32_t i)
{
	if (b->cancelled_count == b->cancelled_room) {
		uint32_t room = b->cancelled_room ? b->cancelled_room * 2 : 64;
		struct sched_ticket *more = realloc(b->cancelled, room * sizeof(*more));

		if (more) {
			b->cancelled = more;
			b->cancelled_room = room;
		}
	}
	// Without memory for the note the state keeps a row too many until the next restart.
	if (b->cancelled_count < b->cancelled_room)
		b->cancelled[b->cancelled_count++] = b->entries[i].t;
	b->stats.cancelled++;
	entry_free(b, i);
}

uint32_t sched_broker_cancelled(struct sched_broker *b, struct sched_ticket *out, uint32_t n)
{
	if (n > b->cancelled_count)
		n = b->cancelled_count;
	b->cancelled_count -= n;
	if (n)
		memcpy(out, b->cancelled + b->cancelled_count, n * sizeof(*out));
	return n;
}

// ---- jobs ----

// Priority, then the newest.
static bool better(const struct sched_ticket *a, const struct sched_ticket *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->create_index != b->create_index ? a->create_index > b->create_index
						  : a->eval > b->eval;
}

// One evaluation stands for another, too: of a system job that may concern another node.
static void stand_for(struct sched_ticket *keeper, uint32_t node)
{
	if (keeper->node != node)
		keeper->node = SCHED_NONE;
}

// Cancels the tail of a pending list from entry i on; what stays must see what these would have
// seen.
static void cancel_from(
	struct sched_broker *b, struct job *job, uint32_t i, struct sched_ticket *keeper)
{
	while (i != SCHED_NONE) {
		uint32_t next = b->entries[i].next;

		if (keeper->min_index < b->entries[i].t.min_index)
			keeper->min_index = b->entries[i].t.min_index;
		stand_for(keeper, b->entries[i].t.node);
		job->pending_count--;
		b->stats.pending--;
		cancel(b, i);
		i = next;
	}
}

static void make_pending(struct sched_broker *b, struct job *job, uint32_t i)
{
	struct entry *e = &b->entries[i];
	uint32_t *at = &job->pending;
	uint32_t n = 0;

	while (*at != SCHED_NONE && !better(&e->t, &b->entries[*at].t))
		at = &b->entries[*at].next;
	e->state = PENDING;
	e->next = *at;
	*at = i;
	job->pending_count++;
	b->stats.pending++;
	if (job->pending_count <= b->config.pending_max)
		return;
	at = &job->pending;
	for (n = 1; n < b->config.pending_max; n++)
		at = &b->entries[*at].next;
	n = b->entries[*at].next;
	b->entries[*at].next = SCHED_NONE;
	cancel_from(b, job, n, &b->entries[job->pending].t);
}

static void queue(struct sched_broker *b, uint32_t i)
{
	struct job *job = &b->jobs[b->entries[i].t.job];

	if (job->holder != SCHED_NONE && job->holder != i) {
		make_pending(b, job, i);
		return;
	}
	job->holder = i;
	sched_broker_make_ready(b, i);
}

// The holder is done: the best pending one goes on, the others have nothing left to do.
static void free_job(struct sched_broker *b, uint32_t slot)
{
	struct job *job = &b->jobs[slot];
	uint32_t i = job->pending, rest;

	job->holder = job->pending = SCHED_NONE;
	if (i == SCHED_NONE)
		return;
	job->pending_count--;
	b->stats.pending--;
	rest = b->entries[i].next;
	b->entries[i].next = SCHED_NONE;
	cancel_from(b, job, rest, &b->entries[i].t);
	queue(b, i);
}

// ---- enqueue ----

// Of two that wait with the same cause the earlier one is enough: it will make another if that is
// still needed. True if the new one is cancelled.
static bool merge_waiting(struct sched_broker *b, uint32_t i)
{
	struct job *job = &b->jobs[b->entries[i].t.job];
	uint32_t other = job->waiting;
	struct sched_ticket *t = &b->entries[i].t;

	if (other != SCHED_NONE && b->entries[other].t.trigger == t->trigger) {
		stand_for(&b->entries[other].t, t->node);
		stand_for(t, b->entries[other].t.node);
		if (b->entries[other].t.wait_until <= t->wait_until) {
			cancel(b, i);
			return true;
		}
		b->stats.waiting--;
		cancel(b, other);
	}
	job->waiting = i;
	return false;
}

static void start(struct sched_broker *b, uint32_t i, ns_t now)
{
	struct entry *e = &b->entries[i];

	b->stats.enqueued++;
	if (e->t.wait_until > now) {
		if (merge_waiting(b, i))
			return;
		e->state = WAITING;
		b->stats.waiting++;
		sched_broker_arm(b, i, e->t.wait_until);
		return;
	}
	queue(b, i);
}

int sched_broker_enqueue_all(
	struct sched_broker *b, const struct sched_ticket *t, uint32_t count, ns_t now)
{
	uint32_t made = 0;

	if (!b->enabled)
		return 0;
	// First a place for each, then what cannot fail. A new entry bears no state (FREE) until it
	// starts.
	for (; made < count; made++) {
		if (sched_map_get(&b->by_eval, t[made].eval) != SCHED_NONE)
			continue;
		if (entry_new(b, &t[made]) < 0)
			break;
	}
	for (uint32_t k = 0; k < made; k++) {
		uint32_t i = sched_map_get(&b->by_eval, t[k].eval);

		if (i == SCHED_NONE)
			continue;
		if (b->entries[i].state != FREE)
			b->stats.duplicates += made == count;
		else if (made == count)
			start(b, i, now);
		else
			entry_free(b, i);
	}
	return made == count ? 0 : -ENOMEM;
}

int sched_broker_enqueue(struct sched_broker *b, const struct sched_ticket *t, ns_t now)
{
	return sched_broker_enqueue_all(b, t, 1, now);
}

bool sched_broker_covers(
	struct sched_broker *b, uint32_t job, uint32_t node, uint8_t priority, uint64_t index)
{
	uint32_t i = job < b->job_room ? b->jobs[job].pending : SCHED_NONE;
	struct sched_ticket *t;

	// The best pending one will run after the holder; a holder that is ready has not begun.
	if (i == SCHED_NONE && job < b->job_room)
		i = b->jobs[job].holder;
	if (i == SCHED_NONE || b->entries[i].failed ||
		(b->entries[i].state != PENDING && b->entries[i].state != READY))
		return false;
	t = &b->entries[i].t;
	if (t->priority < priority)
		return false;
	if (t->min_index < index)
		t->min_index = index;
	stand_for(t, node);
	return true;
}

void sched_broker_changed(struct sched_broker *b, uint32_t job, uint64_t index)
{
	if (b->enabled && reserve_job(b, job) == 0 && b->jobs[job].changed < index)
		b->jobs[job].changed = index;
}

// The entry if it is outstanding under this token. SCHED_NONE with *rc.
static uint32_t held(const struct sched_broker *b, uint64_t eval, uint64_t token, int *rc)
{
	uint32_t i = sched_map_get(&b->by_eval, eval);

	*rc = 0;
	if (i == SCHED_NONE || b->entries[i].state != OUTSTANDING)
		*rc = -ENOENT;
	else if (b->entries[i].token != token)
		*rc = -EPERM;
	return *rc ? SCHED_NONE : i;
}

int sched_broker_requeue(
	struct sched_broker *b, const struct sched_ticket *t, uint64_t token, ns_t now)
{
	int rc;
	uint32_t i = held(b, t->eval, token, &rc);

	if (rc == -ENOENT)
		return sched_broker_enqueue(b, t, now);
	if (rc)
		return 0;
	b->entries[i].requeue = true;
	b->entries[i].again = *t;
	return 0;
}

// ---- delivery ----

static void deliver(struct sched_broker *b, uint32_t i, ns_t now)
{
	struct entry *e = &b->entries[i];

	if (e->t.min_index < b->jobs[e->t.job].changed)
		e->t.min_index = b->jobs[e->t.job].changed;
	e->state = OUTSTANDING;
	e->deliveries++;
	e->paused = false;
	do
		e->token = rng_next(&b->rng);
	while (!e->token);
	sched_broker_arm(b, i, now + b->config.nack_timeout_ns);
	b->stats.outstanding++;
	b->stats.delivered++;
}

int sched_broker_dequeue(
	struct sched_broker *b, uint32_t mask, ns_t now, struct sched_ticket *t, uint64_t *token)
{
	int q, priority;
	uint32_t i;

	sched_broker_run(b, now);
	q = sched_broker_best_queue(b, mask, &priority);
	if (q < 0)
		return -EAGAIN;
	b->turn = (uint32_t)(q + 1) % QUEUES;
	i = sched_broker_take_first(b, (uint32_t)q, (uint32_t)priority);
	deliver(b, i, now);
	*t = b->entries[i].t;
	*token = b->entries[i].token;
	return 0;
}

int sched_broker_ack(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now)
{
	int rc;
	uint32_t i = held(b, eval, token, &rc), job;
	struct sched_ticket again;
	bool requeue;

	if (rc)
		return rc;
	requeue = b->entries[i].requeue;
	again = b->entries[i].again;
	job = b->entries[i].t.job;
	b->stats.outstanding--;
	b->stats.acked++;
	entry_free(b, i);
	// Freed entry first: the requeued evaluation stands behind what was pending already.
	free_job(b, job);
	return requeue ? sched_broker_enqueue(b, &again, now) : 0;
}

static void put_back(struct sched_broker *b, uint32_t i, ns_t now)
{
	struct entry *e = &b->entries[i];

	b->stats.outstanding--;
	e->requeue = false;
	sched_broker_disarm(b, i);
	// The failed queue's own deliveries have no limit: somebody must make the follow-up.
	if (e->deliveries >= b->config.delivery_limit && !e->failed) {
		e->failed = true;
		b->stats.gave_up++;
		sched_broker_make_ready(b, i);
		return;
	}
	e->state = DELAYED;
	b->stats.waiting++;
	sched_broker_arm(b, i,
		now + (e->deliveries <= 1 ? b->config.first_delay_ns
					  : (e->deliveries - 1) * b->config.further_delay_ns));
}

int sched_broker_nack(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now)
{
	int rc;
	uint32_t i = held(b, eval, token, &rc);

	if (rc)
		return rc;
	b->stats.nacked++;
	put_back(b, i, now);
	return 0;
}

int sched_broker_touch(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now)
{
	int rc;
	uint32_t i = held(b, eval, token, &rc);

	if (rc)
		return rc;
	if (b->entries[i].paused)
		b->entries[i].left = b->config.nack_timeout_ns;
	else
		sched_broker_arm(b, i, now + b->config.nack_timeout_ns);
	return 0;
}

int sched_broker_pause(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now)
{
	int rc;
	uint32_t i = held(b, eval, token, &rc);

	if (rc || b->entries[i].paused)
		return rc;
	b->entries[i].paused = true;
	b->entries[i].left = b->entries[i].due - now;
	sched_broker_disarm(b, i);
	return 0;
}

int sched_broker_resume(struct sched_broker *b, uint64_t eval, uint64_t token, ns_t now)
{
	int rc;
	uint32_t i = held(b, eval, token, &rc);

	if (rc || !b->entries[i].paused)
		return rc;
	b->entries[i].paused = false;
	sched_broker_arm(b, i, now + b->entries[i].left);
	return 0;
}

uint64_t sched_broker_outstanding(const struct sched_broker *b, uint64_t eval)
{
	uint32_t i = sched_map_get(&b->by_eval, eval);

	return i != SCHED_NONE && b->entries[i].state == OUTSTANDING ? b->entries[i].token : 0;
}

void sched_broker_run(struct sched_broker *b, ns_t now)
{
	while (b->heap_count && b->entries[b->heap[0]].due <= now) {
		uint32_t i = b->heap[0];

		sched_broker_disarm(b, i);
		if (b->entries[i].state == OUTSTANDING) {
			b->stats.timed_out++;
			put_back(b, i, now);
			continue;
		}
		b->stats.waiting--;
		if (b->jobs[b->entries[i].t.job].waiting == i)
			b->jobs[b->entries[i].t.job].waiting = SCHED_NONE;
		queue(b, i);
	}
}

struct sched_broker_stats sched_broker_stats(const struct sched_broker *b)
{
	struct sched_broker_stats stats = b->stats;

	stats.cancelled_left = b->cancelled_count;
	return stats;
}
