// SPDX-License-Identifier: Apache-2.0
// What the files of `penstock-gen serve` share: a worker thread with its connections, and calls
// that outlive their request's callback.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "lib/link/link.h"
#include "lib/rsocket/metadata.h"

#define MAILBOX_MAX 4096
#define LISTENERS_MAX 16
#define THREADS_MAX 64

struct serve_config {
	const char *listen;
	uint64_t threads;
	uint32_t fragment;
	uint64_t delay_us;
	uint64_t streams_max;
	ns_t stats;
	uint64_t stop_reading_after;
	uint64_t close_after;
	bool no_read;
};

// Written by the worker, read by main at any time.
struct serve_counts {
	uint64_t requests, replies, errors, cancels, lost;
	uint64_t bytes_in, bytes_out;
	uint64_t connections, accepted;
};

struct server;

struct serve_worker {
	struct server *server;
	unsigned index;
	pthread_t thread;
	struct loop *loop;
	struct link_hub *hub, own_hub;
	struct rs_pool *pool;
	struct buf_pool *blocks;
	struct buf *scratch; // where short replies are written, one behind the other
	struct list peers;
	struct list free_calls;
	struct serve_counts counts;
	struct loop_listener *listeners[LISTENERS_MAX];
	struct timer drain;
	bool draining;
	pthread_mutex_t lock;     // of the mailbox
	int mailbox[MAILBOX_MAX]; // accepted by worker 0 for this one
	unsigned mailbox_count;
};

struct server {
	struct serve_config config;
	char *list; // of addresses, cut into texts
	struct sockaddr_storage addrs[LISTENERS_MAX];
	socklen_t addr_lens[LISTENERS_MAX];
	const char *texts[LISTENERS_MAX];
	unsigned ports[LISTENERS_MAX];
	unsigned listeners;
	struct serve_worker *workers;
	unsigned next;      // worker 0 alone: who gets the next connection
	atomic_int started; // workers that are up
	atomic_int finished;
	atomic_int error; // of the first worker that could not start
	atomic_bool stop;
	pthread_barrier_t all_done;
};

struct peer {
	struct link link;
	struct serve_worker *worker;
	enum rs_metadata_kind kind;
	uint64_t requests;
	struct list all;
};

// functions.c: the handler of every connection.
extern const struct rs_handler serve_handler;
void serve_calls_free(struct serve_worker *w);
