// SPDX-License-Identifier: Apache-2.0
// Serves gateways: the control plane's side of docs/PEER-PROTOCOL.md over RSocket. Main thread.
#pragma once

#include "controlplane/publish.h"
#include "controlplane/telemetry.h"
#include "lib/link/link.h"
#include "lib/loop/loop.h"

#define PEERS_MAX 256
#define PEER_NAME_MAX 63

struct peers {
	struct loop *loop;
	struct registry *registry;
	struct publisher *publisher;
	struct telemetry *telemetry;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct loop_listener *listener;
	struct list all;
	size_t count;
	uint64_t refused;  // connections and set-ups
	bool full;         // told once
	bool stopping;
};

// address: a sockaddr of either kind; a Unix socket's mode must be set by the caller's umask. 0 or
// -E... .
int peers_start(struct peers *p, struct loop *loop, struct registry *registry,
	struct publisher *publisher, struct telemetry *telemetry, const struct sockaddr *address,
	socklen_t len);
// Closes all connections; run the loop until count is 0.
void peers_stop(struct peers *p);
void peers_fini(struct peers *p);
