// SPDX-License-Identifier: Apache-2.0
// What scheduler.c, scheduler_log.c and scheduler_show.c share.
#pragma once

#include "controlplane/scheduler.h"

// The scheduler's clock: goes on over restarts.
ns_t scheduler_now(const struct scheduler *s);
// Bytes that are not durable. Lock held.
size_t scheduler_backlog(const struct scheduler *s);
// Publishes, wakes workers, tells the main thread that there are bytes. Lock held.
void scheduler_kick(struct scheduler *s);
// Reads what is stored into the core and tells the deeds of it. Before the threads start.
int scheduler_load(struct scheduler *s, struct store *store);

void scheduler_id_format(const struct sched_id *id, char out[SCHEDULER_ID_BYTES]);
bool scheduler_id_parse(const char *text, struct sched_id *id);
