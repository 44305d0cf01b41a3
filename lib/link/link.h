// SPDX-License-Identifier: Apache-2.0
// A link: an RSocket session over a loop connection, and a dialler that keeps one up.
//
// Belongs to the loop's thread. Output is flushed at the end of each loop step: sessions that have
// something are on the hub's list, and each link has at most one send in flight.
#pragma once

#include "lib/base/rng.h"
#include "lib/loop/loop.h"
#include "lib/rsocket/session.h"

struct link;

// All links of a loop. Registers itself as the loop's flush hook.
struct link_hub {
	struct loop *loop;
	struct rs_pool *pool;
	struct list dirty;                // links with output
	struct rng rng;                   // jitter
	size_t send_bytes_max;            // of one send; 0 at init takes 256 KiB
	uint64_t sends, frames_out_bytes; // for statistics
};

void link_hub_init(struct link_hub *hub, struct loop *loop, struct rs_pool *pool);

struct link_ops {
	// Dialled: the transport is up; SETUP is on its way. Calls may be made before that, too.
	void (*up)(struct link *link);
	// The link is gone, or an attempt failed, after all streams were reported lost; why is a
	// sentence. Last event of a served link. A dialled one is tried again after back-off until
	// link_close(), which brings a last `down` of its own. Never called from rs_ functions.
	void (*down)(struct link *link, const char *why);
};

enum link_state { LINK_CONNECTING, LINK_UP, LINK_CLOSING, LINK_BACKOFF, LINK_CLOSED };

// Embed it. The session exists in every state but LINK_BACKOFF and LINK_CLOSED.
struct link {
	struct rs_session session; // its user is this link
	struct link_hub *hub;
	struct loop_conn *conn;
	const struct link_ops *ops;
	void *user;
	enum link_state state;
	bool dialled;
	struct list dirty;
	// Keepalive while up (before a served link's SETUP: its time-out), the end of patience
	// while connecting and closing, the next attempt in back-off.
	struct timer timer;
	bool ticking;     // the timer is the keepalive's
	bool close_asked; // link_close() was called: no further attempt
	char why[96];     // for `down`
	ns_t up_since;
	uint64_t received_bytes; // on this connection
	uint64_t read_max;       // reading stops behind this many; for tests; UINT64_MAX: never
	struct rs_config config;
	struct rs_message setup; // kept for all attempts
	struct sockaddr_storage addr;
	socklen_t addr_len;
	ns_t backoff_ns;   // of the next attempt, before jitter
	uint32_t attempts; // connections that ended since it was last up; 0 while it is first
			   // dialled
	bool was_up;       // this connection has been LINK_UP; still valid in `down`
	int error; // -E... of the last failure; -EPROTO for an error of the session; valid in
		   // `down`
};

#define LINK_BACKOFF_MIN (20 * NS_PER_MS)
#define LINK_BACKOFF_MAX (2 * NS_PER_SEC)
#define LINK_CONNECT_TIMEOUT (2 * NS_PER_SEC)
#define LINK_SETUP_TIMEOUT (10 * NS_PER_SEC) // of a served link
#define LINK_CLOSE_TIMEOUT (5 * NS_PER_SEC)  // for the last bytes of an ended session

// Dials and keeps dialling: back-off doubles from MIN to MAX, each wait spread by +-25 %, and
// starts again at MIN after LINK_BACKOFF_MAX of being up. The handler must have .wake = link_wake
// and .closed = link_ended; pool, user and role of the config are set by the link; its strings must
// outlive the link, and a setup message is copied for each attempt. 0 or -E... (nothing was
// started).
int link_dial(struct link *link, struct link_hub *hub, const struct sockaddr *addr, socklen_t len,
	const struct rs_config *config, const struct link_ops *ops, void *user);
// Serves an accepted socket. 0 or -E... (fd is closed).
int link_serve(struct link *link, struct link_hub *hub, int fd, const struct rs_config *config,
	const struct link_ops *ops, void *user);
// Close all links of a loop, and step it until each was reported down, before loop_destroy().

// Ends it for good, without waiting for streams: they are reported lost, then `down`. Afterwards
// the memory is the caller's again once `down` was called (it may be called from within).
void link_close(struct link *link);
// For the handler of every session on a link.
void link_wake(struct rs_session *s);
void link_ended(struct rs_session *s, uint32_t code, const char *why);

static inline struct link *link_of(struct rs_session *s)
{
	return container_of(s, struct link, session);
}
