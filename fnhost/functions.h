// SPDX-License-Identifier: Apache-2.0
// The functions of a host: one bounded queue a (function, version), from which its instances pull. Pure: the
// caller owns calls and instances, and embeds fn_item and fn_member in them.
//
// An instance has `concurrency` places. A place is taken by a call that runs, or held by one that the host has
// given up but whose handler still runs (fnhost/sdk/calls.c tells how many). While a place is free nothing
// waits: fn_submit() and fn_pull() keep it so.
#pragma once

#include "lib/base/clock.h"
#include "lib/base/hist.h"
#include "lib/base/list.h"

#define FN_NAME_MAX 63 // of a namespace, and of a name
#define FN_BUCKETS 256
#define FN_QUEUE_BYTES_MAX ((size_t)64 << 20)

enum fn_outcome {
	FN_OK,
	FN_ERROR,    // the function's own
	FN_REJECTED, // never started
	FN_CANCELED, // by the caller, or lost with its instance
	FN_TIMEOUT,
	FN_INVALID,
	FN_OUTCOMES,
};

struct functions {
	struct list buckets[FN_BUCKETS];
	struct list all;
	struct list changed; // load that was not told yet
};

struct fn {
	struct list bucket, all, changed;
	char namespace[FN_NAME_MAX + 1];
	char name[FN_NAME_MAX + 1];
	uint32_t version;
	uint32_t queue_max;
	uint32_t timeout_ms; // 0: none
	unsigned refs;       // instances, ready or not, and calls
	struct list members; // that are ready
	struct list waiting; // fn_item, oldest first
	uint32_t queued, running, capacity;
	size_t queued_bytes;
	uint64_t outcomes[FN_OUTCOMES];
	struct hist queue_time_ns, service_time_ns;
};

struct fn_member {
	struct list link;
	struct fn *fn;
	uint32_t concurrency;
	uint32_t running;
	uint32_t held;
};

struct fn_item {
	struct list link; // while it waits
	ns_t since;
	size_t bytes;
};

enum fn_verdict { FN_RUN, FN_WAIT, FN_NO_INSTANCE, FN_FULL };

void functions_init(struct functions *f);
// All functions must be gone.
void functions_fini(struct functions *f);
// Makes it if need be, and takes a reference. NULL: out of memory.
struct fn *fn_get(struct functions *f, const char *namespace, const char *name, uint32_t version);
void fn_put(struct functions *f, struct fn *fn);
// By "[NAMESPACE/]NAME[@VERSION]"; version 0: that of the route, or the newest with a ready instance, else
// the newest. NULL: none.
struct fn *fn_find(struct functions *f, const char *route, uint32_t version);

// Where a new call goes. FN_RUN: *member has a place, which is now taken.
enum fn_verdict fn_submit(struct functions *f, struct fn *fn, struct fn_item *item, size_t bytes,
	ns_t now, struct fn_member **member);
// The call that a free place of the member shall run now; the place is taken. NULL: none waits, or no
// place is free.
struct fn_item *fn_pull(struct functions *f, struct fn_member *member, ns_t now);
// One that waits gives up.
void fn_leave(struct functions *f, struct fn *fn, struct fn_item *item);
// The oldest that waits, for when the last instance is gone.
struct fn_item *fn_waiting(const struct fn *fn);
// A call has left its place; held: its handler may still run there.
void fn_end(struct functions *f, struct fn_member *member, bool held);
void fn_set_held(struct functions *f, struct fn_member *member, uint32_t held);

void fn_member_join(struct functions *f, struct fn_member *member);
void fn_member_leave(struct functions *f, struct fn_member *member);
static inline bool fn_member_ready(const struct fn_member *member)
{
	return list_linked(&member->link);
}
