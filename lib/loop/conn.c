// SPDX-License-Identifier: Apache-2.0
// Connections: what each wants is state; conns_pump() turns it into submissions.
//
//   CONNECTING --conn_on_connect: opened(0)--> OPEN --loop_close--> CLOSING
//   CLOSING --send done or its time is up: closed(0), FIN--> LINGER --peer's FIN or time--> DYING
//   CONNECTING, OPEN --failure, loop_abort--> DYING --all operations ended: closed(error)--> freed
//
// Loop's thread only. A connection is freed when the last completion of its last operation has been
// seen (inflight == 0), so a completion never meets a dead pointer. Callbacks come from
// completions and from the pump, never from within a call of the user.
#include "lib/loop/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_timer(struct timer *timer, ns_t now)
{
	struct loop_conn *c = container_of(timer, struct loop_conn, timer);

	// What did not leave in time is dropped, by the kernel too.
	if (c->state == CONN_CLOSING)
		loop_abort(c);
	else
		conn_die(c, 0);
}

static struct loop_conn *conn_new(struct loop *loop, int fd, const struct loop_conn_ops *ops,
	void *user, enum conn_state state)
{
	static const int one = 1;
	struct loop_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->loop = loop;
	c->ops = ops;
	c->user = user;
	c->fd = fd;
	c->state = (uint8_t)state;
	c->timer.fire = on_timer;
	list_push(&loop->conns, &c->all);
	// Fails for Unix sockets, which do not need it.
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn_todo(c);
	return c;
}

struct loop_conn *loop_connect(struct loop *loop, const struct sockaddr *addr, socklen_t len,
	const struct loop_conn_ops *ops, void *user, int *error)
{
	struct loop_conn *c;
	int fd;

	*error = -EINVAL;
	if (len > sizeof(c->addr))
		return NULL;
	fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*error = -errno;
	if (fd < 0)
		return NULL;
	c = conn_new(loop, fd, ops, user, CONN_CONNECTING);
	if (!c) {
		close(fd);
		*error = -ENOMEM;
		return NULL;
	}
	memcpy(&c->addr, addr, len);
	c->addr_len = len;
	return c;
}

struct loop_conn *loop_adopt(
	struct loop *loop, int fd, const struct loop_conn_ops *ops, void *user, int *error)
{
	struct loop_conn *c;
	int flags = fcntl(fd, F_GETFL);

	*error = -errno;
	if (flags < 0)
		return NULL;
	// The ring waits for a socket only if the socket itself would block.
	if (flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	c = conn_new(loop, fd, ops, user, CONN_OPEN);
	*error = c ? 0 : -ENOMEM;
	return c;
}

int loop_send(struct loop_conn *c, struct chain *out)
{
	if (c->state != CONN_OPEN)
		return -ENOTCONN;
	if (c->out.len)
		return -EBUSY;
	chain_append(&c->out, out);
	if (c->out.len)
		conn_todo(c);
	return 0;
}

bool loop_conn_idle(const struct loop_conn *c)
{
	return c->state == CONN_OPEN && c->out.len == 0;
}

void loop_close(struct loop_conn *c)
{
	struct loop *loop = c->loop;

	if (c->state == CONN_CONNECTING) {
		conn_die(c, 0);
	} else if (c->state == CONN_OPEN) {
		c->state = CONN_CLOSING;
		timer_arm(&loop->timers, &c->timer, loop->now + CLOSE_TIMEOUT);
		conn_todo(c);
	}
}

void loop_abort(struct loop_conn *c)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (c->state == CONN_DYING)
		return;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	conn_die(c, 0);
}

void loop_conn_pause(struct loop_conn *c, bool pause)
{
	if (c->paused == pause)
		return;
	c->paused = pause;
	conn_todo(c);
}

void *loop_conn_user(const struct loop_conn *c)
{
	return c->user;
}

void loop_conn_set_user(struct loop_conn *c, void *user)
{
	c->user = user;
}

struct loop *loop_conn_loop(const struct loop_conn *c)
{
	return c->loop;
}

int loop_conn_fd(const struct loop_conn *c)
{
	return c->fd;
}

void conn_die(struct loop_conn *c, int error)
{
	if (c->state == CONN_DYING)
		return;
	c->state = CONN_DYING;
	c->error = error;
	list_del(&c->starved);
	timer_cancel(&c->loop->timers, &c->timer);
	conn_todo(c);
}

static unsigned report_closed(struct loop_conn *c)
{
	if (c->reported)
		return 0;
	c->reported = true;
	if (c->ops->closed)
		c->ops->closed(c, c->error);
	return 1;
}

void conn_free(struct loop_conn *c)
{
	close(c->fd);
	list_del(&c->all);
	list_del(&c->todo);
	list_del(&c->starved);
	timer_cancel(&c->loop->timers, &c->timer);
	chain_clear(&c->out);
	chain_clear(&c->held);
	report_closed(c);
	free(c);
}

