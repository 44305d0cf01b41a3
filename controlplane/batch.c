// SPDX-License-Identifier: Apache-2.0
// How changes become durable: batches, the history of events, undoing. registry.h has the picture.
// Main thread, but batch_commit(), which reads only a sealed batch.
#include "controlplane/registry_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void batch_write(struct batch *b, const char *key, char *text, uint64_t version)
{
	batch_write_bytes(b, key, text, text ? strlen(text) : 0, version);
}

void batch_write_bytes(struct batch *b, const char *key, char *bytes, size_t len, uint64_t version)
{
	if (b->write_count == b->write_room) {
		b->write_room = b->write_room ? b->write_room * 2 : 32;
		b->writes = must(realloc(b->writes, b->write_room * sizeof(*b->writes)));
	}
	b->writes[b->write_count++] = (struct store_write){
		.key = must(strdup(key)),
		.value = bytes,
		.len = len,
		.version = version,
	};
}

void batch_compare(struct batch *b, const char *key, uint64_t version)
{
	if (b->compare_count == b->compare_room) {
		b->compare_room = b->compare_room ? b->compare_room * 2 : 4;
		b->compares = must(realloc(b->compares, b->compare_room * sizeof(*b->compares)));
	}
	b->compares[b->compare_count++] = (struct store_compare){must(strdup(key)), version};
}

void batch_destroy(struct batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->compare_count; i++)
		free((void *)(uintptr_t)b->compares[i].key);
	for (size_t i = 0; i < b->write_count; i++) {
		free((void *)(uintptr_t)b->writes[i].key);
		free((void *)(uintptr_t)b->writes[i].value);
	}
	for (size_t i = 0; i < b->count; i++) {
		resource_unref(b->changes[i].before);
		resource_unref(b->changes[i].after);
		free(b->changes[i].dropped.line);
	}
	free(b->compares);
	free(b->writes);
	free(b->changes);
	free(b);
}

static struct batch *collecting(struct registry *r)
{
	if (!r->collecting) {
		r->collecting = must(calloc(1, sizeof(*r->collecting)));
		r->collecting->changes =
			must(malloc(REGISTRY_CHANGES_MAX * sizeof(*r->collecting->changes)));
		r->collecting->last_seq = r->seq;
	}
	return r->collecting;
}

int batch_begin_change(struct registry *r)
{
	collecting(r);
	if (r->collecting->count == REGISTRY_CHANGES_MAX)
		return -EBUSY;
	r->seq++;
	return 0;
}

// ---- events ----

static struct event *event_at(const struct registry *r, size_t i)
{
	return (struct event *)&r->events[(r->event_first + i) % REGISTRY_EVENTS_MAX];
}

static void event_key(char *key, size_t room, uint64_t seq)
{
	snprintf(key, room, "events/%020llu", (unsigned long long)seq);
}

static void event_append(struct registry *r, struct change *change, char *line)
{
	char key[64];

	if (r->event_count == REGISTRY_EVENTS_MAX) {
		change->event_dropped = true;
		change->dropped = *event_at(r, 0);
		r->event_first = (r->event_first + 1) % REGISTRY_EVENTS_MAX;
		r->event_count--;
		event_key(key, sizeof(key), change->dropped.seq);
		batch_write(r->collecting, key, NULL, 0);
	}
	*event_at(r, r->event_count++) = (struct event){change->seq, line};
	event_key(key, sizeof(key), change->seq);
	batch_write(r->collecting, key, must(strdup(line)), change->seq);
}

static void event_undo(struct registry *r, struct change *change)
{
	free(event_at(r, --r->event_count)->line);
	if (!change->event_dropped)
		return;
	r->event_first = (r->event_first + REGISTRY_EVENTS_MAX - 1) % REGISTRY_EVENTS_MAX;
	r->event_count++;
	*event_at(r, 0) = change->dropped;
	change->dropped.line = NULL;
}

uint64_t registry_event_floor(const struct registry *r)
{
	return r->event_count ? event_at(r, 0)->seq - 1 : r->durable;
}

const struct event *registry_event_after(const struct registry *r, uint64_t after, bool *gone)
{
	uint64_t floor = registry_event_floor(r);
	const struct event *e;

	*gone = after < floor;
	if (*gone || after - floor >= r->event_count)
		return NULL;
	// Every seq has one event, so the next one's place is known.
	e = event_at(r, (size_t)(after - floor));
	return e->seq <= r->durable ? e : NULL;
}

void batch_add_change(struct registry *r, enum kind kind, struct resource *before,
	struct resource *after, char *line)
{
	struct batch *b = r->collecting;
	struct change *c = &b->changes[b->count++];

	*c = (struct change){.seq = r->seq,
		.kind = kind,
		.before = resource_ref(before),
		.after = resource_ref(after)};
	b->last_seq = r->seq;
	event_append(r, c, line);
}

// ---- commit ----

static uint64_t published_after(const struct registry *r, const struct batch *b)
{
	for (size_t i = b->count; i > 0; i--)
		if (b->changes[i - 1].before || b->changes[i - 1].after)
			return b->changes[i - 1].seq;
	return r->published;
}

struct batch *registry_seal(struct registry *r)
{
	bool rides = !r->sealed && r->rider && r->rider->pending(r->rider->user);
	struct batch *b = r->collecting;
	json_t *meta;

	if (r->sealed || (!rides && (!b || !b->count)))
		return NULL;
	b = collecting(r);
	if (rides)
		r->rider->ride(r->rider->user, b);
	meta = json_pack("{s:s, s:I, s:I}", "epoch", r->epoch, "seq", (json_int_t)b->last_seq,
		"published", (json_int_t)published_after(r, b));
	batch_compare(b, REGISTRY_META_KEY, r->meta_version);
	batch_write(b, REGISTRY_META_KEY, must(json_dumps(meta, JSON_COMPACT)), ++r->meta_version);
	json_decref(meta);
	r->sealed = b;
	r->collecting = NULL;
	return b;
}

int batch_commit(const struct batch *b, struct store *store)
{
	const struct store_txn txn = {
		.compares = b->compares,
		.compare_count = b->compare_count,
		.writes = b->writes,
		.write_count = b->write_count,
	};

	return store_commit(store, &txn);
}

static void undo(struct registry *r, struct batch *b)
{
	for (size_t i = b ? b->count : 0; i > 0; i--) {
		struct change *c = &b->changes[i - 1];
		const struct resource *any = c->before ? c->before : c->after;

		if (any)
			table_set(r, c->kind, any->key, c->before);
		event_undo(r, c);
	}
	batch_destroy(b);
}

bool registry_settle(struct registry *r, int error)
{
	struct batch *b = r->sealed;

	r->last_error = error;
	r->commits += !error;
	r->commit_errors += error != 0;
	r->sealed = NULL;
	if (error) {
		undo(r, r->collecting);
		undo(r, b);
		r->collecting = NULL;
		r->seq = r->durable;
		r->meta_version = r->meta_durable;
		if (r->rider)
			r->rider->landed(r->rider->user, error);
		return true;
	}
	r->published = published_after(r, b);
	r->durable = b->last_seq;
	r->meta_durable = r->meta_version;
	for (size_t i = 0; i < b->count && r->changed; i++)
		r->changed(r->user, &b->changes[i]);
	batch_destroy(b);
	if (r->rider)
		r->rider->landed(r->rider->user, 0);
	return false;
}

int registry_flush(struct registry *r)
{
	struct batch *b;
	int rc = 0;

	while (!rc && (b = registry_seal(r))) {
		rc = batch_commit(b, r->store);
		registry_settle(r, rc);
	}
	return rc;
}
