// SPDX-License-Identifier: Apache-2.0
// What broker.c and broker_queues.c share: entries, and the two orders they stand in.
#pragma once

#include "lib/base/rng.h"
#include "sched/broker.h"
#include "sched/map.h"

#define QUEUES (SCHED_TYPES + 1) // one for the failed
#define PRIORITIES (SCHED_PRIORITY_MAX + 1)

enum state {
	FREE,
	WAITING, // for wait_until; its job knows nothing of it
	DELAYED, // nacked, waits for its redelivery; holds its job
	PENDING, // another of its job is the holder
	READY,
	OUTSTANDING,
};

struct entry {
	struct sched_ticket t;
	uint64_t token;
	ns_t due;
	ns_t left;           // of the nack timeout while paused
	uint32_t heap_at;    // SCHED_NONE: no deadline
	uint32_t next, prev; // of its list
	uint16_t deliveries;
	uint8_t state;
	bool paused, failed, requeue;
	struct sched_ticket again; // requeue: what to enqueue after the ack
};

struct job {
	uint32_t holder, pending; // pending: best first
	uint32_t waiting;         // for its time; the newest such
	uint32_t pending_count;
	uint64_t changed; // index of the last plan committed for it
};

struct fifo {
	uint32_t first, last;
};

struct sched_broker {
	struct sched_broker_config config;
	bool enabled;
	struct entry *entries;
	uint32_t entry_room, free; // free: list by next
	struct job *jobs;
	uint32_t job_room;
	struct sched_map by_eval;
	uint32_t *heap;
	uint32_t heap_count;
	struct fifo queues[QUEUES][PRIORITIES];
	uint64_t used[QUEUES][2]; // a bit a priority
	uint32_t turn;            // the type that goes first among equals
	struct sched_ticket *cancelled;
	uint32_t cancelled_count, cancelled_room;
	struct rng rng;
	struct sched_broker_stats stats;
};

// ---- deadlines ----

// (Re)arms the entry's deadline; run() comes to it then.
void sched_broker_arm(struct sched_broker *b, uint32_t i, ns_t due);
void sched_broker_disarm(struct sched_broker *b, uint32_t i);

// ---- ready ----

// Puts the entry behind others of its type and priority.
void sched_broker_make_ready(struct sched_broker *b, uint32_t i);
// The queue to serve of those in the mask and the priority there, -1 if none.
int sched_broker_best_queue(const struct sched_broker *b, uint32_t mask, int *priority);
uint32_t sched_broker_take_first(struct sched_broker *b, uint32_t q, uint32_t p);
