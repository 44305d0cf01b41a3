// SPDX-License-Identifier: Apache-2.0
// A relay in a test tube: clients on a TCP stack of their own that is joined back to back with the
// gateway's, and backends on Unix sockets served by an event loop of their own. Real time, to which
// a test may add.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/client/client.h"
#include "dataplane/relay.h"
#include "dataplane/upstream/upstream.h"
#include "lib/link/link.h"

#define WORLD_DEADLINE (30 * NS_PER_SEC)
#define GATEWAY_PORT 7878
#define BACKENDS_MAX 8
#define SERVED_MAX 64
#define WORLD_HOST_SETUP "{\"role\": \"gateway\", \"name\": \"gw1\", \"token\": \"secret\"}"

struct world;

// A call as its client sees it. The test's memory; it outlives its stream.
struct ask {
	struct rs_stream *stream; // NULL: it has ended
	unsigned items, completes, errors, losses;
	size_t bytes;
	uint32_t code; // of the error
	char text[256];
	uint32_t refill; // asks for as many more each time that many have come
	uint32_t asked;
	bool numbered;     // items start with their number, a u32
	bool has_metadata; // of the last item
	bool cancel_on_item;
};

struct peer {
	struct world *world;
	struct rs_session session;
	struct list all;
	struct tcp_conn *conn; // NULL: closed
	struct chain unread;
	bool connected;
	bool hold;     // does not read
	uint32_t code; // of the session's end
	char why[128];
	int error; // of the connection's end
};

enum backend_mode {
	ECHO,   // request-response: the data comes back; stream: one item
	SILENT, // nothing until the test says so
	COUNT,  // `count_items` numbered items of count_bytes each, as credit allows
	REFUSE, // ERROR(code, text)
};

struct backend;

// A request that a backend holds.
struct request {
	struct list all; // in the backend's requests, oldest first
	struct backend *backend;
	struct rs_stream *stream;
	uint64_t granted, produced;
};

struct served {
	struct link link;
	struct backend *backend;
	bool used;
};

struct backend {
	struct world *world;
	char address[128]; // "unix:/..."
	struct loop_listener *listener;
	struct served served[SERVED_MAX];
	unsigned accepted;
	enum backend_mode mode;
	uint32_t count_items, count_bytes;
	uint32_t surplus; // items a COUNT sends without credit
	uint32_t code;
	const char *text;
	struct list requests;
	unsigned held, received, fnfs, cancels, losses;
	uint64_t granted;           // of all streams
	uint64_t granted_ahead_max; // of all streams: items asked for and not yet produced
	size_t bytes;               // of requests
	char metadata_mime[256], data_mime[256]; // of the last SETUP
	char setup[256];                         // its data
	uint8_t metadata[512];                   // of the last request
	size_t metadata_len;
};

struct world {
	ns_t now, skew;
	struct timer_wheel wheel;
	struct tcp_stack *gateway, *clients;
	struct loop *loop, *backend_loop;
	struct table *table;
	struct relay relay;
	struct relay_target *targets;
	struct relay_service *services;
	struct buf_pool *blocks; // of clients and backends
	struct rs_pool *client_pool, *backend_pool;
	struct link_hub backend_hub;
	char folder[64];
	struct backend backend[BACKENDS_MAX];
	unsigned backends;
	struct list peers;
	unsigned wire_bufs;
	size_t nodes_before;
	uint32_t requested_max;
};

struct world *world_new(void);
// The same with less room for what backends sent and clients have not read yet.
struct world *world_new_small(void);
// Ends all in the order of a worker's end and checks that nothing is left anywhere.
void world_free(struct world *w);
// One iteration of everything.
void world_step(struct world *w);
void world_run(struct world *w, ns_t span);
// Lets the gateway's and the clients' time jump.
void world_skip(struct world *w, ns_t span);
// What the gateway has queued at streams of clients: the most on one, and on all.
void world_queued(const struct world *w, size_t *stream, size_t *all);
// Nothing is in flight: all calls, streams, blocks and slices of it have come back.
void world_expect_idle(struct world *w);

#define RUN_UNTIL(w, condition)                                        \
	do {                                                           \
		ns_t limit_ = clock_now() + WORLD_DEADLINE;            \
		while (!(condition) && clock_now() < limit_)           \
			world_step(w);                                 \
		if (!(condition))                                      \
			fail_msg("did not come true: %s", #condition); \
	} while (0)

// Listens at an address of its own.
struct backend *backend_new(struct world *w, enum backend_mode mode);
void backend_listen(struct backend *b);
void backend_unlisten(struct backend *b);
// Cuts its connections.
void backend_cut(struct backend *b);
// Answers the oldest request it holds, with data of that many bytes.
void backend_answer(struct backend *b, size_t bytes);
// Connections of it that are there.
unsigned backend_connections(const struct backend *b);
// Makes items of held streams as credit allows.
void backend_produce(struct backend *b);

// A route (a name that ends with '*': a prefix) and its backends, to the next NULL.
void route(struct world *w, const char *name, ...) __attribute__((sentinel));
// The same for a function, whose backends are our hosts. version: of the function at all of them.
void route_hosts(struct world *w, const char *name, uint32_t version, ...) __attribute__((sentinel));
void unroute(struct world *w, const char *name);

// Connects, and sends SETUP with the next step.
struct peer *peer_new(struct world *w);
struct peer *peer_new_mime(struct world *w, const char *metadata_mime, const char *data_mime);
// Leaves with RST or in order; the memory is freed.
void peer_free(struct peer *p);
void peer_reset(struct peer *p);
void peer_flush(struct peer *p); // each step does
void peer_read(struct peer *p);  // what was held, and from now on all

// A call of a function: n is a stream's first credit, 0 means request-response.
void ask(struct peer *p, struct ask *a, const char *function, uint32_t n, size_t bytes);
void ask_fnf(struct peer *p, const char *function, size_t bytes);
// Asks and waits for the end.
void ask_wait(struct peer *p, struct ask *a, const char *function, size_t bytes);
// A call that a function at a host makes, on the host's first connection: composite metadata, the entry as given.
struct call_entry;
void host_ask(struct backend *b, struct ask *a, const char *function, uint32_t n,
	const struct call_entry *entry);
// A METADATA_PUSH on each connection of a host.
void host_push(struct backend *b, const void *data, size_t len);
// Events of calls, for whoever makes them.
void ask_on_payload(struct rs_stream *stream, struct rs_message *message, bool next, bool complete);
void ask_on_error(struct rs_stream *stream, uint32_t code, struct chain *text);
void ask_on_lost(struct rs_stream *stream, bool sent);
// Of the clients' stack.
extern const struct tcp_ops peer_ops;
// Appends so many zeros.
void world_fill(struct chain *c, size_t bytes);
