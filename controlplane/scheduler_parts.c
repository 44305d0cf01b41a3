// SPDX-License-Identifier: Apache-2.0
// Checkpoints in parts: records "sched/part/INDEX/NUMBER", and in place of the checkpoint its head,
// which says how many there are. Parts that no head speaks of are strays, left by a crash or a
// store that refused, and are removed. Main thread.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "lib/base/cursor.h"

#define HEAD_MAGIC 0 // no log begins so
#define HEAD_FORMAT 1
#define STRAYS_A_BATCH 256

void scheduler_head_write(
	uint8_t head[SCHEDULER_HEAD_BYTES], const struct scheduler_part *stored, size_t len)
{
	struct writer w = writer_of(head, SCHEDULER_HEAD_BYTES);

	writer_u16(&w, HEAD_MAGIC);
	writer_u8(&w, HEAD_FORMAT);
	writer_u8(&w, 0);
	writer_u32(&w, stored->number);
	writer_u64(&w, stored->index);
	writer_u64(&w, len);
}

// 0: it is a head; -EBADMSG: it is a log; -EPROTO: a head of a newer program.
static int read_head(const void *bytes, size_t n, struct scheduler_part *stored, size_t *len)
{
	struct reader r = reader_of(bytes, n);
	uint8_t format;

	if (n != SCHEDULER_HEAD_BYTES || reader_u16(&r) != HEAD_MAGIC)
		return -EBADMSG;
	format = reader_u8(&r);
	reader_u8(&r);
	stored->number = reader_u32(&r);
	stored->index = reader_u64(&r);
	*len = reader_u64(&r);
	return format == HEAD_FORMAT ? 0 : -EPROTO;
}

void scheduler_part_key(char key[STORE_KEY_MAX], const struct scheduler_part *part)
{
	snprintf(key, STORE_KEY_MAX, SCHEDULER_PART_PREFIX "%020" PRIu64 "/%06" PRIu32, part->index,
		part->number);
}

// ---- strays ----

static void add_stray(struct scheduler *s, const struct scheduler_part *part)
{
	if (s->stray_count == s->stray_room) {
		s->stray_room = s->stray_room ? s->stray_room * 2 : 64;
		s->strays = must(realloc(s->strays, s->stray_room * sizeof(*s->strays)));
	}
	s->strays[s->stray_count++] = *part;
}

void scheduler_stray_add(struct scheduler *s, uint64_t index, uint32_t count)
{
	for (uint32_t k = 0; k < count; k++)
		add_stray(s, &(struct scheduler_part){index, k});
}

void scheduler_strays_ride(struct scheduler *s, struct batch *batch)
{
	char key[STORE_KEY_MAX];

	for (s->strays_ridden = 0;
		s->strays_ridden < s->stray_count && s->strays_ridden < STRAYS_A_BATCH;
		s->strays_ridden++) {
		scheduler_part_key(key, &s->strays[s->strays_ridden]);
		batch_write(batch, key, NULL, 0);
	}
}

void scheduler_strays_landed(struct scheduler *s, int error)
{
	size_t gone = error ? 0 : s->strays_ridden;

	s->strays_ridden = 0;
	if (!gone)
		return;
	s->stray_count -= gone;
	if (gone)
		memmove(s->strays, s->strays + gone, s->stray_count * sizeof(*s->strays));
}

// ---- loading ----

struct loading {
	struct scheduler *s;
	struct sched_bytes bytes;
	uint32_t found;
};

static int load_part(void *user, const struct store_record *record)
{
	struct loading *l = user;
	struct scheduler_part part;
	uint8_t *at;

	if (sscanf(record->key, SCHEDULER_PART_PREFIX "%" SCNu64 "/%" SCNu32, &part.index,
		    &part.number) != 2)
		return -EBADMSG;
	if (part.index != l->s->stored.index || part.number >= l->s->stored.number) {
		add_stray(l->s, &part);
		return 0;
	}
	if (part.number != l->found++)
		return -EBADMSG;
	at = sched_bytes_take(&l->bytes, record->len);
	if (!at)
		return -ENOMEM;
	memcpy(at, record->value, record->len);
	return 0;
}

int scheduler_parts_load(
	struct scheduler *s, struct store *store, void **bytes, size_t *len, uint64_t *index)
{
	struct loading l = {.s = s};
	size_t wanted = 0;
	int rc = store_get(store, SCHEDULER_CHECKPOINT_KEY, bytes, len, index), found = rc;

	if (rc && rc != -ENOENT)
		return rc;
	if (!found)
		found = read_head(*bytes, *len, &s->stored, &wanted);
	rc = found == -EPROTO ? found
			      : store_list(store, SCHEDULER_PART_PREFIX, NULL, load_part, &l);
	if (!rc && (l.found != s->stored.number || l.bytes.len != wanted))
		rc = -EBADMSG;
	if (rc || !found) {
		if (found != -ENOENT)
			free(*bytes);
		*bytes = l.bytes.data;
		*len = l.bytes.len;
	}
	if (rc)
		sched_bytes_fini(&l.bytes);
	return rc ? rc : found == -ENOENT ? found : 0;
}
