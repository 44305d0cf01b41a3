// SPDX-License-Identifier: Apache-2.0
// What runs on the data plane: hooks that main and the workers call. Exactly one implementation is
// linked into a program.
#pragma once

#include "dataplane/dataplane.h"

// Control thread, before any worker runs and after all have ended.
int app_init(struct dataplane *dp);
void app_fini(struct dataplane *dp);
// Control thread: does what there is to do without blocking and returns when it wants to be
// called next at the latest. It is called earlier when app_fd() (-1: none) is readable.
ns_t app_step(struct dataplane *dp, ns_t now);
int app_fd(struct dataplane *dp);

// Events of TCP connections. The listener's user is the struct worker.
extern const struct tcp_ops app_tcp_ops;

// Worker thread. init: net, tcp, loop and wheel are there; 0 or -E... with w->why set. fini
// mirrors it; it may end w->tcp and w->loop itself, in the order it needs, and sets them NULL
// then.
int worker_app_init(struct worker *w);
void worker_app_fini(struct worker *w);
// Once an iteration, after everything that can produce output and before TCP is asked for segments.
void worker_app_flush(struct worker *w, ns_t now);
// Once an iteration while the worker drains (nothing listens any more): true when done.
bool worker_app_drain(struct worker *w, ns_t now);
