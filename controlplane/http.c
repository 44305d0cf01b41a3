// SPDX-License-Identifier: Apache-2.0
// libmicrohttpd's side of the API. Main thread: the library polls nothing by itself, it runs when
// main.c calls http_run().
//
// An exchange is one request on its way:
//
//   headers ──▶ body ──▶ api_handle() ──wait_seq reached──────────────────────▶ answered
//                            └──not yet durable──▶ suspended ──http_settled(), http_logged()──▶ answered
//
// A follower is an answer that does not end (/v1/events?follow=1): when it has sent all there is it
// is suspended until the next batch settles. libmicrohttpd does not look at a suspended connection,
// so an epoll of our own sees the client leave; otherwise 64 clients that left would use up all
// places.
#include "controlplane/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"

#define SUBSYSTEM "api"
#define CONNECTION_MEMORY ((size_t)64 << 10)  // bounds the headers, too
#define STREAM_BLOCK ((size_t)16 << 10)

struct exchange {
	struct http *http;
	struct MHD_Connection *connection;
	struct list link;  // on waiting
	char *body;
	size_t body_len, body_room;
	bool too_large, handled;
	struct api_response response;
};

struct follower {
	struct http *http;
	struct MHD_Connection *connection;
	struct list link;
	uint64_t after;
	char kind[40];  // in the lines that are wanted
	bool more, suspended, dead, last;
	char *line;  // being sent, with its newline
	size_t line_len, line_sent;
};

// ---- events ----

static void follower_resume(struct follower *f)
{
	if (!f->suspended)
		return;
	f->suspended = false;
	f->http->again = true;
	MHD_resume_connection(f->connection);
}

static void follower_free(void *cls)
{
	struct follower *f = cls;

	list_del(&f->link);
	if (f->more)
		f->http->api->followers--;
	free(f->line);
	free(f);
}

// Takes the next line; false: there is none now.
static bool follower_next_line(struct follower *f)
{
	const struct registry *r = f->http->api->registry;
	const struct event *e;
	char *line = NULL;
	bool gone;

	if (f->last)
		return false;
	e = registry_event_after(r, f->after, &gone);
	while (e && !strstr(e->line, f->kind)) {
		f->after = e->seq;
		e = registry_event_after(r, f->after, &gone);
	}
	if (gone) {
		char *text = api_events_gone_line(r);

		f->last = true;
		f->line_len = asprintf(&line, "%s\n", text) < 0 ? 0 : strlen(line);
		free(text);
	} else if (e) {
		f->after = e->seq;
		f->line_len = asprintf(&line, "%s\n", e->line) < 0 ? 0 : strlen(line);
	}
	f->line = line;
	f->line_sent = 0;
	return line != NULL;
}

static size_t follower_fill(struct follower *f, char *out, size_t room)
{
	size_t n = 0;

	while (n < room && (f->line || follower_next_line(f))) {
		size_t part = f->line_len - f->line_sent;

		if (part > room - n)
			part = room - n;
		memcpy(out + n, f->line + f->line_sent, part);
		n += part;
		f->line_sent += part;
		if (f->line_sent == f->line_len) {
			free(f->line);
			f->line = NULL;
		}
	}
	return n;
}

static ssize_t follower_read(void *cls, uint64_t pos, char *out, size_t room)
{
	struct follower *f = cls;
	size_t n;

	(void)pos;
	if (f->dead)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = follower_fill(f, out, room);
	if (n)
		return (ssize_t)n;
	if (!f->more || f->last)
		return MHD_CONTENT_READER_END_OF_STREAM;
	f->suspended = true;
	MHD_suspend_connection(f->connection);
	return 0;
}

