// SPDX-License-Identifier: Apache-2.0
// The store as it must be: shadow.h. Marks are checked as they come: nothing may be told of before
// its batch is durable.
#include "test/crash/shadow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/scheduler.h"
#include "controlplane/scheduler_internal.h"

static int complain(struct shadow *s, const char *format, ...)
{
	va_list args;

	if (!s->wrong[0]) {
		va_start(args, format);
		vsnprintf(s->wrong, sizeof(s->wrong), format, args);
		va_end(args);
	}
	return -EBADMSG;
}

void shadow_init(struct shadow *s)
{
	*s = (struct shadow){.state = sched_state_new()};
	if (!s->state)
		abort();
}

static void drop_begun(struct shadow *s)
{
	for (size_t i = 0; i < s->begun_count; i++)
		sched_bytes_fini(&s->begun[i].records);
	s->begun_count = 0;
	s->checkpoint_begun = false;
}

void shadow_forget_begun(struct shadow *s)
{
	drop_begun(s);
	s->encoding = s->ready = false;
}

static void remove_record(struct shadow *s, struct shadow_record *r)
{
	strmap_remove(&s->records, &r->node);
	free(r);
}

void shadow_fini(struct shadow *s)
{
	struct strmap_node *at;

	while ((at = strmap_next(&s->records, NULL)))
		remove_record(s, container_of(at, struct shadow_record, node));
	strmap_fini(&s->records);
	shadow_forget_begun(s);
	sched_state_destroy(s->state);
}

// ---- batches ----

static void put_record(struct shadow *s, const struct mark_record *m)
{
	struct strmap_node *old = strmap_find(&s->records, m->key);
	struct shadow_record *r;

	if (old)
		remove_record(s, container_of(old, struct shadow_record, node));
	if (!m->version)
		return;
	r = malloc(sizeof(*r) + strlen(m->key) + 1);
	if (!r)
		abort();
	*r = (struct shadow_record){.version = m->version, .hash = m->hash, .len = m->len};
	strcpy(r->key, m->key);
	strmap_add(&s->records, &r->node, r->key);
	s->checkpoints += strcmp(m->key, SCHEDULER_CHECKPOINT_KEY) == 0;
}

static int take_records(struct shadow *s, struct reader r)
{
	char key[STORE_KEY_MAX + 1];
	struct mark_record m;

	while (mark_get_record(&r, key, &m)) {
		put_record(s, &m);
		if (m.bytes && sched_replay(s->state, m.bytes, m.len))
			return complain(s, "the log %s cannot be applied", key);
	}
	return r.bad ? complain(s, "a mark is damaged") : 0;
}

static bool is_of_checkpoint(const char *key)
{
	return strcmp(key, SCHEDULER_CHECKPOINT_KEY) == 0 ||
	       strncmp(key, SCHEDULER_PART_PREFIX, strlen(SCHEDULER_PART_PREFIX)) == 0;
}

static int begin_batch(struct shadow *s, struct reader r)
{
	struct shadow_batch *b = &s->begun[s->begun_count];
	char key[STORE_KEY_MAX + 1];
	struct mark_record m;
	uint8_t *at;

	if (s->begun_count == SHADOW_BEGUN_MAX)
		return complain(s, "too many batches are with the store");
	*b = (struct shadow_batch){.number = sched_get_uint(&r), .seq = sched_get_uint(&r)};
	at = r.bad ? NULL : sched_bytes_take(&b->records, reader_left(&r));
	if (!at)
		return complain(s, "a mark is damaged");
	memcpy(at, r.at, reader_left(&r));
	s->begun_count++;
	while (mark_get_record(&r, key, &m))
		s->checkpoint_begun |= is_of_checkpoint(key);
	s->encoding &= !s->checkpoint_begun;
	return 0;
}

// The others were refused, or never came to the store.
void shadow_advance(struct shadow *s, size_t k)
{
	struct shadow_batch *b = &s->begun[k];

	take_records(s, reader_of(b->records.data, b->records.len));
	s->durable = b->number;
	s->seq = b->seq;
	s->batches++;
	drop_begun(s);
}

