// SPDX-License-Identifier: Apache-2.0
// What the files of `penstock-gen load` share: the configuration, a client (a thread with its
// connections), and what it counts.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/hist.h"
#include "lib/link/link.h"
#include "tools/gen/mix.h"
#include "tools/gen/tcp_link.h"

#define TARGETS_MAX 16
#define CLIENTS_MAX 64
#define CONNECTIONS_MAX 100000
#define CALLS_MAX 4000000
#define ERROR_KINDS_MAX 64
#define ERROR_TEXT_MAX 120
// Patterns start anywhere in the first half, so that up to half the block is one slice.
#define PATTERN_BYTES (128 * 1024)

struct load_config {
	const char *to;
	uint64_t connections, outstanding, threads, count, seed, timeout_ms;
	double rate;
	ns_t duration, warmup;
	struct mix_config mix;
	uint32_t fragment;
	uint64_t credit;
	const char *json;
	bool expect_no_errors, reconnect, spin, quiet, idle;
	uint64_t keepalive_ms, lifetime_ms;
	// faults
	uint64_t fault_connections, slow, stop_reading, vanish;
	double cancel;
	// a DPDK port instead of kernel sockets
	const char *port, *address, *via, *cores, *file_prefix;
	bool no_huge;
	const char *serve; // answer calls there, too
};

struct error_kind {
	char text[ERROR_TEXT_MAX];
	uint64_t count;
};

struct function_stats {
	uint64_t calls, errors; // ended well and not
	struct hist latency_ns; // of calls that ended well, from the intended start
};

// Written by the client's thread; the counters may be read at any time.
struct load_stats {
	uint64_t started, calls, errors, cancelled, items;
	uint64_t calls_in_time; // calls, of those that ended before the clock ran out
	uint64_t bytes_in, bytes_out;
	struct function_stats *functions;
	struct error_kind kinds[ERROR_KINDS_MAX];
	unsigned kinds_count;
};

struct load;
struct client;
struct client_conn;
struct server;

// How sessions reach their peer: over kernel sockets, or over our own TCP stack on a DPDK port.
struct transport {
	// Starts all clients, each on a thread of its own. 0 or -E... after a sentence.
	int (*start)(struct load *load);
	// All clients are done: ends the threads.
	void (*end)(struct load *load);
	// Time that a client's thread has worked, not counting what it spent looking for work.
	ns_t (*worked)(const struct client *cl);

	// What follows is called on the client's thread.
	int (*dial)(struct client_conn *conn, unsigned number, struct rs_config *session);
	void (*close)(struct client_conn *conn);      // conn_down(gone) follows
	void (*abort)(struct client_conn *conn);      // the same, by a reset
	bool (*idle)(const struct client_conn *conn); // all that left the session is away

	// Of the sessions' handler.
	void (*wake)(struct rs_session *s);
	void (*ended)(struct rs_session *s, uint32_t code, const char *why);
};

extern const struct transport kernel_transport, port_transport;

struct client_conn {
	union {
		struct link link;         // kernel.c
		struct tcp_link tcp_link; // port.c
	};
	struct rs_session *session; // of either
	struct client *client;
	bool up, open, faulty, vanish;
	uint32_t calls_out; // in flight
	uint32_t fnf_out;   // of these, fire-and-forgets that have not left the session yet
	uint64_t calls_made;
};

struct call {
	struct list age; // in flight, by start; or free
	struct client_conn *conn;
	struct rs_stream *stream;
	const struct mix_entry *entry;
	ns_t start;       // intended
	uint32_t pattern; // where its bytes start
	uint32_t items;
	uint32_t ungranted;
	bool cancel;
};

enum client_phase { PHASE_CONNECT, PHASE_RUN, PHASE_DRAIN, PHASE_CLOSE, PHASE_DONE };

