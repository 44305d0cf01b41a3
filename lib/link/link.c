// SPDX-License-Identifier: Apache-2.0
// Links: sessions on loop connections.
//
//   dialled:  CONNECTING --on_opened--> UP --link_ended, on_eof, link_close--> CLOSING
//   any of these --on_closed--> BACKOFF --on_timer: attempt--> CONNECTING
//   served:   UP --> CLOSING --on_closed--> CLOSED
//
// Loop's thread only. A session ends (lost streams, `down`) only in on_closed() and on_eof(), which
// the loop calls; never within a session's callback, where it may not be freed. Until a dialled
// link is up, its output waits in the session.
#include "lib/link/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEND_BYTES_MAX ((size_t)256 << 10)

static void set_why(struct link *link, const char *why)
{
	if (!link->why[0])
		snprintf(link->why, sizeof(link->why), "%s", why ? why : "");
}

static void arm(struct link *link, ns_t deadline)
{
	timer_arm(loop_timers(link->hub->loop), &link->timer, deadline);
}

static ns_t now_of(const struct link *link)
{
	return loop_now(link->hub->loop);
}

static void tick(struct link *link)
{
	ns_t next = rs_tick(&link->session, now_of(link));

	if (link->state != LINK_UP)
		return; // silence ended it
	link->ticking = true;
	if (next == NS_NEVER)
		timer_cancel(loop_timers(link->hub->loop), &link->timer);
	else
		arm(link, next);
}

static void flush_link(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct chain out = {0};
	size_t bytes;

	if (!link->conn || !loop_conn_idle(link->conn))
		return; // on_opened() or on_writable() comes back to it
	bytes = rs_output(&link->session, &out, hub->send_bytes_max);
	if (bytes) {
		hub->sends++;
		hub->frames_out_bytes += bytes;
		loop_send(link->conn, &out);
	} else if (link->state == LINK_CLOSING) {
		loop_close(link->conn);
	}
}

static void on_flush(struct loop *loop, void *user)
{
	struct link_hub *hub = user;

	while (!list_empty(&hub->dirty)) {
		struct link *link = list_entry(hub->dirty.next, struct link, dirty);

		list_del(&link->dirty);
		flush_link(link);
	}
}

void link_hub_init(struct link_hub *hub, struct loop *loop, struct rs_pool *pool)
{
	*hub = (struct link_hub){.loop = loop, .pool = pool, .send_bytes_max = SEND_BYTES_MAX};
	list_init(&hub->dirty);
	rng_seed(&hub->rng, (uint64_t)clock_now() ^ (uint64_t)(uintptr_t)hub);
	loop_on_flush(loop, on_flush, hub);
}

void link_wake(struct rs_session *s)
{
	struct link *link = link_of(s);

	if (!list_linked(&link->dirty))
		list_push(&link->hub->dirty, &link->dirty);
}

// Starts to end a link: what the session still has to say is sent, within a bounded time.
static void end(struct link *link, const char *why)
{
	set_why(link, why);
	link->state = LINK_CLOSING;
	link->ticking = false;
	arm(link, now_of(link) + LINK_CLOSE_TIMEOUT);
}

void link_ended(struct rs_session *s, uint32_t code, const char *why)
{
	struct link *link = link_of(s);

	link->error = -EPROTO;
	if (link->state == LINK_CONNECTING) {
		end(link, why);
		loop_close(link->conn);
	} else if (link->state == LINK_UP) {
		end(link, why);
		link_wake(s);
	}
}

static void on_opened(struct loop_conn *c, int error)
{
	struct link *link = loop_conn_user(c);

	if (error || link->state != LINK_CONNECTING)
		return;
	link->state = LINK_UP;
	link->up_since = now_of(link);
	link->attempts = 0;
	link->was_up = true;
	link->error = 0;
	tick(link);
	link_wake(&link->session);
	if (link->ops->up && link->state == LINK_UP)
		link->ops->up(link);
}

static void on_data(struct loop_conn *c, struct chain *in)
{
	struct link *link = loop_conn_user(c);

	if (link->state != LINK_UP)
		return;
	link->received_bytes += in->len;
	if (link->received_bytes >= link->read_max)
		loop_conn_pause(c, true);
	rs_input(&link->session, in, now_of(link));
	if (!link->ticking && link->state == LINK_UP && rs_session_established(&link->session))
		tick(link);
}

static void on_writable(struct loop_conn *c)
{
	struct link *link = loop_conn_user(c);

	if (link->state == LINK_CLOSING || rs_output_pending(&link->session))
		link_wake(&link->session);
}

// Nothing can come any more, so every stream is lost. A session that had ended before (its peer
// sent garbage and a FIN, say) still gets its ERROR out.
static void on_eof(struct loop_conn *c)
{
	struct link *link = loop_conn_user(c);

	if (link->state != LINK_UP)
		return;
	end(link, "the peer closed the connection");
	rs_session_abort(&link->session);
	loop_close(c);
}

static void schedule(struct link *link)
{
	struct link_hub *hub = link->hub;
	ns_t spread = link->backoff_ns / 2;
	ns_t wait = link->backoff_ns - spread / 2 + (ns_t)(rng_unit(&hub->rng) * (double)spread);

	link->state = LINK_BACKOFF;
	link->attempts++;
	arm(link, now_of(link) + wait);
	link->backoff_ns *= 2;
	if (link->backoff_ns > LINK_BACKOFF_MAX)
		link->backoff_ns = LINK_BACKOFF_MAX;
}

