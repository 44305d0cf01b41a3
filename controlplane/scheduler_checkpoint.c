// SPDX-License-Identifier: Apache-2.0
// Checkpoints of the scheduler's log. One is encoded by a thread of its own, from a snapshot that is
// pinned until then; nobody waits for it.
//
//   logs too large ─consider─▶ encoding ─done─▶ waits ─ride─▶ with the store ─landed─▶ logs shorter
//                                 └── failed, or the store refused: from the start, later ──┘
//
// What it covers stays in the log until it is stored, so a crash in between costs nothing. Main
// thread, but for encode().
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "lib/base/log.h"

static void *encode(void *arg)
{
	struct scheduler_checkpoint *c = arg;
	const uint64_t one = 1;

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

	if (c->running || c->rides || s->log_bytes <= s->checkpoint_after + s->checkpoint_bytes)
		return;
	if (!begin(s, c))
		log_warn("scheduler", "no checkpoint can be made now: there are too many threads");
}

static void discard(struct scheduler_checkpoint *c)
{
	if (c->running)
		pthread_join(c->thread, NULL);
	sched_bytes_fini(&c->out.out);
	c->running = c->rides = false;
	c->done = 0;
}

bool scheduler_checkpoint_waits(const struct scheduler *s)
{
	return s->checkpoint.running && __atomic_load_n(&s->checkpoint.done, __ATOMIC_ACQUIRE);
}

void scheduler_checkpoint_ride(struct scheduler *s, struct batch *batch)
{
	struct scheduler_checkpoint *c = &s->checkpoint;
	char key[STORE_KEY_MAX];

	if (c->rc) {
		log_warn("scheduler", "a checkpoint could not be made: %s", strerror(-c->rc));
		discard(c);
		return;
	}
	pthread_join(c->thread, NULL);
	c->running = false;
	c->done = 0;
	c->rides = true;
	c->len = c->out.out.len;
	// The bytes are the batch's from here on.
	batch_write_bytes(batch, SCHEDULER_CHECKPOINT_KEY, (char *)c->out.out.data, c->len,
		c->index ? c->index : 1);
	c->out.out = (struct sched_bytes){0};
	for (c->covers = 0; c->covers < s->log_count && s->logs[c->covers].index <= c->index;
		c->covers++) {
		scheduler_log_key(key, s->logs[c->covers].index);
		batch_write(batch, key, NULL, 0);
	}
}

void scheduler_checkpoint_landed(struct scheduler *s, int error)
{
	struct scheduler_checkpoint *c = &s->checkpoint;

	if (!c->rides)
		return;
	c->rides = false;
	if (error)
		return;
	for (size_t i = 0; i < c->covers; i++)
		s->log_bytes -= s->logs[i].len;
	memmove(s->logs, s->logs + c->covers, (s->log_count - c->covers) * sizeof(*s->logs));
	s->log_count -= c->covers;
	s->checkpoint_bytes = c->len;
	s->checkpoints++;
}

void scheduler_checkpoint_stop(struct scheduler *s)
{
	discard(&s->checkpoint);
	if (s->checkpoint.reader)
		sched_reader_destroy(s->checkpoint.reader);
	s->checkpoint.reader = NULL;
}
