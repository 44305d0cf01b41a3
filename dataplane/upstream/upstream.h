// SPDX-License-Identifier: Apache-2.0
// Upstream connections of a worker: one for each target and pair of MIME types, opened by the first
// call and closed when idle. A target that cannot reassemble has a second one for large messages.
#pragma once

#include "dataplane/caller.h"
#include "dataplane/relay.h"

struct upstream {
	struct link link;     // its user is this
	struct caller caller; // of a host: for its functions
	struct relay *relay;
	struct target *target;
	struct mime *mime;
	bool bulk;             // for large messages to a target that cannot reassemble
	bool up;               // counted in the target's connections
	bool retired;          // not among the target's any more; ends with its last call
	uint32_t calls;        // in flight
	ns_t used;             // when it was last wanted
	struct upstream *next; // of the same target
	struct list all;
};

// A target for a call of the service, and its connection, dialled if need be. -ENOENT: the service
// has no target; -EHOSTUNREACH: none that can be reached; -ENOMEM.
// *index: which of the service's targets it is.
int upstream_pick(struct relay *r, const struct service *s, struct mime *mime, size_t message_bytes,
	struct upstream **out, uint32_t *index);
// A call starts and ends.
void upstream_call_begin(struct upstream *u);
void upstream_call_end(struct upstream *u);
// An item came so late after the one before that the backend may have waited for our delayed
// acknowledgement.
void upstream_late_item(struct upstream *u, ns_t gap);
// Closes all; the loop's steps complete it.
void upstream_close_all(struct relay *r);
// Closes those that are idle, or whose target is gone.
void upstream_sweep(struct relay *r);
// Tells those that are up that no more calls come nor are taken; they end with the calls they have.
void upstream_drain_all(struct relay *r);
// A METADATA_PUSH of a host: its functions' load.
void upstream_told(struct rs_session *s, struct chain *metadata);
// The targets' configuration of sessions; call.c has the handlers. Of endpoints, and of hosts.
extern const struct rs_handler upstream_handler, host_handler;

static inline struct upstream *upstream_of(struct rs_session *s)
{
	return container_of(link_of(s), struct upstream, link);
}
