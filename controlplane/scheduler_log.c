// SPDX-License-Identifier: Apache-2.0
// The scheduler's log in the store; what is told of it once it is durable is in scheduler_tell.c.
//
// Records: "sched/checkpoint", the whole state (if it is large, in parts of their own), and
// "sched/log/N", transactions up to index N, in the order of their keys. One record a commit: what
// collected since the one before. When the logs are larger than the checkpoint a new one
// (scheduler_checkpoint.c) takes their place, in one transaction with their removal. The first
// record behind it may begin before it: what the checkpoint covers is skipped.
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

// ---- loading ----

static void remember_log(struct scheduler *s, uint64_t index, size_t len)
{
	if (s->log_count == s->log_room) {
		s->log_room = s->log_room ? s->log_room * 2 : 64;
		s->logs = must(realloc(s->logs, s->log_room * sizeof(*s->logs)));
	}
	s->logs[s->log_count++] = (struct scheduler_log){index, len};
	s->log_bytes += len;
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

	remember_log(s, strtoull(number, NULL, 10), record->len);
	if (record->len > skipped)
		memcpy(must(sched_bytes_take(&s->riding, record->len - skipped)),
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
	if (rc == 0 && s->riding.len)
		rc = sched_replay(s->core->state, s->riding.data, s->riding.len);
	s->riding.len = 0;
	s->durable_index = s->core->state->head.index;
	if (rc == 0)
		scheduler_tell_state(s);
	return rc;
}

// ---- writing ----

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
	if (s->core->state->log.incomplete)
		end_incomplete();
	s->told = false;
	sched_log_take(s->core, &s->spare);
	append_transactions(&s->riding, &s->spare);
	s->backlog_bytes = s->riding.len + scheduler_untold(s);
}

void scheduler_quiet(struct scheduler *s)
{
	uint64_t count;

	if (read(s->event_fd, &count, sizeof(count)) > 0 && scheduler_untold(s))
		scheduler_tell(s);
}

bool scheduler_pending(struct scheduler *s)
{
	bool full;

	pthread_mutex_lock(&s->lock);
	full = scheduler_backlog(s) >= SCHEDULER_BACKLOG_MAX;
	take_log(s);
	// What changes nothing is gone; nobody else may be told of that for long.
	if (full && scheduler_backlog(s) < SCHEDULER_BACKLOG_MAX)
		scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
	return s->riding.len > 0 || scheduler_checkpoint_waits(s) || s->stray_count;
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

static void ride_log(struct scheduler *s, struct batch *batch)
{
	uint64_t index = last_index(&s->riding);
	char key[STORE_KEY_MAX];
	char *copy = must(malloc(s->riding.len));

	scheduler_log_key(key, index);
	batch_write_bytes(batch, key, memcpy(copy, s->riding.data, s->riding.len), s->riding.len,
		index);
}

void scheduler_ride(struct scheduler *s, struct batch *batch)
{
	if (s->riding.len)
		ride_log(s, batch);
	s->ridden = s->riding.len;
	scheduler_strays_ride(s, batch);
	if (scheduler_checkpoint_waits(s))
		scheduler_checkpoint_ride(s, batch);
}

// What rode is durable. What was taken from the core while the store was busy stays for the next
// time.
static void land_log(struct scheduler *s)
{
	struct sched_bytes landed = s->riding, rest = s->spare;
	size_t left = landed.len - s->ridden;

	rest.len = 0;
	if (left)
		memcpy(must(sched_bytes_take(&rest, left)), landed.data + s->ridden, left);
	landed.len = s->ridden;
	s->riding = rest;
	s->spare = landed;
	s->ridden = 0;
	s->durable_index = last_index(&landed);
	remember_log(s, s->durable_index, landed.len);
	scheduler_tell_later(s, &s->spare);
	scheduler_tell(s);
}

void scheduler_landed(struct scheduler *s, int error)
{
	if (s->ridden && !error)
		land_log(s);
	s->ridden = 0;
	scheduler_strays_landed(s, error);
	scheduler_checkpoint_landed(s, error);
	if (!error)
		scheduler_checkpoint_consider(s);
}
