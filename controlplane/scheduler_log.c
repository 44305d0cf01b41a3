// SPDX-License-Identifier: Apache-2.0
// The scheduler's log in the store; what is told of it once it is durable is in scheduler_tell.c.
//
// Records: "sched/checkpoint", the whole state (if it is large, in parts of their own), and
// "sched/log/N", transactions up to index N, in the order of their keys. One record a commit: what
// collected since the one before; the committing thread takes it when it begins. When the logs are
// larger than the checkpoint a new one (scheduler_checkpoint.c) takes their place. They are spent
// then, and removed a few in each batch, since there may be tens of thousands. The first record
// behind it may begin before it: what the checkpoint covers is skipped, also at a start.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "lib/base/cursor.h"
#include "lib/base/log.h"

#define SPENT_A_BATCH 128

// ---- loading ----

static void add_log(
	struct scheduler_log **logs, size_t *count, size_t *room, const struct scheduler_log *log)
{
	if (*count == *room) {
		*room = *room ? *room * 2 : 64;
		*logs = must(realloc(*logs, *room * sizeof(**logs)));
	}
	(*logs)[(*count)++] = *log;
}

static void remember_log(struct scheduler *s, const struct scheduler_log *log)
{
	size_t end = s->log_first + s->log_count;

	add_log(&s->logs, &end, &s->log_room, log);
	s->log_count++;
	s->log_bytes += log->len;
}

void scheduler_logs_spend(struct scheduler *s, uint64_t index)
{
	for (; s->spent_logs < s->log_count; s->spent_logs++) {
		const struct scheduler_log *log = &s->logs[s->log_first + s->spent_logs];

		if (log->index > index)
			break;
		s->log_bytes -= log->len;
	}
}

static void ride_spent(struct scheduler *s, struct batch *batch)
{
	char key[STORE_KEY_MAX];

	for (s->spent_ridden = 0;
		s->spent_ridden < s->spent_logs && s->spent_ridden < SPENT_A_BATCH;
		s->spent_ridden++) {
		scheduler_log_key(key, s->logs[s->log_first + s->spent_ridden].index);
		batch_write(batch, key, NULL, 0);
	}
}

static void land_spent(struct scheduler *s, int error)
{
	size_t gone = error ? 0 : s->spent_ridden;

	s->spent_ridden = 0;
	s->spent_logs -= gone;
	s->log_count -= gone;
	s->log_first += gone;
	// Seldom enough that each is moved once or so.
	if (s->log_first <= s->log_count)
		return;
	memmove(s->logs, s->logs + s->log_first, s->log_count * sizeof(*s->logs));
	s->log_first = 0;
}

// How many bytes of a log are transactions up to an index.
static size_t covered(const void *bytes, size_t len, uint64_t index)
{
	struct reader r = reader_of(bytes, len);
	size_t n = 0;

	while (reader_left(&r) >= SCHED_LOG_FRAME_BYTES) {
		size_t frame;

		reader_u32(&r);
		frame = reader_u32(&r);
		if (reader_u64(&r) > index)
			break;
		reader_take(&r, frame);
		if (r.bad)
			break;
		n = len - reader_left(&r);
	}
	return n;
}

static int load_log(void *user, const struct store_record *record)
{
	struct scheduler *s = user;
	const char *number = record->key + strlen(SCHEDULER_LOG_PREFIX);
	size_t skipped = covered(record->value, record->len, s->loaded_index);

	remember_log(s, &(struct scheduler_log){strtoull(number, NULL, 10), record->len});
	if (record->len > skipped)
		memcpy(must(sched_bytes_take(&s->joining, record->len - skipped)),
			(const char *)record->value + skipped, record->len - skipped);
	return 0;
}

int scheduler_load(struct scheduler *s, struct store *store)
{
	uint64_t version;
	void *value;
	int rc = scheduler_parts_load(s, store, &value, &s->checkpoint_bytes, &version);

	if (rc == 0) {
		s->loaded_index = version;
		rc = sched_replay(s->core->state, value, s->checkpoint_bytes);
		free(value);
	}
	if (rc == 0 || rc == -ENOENT)
		rc = store_list(store, SCHEDULER_LOG_PREFIX, NULL, load_log, s);
	// All at once, since a replay ends with a look at every row.
	if (rc == 0 && s->joining.len)
		rc = sched_replay(s->core->state, s->joining.data, s->joining.len);
	s->joining.len = 0;
	scheduler_logs_spend(s, s->loaded_index);
	s->durable_index = s->core->state->head.index;
	if (rc == 0)
		scheduler_tell_state(s);
	return rc;
}

// ---- writing: in the committing thread ----

// Copies the transactions that change something: soft status leaves empty ones behind.
static void append_transactions(struct sched_bytes *to, const struct sched_bytes *from)
{
	struct reader r = reader_of(from->data, from->len);

	while (reader_left(&r) >= SCHED_LOG_FRAME_BYTES) {
		const uint8_t *frame = r.at;
		size_t len;

		reader_u32(&r);
		len = reader_u32(&r);
		reader_u64(&r);
		reader_take(&r, len);
		if (len && !r.bad)
			memcpy(must(sched_bytes_take(to, SCHED_LOG_FRAME_BYTES + len)), frame,
				SCHED_LOG_FRAME_BYTES + len);
	}
}