int http_connection_fd(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

// The epoll sees the client's end of the stream, which libmicrohttpd does not while it is
// suspended.
void http_watch(struct http *h, struct MHD_Connection *connection)
{
	// By fd, not by pointer: a late event of a socket that is closed already finds nobody.
	struct epoll_event event = {
		.events = EPOLLRDHUP | EPOLLET, .data.fd = http_connection_fd(connection)};

	epoll_ctl(h->watch_fd, EPOLL_CTL_ADD, event.data.fd, &event);
}

static struct MHD_Response *follower_response(struct exchange *x)
{
	struct follower *f;
	struct MHD_Response *r;

	if (x->response.follow_more && x->http->api->followers >= HTTP_FOLLOWERS_MAX) {
		api_error(&x->response, 503, "busy", NULL,
			"%d clients follow events already, the most that are served: close one",
			HTTP_FOLLOWERS_MAX);
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->http = x->http;
	f->connection = x->connection;
	f->after = x->response.follow_after;
	f->more = x->response.follow_more;
	snprintf(f->kind, sizeof(f->kind), "%s", x->response.follow_kind);
	r = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, STREAM_BLOCK, follower_read, f, follower_free);
	if (!r) {
		free(f);
		return NULL;
	}
	list_push(&x->http->followers, &f->link);
	if (f->more) {
		x->http->api->followers++;
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
		http_watch(x->http, x->connection);
	}
	return r;
}

// Clients that have left: their streams end.
static void see_who_left(struct http *h)
{
	struct epoll_event events[16];
	int n = epoll_wait(h->watch_fd, events, 16, 0);

	for (int i = 0; i < n; i++) {
		list_for_each (at, &h->followers) {
			struct follower *f = list_entry(at, struct follower, link);

			if (!f->more || http_connection_fd(f->connection) != events[i].data.fd)
				continue;
			f->dead = true;
			follower_resume(f);
		}
		http_logs_left(h, events[i].data.fd);
	}
}

// ---- exchanges ----

static struct MHD_Response *plain_response(struct api_response *a)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(a->body_len, a->body, MHD_RESPMEM_MUST_FREE);

	if (r)
		a->body = NULL;
	return r;
}

static enum MHD_Result answer(struct exchange *x)
{
	struct api_response *a = &x->response;
	struct MHD_Response *r = a->follow ? follower_response(x)
				 : a->logs ? http_logs_response(x->http, x->connection, a)
					   : NULL;
	enum MHD_Result result;

	if (!r)
		r = plain_response(a);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (a->etag[0])
		MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, a->etag);
	if (a->allow[0])
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, a->allow);
	if (a->status == 503)
		MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	result = MHD_queue_response(x->connection, a->status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result take_pair(
	void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct api_request *q = cls;

	(void)kind;
	// One more than fits is kept out; handle() then refuses.
	if (q->query_count < API_QUERY_MAX)
		q->query[q->query_count] = (struct api_pair){name, value};
	q->query_count++;
	return MHD_YES;
}

static void handle(struct exchange *x, const char *url, const char *method)
{
	struct http *h = x->http;
	struct api_request q = {
		.method = method,
		.path = url,
		.if_match = MHD_lookup_connection_value(
			x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MATCH),
		.if_none_match = MHD_lookup_connection_value(
			x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH),
		.accept = MHD_lookup_connection_value(
			x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT),
		.body = x->body,
		.body_len = x->body_len,
		.now = clock_now(),
		.wall_ns = clock_wall(),
	};

	MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, take_pair, &q);
	if (x->too_large)
		api_error(&x->response, 413, "too_large", NULL,
			"the body is longer than %zu bytes, the most that is taken", API_BODY_MAX);
	else if (q.query_count > API_QUERY_MAX)
		api_error(&x->response, 400, "invalid_query", NULL,
			"there are more than %d parameters", API_QUERY_MAX);
	else if (h->only_path && strcmp(url, h->only_path) != 0)
		api_error(&x->response, 404, "not_found", NULL,
			"this port serves %s alone: everything else is on the control socket",
			h->only_path);
	else
		api_handle(h->api, &q, &x->response);
	log_debug(SUBSYSTEM, "%s %s: %u", method, url, x->response.status);
}

static void take_body(struct exchange *x, const char *data, size_t len)
{
	if (x->too_large || x->body_len + len > API_BODY_MAX) {
		x->too_large = true;
		return;
	}
	if (x->body_len + len > x->body_room) {
		size_t room = (x->body_len + len) * 2;
		char *body = realloc(x->body, room);

		if (!body) {
			x->too_large = true;
			return;
		}
		x->body = body;
		x->body_room = room;
	}
	memcpy(x->body + x->body_len, data, len);
	x->body_len += len;
}