// The last event: nobody touches the link after `down`.
static void finish(struct link *link, const char *why)
{
	timer_cancel(loop_timers(link->hub->loop), &link->timer);
	rs_message_clear(&link->setup);
	link->state = LINK_CLOSED;
	if (link->ops->down)
		link->ops->down(link, why);
}

static void on_closed(struct loop_conn *c, int error)
{
	struct link *link = loop_conn_user(c);
	bool was_long = link->up_since && now_of(link) - link->up_since >= LINK_BACKOFF_MAX;
	char why[sizeof(link->why)];

	set_why(link, error ? strerrordesc_np(-error) : "closed");
	if (!link->error)
		link->error = error ? error : -ECONNRESET;
	link->conn = NULL;
	link->state = LINK_CLOSING; // for what `lost` callbacks may call
	timer_cancel(loop_timers(link->hub->loop), &link->timer);
	rs_session_abort(&link->session);
	rs_session_fini(&link->session);
	list_del(&link->dirty);
	memcpy(why, link->why, sizeof(why));
	if (!link->dialled || link->close_asked) {
		finish(link, why);
		return;
	}
	if (was_long)
		link->backoff_ns = LINK_BACKOFF_MIN;
	schedule(link);
	if (link->ops->down)
		link->ops->down(link, why);
}

static const struct loop_conn_ops conn_ops = {
	.opened = on_opened,
	.data = on_data,
	.writable = on_writable,
	.eof = on_eof,
	.closed = on_closed,
};

static void reset(struct link *link)
{
	link->why[0] = 0;
	link->was_up = false;
	link->error = 0;
	link->up_since = 0;
	link->ticking = false;
	link->received_bytes = 0;
}

static int attempt(struct link *link)
{
	struct rs_message setup = {.has_metadata = link->setup.has_metadata};
	struct rs_config config = link->config;
	int error;

	reset(link);
	chain_share(&setup.metadata, &link->setup.metadata, 0, link->setup.metadata.len);
	chain_share(&setup.data, &link->setup.data, 0, link->setup.data.len);
	config.setup = &setup;
	error = rs_session_init(&link->session, &config, now_of(link));
	rs_message_clear(&setup);
	if (error)
		return error;
	link->conn = loop_connect(link->hub->loop, (const struct sockaddr *)&link->addr,
		link->addr_len, &conn_ops, link, &error);
	if (!link->conn) {
		rs_session_fini(&link->session);
		list_del(&link->dirty);
		return error;
	}
	link->state = LINK_CONNECTING;
	arm(link, now_of(link) + LINK_CONNECT_TIMEOUT);
	return 0;
}

static void on_timer(struct timer *timer, ns_t now)
{
	struct link *link = container_of(timer, struct link, timer);

	if (link->state == LINK_BACKOFF) {
		if (attempt(link))
			schedule(link);
	} else if (link->ticking) {
		tick(link);
	} else {
		set_why(link, link->state == LINK_CONNECTING ? "connecting took too long"
							     : "no SETUP came in time");
		link->error = -ETIMEDOUT;
		loop_abort(link->conn);
	}
}

static void link_init(struct link *link, struct link_hub *hub, const struct rs_config *config,
	const struct link_ops *ops, void *user)
{
	*link = (struct link){.hub = hub, .ops = ops, .user = user, .config = *config};
	link->config.pool = hub->pool;
	link->config.user = link;
	link->config.setup = NULL;
	link->timer.fire = on_timer;
	link->backoff_ns = LINK_BACKOFF_MIN;
	link->read_max = UINT64_MAX;
}

int link_dial(struct link *link, struct link_hub *hub, const struct sockaddr *addr, socklen_t len,
	const struct rs_config *config, const struct link_ops *ops, void *user)
{
	int error;

	if (len > sizeof(link->addr))
		return -EINVAL;
	link_init(link, hub, config, ops, user);
	link->config.role = RS_CLIENT;
	link->dialled = true;
	memcpy(&link->addr, addr, len);
	link->addr_len = len;
	if (config->setup) {
		link->setup.has_metadata = config->setup->has_metadata;
		chain_append(&link->setup.metadata, &config->setup->metadata);
		chain_append(&link->setup.data, &config->setup->data);
	}
	error = attempt(link);
	if (error)
		rs_message_clear(&link->setup);
	return error;
}

int link_serve(struct link *link, struct link_hub *hub, int fd, const struct rs_config *config,
	const struct link_ops *ops, void *user)
{
	int error;

	link_init(link, hub, config, ops, user);
	link->config.role = RS_SERVER;
	error = rs_session_init(&link->session, &link->config, now_of(link));
	if (error)
		goto fail;
	link->conn = loop_adopt(hub->loop, fd, &conn_ops, link, &error);
	if (!link->conn) {
		rs_session_fini(&link->session);
		list_del(&link->dirty);
		goto fail;
	}
	link->state = LINK_UP;
	link->was_up = true;
	link->up_since = now_of(link);
	arm(link, now_of(link) + LINK_SETUP_TIMEOUT);
	return 0;
fail:
	close(fd);
	return error;
}

void link_close(struct link *link)
{
	if (link->close_asked || link->state == LINK_CLOSED)
		return;
	link->close_asked = true;
	if (link->state == LINK_BACKOFF) {
		finish(link, "closed");
		return;
	}
	end(link, "closed");
	// Without a connection this is on_closed()'s own callback, which sees close_asked.
	if (link->conn)
		loop_close(link->conn);
}
