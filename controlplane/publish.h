// SPDX-License-Identifier: Apache-2.0
// What gateways are told: the table of services and the gateways' own specs, in the order of their
// last change, and watchers that read along it. Pure: texts out, no sockets.
//
// All entries stand on one list, ordered by the seq of their last change; a change moves its entry
// to the end. A watcher has a marker on the same list and takes the entry behind it. So a slow
// watcher holds no queue: what changes ten times before it gets there is told once, as it is then.
// Services that are gone stay on the list as tombstones, a bounded number; a watcher whose marker
// is before a dropped one starts with a snapshot again, and so does one that returns from before
// `floor`.
//
//   WAITING ──its Gateway resource exists──▶ BEGIN ▶ SPEC ▶ SNAPSHOT ──marker at the end──▶ LIVE
//      ▲                                       ▲                                             │
//      └── new watch ──(epoch and after known)─┼──────────────────────────────▶ LIVE         │
//                                              └───────────── tombstone dropped ─────────────┘
#pragma once

#include "controlplane/registry.h"
#include "controlplane/strmap.h"
#include "lib/base/list.h"

#define PUBLISH_TOMBSTONES_MAX 4096

enum watch_state { WATCH_WAITING, WATCH_BEGIN, WATCH_SPEC, WATCH_SNAPSHOT, WATCH_LIVE };

struct publish_entry {
	struct list link;
	enum { ENTRY_SERVICE, ENTRY_GATEWAY, ENTRY_MARKER } type;
	uint64_t seq;
};

struct watcher {
	struct publish_entry marker;
	struct list all;
	enum watch_state state;
	uint64_t begin_seq;  // of the snapshot
	uint64_t sent_seq;   // of the last item taken
	char gateway[64];
	uint64_t items, snapshots;
	void (*ready)(struct watcher *w);  // there may be something to take
};

struct publisher {
	const char *epoch;
	uint64_t seq;    // of the last change applied
	uint64_t floor;  // what was gone before this is not known any more
	struct list entries;
	struct list watchers;
	struct strmap services, gateways;
	size_t tombstones;
	uint64_t changes;  // of services, since start
};

// Starts with all resources of the registry, which must outlive it.
void publisher_init(struct publisher *p, const struct registry *registry);
void publisher_fini(struct publisher *p);
// A change that is durable; then every watcher's `ready` is called if there is something new.
void publisher_apply(struct publisher *p, const struct change *change);
size_t publisher_services(const struct publisher *p);

// A gateway begins to watch; epoch and after are what it saw last. `ready` may be called at once.
void publisher_watch(struct publisher *p, struct watcher *w, const char *gateway, const char *epoch,
	uint64_t after, void (*ready)(struct watcher *w));
void publisher_unwatch(struct watcher *w);
// The next item for the watcher, a JSON text (free() it); NULL: nothing now.
char *publisher_next(struct publisher *p, struct watcher *w);
