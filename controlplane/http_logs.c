// SPDX-License-Identifier: Apache-2.0
// Logs of instances as the body of an answer: what hosts send is buffered until the client has
// taken it, and only then is more asked for. Main thread.
//
// Of one instance bytes go as they are; of several each line has its instance before it. Followed,
// all are read at once, else one after the other. The next one is opened when the client asks for
// bytes, never from within what a host says.
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/http_internal.h"
#include "controlplane/peers.h"

#define STREAM_BLOCK ((size_t)16 << 10)
#define LINE_MAX_BYTES ((size_t)64 << 10) // longer ones are cut into several

struct source {
	struct log_reader reader;
	struct tail *tail;
	const struct api_log_source *what;
	char *line; // of several: what has no end so far
	size_t len, room;
	bool open;
};

struct tail {
	struct http *http;
	struct MHD_Connection *connection;
	struct list link;
	struct api_log_source *list;
	struct source *sources;
	size_t count, next; // next: the first one that was not opened
	size_t open;
	unsigned lines;
	bool follow, labels;
	char *bytes;
	size_t len, sent, room;
	bool left, suspended;
};

static void resume(struct tail *t)
{
	if (!t->suspended)
		return;
	t->suspended = false;
	t->http->again = true;
	MHD_resume_connection(t->connection);
}

// ---- what is to be sent ----

static bool grow(char **bytes, size_t *room, size_t need)
{
	char *more;

	if (need <= *room)
		return true;
	more = realloc(*bytes, need * 2);
	if (!more)
		return false; // the piece is lost, as with any log that overflows
	*bytes = more;
	*room = need * 2;
	return true;
}

static void send_bytes(struct tail *t, const char *bytes, size_t len)
{
	if (!len || !grow(&t->bytes, &t->room, t->len + len))
		return;
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void send_line(struct source *s, const char *line, size_t len)
{
	struct tail *t = s->tail;

	if (t->labels) {
		send_bytes(t, s->what->label, strlen(s->what->label));
		send_bytes(t, " | ", 3);
	}
	send_bytes(t, line, len);
	send_bytes(t, "\n", 1);
}

static void end_line(struct source *s)
{
	if (s->len)
		send_line(s, s->line, s->len);
	s->len = 0;
}

static void send_labelled(struct source *s, const char *bytes, size_t len)
{
	while (len) {
		const char *end = memchr(bytes, '\n', len);
		size_t part = end ? (size_t)(end - bytes) : len;

		if (grow(&s->line, &s->room, s->len + part)) {
			memcpy(s->line + s->len, bytes, part);
			s->len += part;
		}
		if (end)
			send_line(s, s->line, s->len);
		if (end)
			s->len = 0;
		else if (s->len > LINE_MAX_BYTES)
			end_line(s);
		bytes += part + (end != NULL);
		len -= part + (end != NULL);
	}
}

static void on_data(struct log_reader *r, const char *bytes, size_t len)
{
	struct source *s = container_of(r, struct source, reader);

	if (s->tail->labels)
		send_labelled(s, bytes, len);
	else
		send_bytes(s->tail, bytes, len);
	resume(s->tail);
}

static void on_end(struct log_reader *r, const char *why)
{
	struct source *s = container_of(r, struct source, reader);
	char line[260];

	end_line(s);
	s->open = false;
	s->tail->open--;
	if (why) {
		int n = snprintf(line, sizeof(line), "[the log ends here: %.200s]", why);

		send_line(s, line, (size_t)n);
	}
	resume(s->tail);
}

// ---- opening and closing ----

static int open_source(struct tail *t, struct source *s)
{
	int rc = t->http->peers ? peers_log_open(t->http->peers, &s->reader, s->what->id, t->lines,
					  t->follow)
				: -ENOENT;

	s->open = !rc;
	t->open += s->open;
	return rc;
}

static const char *reason(int rc)
{
	return rc == -ENOTCONN ? "its host is not connected"
	       : rc == -ENOENT ? "it is gone"
			       : "too many logs of its node are read already";
}

// Opens what is to be read now; what cannot be is told in its place.
static void open_more(struct tail *t)
{
	while (t->next < t->count && (t->follow || !t->open)) {
		struct source *s = &t->sources[t->next++];
		int rc = open_source(t, s);
		char line[100];

		if (rc)
			send_line(s, line,
				(size_t)snprintf(line, sizeof(line), "[no log: %s]", reason(rc)));
	}
}

static void close_all(struct tail *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->sources[i].open)
			peers_log_close(&t->sources[i].reader);
	for (size_t i = 0; i < t->count; i++)
		t->sources[i].open = false;
	t->open = 0;
	t->next = t->count;
}

static void more(struct tail *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->sources[i].open)
			peers_log_more(&t->sources[i].reader);
}

static ssize_t tail_read(void *cls, uint64_t pos, char *out, size_t room)
{
	struct tail *t = cls;
	size_t n;

	(void)pos;
	if (!t->left)
		open_more(t);
	n = t->len - t->sent < room ? t->len - t->sent : room;
	if (n) {
		memcpy(out, t->bytes + t->sent, n);
		t->sent += n;
		if (t->sent < t->len)
			return (ssize_t)n;
		t->sent = t->len = 0;
		more(t);
		return (ssize_t)n;
	}
	if (!t->open)
		return MHD_CONTENT_READER_END_OF_STREAM;
	t->suspended = true;
	MHD_suspend_connection(t->connection);
	return 0;
}

static void tail_free(void *cls)
{
	struct tail *t = cls;

	close_all(t);
	list_del(&t->link);
	for (size_t i = 0; i < t->count; i++)
		free(t->sources[i].line);
	free(t->sources);
	free(t->list);
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

// Takes over the response's list.
static struct tail *tail_new(
	struct http *h, struct MHD_Connection *connection, struct api_response *response)
{
	struct tail *t = calloc(1, sizeof(*t));
	struct source *sources = calloc(response->log_count, sizeof(*sources));

	if (!t || !sources) {
		free(t);
		free(sources);
		return NULL;
	}
	*t = (struct tail){.http = h,
		.connection = connection,
		.list = response->logs,
		.sources = sources,
		.count = response->log_count,
		.lines = response->logs_tail,
		.follow = response->logs_follow,
		.labels = response->logs_labelled};
	response->logs = NULL;
	for (size_t i = 0; i < t->count; i++)
		sources[i] = (struct source){
			.reader = {.data = on_data, .end = on_end}, .tail = t, .what = &t->list[i]};
	list_push(&h->tails, &t->link);
	return t;
}

struct MHD_Response *http_logs_response(
	struct http *h, struct MHD_Connection *connection, struct api_response *response)
{
	struct tail *t = tail_new(h, connection, response);
	struct MHD_Response *r;
	int rc = 0;

	if (!t)
		return NULL;
	if (response->logs_note[0])
		send_bytes(t, response->logs_note, strlen(response->logs_note));
	// One alone that cannot be had is an error, one of several a line.
	if (!t->labels)
		rc = open_source(t, &t->sources[t->next++]);
	if (rc) {
		refuse(response, rc);
		tail_free(t);
		return NULL;
	}
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
		t->left = true;
		close_all(t);
		resume(t);
	}
}
