// SPDX-License-Identifier: Apache-2.0
// A worker: one thread with a queue of every port and one of everything else.
//
// Run to completion: rx ▸ net ▸ tcp ▸ (app) ▸ io_uring ▸ timers ▸ (app flush) ▸ tcp output ▸ tx.
// Nothing here is touched by another thread but what is marked so.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/inbox.h"
#include "dataplane/net/net.h"
#include "dataplane/options.h"
#include "dataplane/port.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tx.h"
#include "lib/base/atomic.h"
#include "lib/base/timer.h"
#include "lib/loop/loop.h"

struct dataplane;
struct rte_rcu_qsbr;

// Counters: name, sentence.
#define WORKER_COUNTERS(X)                                                                         \
	X(rx_packets, "packets received")                                                          \
	X(rx_bytes, "bytes received, Ethernet headers included")                                   \
	X(rx_copied, "received packets that were copied: in several buffers, or too many held")    \
	X(rx_drop_copy, "received packets dropped because too many copies were held")              \
	X(tx_packets, "packets sent")                                                              \
	X(tx_bytes, "bytes sent, Ethernet headers included")                                       \
	X(tx_drop_full, "packets not sent because the port's queue was full")                      \
	X(tx_drop_stalled, "packets dropped because the port had stopped sending")                 \
	X(tx_drop_no_mbuf, "packets not sent because no packet buffer was free")                   \
	X(tx_drop_too_long, "packets not sent because they exceed the port's MTU")                 \
	X(inbox_messages, "messages received from other threads")                                  \
	X(inbox_drops, "messages to other workers dropped because their inbox was full")           \
	X(listen_failed, "ports that could not be listened on")                                    \
	X(loop_errors, "steps of the event loop that failed")                                      \
	X(iterations_busy, "loop iterations that found work")                                      \
	X(iterations_idle, "loop iterations that found none")                                      \
	X(sleeps, "times the worker went to sleep for want of work")                               \
	X(cycles_busy, "TSC cycles of iterations that found work")                                 \
	X(cycles_idle, "TSC cycles of iterations that found none, sleep not counted")              \
	X(cycles_asleep, "TSC cycles asleep")

struct worker_counters {
#define X(name, text) uint64_t name;
	WORKER_COUNTERS(X)
#undef X
};

// Before it sleeps (idle.c).
struct idle {
	int epoll;
	bool polled;       // a port has no interrupts: sleep briefly only
	bool armed;        // interrupts are on, one more look before sleeping
	unsigned empty;    // iterations without work
	ns_t since;        // of the first of them
	ns_t spin;
};

enum worker_state { WORKER_NEW, WORKER_RUNNING, WORKER_FAILED, WORKER_ENDED };

struct worker {
	unsigned id;            // 0, 1, ...: also its queue, and its thread id in the RCU
	unsigned lcore;
	struct dataplane *dp;
	ns_t now;               // of this iteration
	struct net *net;
	struct tcp_stack *tcp;
	struct loop *loop;
	struct timer_wheel wheel;
	struct rte_rcu_qsbr *qsbr;  // may be NULL
	void *app;              // the application's

	uint64_t generation;    // of the net_config applied
	uint32_t listens;
	uint16_t listen[NET_LISTENERS_MAX];
	bool draining;
	uint32_t mbufs_held;     // packet buffers passed on and not released yet
	uint32_t mbufs_held_max; // then packets are copied
	struct buf_pool *copies;
	struct tx tx[NET_PORTS_MAX];
	struct idle idle;
	struct inbox inbox;     // any thread posts
	struct worker_counters counters;  // any thread reads

	uint32_t state;         // enum worker_state; atomic
	char why[160];          // WORKER_FAILED: what to do about it
};

// Starts all workers and waits until each runs. 0 or -E... after a log line; then none runs.
int workers_start(struct dataplane *dp);
// Tells all to drain and end; they take at most `limit` for it. Called again: the new limit counts.
void workers_stop(struct dataplane *dp, ns_t limit);
// True while one has not ended.
bool workers_running(const struct dataplane *dp);
// Waits for the last, frees all.
void workers_join(struct dataplane *dp);

// Posts to a worker from any thread and wakes it. 0 or -ENOBUFS. `from`: the posting worker,
// which counts a failure; NULL for other threads.
int worker_post(struct worker *to, const struct worker_message *message, struct worker *from);
// Its share of a CPU since start, from the counters: busy cycles of all cycles, 0 to 1. Any thread.
double worker_busy(const struct worker *w);

// idle.c
int idle_init(struct worker *w, ns_t spin);
void idle_fini(struct worker *w);
// After an iteration. Sleeps when there was no work for long enough.
void idle_after(struct worker *w, bool worked);
