// SPDX-License-Identifier: Apache-2.0
// What the files of lib/loop share.
#pragma once

#include <liburing.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "lib/base/list.h"
#include "lib/loop/loop.h"

// Slices gathered into one send; longer chains go on when it has completed.
#define SEND_SLICES_MAX 64
// Gathered sends between two submissions. The kernel has copied what describes a send once it took
// the submission (IORING_FEAT_SUBMIT_STABLE), so slots belong to the batch, not to connections.
#define SEND_SLOTS 64
// After loop_close(): what the send in flight may take, then how long the peer's last bytes are
// read and dropped, since closing a socket with unread bytes resets it and may cost the peer what
// was sent.
#define CLOSE_TIMEOUT (5 * NS_PER_SEC)
#define LINGER_TIMEOUT (NS_PER_SEC / 2)

// What a completion is for: the low bits of its user_data; the rest points to the object.
enum op { OP_IGNORE, OP_RECV, OP_SEND, OP_CONNECT, OP_ACCEPT, OP_WAKE, OP_COUNT };
#define OP_MASK 7u
_Static_assert(OP_COUNT <= OP_MASK + 1, "operations must fit the low bits of a pointer");

struct send_slot {
	struct msghdr msg;
	struct iovec iov[SEND_SLICES_MAX];
};

// Receive buffers shared by all connections of a loop.
struct recv_ring {
	struct io_uring_buf_ring *ring;
	struct buf *bufs;
	uint8_t *memory;
	size_t ring_bytes, memory_bytes;
	uint32_t count, buffer_bytes;
	uint32_t pinned;         // held by someone, so not the kernel's to fill
	struct buf_pool *copies; // where bytes go while too many buffers are pinned
	struct buf *copy;        // the block that is being filled
};

struct loop {
	struct io_uring ring;
	bool multishot; // receives (kernel 6.0)
	bool stepping;
	bool wake_armed;
	ns_t now;
	struct recv_ring recv;
	struct list conns, listeners;
	struct list todo;    // connections with something to do outside completions
	struct list starved; // connections whose receive ended for want of a buffer, oldest first
	unsigned slots_used;
	struct send_slot *slots;
	int wake_fd;
	atomic_bool woken;
	uint64_t wake_value;
	void (*on_wake)(struct loop *loop, void *user);
	void *wake_user;
	void (*on_flush)(struct loop *loop, void *user);
	void *flush_user;
	struct loop_stats stats;
	struct timer_wheel timers;
};

enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_CLOSING, CONN_LINGER, CONN_DYING };

struct loop_conn {
	struct loop *loop;
	const struct loop_conn_ops *ops;
	void *user;
	int fd;
	int error; // for `closed`
	uint8_t state;
	uint8_t inflight; // operations whose last completion is still to come
	bool connect_armed, recv_armed, send_armed;
	bool recv_cancelled, cancelled; // a cancel is on its way
	bool paused, eof, eof_told, reported, quickack;
	struct chain out;  // the send in flight
	struct chain held; // received while paused
	struct list all, todo, starved;
	struct timer timer; // bounds closing
	socklen_t addr_len;
	struct sockaddr_storage addr;
};

// loop.c
// NULL when the submission queue is full and the kernel takes nothing now.
struct io_uring_sqe *loop_sqe(struct loop *loop);
struct send_slot *loop_send_slot(struct loop *loop);

static inline void sqe_tag(struct io_uring_sqe *sqe, void *object, enum op op)
{
	sqe->user_data = (uint64_t)(uintptr_t)object | (uint64_t)op;
}

static inline void conn_todo(struct loop_conn *c)
{
	if (!list_linked(&c->todo))
		list_push(&c->loop->todo, &c->todo);
}

// conn.c
void conn_on_connect(struct loop_conn *c, int res);
void conn_on_recv(struct loop_conn *c, int res, unsigned flags);
void conn_on_send(struct loop_conn *c, int res);
// Does what is to be done for the connections on the todo list. Returns the number of events.
unsigned conns_pump(struct loop *loop);
void conn_die(struct loop_conn *c, int error);
// Frees at once, after the ring is gone.
void conn_free(struct loop_conn *c);

// listener.c
void listener_on_accept(struct loop_listener *l, int res, unsigned flags);
void listeners_close(struct loop *loop);
// After the ring is gone.
void listeners_free(struct loop *loop);

// recv_ring.c
int recv_ring_init(struct recv_ring *r, struct io_uring *ring, uint32_t count, uint32_t bytes,
	size_t copy_bytes_max);
void recv_ring_unregister(struct recv_ring *r, struct io_uring *ring);
// After the ring is gone.
void recv_ring_fini(struct recv_ring *r);
// The bytes of a completed receive, by reference or, when buffers are short, copied: then true.
bool recv_ring_take(struct recv_ring *r, unsigned id, uint32_t len, struct chain *in);
// True if the kernel has, or will soon have, a buffer to fill.
static inline bool recv_ring_ready(const struct recv_ring *r)
{
	return r->pinned < r->count;
}
