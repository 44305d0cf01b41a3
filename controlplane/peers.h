// SPDX-License-Identifier: Apache-2.0
// Serves gateways and function hosts: the control plane's side of docs/PEER-PROTOCOL.md over
// RSocket. Main thread.
#pragma once

#include "controlplane/orchestrator.h"
#include "controlplane/publish.h"
#include "controlplane/telemetry.h"
#include "controlplane/token.h"
#include "lib/link/link.h"
#include "lib/loop/loop.h"

#define PEERS_MAX 256
#define PEER_NAME_MAX 63
#define PEERS_LISTENERS_MAX 2
#define PEERS_REFUSALS_MAX 16

struct peers_refusal {
	uint64_t hash;  // of the reason and the name
	ns_t at;
};

struct peers {
	struct loop *loop;
	struct registry *registry;
	struct publisher *publisher;
	struct telemetry *telemetry;
	struct orchestrator *orchestrator;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct loop_listener *listeners[PEERS_LISTENERS_MAX];
	size_t listener_count;
	struct list all;
	size_t count;
	struct token token;  // for those from other machines
	uint64_t refused;    // connections and set-ups
	// Who was refused lately: told once a minute, as they try again and again.
	struct peers_refusal refusals[PEERS_REFUSALS_MAX];
	unsigned next_refusal;
	bool full;                        // told once
	bool stopping;
};

struct peers_config {
	struct loop *loop;
	struct registry *registry;
	struct publisher *publisher;
	struct telemetry *telemetry;
	struct orchestrator *orchestrator;  // NULL: no hosts are served
	const struct token *token;          // NULL: none
};

// 0 or -E... .
int peers_start(struct peers *p, const struct peers_config *config);
// address: a sockaddr of either kind; a Unix socket's mode must be set by the caller's umask. 0 or
// -E... .
int peers_listen(struct peers *p, const struct sockaddr *address, socklen_t len);
// Closes all connections; run the loop until count is 0.
void peers_stop(struct peers *p);
void peers_fini(struct peers *p);

// What an instance writes, as its host tells it. `data` gets each piece, `end` comes once, also for
// one that cannot be had (why is a sentence then); never from within this call. tail: so many lines
// of what was written before.
struct log_reader {
	struct log_stream *stream;  // the peers'; NULL once it has ended
	void (*data)(struct log_reader *r, const char *bytes, size_t len);
	void (*end)(struct log_reader *r, const char *why);
};
// 0; -ENOENT: no such instance; -ENOTCONN: its host is not connected; -EBUSY.
int peers_log_open(
	struct peers *p, struct log_reader *r, const char *id, unsigned tail, bool follow);
// The reader has room for so many more bytes; what is under way is bounded by it.
void peers_log_more(struct log_reader *r);
void peers_log_close(struct log_reader *r);