static void on_eof(struct loop_conn *c)
{
	c->eof_told = true;
	if (c->ops->eof)
		c->ops->eof(c);
	else
		conn_die(c, -ESHUTDOWN);
}

void conn_on_connect(struct loop_conn *c, int res)
{
	c->connect_armed = false;
	c->inflight--;
	conn_todo(c);
	if (c->state != CONN_CONNECTING)
		return;
	if (res == -EINTR || res == -EAGAIN)
		return;
	if (res == 0)
		c->state = CONN_OPEN;
	else
		conn_die(c, res);
	if (c->ops->opened)
		c->ops->opened(c, res);
}

static void acknowledge(const struct loop_conn *c)
{
	int one = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

void loop_conn_quickack(struct loop_conn *c)
{
	c->quickack = true;
	acknowledge(c);
}

static void on_bytes(struct loop_conn *c, unsigned id, uint32_t len)
{
	struct loop *loop = c->loop;
	struct chain in = {0};

	loop->stats.receives++;
	loop->stats.received_bytes += len;
	if (recv_ring_take(&loop->recv, id, len, &in))
		loop->stats.copied_bytes += len;
	// The kernel forgets the wish after a while.
	if (c->quickack && c->state == CONN_OPEN)
		acknowledge(c);
	if (c->state == CONN_OPEN && (c->paused || c->held.len))
		chain_append(&c->held, &in);
	else if (c->state == CONN_OPEN && c->ops->data)
		c->ops->data(c, &in);
	chain_clear(&in);
}

static void on_recv_end(struct loop_conn *c, int res)
{
	if (res == -ENOBUFS) {
		c->loop->stats.starved++;
		if (c->state != CONN_DYING && !list_linked(&c->starved))
			list_push(&c->loop->starved, &c->starved);
		return;
	}
	if (res == -EINTR || res == -EAGAIN || res == -ECANCELED)
		return;
	c->eof = true;
	if (c->state == CONN_LINGER)
		conn_die(c, 0);
	else if (c->state == CONN_OPEN && res < 0)
		conn_die(c, res);
	else if (c->state == CONN_OPEN && !c->paused && !c->held.len)
		on_eof(c);
}

void conn_on_recv(struct loop_conn *c, int res, unsigned flags)
{
	bool more = flags & IORING_CQE_F_MORE;

	if (!more) {
		c->recv_armed = false;
		c->recv_cancelled = false;
		c->inflight--;
		conn_todo(c);
	}
	if (flags & IORING_CQE_F_BUFFER)
		on_bytes(c, flags >> IORING_CQE_BUFFER_SHIFT, res > 0 ? (uint32_t)res : 0);
	if (res <= 0)
		on_recv_end(c, res);
}

void conn_on_send(struct loop_conn *c, int res)
{
	struct loop *loop = c->loop;

	c->send_armed = false;
	c->inflight--;
	if (res > 0) {
		loop->stats.sent_bytes += (unsigned)res;
		chain_skip(&c->out, (size_t)res);
	}
	if (c->state != CONN_OPEN || c->out.len)
		conn_todo(c);
	if (res < 0 && res != -EINTR && res != -EAGAIN && c->state < CONN_DYING)
		conn_die(c, c->state == CONN_CLOSING ? 0 : res);
	else if (c->state == CONN_OPEN && c->out.len == 0 && c->ops->writable)
		c->ops->writable(c);
}

// The pump. Each part returns false when the kernel had no room, so that the connection stays on
// the list.

static bool pump_connect(struct loop_conn *c)
{
	struct io_uring_sqe *sqe;

	if (c->connect_armed)
		return true;
	sqe = loop_sqe(c->loop);
	if (!sqe)
		return false;
	io_uring_prep_connect(sqe, c->fd, (struct sockaddr *)&c->addr, c->addr_len);
	sqe_tag(sqe, c, OP_CONNECT);
	c->connect_armed = true;
	c->inflight++;
	return true;
}

static bool cancel(struct loop_conn *c, enum op op)
{
	struct io_uring_sqe *sqe = loop_sqe(c->loop);

	if (!sqe)
		return false;
	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)c | (uint64_t)op, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe_tag(sqe, NULL, OP_IGNORE);
	return true;
}

