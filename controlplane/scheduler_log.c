// SPDX-License-Identifier: Apache-2.0
// The scheduler's log in the store, and what is told of it once it is durable.
//
// Records: "sched/checkpoint", the whole state (if it is large, in parts of their own), and "sched/log/N", transactions up to index N, in
// the order of their keys. One record a commit: what collected since the one before. When the logs
// are larger than the checkpoint a new one (scheduler_checkpoint.c) takes their place, in one
// transaction with their removal. The first record behind it may begin before it: what the
// checkpoint covers is skipped.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "lib/base/cursor.h"

static char *hex(char *at, uint64_t v, unsigned digits)
{
	for (unsigned i = digits; i > 0; i--, v >>= 4)
		at[i - 1] = "0123456789abcdef"[v & 15];
	return at + digits;
}

// By hand: of a million instances printf() would be most of what a start costs.
void scheduler_id_format(const struct sched_id *id, char out[SCHEDULER_ID_BYTES])
{
	*hex(hex(hex(out, id->nonce, 16), id->seq, 8), id->slot, 8) = 0;
}

bool scheduler_id_parse(const char *text, struct sched_id *id)
{
	return strlen(text) == SCHEDULER_ID_BYTES - 1 &&
	       sscanf(text, "%16" SCNx64 "%8" SCNx32 "%8" SCNx32, &id->nonce, &id->seq,
		       &id->slot) == 3;
}

// ---- deeds ----

static char *id_at(struct scheduler *s, uint32_t slot)
{
	if (slot >= s->id_room) {
		uint32_t room = s->id_room ? s->id_room : 256;

		while (room <= slot)
			room *= 2;
		s->ids = must(realloc(s->ids, (size_t)room * sizeof(*s->ids)));
		memset(s->ids + s->id_room, 0, (size_t)(room - s->id_room) * sizeof(*s->ids));
		s->id_room = room;
	}
	return s->ids[slot];
}

static void tell_placed(
	struct scheduler *s, const struct sched_snapshot *now, const struct sched_instance *i)
{
	const struct sched_job *job = sched_job_at(now, i->job);
	const struct sched_node *node = sched_node_at(now, i->node);
	const struct sched_spec *spec = job ? sched_job_version(job, i->version) : NULL;

	if (!spec || !node)
		return;
	s->deeds->placed(s->user,
		&(struct scheduler_placement){.id = id_at(s, i->id.slot),
			.namespace = spec->namespace,
			.name = spec->name,
			.node = node->info->name,
			.version = i->version,
			.opaque = spec->opaque,
			.opaque_len = spec->opaque_len,
			.spec = spec,
			.instance = i});
}

static void tell(
	struct scheduler *s, const struct sched_snapshot *now, const struct sched_change *c)
{
	switch (c->type) {
	case SCHED_PLACE:
		scheduler_id_format(&c->instance->id, id_at(s, c->instance->id.slot));
		// One that is gone by now was never told to anybody, and never will be.
		if (sched_instance_by_id(now, &c->instance->id))
			tell_placed(s, now, c->instance);
		break;
	case SCHED_STOP_INSTANCE:
		s->deeds->stopped(s->user, id_at(s, c->slot), c->stop.lost);
		break;
	case SCHED_INSTANCE_STATUS:
		if (sched_terminal(c->status.status))
			s->deeds->ended(s->user, id_at(s, c->slot));
		break;
	case SCHED_INSTANCE_DEL:
		s->deeds->gone(s->user, id_at(s, c->slot));
		break;
	default:
		scheduler_note(s, now, c);
		break;
	}
}

// Blocks of a change that nobody applies.
static void drop_blocks(const struct sched_change *c)
{
	if (c->type == SCHED_NODE_PUT)
		free((void *)(uintptr_t)c->node.info);
	if (c->type == SCHED_JOB_PUT_SPEC)
		free((void *)(uintptr_t)c->job.spec);
}

static void tell_all(struct scheduler *s, const struct sched_bytes *bytes)
{
	struct sched_decoder *d = must(malloc(sizeof(*d)));
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	struct sched_change change;

	sched_decoder_init(d, bytes->data, bytes->len);
	while (sched_decode_begin(d) > 0) {
		while (sched_decode(d, &change) > 0) {
			tell(s, now, &change);
			drop_blocks(&change);
		}
	}
	sched_reader_unpin(s->reader);
	free(d);
}

// At start: what is there.
static void tell_state(struct scheduler *s)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);

	for (uint32_t k = 0; k < now->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(now, k);

		if (!i)
			continue;
		scheduler_id_format(&i->id, id_at(s, k));
		tell_placed(s, now, i);
		if (sched_terminal(i->status) && i->status != SCHED_LOST)
			s->deeds->ended(s->user, id_at(s, k));
		else if (i->desired != SCHED_RUN || sched_terminal(i->status))
			s->deeds->stopped(s->user, id_at(s, k), i->status == SCHED_LOST);
	}
	sched_reader_unpin(s->reader);
}

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
		tell_state(s);
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

// Takes over what the core has logged. Lock held.
static void take_log(struct scheduler *s)
{
	s->told = false;
	sched_log_take(s->core, &s->spare);
	append_transactions(&s->riding, &s->spare);
	s->backlog_bytes = s->riding.len;
}

void scheduler_quiet(struct scheduler *s)
{
	uint64_t count;

	if (read(s->event_fd, &count, sizeof(count)) < 0)
		return;  // it was quiet
}

bool scheduler_pending(struct scheduler *s)
{
	pthread_mutex_lock(&s->lock);
	take_log(s);
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
	struct sched_bytes landed = {0};

	memcpy(must(sched_bytes_take(&landed, s->ridden)), s->riding.data, s->ridden);
	s->durable_index = last_index(&landed);
	remember_log(s, s->durable_index, landed.len);
	memmove(s->riding.data, s->riding.data + s->ridden, s->riding.len - s->ridden);
	s->riding.len -= s->ridden;
	s->ridden = 0;
	tell_all(s, &landed);
	sched_bytes_fini(&landed);
	// Workers may have waited for the backlog to shrink.
	pthread_mutex_lock(&s->lock);
	s->backlog_bytes = s->riding.len;
	scheduler_kick(s);
	pthread_mutex_unlock(&s->lock);
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
