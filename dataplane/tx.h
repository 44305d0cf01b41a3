// SPDX-License-Identifier: Apache-2.0
// Sending: builds frames in packet buffers and queues them for a worker's queue of each port.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

struct rte_mbuf;
struct worker;

#define TX_QUEUE 256  // packets that wait for room in the device's own queue

struct tx {
	uint16_t count;
	bool stalled;    // the device has taken nothing for a while: others are not held up for it
	ns_t stuck;      // since when it takes nothing; 0: it does
	struct rte_mbuf *packet[TX_QUEUE];
};

// Pulls what net and tcp want to send, as much as the ports take. Returns how many packets were
// built or sent.
unsigned tx_run(struct worker *w, ns_t now);
// True when nothing waits in a queue.
bool tx_empty(const struct worker *w);
// Frees what waits.
void tx_clear(struct worker *w);
