// SPDX-License-Identifier: Apache-2.0
// What the files of the peers share: peers.c (connections, SETUP, requests), peer_gateway.c and
// peer_host.c (what a role says and is told).
#pragma once

#include <jansson.h>

#include "controlplane/peers.h"
#include "lib/rsocket/metadata.h"

struct peer;

// A role: how it is greeted, what it may ask, how it goes.
struct peer_role {
	const char *name;
	// Takes the hello (checked: an object, version, name). 0 or -E... with peer->why.
	int (*greet)(struct peer *peer, const json_t *hello);
	const struct peer_route *routes;
	size_t route_count;
	// It is gone; not called for one that was superseded.
	void (*gone)(struct peer *peer, const char *why);
};

struct peer_route {
	const char *name;
	enum rs_type type;
	// The data, an object. For REQUEST_FNF stream must not be kept.
	void (*handle)(struct peer *peer, struct rs_stream *stream, const json_t *data);
	const char *wants;  // a sentence for who asks otherwise
};

struct peer {
	struct link link;
	struct list all;
	struct peers *peers;
	const struct peer_role *role;  // NULL: not greeted
	bool remote;                   // neither loopback nor a Unix socket
	bool superseded, warned;
	enum rs_metadata_kind metadata;
	char name[PEER_NAME_MAX + 1];
	char why[300];  // a SETUP was refused
	struct watcher watcher;
	struct rs_stream *watch;  // NULL: none
	struct list logs;         // of a host: struct log_stream
};

extern const struct peer_role peer_role_gateway, peer_role_host;

// Tells the peer what the watcher has, as far as credit and buffers go.
void peer_pump(struct peer *peer);
// The stream is the peer's watch of the feed from now on; data says where it was.
void peer_watch(
	struct peer *peer, struct rs_stream *stream, struct feed *feed, const json_t *data);
void peer_end_watch(struct peer *peer);
// Closes older connections of the same role and name.
void peer_supersede(struct peer *peer);
// What the orchestrator can do now that something was reported.
void peers_tick(struct peers *p);

// ---- logs (peer_logs.c) ----

// Ends the streams of a host that is gone.
void peer_logs_lost(struct peer *peer);
bool peer_logs_item(struct rs_stream *stream, struct rs_message *message, bool next, bool complete);
void peer_logs_end(struct rs_stream *stream, const char *why);
