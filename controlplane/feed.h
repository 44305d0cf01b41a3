// SPDX-License-Identifier: Apache-2.0
// A feed: things that peers are told of, in the order of their last change, and watchers that read
// along it. Pure: texts out, no sockets.
//
// All entries stand on one list, ordered by the seq of their last change; a change moves its entry
// to the end. A watcher has a marker on the same list and takes the entry behind it. So a slow
// watcher holds no queue: what changes ten times before it gets there is told once, as it is then.
// What is gone stays on the list as a tombstone, a bounded number; a watcher whose marker is before
// a dropped one starts with a snapshot again, and so does one that returns from before `floor`.
//
//   WAITING ──may begin──▶ BEGIN ▶ FIRST ▶ SNAPSHOT ──marker at the end──▶ LIVE
//      ▲                     ▲                                             │
//      └── new watch ──(epoch and after known)───────────────▶ LIVE        │
//                            └───────────── tombstone dropped ─────────────┘
//
// Two feeds exist: services and specs for gateways (publish.h), instances for a host (fleet.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/base/list.h"

#define FEED_NAME_MAX 63

enum watch_state { WATCH_WAITING, WATCH_BEGIN, WATCH_FIRST, WATCH_SNAPSHOT, WATCH_LIVE };

struct feed;
struct watcher;

struct feed_entry {
	struct list link;
	uint64_t seq;
	bool marker;  // a watcher's
	bool gone;    // a tombstone
	uint8_t type; // the feed's owner's
};

struct feed_ops {
	// False: the watcher has to wait for something. NULL: never.
	bool (*may_begin)(const struct feed *f, const struct watcher *w);
	// False: a snapshot must not end yet; what there is to tell is told. NULL: it may.
	bool (*may_end)(const struct feed *f, const struct watcher *w);
	// False: the entry does not concern this watcher. NULL: all do. in_snapshot: it is one of
	// the entries that were there when the snapshot began.
	bool (*concerns)(
		const struct watcher *w, const struct feed_entry *e, bool in_snapshot);
	// What a snapshot tells first; NULL: nothing of its own.
	struct feed_entry *(*first)(const struct feed *f, const struct watcher *w);
	// The entry's text as an item with this seq, malloc'ed.
	char *(*item)(const struct feed_entry *e, uint64_t seq);
	// A tombstone that is no longer kept; off the list already.
	void (*drop)(struct feed *f, struct feed_entry *e);
};

struct watcher {
	struct feed_entry marker;
	struct list all;
	struct feed *feed;
	enum watch_state state;
	uint64_t begin_seq;    // of the snapshot
	uint64_t sent_seq;     // of the last item taken
	uint64_t applied_seq;  // the peer says that it acts by what it was told up to here
	char name[FEED_NAME_MAX + 1];  // of the peer
	uint64_t items, snapshots;
	void (*ready)(struct watcher *w);  // there may be something to take
};

struct feed {
	const struct feed_ops *ops;
	const char *epoch;
	uint64_t seq;    // of the last change
	uint64_t floor;  // what was gone before this is not known any more
	struct list entries;
	struct list watchers;
	size_t gone, gone_max;
};

void feed_init(struct feed *f, const struct feed_ops *ops, const char *epoch, size_t gone_max);
// Takes the watchers off; entries are their owner's.
void feed_fini(struct feed *f);
// The entry has changed (or is new, or gone): it moves to the end. seq must not fall.
void feed_put(struct feed *f, struct feed_entry *e, uint64_t seq, bool gone);
// Takes an entry off without a trace: nobody was told of it, or it concerns nobody any more.
void feed_remove(struct feed *f, struct feed_entry *e);
// Takes a tombstone off: those that were not told of it get a snapshot.
void feed_forget(struct feed *f, struct feed_entry *e);
// Drops the oldest tombstones if there are too many, then tells watchers that there is something.
// After a group of feed_put().
void feed_settle(struct feed *f);

// A peer begins to watch; epoch and after are what it saw last. `ready` may be called at once.
void feed_watch(struct feed *f, struct watcher *w, const char *name, const char *epoch,
	uint64_t after, void (*ready)(struct watcher *w));
void feed_unwatch(struct watcher *w);
// The next item for the watcher, a JSON text (free() it); NULL: nothing now.
char *feed_next(struct watcher *w);
// The peer acts by what it was told up to seq, as it says. What it was not sent on this connection
// it cannot have applied: then it means another history.
void feed_applied(struct watcher *w, uint64_t seq);
// True if every peer that watches acts by what changed up to seq.
bool feed_reached(const struct feed *f, uint64_t seq);

// {"op": op, "seq": seq, members...} as text; takes members, which may be NULL.
char *feed_text(const char *op, uint64_t seq, json_t *members);
