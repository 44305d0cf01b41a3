// SPDX-License-Identifier: Apache-2.0
// The relay of one worker: its clients, its upstream connections, and the calls between them.
//
// Belongs to the worker's thread, but for counters and histograms, which the control thread reads.
// Knows no port and no DPDK but for the service table.
#pragma once

#include "dataplane/client/mime.h"
#include "dataplane/capacity.h"
#include "dataplane/load.h"
#include "dataplane/route_memo.h"
#include "dataplane/table.h"
#include "dataplane/tcp/tcp.h"
#include "lib/base/hist.h"
#include "lib/base/rng.h"
#include "lib/link/link.h"

struct call;
struct client;
struct upstream;

// Counters: name, sentence.
#define RELAY_COUNTERS(X)                                                                          \
	X(calls, "calls received, those of functions included")                                    \
	X(calls_nested, "of these, calls that functions made through their hosts")                 \
	X(calls_ok, "calls answered by a backend")                                                 \
	X(calls_error, "calls answered with an error of the application")                          \
	X(calls_rejected, "calls rejected before they started")                                    \
	X(calls_canceled, "calls lost with the backend they were sent to")                         \
	X(calls_invalid, "calls that were malformed")                                              \
	X(calls_abandoned, "calls cancelled by the client, or whose client left")                  \
	X(drop_no_route, "calls without routing metadata, or with malformed metadata")             \
	X(drop_no_service, "calls to a function that does not exist")                              \
	X(drop_no_target, "calls to a function without live instances")                            \
	X(drop_targets_down, "calls to a function all of whose backends are unreachable")          \
	X(drop_calls_full, "calls above the worker's limit of calls in flight")                    \
	X(drop_queue_full, "calls whose backend's queue was full")                                 \
	X(drop_unsent, "calls queued for a backend that was lost before they were sent")           \
	X(drop_too_large, "calls larger than a message may be")                                    \
	X(drop_too_deep, "calls of functions nested deeper than is allowed")                       \
	X(drop_reply, "replies that found the client's queue full")                                \
	X(drop_overrun, "streams whose backend sent more than was asked for")                      \
	X(items, "stream items carried to clients")                                                \
	X(clients_opened, "client connections accepted")                                           \
	X(clients_refused_full, "client connections refused because there are too many")           \
	X(clients_refused_setup, "client connections whose SETUP was refused")                     \
	X(clients_no_setup, "client connections closed because no SETUP came")                     \
	X(clients_failed, "client connections ended by an error on the connection")                \
	X(clients_cut, "clients cut because memory was short and they did not read their replies") \
	X(clients_paused, "times a client was held back because its replies were not read")        \
	X(upstream_dialled, "upstream connections opened")                                         \
	X(upstream_up, "upstream connections established")                                         \
	X(upstream_down, "upstream connections lost or failed")                                    \
	X(upstream_idle_closed, "upstream connections closed because they were idle")              \
	X(upstream_full, "upstream connections not opened for want of memory")                     \
	X(loads_told, "loads of functions that hosts told")                                        \
	X(loads_invalid, "messages of hosts that were to tell loads and were malformed")           \
	X(loads_evicted, "loads forgotten early because too many were told")

struct relay_counters {
#define X(name, text) uint64_t name;
	RELAY_COUNTERS(X)
#undef X
};

// What is in use now; written each RELAY_HOUSEKEEPING. Name, sentence.
#define RELAY_GAUGES(X)                                        \
	X(clients, "client connections")                       \
	X(calls, "calls in flight")                            \
	X(streams, "RSocket streams, of clients and upstream") \
	X(upstreams, "upstream connections, in every state")   \
	X(block_bytes, "bytes of blocks that hold copies")     \
	X(slices, "slices of buffers, queued anywhere")        \
	X(tcp_connections, "TCP connections but those in TIME-WAIT")

struct relay_gauges {
#define X(name, text) uint64_t name;
	RELAY_GAUGES(X)
#undef X
};

enum call_outcome {
	CALL_OK,
	CALL_ERROR,
	CALL_REJECTED,
	CALL_CANCELED,
	CALL_INVALID,
	CALL_ABANDONED,
	CALL_OUTCOMES,
};

// What a worker keeps about a service, by slot. Valid while the generation is the service's.
struct relay_service {
	uint32_t generation; // 0: nothing yet
	uint32_t item_bytes; // of a stream's item, estimated; 0: none came yet
	uint64_t outcomes[CALL_OUTCOMES];
	uint64_t in_flight;
	struct hist service_time_ns; // from arrival to the last frame of the reply
};

// What a worker keeps about a target, by id.
struct relay_target {
	struct upstream *first;
	uint64_t calls;       // in flight
	uint64_t connections; // up
	uint64_t dialled;     // all
	int32_t error;        // -E... of the last failure, 0 after a success
};

struct relay_config {
	struct tcp_stack *tcp;
	struct loop *loop;
	struct timer_wheel *timers;
	struct table *table;
	uint64_t seed;
	const ns_t *now; // the worker's, of this iteration
	// Zeroed; read by the control thread, so they outlive the relay.
	struct relay_target *targets;   // TARGETS_MAX
	struct relay_service *services; // SERVICES_MAX
	// Data of the SETUP to hosts; NULL: none. Outlives the relay.
	const char *host_setup;
};

struct relay {
	struct tcp_stack *tcp;
	struct loop *loop;
	struct timer_wheel *timers;
	struct table *table;
	struct route_memo routes;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct rng rng;
	struct mime_table mimes;
	struct mime *host_mime; // of connections to our hosts
	const char *host_setup;
	uint64_t setups_kept; // links keep it, a slice each
	struct loads loads;     // what hosts told of their functions
	uint64_t call_ids;      // given to calls of functions so far
	const ns_t *now;
	bool draining;

	struct client *clients_free;   // used before
	struct client *clients_memory; // CLIENTS_MAX
	uint32_t clients_touched;      // of these, used at least once
	struct list clients;
	struct list clients_dirty; // with output to pull
	uint64_t clients_count;

	struct call *calls_free;
	struct call *calls_memory; // CALLS_MAX
	uint32_t calls_touched;
	uint64_t calls_in_flight;

	struct list upstreams;
	struct timer housekeeping;      // closes idle and gone upstream connections, writes gauges
	struct relay_target *targets;   // TARGETS_MAX
	struct relay_service *services; // SERVICES_MAX

	struct relay_counters counters;
	struct relay_gauges gauges;
	struct hist
		gateway_time_ns; // from a burst's arrival to its output, once for each call in it
	uint64_t calls_seen;     // of `counters.calls` at the last flush
};

// 0 or -ENOMEM.
int relay_init(struct relay *r, const struct relay_config *config);
// The loop and the stack have reported all their connections closed; frees the rest.
void relay_fini(struct relay *r);
// End of an iteration: puts clients' output into TCP. Upstream output is flushed by the loop's
// step.
void relay_flush(struct relay *r);
// Refuses new calls and tells when the last is done: true when nothing is in flight. Call it again
// and again. force: cuts off what is left.
bool relay_drain(struct relay *r, bool force);
