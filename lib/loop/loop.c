// SPDX-License-Identifier: Apache-2.0
// The ring of a loop: its life, a step, the wake-up.
//
// One thread creates it, steps it and destroys it; only loop_wake() may be called from others. A
// step is
//
//   [flush, pump, submit and wait]  only if it may sleep
//   completions -> callbacks
//   timers
//   flush: on_flush, then pump: what connections want becomes submissions
//   [submit]                        unless the next step submits and waits in one call
//
// A submission that finds no room stays wanted on its connection's todo list, so nothing is lost
// when the kernel is short of something; a step with a todo list left over never sleeps.
#include "lib/loop/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ENTRIES_DEFAULT 1024
#define BUFFERS_DEFAULT 256
#define BUFFER_BYTES_DEFAULT (16 * 1024)
#define COPY_BYTES_DEFAULT ((size_t)64 << 20)
// Completions a submission entry may bring before we look: multishot operations bring many.
#define COMPLETIONS_PER_ENTRY 4
// How long loop_destroy() waits for cancelled operations to end.
#define DESTROY_TIMEOUT (2 * NS_PER_SEC)

// The best the kernel has. COOP_TASKRUN: completions are not forced by interrupts, TASKRUN_FLAG
// tells when some wait, so an idle peek is a load from memory. Without SINGLE_ISSUER the kernel is
// older than 6.0 and has no multishot receive either.
static const unsigned ring_flags[] = {
	IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_SINGLE_ISSUER,
	IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	0,
};

static int ring_init(struct loop *loop, unsigned entries)
{
	int error = -EINVAL;

	for (unsigned i = 0; i < sizeof(ring_flags) / sizeof(ring_flags[0]); i++) {
		struct io_uring_params params = {
			.flags = ring_flags[i] | IORING_SETUP_CQSIZE,
			.cq_entries = entries * COMPLETIONS_PER_ENTRY,
		};

		error = io_uring_queue_init_params(entries, &loop->ring, &params);
		if (error == -EINVAL)
			continue;
		if (error)
			return error;
		loop->multishot = (ring_flags[i] & IORING_SETUP_SINGLE_ISSUER) != 0;
		// Saves a look-up of the descriptor at each call; a kernel without it works as
		// well.
		io_uring_register_ring_fd(&loop->ring);
		return 0;
	}
	return error;
}

static void arm_wake(struct loop *loop)
{
	struct io_uring_sqe *sqe = loop_sqe(loop);

	if (!sqe)
		return; // flush() tries again
	io_uring_prep_read(sqe, loop->wake_fd, &loop->wake_value, sizeof(loop->wake_value), 0);
	sqe_tag(sqe, loop, OP_WAKE);
	loop->wake_armed = true;
}

struct loop *loop_new(const struct loop_config *config, int *error)
{
	static const struct loop_config defaults;
	const struct loop_config *in = config ? config : &defaults;
	struct loop *loop = calloc(1, sizeof(*loop));

	*error = -ENOMEM;
	if (!loop)
		return NULL;
	list_init(&loop->conns);
	list_init(&loop->listeners);
	list_init(&loop->todo);
	list_init(&loop->starved);
	loop->now = clock_now();
	timer_wheel_init(&loop->timers, loop->now);
	loop->slots = calloc(SEND_SLOTS, sizeof(*loop->slots));
	loop->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (!loop->slots)
		goto fail;
	*error = -errno;
	if (loop->wake_fd < 0)
		goto fail;
	*error = ring_init(loop, in->entries ? in->entries : ENTRIES_DEFAULT);
	if (*error)
		goto fail;
	*error = recv_ring_init(&loop->recv, &loop->ring,
		in->buffers ? in->buffers : BUFFERS_DEFAULT,
		in->buffer_bytes ? in->buffer_bytes : BUFFER_BYTES_DEFAULT,
		in->copy_bytes_max ? in->copy_bytes_max : COPY_BYTES_DEFAULT);
	if (*error) {
		io_uring_queue_exit(&loop->ring);
		goto fail;
	}
	arm_wake(loop);
	return loop;
fail:
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	free(loop->slots);
	free(loop);
	return NULL;
}

static bool idle(const struct loop *loop)
{
	return list_empty(&loop->conns) && list_empty(&loop->listeners);
}

void loop_destroy(struct loop *loop)
{
	ns_t deadline = clock_now() + DESTROY_TIMEOUT;

	if (!loop)
		return;
	assert(!loop->stepping && "a loop must not be destroyed from a callback");
	listeners_close(loop);
	list_for_each (at, &loop->conns)
		conn_die(list_entry(at, struct loop_conn, all), 0);
	while (!idle(loop) && clock_now() < deadline)
		loop_step(loop, clock_now() + NS_PER_MS);
	// The kernel may still write into buffers until the ring is gone, hence the order.
	recv_ring_unregister(&loop->recv, &loop->ring);
	io_uring_queue_exit(&loop->ring);
	listeners_free(loop);
	while (!list_empty(&loop->conns))
		conn_free(list_entry(loop->conns.next, struct loop_conn, all));
	recv_ring_fini(&loop->recv);
	close(loop->wake_fd);
	free(loop->slots);
	free(loop);
}

static int submitted(struct loop *loop, int result)
{
	loop->stats.enters++;
	if (io_uring_sq_ready(&loop->ring) == 0)
		loop->slots_used = 0;
	// Busy: the kernel wants completions to be reaped first. Time and signals end a wait.
	if (result >= 0 || result == -EBUSY || result == -EAGAIN || result == -EINTR ||
		result == -ETIME)
		return 0;
	return result;
}

