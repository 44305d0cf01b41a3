// SPDX-License-Identifier: Apache-2.0
// Logs of an instance as the body of an answer: what the host sends is buffered until the client has
// taken it, and only then is more asked for. Main thread.
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/http_internal.h"
#include "controlplane/peers.h"

#define STREAM_BLOCK ((size_t)16 << 10)

struct tail {
	struct log_reader reader;
	struct http *http;
	struct MHD_Connection *connection;
	struct list link;
	char *bytes;
	size_t len, sent, room;
	bool ended, suspended;
};

static void resume(struct tail *t)
{
	if (!t->suspended)
		return;
	t->suspended = false;
	t->http->again = true;
	MHD_resume_connection(t->connection);
}

static void on_data(struct log_reader *r, const char *bytes, size_t len)
{
	struct tail *t = container_of(r, struct tail, reader);

	if (t->len + len > t->room) {
		size_t room = (t->len + len) * 2;
		char *more = realloc(t->bytes, room);

		if (!more)
			return;  // the piece is lost, as with any log that overflows
		t->bytes = more;
		t->room = room;
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	resume(t);
}

static void on_end(struct log_reader *r, const char *why)
{
	struct tail *t = container_of(r, struct tail, reader);
	char line[260];

	t->ended = true;
	if (why) {
		int n = snprintf(line, sizeof(line), "[the log ends here: %.200s]\n", why);

		on_data(r, line, (size_t)n);
	}
	resume(t);
}

static ssize_t tail_read(void *cls, uint64_t pos, char *out, size_t room)
{
	struct tail *t = cls;
	size_t n = t->len - t->sent < room ? t->len - t->sent : room;

	(void)pos;
	if (n) {
		memcpy(out, t->bytes + t->sent, n);
		t->sent += n;
		if (t->sent < t->len)
			return (ssize_t)n;
		t->sent = t->len = 0;
		peers_log_more(&t->reader);
		return (ssize_t)n;
	}
	if (t->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	t->suspended = true;
	MHD_suspend_connection(t->connection);
	return 0;
}

static void tail_free(void *cls)
{
	struct tail *t = cls;

	peers_log_close(&t->reader);
	list_del(&t->link);
	free(t->bytes);
	free(t);
}

static void refuse(struct api_response *response, int error)
{
	if (error == -ENOTCONN)
		api_error(response, 503, "node_away", NULL,
			"the log is on a node whose host is not connected: try again when it is "
			"back");
	else if (error == -ENOENT)
		api_error(response, 404, "not_found", NULL, "the instance is gone");
	else
		api_error(response, 503, "busy", NULL,
			"too many logs of that node are read already: close one, or try again in "
			"a moment");
}

struct MHD_Response *http_logs_response(
	struct http *h, struct MHD_Connection *connection, struct api_response *response)
{
	struct tail *t = calloc(1, sizeof(*t));
	struct MHD_Response *r;
	int rc;

	if (!t)
		return NULL;
	t->http = h;
	t->connection = connection;
	t->reader = (struct log_reader){.data = on_data, .end = on_end};
	rc = h->peers ? peers_log_open(h->peers, &t->reader, response->logs_id,
				response->logs_tail, response->logs_follow)
		      : -ENOENT;
	if (rc) {
		refuse(response, rc);
		free(t);
		return NULL;
	}
	list_push(&h->tails, &t->link);
	r = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, STREAM_BLOCK, tail_read, t, tail_free);
	if (!r) {
		tail_free(t);
		return NULL;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	http_watch(h, connection);
	return r;
}

void http_logs_left(struct http *h, int fd)
{
	list_for_each (at, &h->tails) {
		struct tail *t = list_entry(at, struct tail, link);

		if (fd >= 0 && http_connection_fd(t->connection) != fd)
			continue;
		peers_log_close(&t->reader);
		t->ended = true;
		resume(t);
	}
}
