// SPDX-License-Identifier: Apache-2.0
// What is told (deeds) of the log once it is durable: the same bytes, read back. In steps, so that
// a hundred thousand placements do not keep the main thread from what else there is to do: what is
// left is told in its next turns, for which event_fd stays readable. Main thread.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"

#define STEP 1024  // changes a turn

// By hand: of a million instances printf() would be most of what a start costs.
static void put_hex(char *out, uint64_t v, int digits)
{
	for (; digits > 0; v >>= 4)
		out[--digits] = "0123456789abcdef"[v & 15];
}

void scheduler_id_format(const struct sched_id *id, char out[SCHEDULER_ID_BYTES])
{
	put_hex(out, id->nonce, 16);
	put_hex(out + 16, id->seq, 8);
	put_hex(out + 24, id->slot, 8);
	out[32] = 0;
}

static bool get_hex(const char *text, int digits, uint64_t *v)
{
	*v = 0;
	for (int k = 0; k < digits; k++) {
		char c = text[k];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		*v = *v << 4 | (unsigned)digit;
	}
	return true;
}

bool scheduler_id_parse(const char *text, struct sched_id *id)
{
	uint64_t seq, slot;

	if (strlen(text) != SCHEDULER_ID_BYTES - 1 || !get_hex(text, 16, &id->nonce) ||
		!get_hex(text + 16, 8, &seq) || !get_hex(text + 24, 8, &slot))
		return false;
	id->seq = (uint32_t)seq;
	id->slot = (uint32_t)slot;
	return true;
}

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

// version: that it has by now, since only that one's spec must still be there.
static void tell_placed(struct scheduler *s, const struct sched_snapshot *now,
	const struct sched_instance *i, uint32_t version)
{
	const struct sched_job *job = sched_job_at(now, i->job);
	const struct sched_node *node = sched_node_at(now, i->node);
	const struct sched_spec *spec = job ? sched_job_version(job, version) : NULL;

	if (!spec || !node)
		return;
	s->deeds->placed(s->user,
		&(struct scheduler_placement){.id = id_at(s, i->id.slot),
			.namespace = spec->namespace,
			.name = spec->name,
			.node = node->info->name,
			.version = version,
			.opaque = spec->opaque,
			.opaque_len = spec->opaque_len,
			.spec = spec,
			.instance = i});
}

static void tell(
	struct scheduler *s, const struct sched_snapshot *now, const struct sched_change *c)
{
	const struct sched_instance *i;

	switch (c->type) {
	case SCHED_PLACE:
		scheduler_id_format(&c->instance->id, id_at(s, c->instance->id.slot));
		// One that is gone by now was never told to anybody, and never will be.
		i = sched_instance_by_id(now, &c->instance->id);
		if (i)
			tell_placed(s, now, c->instance, i->version);
		break;
	case SCHED_UPDATE_INSTANCE:
		if (s->deeds->updated)
			s->deeds->updated(s->user, id_at(s, c->slot), c->update.version);
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

size_t scheduler_untold(const struct scheduler *s)
{
	return s->telling.bytes.len + s->telling.next.len;
}

// The next change in all that has landed; false: all of it was told.
static bool next_change(struct scheduler_telling *t, struct sched_change *c)
{
	for (;;) {
		struct sched_bytes told = t->bytes;

		if (t->open && sched_decode(&t->decoder, c) > 0)
			return true;
		t->open = sched_decode_begin(&t->decoder) > 0;
		if (t->open)
			continue;
		t->told += told.len;
		told.len = 0;
		t->bytes = t->next;
		t->next = told;
		sched_decoder_init(&t->decoder, t->bytes.data, t->bytes.len);
		if (!t->bytes.len)
			return false;
	}
}

void scheduler_tell(struct scheduler *s)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);
	const uint64_t one = 1;
	struct sched_change change;

	for (int k = 0; k < STEP && next_change(&s->telling, &change); k++) {
		tell(s, now, &change);
		drop_blocks(&change);
	}
	sched_reader_unpin(s->reader);
	if (s->telling.told) {
		pthread_mutex_lock(&s->lock);
		s->backlog_bytes -= s->telling.told;
		scheduler_unthrottle(s);
		pthread_mutex_unlock(&s->lock);
		s->telling.told = 0;
	}
	// Full: it is readable already.
	if (scheduler_untold(s) && write(s->event_fd, &one, sizeof(one)) < 0)
		return;
}

// At start: what is there.
void scheduler_tell_state(struct scheduler *s)
{
	const struct sched_snapshot *now = sched_snapshot_pin(s->reader, s->core->state);

	for (uint32_t k = 0; k < now->tables[SCHED_TABLE_INSTANCES].high; k++) {
		const struct sched_instance *i = sched_instance_at(now, k);

		if (!i)
			continue;
		scheduler_id_format(&i->id, id_at(s, k));
		tell_placed(s, now, i, i->version);
		if (sched_terminal(i->status) && i->status != SCHED_LOST)
			s->deeds->ended(s->user, id_at(s, k));
		else if (i->desired != SCHED_RUN || sched_terminal(i->status))
			s->deeds->stopped(s->user, id_at(s, k), i->status == SCHED_LOST);
	}
	sched_reader_unpin(s->reader);
}
