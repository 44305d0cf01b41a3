// SPDX-License-Identifier: Apache-2.0
// Sessions on connections of our own TCP stack: see tcp_link.h. Stack's thread only.
//
//   dialled --accept: up--> established --ended, eof, close--> closing --closed--> down
//                                                     CLOSE_TIMEOUT: reset
#include "tools/gen/tcp_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CLOSE_TIMEOUT NS_PER_SEC

void tcp_hub_init(struct tcp_hub *hub, struct tcp_stack *stack, struct timer_wheel *timers,
	const ns_t *now, struct rs_pool *pool)
{
	*hub = (struct tcp_hub){.stack = stack, .timers = timers, .now = now, .pool = pool};
	list_init(&hub->dirty);
}

static struct tcp_link *link_of(struct rs_session *s)
{
	return container_of(s, struct tcp_link, session);
}

static void set_why(struct tcp_link *link, const char *why)
{
	if (!link->why[0])
		snprintf(link->why, sizeof(link->why), "%s", why);
}

void tcp_link_wake(struct rs_session *s)
{
	struct tcp_link *link = link_of(s);

	if (!list_linked(&link->dirty))
		list_push(&link->hub->dirty, &link->dirty);
}

static void end(struct tcp_link *link, const char *why)
{
	set_why(link, why);
	link->closing = true;
	timer_arm(link->hub->timers, &link->timer, *link->hub->now + CLOSE_TIMEOUT);
}

// What the session still has to say is sent first.
void tcp_link_ended(struct rs_session *s, uint32_t code, const char *why)
{
	struct tcp_link *link = link_of(s);

	(void)code;
	end(link, why);
	tcp_link_wake(s);
}

static void flush(struct tcp_link *link)
{
	struct chain out = {0};
	size_t room;

	if (!link->up)
		return; // accept comes back to it
	while (rs_output_pending(&link->session) && (room = tcp_send_room(link->conn)) > 0) {
		if (rs_output(&link->session, &out, room) == 0)
			break;
		// After a reset nobody reads it; `closed` tells the rest.
		if (tcp_send(link->conn, &out))
			chain_clear(&out);
	}
	if (rs_session_ended(&link->session) && !rs_output_pending(&link->session))
		tcp_close(link->conn);
}

void tcp_hub_flush(struct tcp_hub *hub)
{
	struct list *at;

	while ((at = list_first(&hub->dirty))) {
		list_del(at);
		flush(list_entry(at, struct tcp_link, dirty));
	}
}

static void tick(struct tcp_link *link)
{
	ns_t next = rs_tick(&link->session, *link->hub->now);

	if (!link->closing && next != NS_NEVER)
		timer_arm(link->hub->timers, &link->timer, next);
}

static void on_timer(struct timer *timer, ns_t now)
{
	struct tcp_link *link = list_entry(timer, struct tcp_link, timer);

	(void)now;
	if (link->closing)
		tcp_abort(link->conn);
	else
		tick(link);
}

// Events of the connection

static bool on_accept(struct tcp_conn *c, void *user)
{
	struct tcp_link *link = user;

	link->up = true;
	tick(link);
	tcp_link_wake(&link->session);
	link->ops->up(link);
	return true;
}

static void on_data(struct tcp_conn *c, struct chain *data)
{
	struct tcp_link *link = tcp_user(c);
	size_t bytes = data->len;

	rs_input(&link->session, data, *link->hub->now);
	tcp_consumed(c, bytes);
}

static void on_writable(struct tcp_conn *c)
{
	struct tcp_link *link = tcp_user(c);

	if (rs_output_pending(&link->session))
		tcp_link_wake(&link->session);
}

static void on_eof(struct tcp_conn *c)
{
	struct tcp_link *link = tcp_user(c);

	if (!link->closing)
		end(link, "the peer closed the connection");
	rs_session_abort(&link->session);
	tcp_close(c);
}

static void on_closed(struct tcp_conn *c, int error)
{
	struct tcp_link *link = tcp_user(c);
	char why[sizeof(link->why)];

	set_why(link, error ? strerrordesc_np(-error) : "closed");
	link->closing = true;
	timer_cancel(link->hub->timers, &link->timer);
	rs_session_abort(&link->session);
	rs_session_fini(&link->session);
	list_del(&link->dirty);
	link->conn = NULL;
	memcpy(why, link->why, sizeof(why));
	link->ops->down(link, why);
}

static const struct tcp_ops tcp_link_tcp_ops = {
	.accept = on_accept,
	.data = on_data,
	.writable = on_writable,
	.eof = on_eof,
	.closed = on_closed,
};

int tcp_link_dial(struct tcp_link *link, struct tcp_hub *hub, const struct tcp_connect *to,
	const struct rs_config *config, const struct tcp_link_ops *ops)
{
	struct tcp_connect connect = *to;
	struct rs_config session = *config;
	int error;

	*link = (struct tcp_link){.hub = hub, .ops = ops};
	link->timer.fire = on_timer;
	session.role = RS_CLIENT;
	session.pool = hub->pool;
	session.user = link;
	error = rs_session_init(&link->session, &session, *hub->now);
	if (error)
		return error;
	connect.ops = &tcp_link_tcp_ops;
	connect.user = link;
	error = tcp_connect(hub->stack, &connect, *hub->now, &link->conn);
	if (error) {
		rs_session_fini(&link->session);
		list_del(&link->dirty);
		return error;
	}
	return 0;
}

void tcp_link_close(struct tcp_link *link)
{
	if (!link->conn)
		return;
	if (!link->closing)
		end(link, "closed");
	rs_session_abort(&link->session);
	tcp_close(link->conn);
}

void tcp_link_abort(struct tcp_link *link)
{
	set_why(link, "reset");
	if (link->conn)
		tcp_abort(link->conn);
}

bool tcp_link_idle(const struct tcp_link *link)
{
	return !link->conn || tcp_send_queued(link->conn) == 0;
}
