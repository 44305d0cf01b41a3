// SPDX-License-Identifier: Apache-2.0
// An event loop on io_uring for kernel sockets: stream connections, listeners, timers, wake-ups.
//
// Belongs to one thread, but loop_wake(). Receives are multishot into a provided-buffer ring; at
// most one send is in flight a connection, its slices gathered; submissions of a step go to the
// kernel in one call. Features the kernel lacks are probed at start. Debian 12's kernel 6.1 has all
// that is required.
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/timer.h"

struct loop;
struct loop_conn;
struct loop_listener;

struct loop_config {
	unsigned entries;      // submission entries, a power of two; 0: 1024
	unsigned buffers;      // receive buffers, a power of two; 0: 256
	unsigned buffer_bytes; // of each; 0: 16 KiB
	size_t copy_bytes_max; // of copies made while buffers are short; then receiving stops; 0:
			       // 64 MiB
};

// Counters since loop_new(): name, sentence.
#define LOOP_COUNTERS(X)                                                                           \
	X(enters, "system calls to submit, wait or reap")                                          \
	X(receives, "receives from kernel sockets")                                                \
	X(received_bytes, "bytes received from kernel sockets")                                    \
	X(copied_bytes, "of those, bytes copied because receive buffers were short")               \
	X(starved, "receives that ended for want of a buffer")                                     \
	X(sends, "sends to kernel sockets")                                                        \
	X(sent_bytes, "bytes sent to kernel sockets")

struct loop_stats {
#define X(name, text) uint64_t name;
	LOOP_COUNTERS(X)
#undef X
};

// Events of a connection. Each may call any loop_ function but loop_step() and loop_destroy().
struct loop_conn_ops {
	// A connect has ended: 0, or -E... (then `closed` follows).
	void (*opened)(struct loop_conn *c, int error);
	// Bytes arrived; what is left in `in` after the call is dropped. References keep receive
	// buffers from the ring: copy what stays long.
	void (*data)(struct loop_conn *c, struct chain *in);
	// The send that was in flight is done: loop_send() may be called again.
	void (*writable)(struct loop_conn *c);
	// The peer has finished sending. Without this callback the connection is closed.
	void (*eof)(struct loop_conn *c);
	// Last event; the pointer is dead afterwards, and everything given to loop_send() is
	// released. 0 after loop_close() and loop_abort(), -ESHUTDOWN when the peer has finished,
	// else -E... (-ECONNRESET ...)
	void (*closed)(struct loop_conn *c, int error);
};

// NULL with *error = -E... . -ENOMEM often means RLIMIT_MEMLOCK; -ENOSYS or -EINVAL a kernel too
// old.
struct loop *loop_new(const struct loop_config *config, int *error);
// Closes what is open (with `closed` events) and frees all. Received bytes must not be referenced
// any more after those events.
void loop_destroy(struct loop *loop);
// Submits, waits until `until` at the latest (0: does not wait; NS_NEVER: no limit) or for the
// first event, then handles all completions there are and due timers. Returns how many events it
// handled, or -E... .
int loop_step(struct loop *loop, ns_t until);
// The time read at the start of the current step.
ns_t loop_now(const struct loop *loop);
struct timer_wheel *loop_timers(struct loop *loop);
// Becomes readable when completions wait: for callers that sleep in an epoll of their own, on the
// loop's thread. Call loop_submit() before sleeping and mind timer_wheel_next(); such a sleep also
// ends with EINTR when the kernel has work for the loop.
int loop_fd(const struct loop *loop);
int loop_submit(struct loop *loop);
const struct loop_stats *loop_stats(const struct loop *loop);
// True while most of copy_bytes_max is held: received bytes are kept for too long, and receiving is
// about to stop.
bool loop_short(const struct loop *loop);
// From any thread: ends a wait; the loop then calls on_wake (once for many wakes).
void loop_wake(struct loop *loop);
void loop_on_wake(struct loop *loop, void (*on_wake)(struct loop *loop, void *user), void *user);
// Called at the end of every step, before its submission: where batched output is flushed.
void loop_on_flush(struct loop *loop, void (*on_flush)(struct loop *loop, void *user), void *user);

// Starts to connect (TCP with TCP_NODELAY, or Unix). NULL with *error when out of resources; all
// else is told by `opened`.
struct loop_conn *loop_connect(struct loop *loop, const struct sockaddr *addr, socklen_t len,
	const struct loop_conn_ops *ops, void *user, int *error);
// Takes over a connected socket.
struct loop_conn *loop_adopt(
	struct loop *loop, int fd, const struct loop_conn_ops *ops, void *user, int *error);
// Sends all of `out` (taken). Only when no send is in flight: loop_conn_idle(). 0, -EBUSY,
// -ENOTCONN.
int loop_send(struct loop_conn *c, struct chain *out);
bool loop_conn_idle(const struct loop_conn *c);
// Closes after a send in flight, for which it waits 5 s at most; `closed` follows, never from
// within. abort: at once, and with RST for TCP.
void loop_close(struct loop_conn *c);
void loop_abort(struct loop_conn *c);
// Stops and resumes receiving; the socket's window does the rest.
void loop_conn_pause(struct loop_conn *c, bool pause);
void *loop_conn_user(const struct loop_conn *c);
void loop_conn_set_user(struct loop_conn *c, void *user);
struct loop *loop_conn_loop(const struct loop_conn *c);
// Acknowledges at once what arrives from now on, with a system call for each receive: for peers whose next
// small message waits for it (Nagle's algorithm). TCP only; else nothing happens.
void loop_conn_quickack(struct loop_conn *c);
// For socket options; it stays the loop's.
int loop_conn_fd(const struct loop_conn *c);

// Accepts connections; on_accept sets ops and user by calling loop_adopt(fd) or closes fd.
// A Unix path of a dead listener is replaced. An address in use is tried again for half a second,
// as the sockets of a process killed a moment ago are. NULL with *error = -E... .
struct loop_listener *loop_listen(struct loop *loop, const struct sockaddr *addr, socklen_t len,
	void (*on_accept)(struct loop_listener *l, int fd, void *user), void *user, int *error);
void loop_listener_close(struct loop_listener *l);
// The bound port (for port 0), host order; 0 for Unix.
unsigned loop_listener_port(const struct loop_listener *l);
struct loop *loop_listener_loop(const struct loop_listener *l);