// Memory was missing for a transaction: without it what follows could not be replayed. What is in
// the store is right, and nobody was told of more.
static void end_incomplete(void)
{
	log_error("scheduler",
		"out of memory: the log lacks a change, so nothing more can be stored; ending, so "
		"that the next start goes on from what is stored; give the control plane more memory");
	abort();
}

// Takes over what the core has logged. Lock held.
static void take_log(struct scheduler *s)
{
	size_t before = s->joining.len;

	if (s->core->state->log.incomplete)
		end_incomplete();
	s->told = false;
	sched_log_take(s->core, &s->spare);
	append_transactions(&s->joining, &s->spare);
	s->backlog_bytes += s->joining.len - before;
}

static uint64_t last_index(const struct sched_bytes *bytes)
{
	struct reader r = reader_of(bytes->data, bytes->len);
	uint64_t index = 0;

	while (reader_left(&r) >= SCHED_LOG_FRAME_BYTES) {
		size_t len;

		reader_u32(&r);
		len = reader_u32(&r);
		index = reader_u64(&r);
		reader_take(&r, len);
	}
	return index;
}

void scheduler_log_key(char key[STORE_KEY_MAX], uint64_t index)
{
	snprintf(key, STORE_KEY_MAX, SCHEDULER_LOG_PREFIX "%020" PRIu64, index);
}

bool scheduler_join(struct scheduler *s, struct batch *batch)
{
	char key[STORE_KEY_MAX], *copy;
	uint64_t index;

	pthread_mutex_lock(&s->lock);
	take_log(s);
	// What changes nothing is gone.
	scheduler_unthrottle(s);
	pthread_mutex_unlock(&s->lock);
	if (!s->joining.len)
		return false;
	index = last_index(&s->joining);
	scheduler_log_key(key, index);
	copy = must(malloc(s->joining.len));
	memcpy(copy, s->joining.data, s->joining.len);
	batch_write_bytes(batch, key, copy, s->joining.len, index);
	return true;
}

// Adds bytes to others; they may change places.
static void add_bytes(struct sched_bytes *to, struct sched_bytes *from)
{
	struct sched_bytes had = *to;

	if (had.len) {
		memcpy(must(sched_bytes_take(to, from->len)), from->data, from->len);
	} else {
		*to = *from;
		*from = had;
	}
	from->len = 0;
}

void scheduler_joined(struct scheduler *s, int error)
{
	const struct scheduler_log log = {last_index(&s->joining), s->joining.len};
	struct scheduler_landing *l = &s->landing;
	const uint64_t one = 1;
	bool first;

	if (error)
		return;
	pthread_mutex_lock(&s->lock);
	first = !l->count;
	add_log(&l->logs, &l->count, &l->room, &log);
	add_bytes(&l->bytes, &s->joining);
	pthread_mutex_unlock(&s->lock);
	// Full: it is readable already.
	if (first && write(s->event_fd, &one, sizeof(one)) < 0)
		return;
}

void scheduler_commits(struct scheduler *s, void (*wake)(void *user), void *user)
{
	pthread_mutex_lock(&s->lock);
	s->wake = wake;
	s->wake_user = user;
	s->told = false;
	scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
}

// ---- in the main thread ----

static bool take_landed(struct scheduler *s)
{
	struct scheduler_landing empty = s->landed, *l = &s->landed;

	pthread_mutex_lock(&s->lock);
	*l = s->landing;
	s->landing = empty;
	pthread_mutex_unlock(&s->lock);
	if (!l->count)
		return false;
	for (size_t i = 0; i < l->count; i++)
		remember_log(s, &l->logs[i]);
	s->durable_index = l->logs[l->count - 1].index;
	l->count = 0;
	add_bytes(&s->telling.next, &l->bytes);
	return true;
}

bool scheduler_settle(struct scheduler *s)
{
	uint64_t count;
	bool moved;

	if (read(s->event_fd, &count, sizeof(count)) < 0)
		return false;
	moved = take_landed(s);
	if (scheduler_untold(s))
		scheduler_tell(s);
	if (moved)
		scheduler_checkpoint_consider(s);
	return moved;
}

bool scheduler_pending(struct scheduler *s)
{
	return scheduler_checkpoint_waits(s) || s->stray_count || s->spent_logs;
}

void scheduler_ride(struct scheduler *s, struct batch *batch)
{
	ride_spent(s, batch);
	scheduler_strays_ride(s, batch);
	if (scheduler_checkpoint_waits(s))
		scheduler_checkpoint_ride(s, batch);
}

void scheduler_landed(struct scheduler *s, int error)
{
	land_spent(s, error);
	scheduler_strays_landed(s, error);
	scheduler_checkpoint_landed(s, error);
	if (!error)
		scheduler_checkpoint_consider(s);
}

// ---- the registry's rider ----

static bool rider_pending(void *scheduler)
{
	return scheduler_pending(scheduler);
}

static void rider_ride(void *scheduler, struct batch *batch)
{
	scheduler_ride(scheduler, batch);
}

static void rider_landed(void *scheduler, int error)
{
	scheduler_landed(scheduler, error);
}

static bool rider_join(void *scheduler, struct batch *batch)
{
	return scheduler_join(scheduler, batch);
}

static void rider_joined(void *scheduler, int error)
{
	scheduler_joined(scheduler, error);
}

struct registry_rider scheduler_rider(struct scheduler *s)
{
	return (struct registry_rider){
		rider_pending, rider_ride, rider_landed, rider_join, rider_joined, s};
}
