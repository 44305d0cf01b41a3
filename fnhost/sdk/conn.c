// SPDX-License-Identifier: Apache-2.0
// The host's connection: bytes between its socket and the session. Loop's thread.
//
// Plain poll(2) and readv-like calls instead of io_uring, which sandboxes forbid to functions. A second
// connection replaces the first: it is a restarted host, whose predecessor's end is not yet known.
#include "fnhost/sdk/service.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLICES_MAX 64
#define OUTPUT_BYTES_MAX ((size_t)256 << 10)
#define READS_PER_TURN 16

void conn_close(struct service *s)
{
	if (s->conn.fd < 0)
		return;
	rs_session_abort(&s->conn.session);
	rs_session_fini(&s->conn.session);
	chain_clear(&s->conn.out);
	close(s->conn.fd);
	s->conn = (struct conn){.fd = -1};
}

int conn_accept(struct service *s)
{
	const struct rs_config config = {
		.role = RS_SERVER, .handler = &service_handler, .pool = s->pool, .user = s};
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	conn_close(s);
	error = rs_session_init(&s->conn.session, &config, clock_now());
	if (error) {
		close(fd);
		return error;
	}
	s->conn.fd = fd;
	s->sync_token = 0;
	return 0;
}

// True: there may be more.
static bool read_once(struct service *s)
{
	struct buf *block = buf_pool_get(s->blocks);
	struct chain in = {0};
	ssize_t n;

	if (!block) {
		conn_close(s); // no memory to read with: the host dials again
		return false;
	}
	n = read(s->conn.fd, block->base, block->size);
	if (n > 0) {
		block->used = (uint32_t)n;
		chain_push(&in, block, block->base, (uint32_t)n);
	}
	buf_unref(block);
	if (n > 0)
		rs_input(&s->conn.session, &in, clock_now());
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn_close(s);
	return n > 0 && s->conn.fd >= 0 && !s->conn.ended;
}

void conn_input(struct service *s)
{
	for (int i = 0; i < READS_PER_TURN && read_once(s); i++)
		;
}

static unsigned gather(const struct chain *chain, struct iovec *iov)
{
	unsigned n = 0;

	for (struct chain_node *node = chain->first; node && n < SLICES_MAX; node = node->next)
		iov[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)node->slice.data,
			.iov_len = node->slice.len};
	return n;
}

void conn_output(struct service *s)
{
	struct conn *c = &s->conn;
	struct iovec iov[SLICES_MAX];

	while (c->fd >= 0) {
		ssize_t n;

		if (chain_empty(&c->out))
			rs_output(&c->session, &c->out, OUTPUT_BYTES_MAX);
		if (chain_empty(&c->out))
			break;
		n = writev(c->fd, iov, (int)gather(&c->out, iov));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			conn_close(s);
			return;
		}
		if (n > 0)
			chain_skip(&c->out, (size_t)n);
	}
	if (c->fd >= 0 && c->ended)
		conn_close(s);
}

bool conn_wants_output(const struct service *s)
{
	return s->conn.fd >= 0 && !chain_empty(&s->conn.out);
}
