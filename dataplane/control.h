// SPDX-License-Identifier: Apache-2.0
// The gateway's side of the peer protocol (docs/PEER-PROTOCOL.md): watches the control plane, keeps
// the service table and the net configuration as it says, reports counters.
//
// Belongs to the control thread, which is the table's writer. While the control plane is away the
// table stays as it is.
#pragma once

#include <jansson.h>

#include "dataplane/net/config.h"
#include "dataplane/report.h"
#include "dataplane/table.h"
#include "lib/link/link.h"

#define REPORT_INTERVAL NS_PER_SEC
#define WATCH_CREDIT 256u

struct control_config {
	const char *name; // of this gateway
	const char
		*address; // of the control plane: "unix:/run/penstock/peer.sock", "10.0.0.1:7879"
	const char *token; // to join a control plane on another machine; NULL or empty: none
	struct loop *loop;
	struct table *table;
	struct report_sources sources;
	const char *const *ports; // names; their index is the port's
	unsigned ports_count;
	// A new net configuration is to be used.
	void (*apply_net)(const struct net_config *net, void *arg);
	void *arg;
};

// Of messages: name, sentence.
#define CONTROL_COUNTERS(X)                                                                 \
	X(applied, "messages of the control plane that were applied")                       \
	X(unknown, "messages of the control plane of a kind that is not known here")        \
	X(invalid, "messages of the control plane that are not as the protocol says")       \
	X(drop_no_room, "services without room in the table: calls to them are rejected")

struct control_counters {
#define X(name, text) uint64_t name;
	CONTROL_COUNTERS(X)
#undef X
};

struct control {
	struct control_config config;
	struct link_hub hub;
	struct rs_pool *pool;
	struct buf_pool *blocks;
	struct link link;
	struct rs_stream *watch; // NULL: none is open
	uint32_t credit;         // items left of what was granted
	char start[17];          // random, of this process
	char epoch[65];          // of what was seen last; empty: nothing, or an incomplete snapshot
	char snapshot_epoch[65]; // of the snapshot under way
	uint64_t seq;
	bool in_snapshot;
	uint64_t net_generation;
	uint64_t seen;      // seq whose table every worker sees
	struct timer seeing; // asks whether they do
	struct timer timer; // reports
	struct report report;
	bool told_down; // one log line for each loss
	unsigned no_room; // services since the last report
	struct control_counters counters;
};

// Dials; calls come from the loop. 0, -EINVAL (the address), -ENOMEM.
int control_init(struct control *c, const struct control_config *config);
// Stops; complete when the loop is destroyed.
void control_stop(struct control *c);
void control_fini(struct control *c);
// Applies one message of a watch. 0, -EINVAL (it is not as the protocol says; nothing was changed),
// -ENOTSUP (an op not known here), -ENOSPC.
int control_apply(struct control *c, json_t *message);