static struct exchange *exchange_new(struct http *h, struct MHD_Connection *connection)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->http = h;
	x->connection = connection;
	return x;
}

// libmicrohttpd calls this when the headers are there (*state is NULL), for each part of the body,
// at its end, and again after a suspended connection was resumed.
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *data_len, void **state)
{
	struct http *h = cls;
	struct exchange *x = *state;

	(void)version;
	if (!x) {
		*state = exchange_new(h, connection);
		return *state ? MHD_YES : MHD_NO;
	}
	if (*data_len) {
		take_body(x, data, *data_len);
		*data_len = 0;
		return MHD_YES;
	}
	if (!x->handled) {
		x->handled = true;
		handle(x, url, method);
		if (!api_settled(h->api, &x->response)) {
			list_push(&h->waiting, &x->link);
			MHD_suspend_connection(connection);
			return MHD_YES;
		}
	}
	return answer(x);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
	enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *state;

	(void)cls;
	(void)connection;
	(void)code;
	if (!x)
		return;
	list_del(&x->link);
	api_response_clear(&x->response);
	free(x->body);
	free(x);
	*state = NULL;
}

// An error does not concern what is stored already.
static void go_on(struct http *h, struct exchange *x, int error)
{
	if (!api_settled(h->api, &x->response))
		api_storage_failed(h->api, &x->response, error);
	list_del(&x->link);
	h->again = true;
	MHD_resume_connection(x->connection);
}

void http_logged(struct http *h, int error)
{
	list_for_each_safe (at, after, &h->waiting) {
		struct exchange *x = list_entry(at, struct exchange, link);

		// A change may still be stored: it comes with a batch.
		if (api_settled(h->api, &x->response) ||
			(error && x->response.wait_seq <= h->api->registry->durable))
			go_on(h, x, error);
	}
}

void http_settled(struct http *h, int error)
{
	list_for_each_safe (at, after, &h->waiting) {
		struct exchange *x = list_entry(at, struct exchange, link);

		if (error || api_settled(h->api, &x->response))
			go_on(h, x, error);
	}
	list_for_each (at, &h->followers)
		follower_resume(list_entry(at, struct follower, link));
}

// ---- the daemon ----

static void on_log(void *cls, const char *format, va_list args)
{
	char text[300];

	(void)cls;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = 0;
	log_debug(SUBSYSTEM, "%s", text);
}

int http_start(struct http *h, struct api *api, int listen_fd, const char *only_path)
{
	*h = (struct http){.api = api, .only_path = only_path};
	list_init(&h->waiting);
	list_init(&h->followers);
	list_init(&h->tails);
	h->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->watch_fd < 0) {
		close(listen_fd);
		return -errno;
	}
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)HTTP_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (h->daemon)
		return 0;
	close(listen_fd);
	close(h->watch_fd);
	return -EIO;
}

int http_fd(const struct http *h)
{
	return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int http_timeout_ms(const struct http *h)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (h->again)
		return 0;
	if (MHD_get_timeout(h->daemon, &timeout) != MHD_YES)
		return -1;
	return timeout < 60000 ? (int)timeout : 60000;
}

static unsigned connections(const struct http *h)
{
	return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

void http_run(struct http *h)
{
	unsigned before = connections(h);

	h->again = false;
	see_who_left(h);
	MHD_run(h->daemon);
	// At the limit of connections the library stops listening, and only at the beginning of a
	// run does it see that some have gone.
	if (connections(h) < before)
		h->again = true;
}

void http_stop(struct http *h)
{
	list_for_each (at, &h->followers) {
		struct follower *f = list_entry(at, struct follower, link);

		f->dead = true;
		follower_resume(f);
	}
	http_logs_left(h, -1);
	// What waits now was never settled: say so. A suspended connection must not meet the
	// daemon's end.
	http_settled(h, -ECANCELED);
	http_run(h);
	http_run(h);
	MHD_stop_daemon(h->daemon);
	close(h->watch_fd);
}
