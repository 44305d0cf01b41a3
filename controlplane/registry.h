// SPDX-License-Identifier: Apache-2.0
// The state: resources by kind, the sequence number, the history of events.
//
// Two heads. `seq` is the newest change made in memory (applied); `durable` the newest one that is
// in the store. Changes collect in a batch; one batch at a time is with the store (sealed). What
// the API answers is held back until `durable` has reached the `seq` that the answer was made from,
// so nobody is ever told of something that a crash could undo. If the store refuses a batch, that
// batch and all behind it are undone in memory, and everyone who waits is told so.
//
//   put/delete/note ──▶ collecting ──registry_seal──▶ sealed ──registry_settle(0)──▶ durable
//                           │                            └──registry_settle(error)──┐
//                           └──────────────────────── undone ◀──────────────────────┘
//
// Belongs to the main thread, but `commit`, which is the committing thread's (commit.c) once there is
// one: between seal and settle the batch is, too.
#pragma once

#include "controlplane/schema.h"
#include "controlplane/store.h"
#include "lib/base/clock.h"

#define REGISTRY_CHANGES_MAX 4096      // in a batch
#define REGISTRY_EVENTS_MAX 10000      // kept
#define REGISTRY_RESOURCES_MAX 100000  // of a kind

// Never changed once it is in the registry; a change makes a new one.
struct resource {
	uint32_t refs;
	enum kind kind;
	uint64_t version;             // the seq of its last change
	ns_t created_ns, updated_ns;  // wall clock
	json_t *labels, *spec;
	const char *namespace;  // "" for kinds without; into text
	const char *name;
	char key[];  // "name", or "namespace/name"
};

struct event {
	uint64_t seq;
	char *line;  // one JSON object, no newline
};

// One change of the state, seen by the observer when it is durable.
struct change {
	uint64_t seq;
	enum kind kind;
	struct resource *before, *after;  // both NULL for a note
	bool event_dropped;               // the history was full: its oldest event went
	struct event dropped;
};

struct batch {
	uint64_t last_seq, published;  // as in the registry, once it is durable
	struct change *changes;
	size_t count;
	struct store_write *writes;  // keys and values are the batch's own
	size_t write_count, write_room;
	struct store_compare *compares;  // nobody else has written meanwhile; keys are its own
	size_t compare_count, compare_room;
};

// Whoever stores something of its own in the registry's commits: with a batch, from the main
// thread,
struct registry_rider {
	bool (*pending)(void *user);
	void (*ride)(void *user, struct batch *batch);  // with batch_write_bytes()
	void (*landed)(void *user, int error);          // after the observer was told of the batch
	// and in each commit, with a batch or without one, from the committing thread. False: there
	// is nothing to add now.
	bool (*join)(void *user, struct batch *batch);
	void (*joined)(void *user, int error);
	void *user;
};

// In the store with each commit. The number says whether anybody else has committed meanwhile.
struct registry_commit {
	uint64_t number, seq, published;
};

struct registry_table {
	struct resource **items;  // by key
	size_t count, room;
};

struct registry {
	struct store *store;
	const char *where;  // the store is, for messages
	struct registry_table tables[KIND_COUNT];
	char epoch[17];
	uint64_t seq, durable;
	uint64_t published;  // the last durable seq that changed a resource
	struct registry_commit commit;  // the last one that is durable
	struct batch *collecting, *sealed;
	struct event events[REGISTRY_EVENTS_MAX];  // a ring
	size_t event_first, event_count;
	uint64_t commits, commit_errors;
	int last_error;          // of the store; 0 after a good commit
	struct store_stat stat;  // told by the committing thread
	void (*changed)(void *user, const struct change *change);
	void *user;
	const struct registry_rider *rider;  // NULL: none; not changed while others commit
};

// Reads everything from the store; an empty one is given an epoch. 0 or -E... .
int registry_init(struct registry *r, struct store *store);
void registry_fini(struct registry *r);
// Called for each change once it is durable, in order.
void registry_observe(
	struct registry *r, void (*changed)(void *user, const struct change *change), void *user);

struct resource *resource_ref(struct resource *resource);
void resource_unref(struct resource *resource);
// As clients see it, without status. A new reference.
json_t *resource_json(const struct resource *resource);

const struct resource *registry_get(const struct registry *r, enum kind kind, const char *key);
size_t registry_count(const struct registry *r, enum kind kind);
// The index of the first resource behind `after` (NULL: 0), for registry_at().
size_t registry_after(const struct registry *r, enum kind kind, const char *after);
const struct resource *registry_at(const struct registry *r, enum kind kind, size_t index);

// Creates or replaces, from a normalized object. *out is the registry's, valid until the next
// change. 0, -EBUSY (the batch is full), -EDQUOT (too many resources of the kind).
int registry_put(struct registry *r, enum kind kind, const json_t *object, ns_t wall_ns,
	const struct resource **out);
// 0, -ENOENT, -EBUSY.
int registry_delete(struct registry *r, enum kind kind, const char *key, ns_t wall_ns);
// Records an event that changes no resource, such as a gateway that connected. KIND_COUNT: it
// concerns none, and name may be NULL. name: NAMESPACE/NAME where that is the key. 0 or -EBUSY.
int registry_note(struct registry *r, const char *type, enum kind kind, const char *name,
	const char *text, ns_t wall_ns);

// The batch to commit now, or NULL if there is none or one is with the store.
struct batch *registry_seal(struct registry *r);
// Stores it (NULL: none) with what joins it. always: the number alone, too. 0, -ENODATA: there was
// nothing, or the store's error. The committing thread's, if there is one.
int registry_commit(struct registry *r, struct batch *sealed, bool always);
// The result of the sealed batch. Returns true if changes were undone.
bool registry_settle(struct registry *r, int error);
// The same of commits without a batch: so many good ones, then one with this error, or none (0).
void registry_rode(struct registry *r, uint64_t commits, int error);
// Seals, commits and settles here and now: before there is a committing thread, and in tests. 0 or
// the store's error.
int registry_flush(struct registry *r);

// The first durable event behind `after`; NULL if there is none yet. *gone: it was dropped from the
// history.
const struct event *registry_event_after(const struct registry *r, uint64_t after, bool *gone);
// The seq behind which the history is complete.
uint64_t registry_event_floor(const struct registry *r);
