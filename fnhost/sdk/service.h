// SPDX-License-Identifier: Apache-2.0
// The platform as a function meets it: one connection of its host, on the loop's thread, and the worker
// threads that run handlers.
//
// A job belongs to the loop until it is queued, then to a worker until the worker posts its OP_END,
// then to the loop again. What both touch meanwhile is guarded by `lock`; streams are the loop's alone.
#pragma once

#include <pthread.h>

#include "fnhost/sdk/internal.h"
#include "lib/base/rng.h"
#include "lib/rsocket/session.h"

#define THREADS_MAX 256
#define JOBS_SPARE 16 // beyond concurrency, before calls are rejected: the host sends none of these
#define ITEM_BYTES_WINDOW ((size_t)256 << 10) // of a stream, on their way, before pn_item() waits
#define TRACING_MAX 128

struct job {
	struct pn_context ctx;
	struct service *service;
	struct list link; // waiting for a worker
	struct list all;
	struct rs_stream *stream; // loop only; NULL: nobody waits any more
	uint8_t tracing[TRACING_MAX]; // the caller's entry
	uint32_t tracing_len;
	// Guarded.
	pthread_cond_t cond;
	bool running;
	bool item_waits; // in pn_item()
	uint32_t credit;
	size_t op_bytes;     // of items posted, not yet with the session
	size_t stream_bytes; // of items in the session's queue
};

enum op_kind { OP_ITEM, OP_CALL, OP_END };

// From a handler to the loop.
struct op {
	struct list link;
	enum op_kind kind;
	struct job *job;
	struct pn_outgoing *out; // OP_CALL
	void *data;              // OP_ITEM
	size_t len;
};

struct conn {
	int fd; // -1: none
	bool ended; // close it when the output has left
	bool set_up;
	struct rs_session session;
	struct chain out;
};

struct service {
	const struct pn_function *function;
	unsigned concurrency;
	pthread_t threads[THREADS_MAX];
	unsigned threads_count;
	// Loop only.
	int listen_fd, signal_fd;
	struct conn conn;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct list jobs;
	unsigned jobs_count;
	unsigned held; // jobs of workers whose stream is gone: the host must count them
	uint32_t sync_token;
	bool draining;
	struct rng rng;
	// Guarded.
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list queue;  // jobs
	struct list outbox; // ops
	bool stop;
	int event_fd; // the outbox is not empty any more
};

// work.c
extern const struct pn_backend service_backend;
int work_start(struct service *s);
void work_stop(struct service *s); // when no job is left
void work_queue(struct service *s, struct job *job);
// True if no worker had begun it: it is the caller's again.
bool work_unqueue(struct service *s, struct job *job);
void work_cancel(struct service *s, struct job *job);

// calls.c
extern const struct rs_handler service_handler;
void service_ops(struct service *s); // carries out what handlers have posted

// conn.c
int conn_accept(struct service *s);
void conn_input(struct service *s);
void conn_output(struct service *s);
void conn_close(struct service *s);
bool conn_wants_output(const struct service *s);
