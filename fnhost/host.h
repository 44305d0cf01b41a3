// SPDX-License-Identifier: Apache-2.0
// The host: what its parts share. One thread runs all of it, on one loop.
//
//   agent ---assignments---> instances ---ready---> functions <---calls--- server <--- gateways
//     ^---------reports----------'                      '--pull--> instances --> shim, program
#pragma once

#include "fnhost/cgroup.h"
#include "fnhost/functions.h"
#include "fnhost/options.h"
#include "lib/link/link.h"
#include "lib/rsocket/metadata.h"

#define HOST_STREAMS_MAX 131072u
#define HOST_BLOCK_BYTES (16u * 1024)
#define HOST_CALLS_MAX 65536u   // running and waiting
#define HOST_RECORDS_MAX 4096u // instances, with those that are over, of which the control plane has yet to take note
#define HOST_BUCKETS 1024      // of them
#define HOST_GATEWAYS_MAX 1024u
#define WAITING_COPY_BYTES 2048u // smaller requests that wait share blocks

// Since start; each has a sentence in report.c.
struct host_counts {
	uint64_t calls, calls_no_function, calls_no_instance, calls_queue_full, calls_too_many;
	uint64_t calls_draining, calls_no_memory, calls_invalid, calls_deadline_waiting;
	uint64_t calls_deadline_running, calls_lost_with_instance, outward, outward_no_gateway;
	uint64_t gateways_accepted, gateways_refused, load_pushes;
	uint64_t instances_spawned, instances_adopted, instances_exited, instances_hung;
	uint64_t instances_out_of_memory, instances_failed, instances_refused;
	uint64_t jobs_completed, jobs_failed, jobs_stopped, logs_removed;
	uint64_t assigns_applied, assigns_invalid, assigns_unknown;
};

struct host {
	struct options options;
	char start[17]; // random, of this process
	struct loop *loop;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct buf_arena arena;
	struct link_hub hub;
	struct functions functions;
	struct host_counts counts;
	bool draining; // new calls are refused
	// calls.c
	struct list calls;
	uint32_t calls_count;
	struct list free_calls;
	// instances.c
	struct list instances;
	struct list instance_buckets[HOST_BUCKETS]; // by id
	uint32_t instances_count;
	uint32_t places_taken;    // places.c: by those that have a program, or get one
	struct timer place_timer; // armed as long as some wait for a place
	struct cgroups cgroups;
	struct timer sweep_timer; // cgroups whose last processes are still going
	struct timer trim_timer;  // old logs that may be too many
	ns_t trimmed;
	// server.c
	struct loop_listener *listener;
	struct list gateways;
	uint32_t gateways_count;
	struct timer load_timer;
	ns_t load_told;
	// agent.c
	struct agent *agent;
	// logs.c
	unsigned log_readers;
};

struct instance;
struct relay;

// calls.c: calls of gateways to functions here.
void calls_init(struct host *h);
void calls_fini(struct host *h);
void calls_begin(struct host *h, enum rs_metadata_kind kind, struct rs_stream *stream,
	struct rs_message *message);
// Lets a ready instance take what waits.
void calls_pull(struct host *h, struct instance *instance);
// The function's last ready instance is gone: what waits is rejected.
void calls_reject_waiting(struct host *h, struct fn *fn);

// outward.c: calls of functions here to any function.
void outward_begin(struct host *h, struct rs_stream *stream, struct rs_message *message);

// server.c
int server_start(struct host *h);
void server_stop(struct host *h);  // takes no more connections; calls are refused by h->draining
void server_drain(struct host *h); // says goodbye on those there are
void server_close(struct host *h);
// A gateway's session that can be asked. NULL: none.
struct rs_session *server_ask(struct host *h);
// Some function's load has changed.
void server_load_changed(struct host *h);
