// SPDX-License-Identifier: Apache-2.0
// Messages to a worker, from any thread: bounded, copied, and
// a wake-up only when the worker sleeps.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net/net.h"

struct rte_ring;
struct worker;

enum worker_message_kind {
	MESSAGE_NEIGHBOUR,  // a sibling learned of a neighbour
	MESSAGE_CALL,       // runs on the worker's thread
};

struct worker_message {
	enum worker_message_kind kind;
	union {
		struct net_news news;
		struct {
			void (*run)(struct worker *w, void *arg);
			void *arg;
		} call;
	};
};

#define INBOX_MESSAGES 1024u  // a power of two; one less fit

struct inbox {
	struct rte_ring *ring;
	int fd;            // eventfd
	uint32_t sleeping; // atomic: the owner is about to sleep or asleep
};

int inbox_init(struct inbox *inbox, unsigned worker);
void inbox_fini(struct inbox *inbox);
// Any thread. 0 or -ENOBUFS.
int inbox_post(struct inbox *inbox, const struct worker_message *message);
// Any thread: ends the owner's sleep.
void inbox_wake(struct inbox *inbox);
// Owner.
unsigned inbox_take(struct inbox *inbox, struct worker_message *out, unsigned n);
bool inbox_empty(const struct inbox *inbox);
// Owner: from now on posts wake. What was posted before is seen by inbox_empty() afterwards.
void inbox_sleep(struct inbox *inbox);
void inbox_awake(struct inbox *inbox);
