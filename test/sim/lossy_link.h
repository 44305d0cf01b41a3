// SPDX-License-Identifier: Apache-2.0
// One direction of a link that loses, doubles, reorders, delays and corrupts, all from a seed.
#pragma once

#include "dataplane/tcp/tcp.h"
#include "lib/base/rng.h"

struct link_faults {
	double loss, duplicate, reorder, corrupt;  // probabilities
	ns_t delay, jitter;
	uint64_t bits_per_s;      // 0: no limit
	uint32_t queue_bytes_max;  // of the bottleneck; more is lost
	bool strip_timestamps;    // a middlebox that blanks options of SYNs
	bool strip_wscale;
};

struct link_packet {
	struct link_packet *next;
	ns_t at;
	uint64_t serial;
	struct ip_addr src, dst;
	uint32_t len;
	uint8_t bytes[];
};

struct lossy_link {
	struct link_faults faults;
	struct rng rng;
	struct link_packet *first;  // sorted by time of arrival
	ns_t free_at;              // of the bottleneck
	uint64_t sent, lost, corrupted, duplicated;
	uint64_t serial;
	bool down;
};

void lossy_link_init(struct lossy_link *link, const struct link_faults *faults, uint64_t seed);
void lossy_link_fini(struct lossy_link *link);
void lossy_link_send(struct lossy_link *link, const struct tcp_tx *tx, ns_t now);
ns_t lossy_link_next(const struct lossy_link *link);
// The next packet that has arrived by now, to be freed by the caller, or NULL.
struct link_packet *lossy_link_take(struct lossy_link *link, ns_t now);
