// SPDX-License-Identifier: Apache-2.0
// A client's RSocket session over a connection of our own TCP stack: what lib/link is for kernel
// sockets.
//
// Belongs to the stack's thread. Output is flushed by tcp_hub_flush(), before TCP is asked for
// segments.
#pragma once

#include "dataplane/tcp/tcp.h"
#include "lib/rsocket/session.h"

struct tcp_link;

// All links of a stack.
struct tcp_hub {
	struct tcp_stack *stack;
	struct timer_wheel *timers;
	const ns_t *now; // of the iteration
	struct rs_pool *pool;
	struct list dirty; // links with output
};

void tcp_hub_init(struct tcp_hub *hub, struct tcp_stack *stack, struct timer_wheel *timers,
	const ns_t *now, struct rs_pool *pool);
void tcp_hub_flush(struct tcp_hub *hub);

struct tcp_link_ops {
	// The handshake has completed; SETUP is on its way.
	void (*up)(struct tcp_link *link);
	// Last event, after all streams were reported lost; why is a sentence.
	void (*down)(struct tcp_link *link, const char *why);
};

// Embed it.
struct tcp_link {
	struct rs_session session; // its user is this link
	struct tcp_hub *hub;
	struct tcp_conn *conn;
	const struct tcp_link_ops *ops;
	struct list dirty;
	struct timer timer; // keepalive once up; the end of patience while closing
	bool up, closing;
	char why[96];
};

// Opens a connection. The handler must have .wake = tcp_link_wake and .closed = tcp_link_ended;
// pool, user and role of the config are set here. 0 or -E... (nothing was started).
int tcp_link_dial(struct tcp_link *link, struct tcp_hub *hub, const struct tcp_connect *to,
	const struct rs_config *config, const struct tcp_link_ops *ops);
// Ends it without waiting for streams: they are reported lost; `down` follows. abort: by a reset,
// and `down` comes from within.
void tcp_link_close(struct tcp_link *link);
void tcp_link_abort(struct tcp_link *link);
// True when nothing waits to be sent or acknowledged.
bool tcp_link_idle(const struct tcp_link *link);
// For the handler.
void tcp_link_wake(struct rs_session *s);
void tcp_link_ended(struct rs_session *s, uint32_t code, const char *why);
