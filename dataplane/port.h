// SPDX-License-Identifier: Apache-2.0
// The ports of the data plane: DPDK devices with one queue pair a worker, and their packet pools.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/options.h"

struct rte_mempool;

struct port {
	char name[32];       // ours: p0
	char driver[32];
	uint16_t id;         // DPDK's
	uint16_t mtu;        // IP header included
	uint8_t mac[6];
	bool started;
	bool rx_ip_checksum, rx_l4_checksum;  // verified by the device
	bool tx_ip_checksum, tx_tcp_checksum; // filled in by the device
	bool intr_switch;    // rx interrupts are armed by hand before sleeping
	int rx_fd[WORKERS_MAX]; // readable when packets wait in the worker's queue; -1: must be
				// polled
	struct rte_mempool *pool;
};

struct ports {
	unsigned count;
	unsigned workers;
	struct port port[NET_PORTS_MAX];
	struct rte_mempool *pool[NET_PORTS_MAX];  // by socket and size of buffers
	int pool_socket[NET_PORTS_MAX];
};

struct port_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed;  // the device's queue was full
	uint64_t rx_errors, tx_errors;
	uint64_t rx_nombuf;  // no packet buffer was free
};

// Opens and starts all ports, worker i on queue i. 0, or -E... after a log line that says what to
// do.
int ports_open(struct ports *ports, const struct options *options, unsigned workers);
// Workers have stopped.
void ports_close(struct ports *ports);
// The index of a port, -1 if there is none of that name.
int ports_find(const struct ports *ports, const char *name);
// Control thread.
void port_stats(const struct port *port, struct port_stats *out);
bool port_link_up(const struct port *port);

// Packet buffers free, and all there are: a leak shows as a difference that does not come back.
// What devices and workers' caches keep for themselves counts as used and free respectively.
// Control thread; slow.
unsigned port_pool_available(const struct ports *ports);
unsigned port_pool_size(const struct ports *ports);
