// SPDX-License-Identifier: Apache-2.0
// Checkpoints of the scheduler's log. One is encoded by a thread of its own, from a snapshot that is
// pinned until then; nobody waits for it.
//
//   logs too large ─consider─▶ encoding ─done─▶ waits ─ride─▶ with the store ─landed─▶ logs shorter
//                                 │               └◀─ more parts ──┘ │
//                                 └── failed, or the store refused: from the start, when the logs have
//                                     grown as much again: what is smaller may fit well
//
// A large one is stored in parts, one in each batch, so that no change waits for long (1,000,000
// instances are 28 MB, and would be 100 ms); the last part comes with the record that makes it the
// checkpoint and with the removal of the parts before. What it covers stays in the log until then,
// so a crash in between costs nothing. Main thread, but for encode().
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "lib/base/log.h"

#define NICE 10  // of the encoding: nobody waits for it

static void *encode(void *arg)
{
	struct scheduler_checkpoint *c = arg;
	const uint64_t one = 1;

	// Of this thread alone; if it cannot be had it is as well.
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	c->rc = sched_checkpoint(c->snapshot, &c->out);
	sched_reader_unpin(c->reader);
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
	// Full: it is readable already.
	if (write(c->event_fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

static bool begin(struct scheduler *s, struct scheduler_checkpoint *c)
{
	struct sched_reader *reader = c->reader;

	*c = (struct scheduler_checkpoint){.reader = reader, .event_fd = s->event_fd};
	pthread_mutex_lock(&s->lock);
	sched_publish(s->core->state);
	c->snapshot = sched_snapshot_pin(reader, s->core->state);
	c->index = c->snapshot->index;
	pthread_mutex_unlock(&s->lock);
	c->running = pthread_create(&c->thread, NULL, encode, c) == 0;
	if (!c->running)
		sched_reader_unpin(reader);
	return c->running;
}

void scheduler_checkpoint_consider(struct scheduler *s)
{
	struct scheduler_checkpoint *c = &s->checkpoint;

	if (c->running || c->encoded || s->log_bytes <= s->checkpoint_retry ||
		s->log_bytes <= s->checkpoint_after + s->checkpoint_bytes)
		return;
	if (!begin(s, c))
		log_warn("scheduler", "no checkpoint can be made now: there are too many threads");
}

static void discard(struct scheduler_checkpoint *c)
{
	if (c->running)
		pthread_join(c->thread, NULL);
	sched_bytes_fini(&c->out.out);
	c->running = c->encoded = c->rides = false;
	c->done = 0;
}

// It came to nothing.
static void give_up(struct scheduler *s)
{
	discard(&s->checkpoint);
	s->checkpoint_retry = s->log_bytes + s->checkpoint_after;
}

bool scheduler_checkpoint_waits(const struct scheduler *s)
{
	const struct scheduler_checkpoint *c = &s->checkpoint;

	// A part that is to go may have the key of one that is to come.
	if (s->stray_count)
		return false;
	return (c->running && __atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) ||
	       (c->encoded && !c->rides);
}

// The thread is done; false: in vain.
static bool take_encoded(struct scheduler *s)
{
	struct scheduler_checkpoint *c = &s->checkpoint;

	if (c->rc) {
		log_warn("scheduler", "a checkpoint could not be made: %s", strerror(-c->rc));
		give_up(s);
		return false;
	}
	pthread_join(c->thread, NULL);
	c->running = false;
	c->done = 0;
	c->encoded = true;
	c->len = c->out.out.len;
	return true;
}

// The parts of the one before go.
static void ride_removals(struct scheduler *s, struct batch *batch)
{
	struct scheduler_part part = {.index = s->stored.index};
	char key[STORE_KEY_MAX];

	for (; part.number < s->stored.number; part.number++) {
		scheduler_part_key(key, &part);
		batch_write(batch, key, NULL, 0);
	}
}

// The bytes are the batch's from here on.
static void ride_whole(struct scheduler *s, struct batch *batch)
{
	struct scheduler_checkpoint *c = &s->checkpoint;

	batch_write_bytes(batch, SCHEDULER_CHECKPOINT_KEY, (char *)c->out.out.data, c->len,
		c->index ? c->index : 1);
	c->out.out = (struct sched_bytes){0};
	c->last = true;
}

static void ride_part(struct scheduler *s, struct batch *batch)
{
	struct scheduler_checkpoint *c = &s->checkpoint;
	struct scheduler_part part = {c->index, c->parts};
	size_t at = c->parts * s->part_bytes, n = c->len - at;
	char key[STORE_KEY_MAX];
	uint8_t *head;

	c->last = n <= s->part_bytes;
	n = c->last ? n : s->part_bytes;
	scheduler_part_key(key, &part);
	batch_write_bytes(
		batch, key, memcpy(must(malloc(n)), c->out.out.data + at, n), n, c->index);
	if (!c->last)
		return;
	head = must(malloc(SCHEDULER_HEAD_BYTES));
	part.number++;
	scheduler_head_write(head, &part, c->len);
	batch_write_bytes(batch, SCHEDULER_CHECKPOINT_KEY, (char *)head, SCHEDULER_HEAD_BYTES,
		c->index);
}

void scheduler_checkpoint_ride(struct scheduler *s, struct batch *batch)
{
	struct scheduler_checkpoint *c = &s->checkpoint;

	if (c->running && !take_encoded(s))
		return;
	c->rides = true;
	if (c->len <= s->part_bytes || !c->index)
		ride_whole(s, batch);
	else
		ride_part(s, batch);
	if (c->last)
		ride_removals(s, batch);
}

void scheduler_checkpoint_landed(struct scheduler *s, int error)
{
	struct scheduler_checkpoint *c = &s->checkpoint;
	bool in_parts;

	if (!c->rides)
		return;
	// Not before: it may be one that is still encoded.
	in_parts = c->out.out.data != NULL;
	c->rides = false;
	if (error) {
		scheduler_stray_add(s, c->index, c->parts);
		give_up(s);
		return;
	}
	c->parts++;
	if (!c->last)
		return;
	scheduler_logs_spend(s, c->index);
	s->checkpoint_bytes = c->len;
	s->stored = (struct scheduler_part){c->index, in_parts ? c->parts : 0};
	s->checkpoint_retry = 0;
	s->checkpoints++;
	discard(c);
}

void scheduler_checkpoint_stop(struct scheduler *s)
{
	discard(&s->checkpoint);
	if (s->checkpoint.reader)
		sched_reader_destroy(s->checkpoint.reader);
	s->checkpoint.reader = NULL;
}