static bool pump_recv(struct loop_conn *c)
{
	struct io_uring_sqe *sqe;

	if (c->recv_armed) {
		if (c->state != CONN_OPEN || !c->paused || c->recv_cancelled)
			return true;
		c->recv_cancelled = cancel(c, OP_RECV);
		return c->recv_cancelled;
	}
	if (c->eof || list_linked(&c->starved) || (c->state == CONN_OPEN && c->paused))
		return true;
	sqe = loop_sqe(c->loop);
	if (!sqe)
		return false;
	if (c->loop->multishot)
		io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
	else
		io_uring_prep_recv(sqe, c->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 0;
	sqe_tag(sqe, c, OP_RECV);
	c->recv_armed = true;
	c->inflight++;
	return true;
}

static size_t gather(const struct chain *out, struct send_slot *slot)
{
	size_t n = 0;

	for (const struct chain_node *at = out->first; at && n < SEND_SLICES_MAX; at = at->next) {
		slot->iov[n].iov_base = (void *)(uintptr_t)at->slice.data;
		slot->iov[n].iov_len = at->slice.len;
		n++;
	}
	slot->msg = (struct msghdr){.msg_iov = slot->iov, .msg_iovlen = n};
	return n;
}

// MSG_WAITALL: the kernel itself goes on with a send that fitted in part.
static bool pump_send(struct loop_conn *c)
{
	static const int flags = MSG_NOSIGNAL | MSG_WAITALL;
	struct send_slot *slot = NULL;
	struct io_uring_sqe *sqe;

	if (c->send_armed || c->out.len == 0)
		return true;
	if (c->out.first != c->out.last) {
		slot = loop_send_slot(c->loop);
		if (!slot)
			return false;
		gather(&c->out, slot);
	}
	sqe = loop_sqe(c->loop);
	if (!sqe)
		return false;
	if (slot)
		io_uring_prep_sendmsg(sqe, c->fd, &slot->msg, (unsigned)flags);
	else
		io_uring_prep_send(
			sqe, c->fd, c->out.first->slice.data, c->out.first->slice.len, flags);
	sqe_tag(sqe, c, OP_SEND);
	c->loop->stats.sends++;
	c->send_armed = true;
	c->inflight++;
	return true;
}

// What came in while paused, then the end that was seen meanwhile.
static unsigned pump_held(struct loop_conn *c)
{
	struct chain in = {0};
	unsigned events = 0;

	if (!c->paused && c->held.len) {
		chain_append(&in, &c->held);
		if (c->ops->data)
			c->ops->data(c, &in);
		chain_clear(&in);
		events++;
	}
	if (!c->paused && c->state == CONN_OPEN && c->eof && !c->eof_told) {
		on_eof(c);
		events++;
	}
	return events;
}

static void pump_dying(struct loop_conn *c, unsigned *events)
{
	bool all = true;

	if (c->inflight == 0) {
		*events += !c->reported;
		conn_free(c);
		return;
	}
	if (c->cancelled)
		return;
	if (c->connect_armed)
		all &= cancel(c, OP_CONNECT);
	if (c->recv_armed)
		all &= cancel(c, OP_RECV);
	if (c->send_armed)
		all &= cancel(c, OP_SEND);
	c->cancelled = all;
	if (!all)
		conn_todo(c);
}

static unsigned pump_closing(struct loop_conn *c)
{
	struct loop *loop = c->loop;

	if (c->out.len)
		return 0;
	if (c->eof || shutdown(c->fd, SHUT_WR) < 0) {
		conn_die(c, 0);
		return 0;
	}
	chain_clear(&c->held);
	c->state = CONN_LINGER;
	c->error = 0;
	timer_arm(&loop->timers, &c->timer, loop->now + LINGER_TIMEOUT);
	return report_closed(c);
}

static unsigned pump(struct loop_conn *c)
{
	unsigned events = 0;

	if (c->state == CONN_CONNECTING && !pump_connect(c))
		conn_todo(c);
	if (c->state == CONN_OPEN)
		events += pump_held(c);
	if (c->state == CONN_CLOSING)
		events += pump_closing(c);
	if ((c->state == CONN_OPEN || c->state == CONN_LINGER) && !pump_recv(c))
		conn_todo(c);
	if ((c->state == CONN_OPEN || c->state == CONN_CLOSING) && !pump_send(c))
		conn_todo(c);
	if (c->state == CONN_DYING)
		pump_dying(c, &events);
	return events;
}

// As many as there are buffers, the oldest first: more would end at once again.
static void feed_starved(struct loop *loop)
{
	uint32_t n = loop->recv.count - loop->recv.pinned;

	for (; n > 0 && !list_empty(&loop->starved); n--) {
		struct loop_conn *c = list_entry(loop->starved.next, struct loop_conn, starved);

		list_del(&c->starved);
		conn_todo(c);
	}
}

// Takes the list as it is now: what a connection adds for itself waits for the next round.
unsigned conns_pump(struct loop *loop)
{
	unsigned events = 0;
	struct list now;

	feed_starved(loop);
	if (list_empty(&loop->todo))
		return 0;
	list_init(&now);
	while (!list_empty(&loop->todo)) {
		struct list *at = loop->todo.next;

		list_del(at);
		list_push(&now, at);
	}
	while (!list_empty(&now)) {
		struct list *at = now.next;

		list_del(at);
		events += pump(list_entry(at, struct loop_conn, todo));
	}
	return events;
}