struct client {
	struct load *load;
	unsigned index;
	pthread_t thread;
	struct loop *loop;
	struct link_hub hub; // of what runs over kernel sockets
	struct tcp_hub tcp_hub;
	const struct worker *worker; // of the data plane's shell; NULL over kernel sockets
	struct server *server;       // answers calls on the same loop; may be NULL
	struct rs_pool *pool;
	struct buf_pool *blocks;
	struct rng rng;
	struct client_conn *conns;
	unsigned conns_count, conns_up, conns_open;
	unsigned next_conn; // open loop: round robin
	struct call *calls;
	uint32_t calls_max, calls_out;
	struct list free_calls, ages;
	uint32_t next_pattern;
	enum client_phase phase;
	ns_t stop_by;             // after a signal; 0: none came
	ns_t start, measure, end; // calls count from `measure` on
	ns_t arrival;             // the next one's intended time
	double rate;
	uint64_t budget; // calls left to be started
	struct timer sweep;
	struct load_stats stats[2]; // of the warm-up; of the measurement
	uint64_t downs, ups;
	bool told;                       // the first failure, on standard error
	bool counted;                    // as ready
	ns_t deadline;                   // for being connected
	ns_t last_end;                   // when the last counted call ended
	ns_t measured_from, measured_to; // when its work was looked at, and how much it was then
	ns_t worked_from, worked_to;
};

struct load {
	struct load_config config;
	const struct transport *transport;
	struct rs_handler handler;
	struct dataplane *shell; // port.c
	struct mix mix;
	struct sockaddr_storage addrs[TARGETS_MAX];
	socklen_t addr_lens[TARGETS_MAX];
	unsigned targets;
	struct client *clients;
	uint8_t *pattern;
	atomic_llong start_at; // 0: not yet
	atomic_bool stop;
	atomic_int ready, done, failed;
	pthread_barrier_t all_done;
};

// client.c: a client on a loop that somebody else steps. init: 0 or -E... after a sentence; then it
// call client_failed(). The hub for kernel sockets is set up.
int client_init(struct client *cl, struct loop *loop);
// Dials. After init, when tcp_hub is set up if it is needed.
int client_dial(struct client *cl);
// After each step of the loop. False once all is over.
bool client_step(struct client *cl);
// When its next step is due if nothing happens before; 0: at once.
ns_t client_next(const struct client *cl);
// It could not start, or its loop broke: its connections are closed, which takes further steps.
void client_failed(struct client *cl);
// After the loop's end.
void client_fini(struct client *cl);
// Told by the transport. gone: for good; else it is dialled again.
void conn_up(struct client_conn *conn);
void conn_down(struct client_conn *conn, bool gone);
// A connection that was not to end has ended, and is not dialled again.
void conn_failed(struct client_conn *conn, const char *why);
// No more calls on this connection; it was lost, or is about to be. May be called again.
void conn_lost(struct client_conn *conn);

// calls.c: the life of a call. What it lacks is the transport's.
extern const struct rs_handler call_handler;
int calls_init(struct client *cl);
// Starts one. False when none could be started; then that was counted.
bool call_start(struct client *cl, struct client_conn *conn, ns_t start);
// Closed loop: fills the connection up to its number of calls in flight.
void calls_fill(struct client *cl, struct client_conn *conn, ns_t now);
// Ends those whose time is over.
void calls_sweep(struct client *cl, ns_t now);
void calls_error(struct client *cl, ns_t start, const char *text);

// stats.c
int stats_init(struct load_stats *s, unsigned functions);
void stats_fini(struct load_stats *s);
void stats_error(struct load_stats *s, const char *text);
void stats_merge(struct load_stats *to, const struct load_stats *from, unsigned functions);

// report.c
struct report {
	const struct load *load;
	struct load_stats total;
	struct hist latency_ns;
	double seconds, busy;
	uint64_t downs;
};

// A line on standard error for the time since the last one.
struct progress {
	ns_t at, start;
	uint64_t calls, errors;
	struct hist before;
};

void progress_print(struct progress *p, const struct load *load, ns_t now);
void report_print(const struct report *r);
// 0 or -E... (told on standard error)
int report_json(const struct report *r, const char *path);