struct io_uring_sqe *loop_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (sqe)
		return sqe;
	submitted(loop, io_uring_submit(&loop->ring));
	return io_uring_get_sqe(&loop->ring);
}

struct send_slot *loop_send_slot(struct loop *loop)
{
	if (loop->slots_used == SEND_SLOTS)
		submitted(loop, io_uring_submit(&loop->ring));
	if (loop->slots_used == SEND_SLOTS)
		return NULL;
	return &loop->slots[loop->slots_used++];
}

static void on_wake(struct loop *loop)
{
	loop->wake_armed = false;
	// First the flag, then the callback: a wake after this line causes another callback.
	atomic_store(&loop->woken, false);
	arm_wake(loop);
	if (loop->on_wake)
		loop->on_wake(loop, loop->wake_user);
}

static void dispatch(struct loop *loop, uint64_t data, int res, unsigned flags)
{
	void *object = (void *)(uintptr_t)(data & ~(uint64_t)OP_MASK);

	switch ((enum op)(data & OP_MASK)) {
	case OP_RECV:
		conn_on_recv(object, res, flags);
		break;
	case OP_SEND:
		conn_on_send(object, res);
		break;
	case OP_CONNECT:
		conn_on_connect(object, res);
		break;
	case OP_ACCEPT:
		listener_on_accept(object, res, flags);
		break;
	case OP_WAKE:
		on_wake(loop);
		break;
	case OP_IGNORE: // a cancel that found nothing
	case OP_COUNT:
		break;
	}
}

// Bounded by what the queue holds, so that a busy peer cannot keep a step from ending.
static unsigned completions(struct loop *loop)
{
	unsigned max = loop->ring.cq.ring_entries;
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	while (n < max && io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
		uint64_t data = cqe->user_data;
		unsigned flags = cqe->flags;
		int res = cqe->res;

		io_uring_cqe_seen(&loop->ring, cqe);
		dispatch(loop, data, res, flags);
		n++;
	}
	return n;
}

static unsigned flush(struct loop *loop)
{
	if (!loop->wake_armed)
		arm_wake(loop);
	if (loop->on_flush)
		loop->on_flush(loop, loop->flush_user);
	return conns_pump(loop);
}

static int submit_and_wait(struct loop *loop, ns_t until)
{
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	ns_t next = timer_wheel_next(&loop->timers);
	ns_t left;

	if (next < until)
		until = next;
	if (until == NS_NEVER)
		return submitted(loop, io_uring_submit_and_wait(&loop->ring, 1));
	left = until - clock_now();
	if (left <= 0)
		return submitted(loop, io_uring_submit(&loop->ring));
	ts.tv_sec = left / NS_PER_SEC;
	ts.tv_nsec = left % NS_PER_SEC;
	return submitted(loop, io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &ts, NULL));
}

// What the step before, or calls between steps, left to be done goes first. Events of the pump may
// have made more output, and what found no room needs another round: then there is no sleep.
static int prepare(struct loop *loop, ns_t until, unsigned *events)
{
	*events += flush(loop);
	if (*events || !list_empty(&loop->todo))
		until = 0;
	return submit_and_wait(loop, until);
}

int loop_step(struct loop *loop, ns_t until)
{
	unsigned events = 0;
	int error = 0;

	assert(!loop->stepping && "a callback must not step the loop that called it");
	loop->stepping = true;
	loop->now = clock_now();
	if (until > 0)
		error = prepare(loop, until, &events);
	if (error)
		goto out;
	if (until > 0)
		loop->now = clock_now();
	events += completions(loop);
	events += timer_wheel_run(&loop->timers, loop->now);
	events += flush(loop);
	if (until <= 0 && io_uring_sq_ready(&loop->ring))
		error = submitted(loop, io_uring_submit(&loop->ring));
out:
	loop->stepping = false;
	return error ? error : (int)events;
}

int loop_submit(struct loop *loop)
{
	flush(loop);
	if (io_uring_sq_ready(&loop->ring) == 0)
		return 0;
	return submitted(loop, io_uring_submit(&loop->ring));
}

void loop_wake(struct loop *loop)
{
	static const uint64_t one = 1;

	// An eventfd takes a write unless 2^64 wakes are pending.
	if (!atomic_exchange(&loop->woken, true) && write(loop->wake_fd, &one, sizeof(one)) < 0)
		atomic_store(&loop->woken, false);
}

ns_t loop_now(const struct loop *loop)
{
	return loop->now;
}

struct timer_wheel *loop_timers(struct loop *loop)
{
	return &loop->timers;
}

int loop_fd(const struct loop *loop)
{
	return loop->ring.ring_fd;
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
	return &loop->stats;
}

bool loop_short(const struct loop *loop)
{
	size_t max = buf_pool_bytes_max(loop->recv.copies);

	return buf_pool_bytes(loop->recv.copies) > max - max / 4;
}

void loop_on_wake(struct loop *loop, void (*fn)(struct loop *loop, void *user), void *user)
{
	loop->on_wake = fn;
	loop->wake_user = user;
}

void loop_on_flush(struct loop *loop, void (*fn)(struct loop *loop, void *user), void *user)
{
	loop->on_flush = fn;
	loop->flush_user = user;
}
