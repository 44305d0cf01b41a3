// SPDX-License-Identifier: Apache-2.0
// How changes become durable: batches, the history of events, undoing. registry.h has the picture.
// Main thread, but registry_commit().
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

static void batch_fini(struct batch *b)
{
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
}

void batch_destroy(struct batch *b)
{
	if (!b)
		return;
	batch_fini(b);
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

	if (r->sealed || (!rides && (!b || !b->count)))
		return NULL;
	b = collecting(r);
	if (rides)
		r->rider->ride(r->rider->user, b);
	b->published = published_after(r, b);
	r->sealed = b;
	r->collecting = NULL;
	return b;
}

static int store_batch(struct registry *r, struct batch *b, const struct registry_commit *next)
{
	struct store_txn txn;
	char *text;

	if (asprintf(&text, "{\"epoch\":\"%s\",\"seq\":%llu,\"published\":%llu}", r->epoch,
		    (unsigned long long)next->seq, (unsigned long long)next->published) < 0)
		abort();
	batch_compare(b, REGISTRY_META_KEY, r->commit.number);
	batch_write(b, REGISTRY_META_KEY, text, next->number);
	txn = (struct store_txn){
		.compares = b->compares,
		.compare_count = b->compare_count,
		.writes = b->writes,
		.write_count = b->write_count,
	};
	return store_commit(r->store, &txn);
}

int registry_commit(struct registry *r, struct batch *sealed, bool always)
{
	struct batch alone = {.last_seq = r->commit.seq, .published = r->commit.published};
	struct batch *b = sealed ? sealed : &alone;
	bool joins = r->rider && r->rider->join(r->rider->user, b);
	int rc = -ENODATA;

	if (sealed || joins || always) {
		const struct registry_commit next = {
			r->commit.number + 1, b->last_seq, b->published};

		rc = store_batch(r, b, &next);
		if (!rc)
			r->commit = next;
	}
	if (joins)
		r->rider->joined(r->rider->user, rc);
	batch_fini(&alone);
	return rc;
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

	registry_rode(r, !error, error);
	r->sealed = NULL;
	if (error) {
		undo(r, r->collecting);
		undo(r, b);
		r->collecting = NULL;
		r->seq = r->durable;
		if (r->rider)
			r->rider->landed(r->rider->user, error);
		return true;
	}
	r->published = b->published;
	r->durable = b->last_seq;
	for (size_t i = 0; i < b->count && r->changed; i++)
		r->changed(r->user, &b->changes[i]);
	batch_destroy(b);
	if (r->rider)
		r->rider->landed(r->rider->user, 0);
	return false;
}

void registry_rode(struct registry *r, uint64_t commits, int error)
{
	r->commits += commits;
	r->commit_errors += error != 0;
	r->last_error = error;
}

int registry_flush(struct registry *r)
{
	int rc;

	do {
		struct batch *b = registry_seal(r);

		rc = registry_commit(r, b, false);
		if (b)
			registry_settle(r, rc);
		else if (rc != -ENODATA)
			registry_rode(r, !rc, rc);
	} while (!rc);
	return rc == -ENODATA ? 0 : rc;
}