static int durable(struct shadow *s, uint64_t number)
{
	if (!s->begun_count || s->begun[s->begun_count - 1].number != number)
		return complain(s, "a batch is durable that was never begun");
	shadow_advance(s, s->begun_count - 1);
	return s->wrong[0] ? -EBADMSG : 0;
}

// ---- what is told ----

static int check_job(struct shadow *s, struct reader *r)
{
	char namespace[64], name[64], text[32];
	const struct sched_spec *spec;
	uint32_t slot;

	mark_get_text(r, namespace, sizeof(namespace));
	mark_get_text(r, name, sizeof(name));
	mark_get_text(r, text, sizeof(text));
	s->jobs++;
	if (r->bad)
		return complain(s, "a mark is damaged");
	slot = sched_job_find(s->state, namespace, name);
	spec = slot == SCHED_NONE ? NULL : sched_job_spec(sched_job_at(&s->state->head, slot));
	if (!spec || spec->stopped || spec->opaque_len != strlen(text) ||
		memcmp(spec->opaque, text, spec->opaque_len) != 0)
		return complain(
			s, "job %s was told at %s and the log has it otherwise", name, text);
	return 0;
}

static int check_child(struct shadow *s, struct reader *r)
{
	const struct sched_spec *spec = NULL;
	uint64_t hash;
	char name[64];
	uint32_t slot;

	mark_get_text(r, name, sizeof(name));
	hash = sched_get_uint(r);
	s->children++;
	if (r->bad)
		return complain(s, "a mark is damaged");
	slot = sched_job_find(s->state, "default", name);
	if (slot != SCHED_NONE)
		spec = sched_job_spec(sched_job_at(&s->state->head, slot));
	if (!spec || mark_hash(spec->payload, spec->payload_len) != hash)
		return complain(s, "dispatched job %s was told and is not durable", name);
	return 0;
}

static int check_deed(struct shadow *s, struct reader *r)
{
	uint8_t deed = reader_u8(r);
	char text[SCHEDULER_ID_BYTES];
	const struct sched_instance *i;
	struct sched_id id;

	mark_get_text(r, text, sizeof(text));
	s->deeds++;
	if (r->bad || !scheduler_id_parse(text, &id))
		return complain(s, "a deed is damaged");
	i = sched_instance_by_id(&s->state->head, &id);
	switch (deed) {
	case MARK_PLACED:
		// One whose end is durable already may be told with it.
		return i ? 0 : complain(s, "placement %s was told and is not durable", text);
	case MARK_STOPPED:
		return !i || !sched_live(i)
			       ? 0
			       : complain(s, "the stop of %s was told and is not durable", text);
	case MARK_ENDED:
		return !i || sched_terminal(i->status)
			       ? 0
			       : complain(s, "the end of %s was told and is not durable", text);
	default:
		return i ? complain(s, "instance %s was told to be gone, and is there", text) : 0;
	}
}

int shadow_take(struct shadow *s, enum mark type, const void *body, size_t len)
{
	struct reader r = reader_of(body, len);

	switch (type) {
	case MARK_CONTENT:
		if (s->known)
			return complain(s, "the store was new to the victim");
		s->known = true;
		s->durable = sched_get_uint(&r);
		s->seq = sched_get_uint(&r);
		return take_records(s, r);
	case MARK_READY:
		s->ready = true;
		return 0;
	case MARK_ENCODING:
		s->encoding = true;
		return 0;
	case MARK_BATCH:
		return begin_batch(s, r);
	case MARK_DURABLE:
		return durable(s, sched_get_uint(&r));
	case MARK_REFUSED:
		s->refused++;
		return 0;
	case MARK_SEQ:
		return sched_get_uint(&r) <= s->seq
			       ? 0
			       : complain(s, "a change was told before it was durable");
	case MARK_JOB:
		return check_job(s, &r);
	case MARK_CHILD:
		return check_child(s, &r);
	case MARK_DEED:
		return check_deed(s, &r);
	case MARK_END:
		s->ended = true;
		return 0;
	default:
		return 0;
	}
}
