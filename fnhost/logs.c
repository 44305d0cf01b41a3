// SPDX-License-Identifier: Apache-2.0
// Readers of logs: see logs.h. Loop's thread; a reader looks for more of its file each LOOK, and goes on with the
// new file when the log was rotated. What is asked for and is not in the file any more is looked for in the one before.
#include "fnhost/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fnhost/instances.h"

#define PIECE_BYTES 8192
#define LINES_DEFAULT 100
#define LINES_MAX 100000
#define READERS_MAX 8 // docs/PEER-PROTOCOL.md
#define LOOK (100 * NS_PER_MS)

struct log_reader {
	struct timer timer;
	struct host *host;
	struct rs_stream *stream;
	char id[INSTANCE_ID_MAX + 1];
	char path[2 * OPTION_TEXT_MAX];
	int fd;
	off_t at;
	bool follow;
	bool older; // it reads the file before that of `path`
};

static void reader_free(struct log_reader *r)
{
	timer_cancel(loop_timers(r->host->loop), &r->timer);
	r->stream->user = NULL;
	r->host->log_readers--;
	close(r->fd);
	free(r);
}

// Where the last *lines lines begin; *lines becomes how many more there should be.
static off_t tail(int fd, json_int_t *lines)
{
	char bytes[PIECE_BYTES];
	off_t at = lseek(fd, 0, SEEK_END);
	bool last = true;

	while (at > 0) {
		off_t from = at > PIECE_BYTES ? at - PIECE_BYTES : 0;
		ssize_t n = pread(fd, bytes, (size_t)(at - from), from);

		for (ssize_t i = n; i-- > 0;) {
			// The newline at the very end begins no line.
			if (bytes[i] == '\n' && !last && --*lines <= 0)
				return from + i + 1;
			last = false;
		}
		at = from;
	}
	*lines -= !last;
	return 0;
}

// True if the file at the path is another one now.
static bool rotated(const struct log_reader *r)
{
	struct stat ours, there;

	return fstat(r->fd, &ours) == 0 && stat(r->path, &there) == 0 && ours.st_ino != there.st_ino;
}

static bool runs(const struct log_reader *r)
{
	const struct instance *i = instance_find(r->host, r->id);

	return i && !life_over(&i->life);
}

// The end of the file: what next. False: nothing, the reader is gone or sleeps.
static bool at_end(struct log_reader *r)
{
	struct rs_message none = {0};
	// Also of one that has ended: its last words may be in a new file.
	int fd = (r->follow || r->older) && rotated(r) ? open(r->path, O_RDONLY | O_CLOEXEC) : -1;

	r->older = false;
	if (fd >= 0) {
		close(r->fd);
		r->fd = fd;
		r->at = 0;
		return true;
	}
	if (!r->follow || !runs(r)) {
		struct rs_stream *stream = r->stream;

		reader_free(r);
		rs_payload(stream, &none, false, true);
		return false;
	}
	timer_arm(loop_timers(r->host->loop), &r->timer, loop_now(r->host->loop) + LOOK);
	return false;
}

static void pump(struct log_reader *r)
{
	char bytes[PIECE_BYTES];

	timer_cancel(loop_timers(r->host->loop), &r->timer);
	while (rs_stream_credit(r->stream) > 0) {
		struct rs_message message = {0};
		ssize_t n = pread(r->fd, bytes, sizeof(bytes), r->at);

		if (n <= 0) {
			if (at_end(r))
				continue;
			return;
		}
		if (chain_copy(&message.data, r->host->blocks, bytes, (size_t)n) ||
			rs_payload(r->stream, &message, true, false)) {
			rs_message_clear(&message);
			timer_arm(loop_timers(r->host->loop), &r->timer,
				loop_now(r->host->loop) + LOOK);
			return;
		}
		r->at += n;
	}
}

static void on_timer(struct timer *timer, ns_t now)
{
	pump(container_of(timer, struct log_reader, timer));
}

// To the last `lines` lines, which may begin in the file before.
static void go_back(struct log_reader *r, json_int_t lines)
{
	char path[sizeof(r->path) + 2], end = '\n';
	int fd;

	r->at = tail(r->fd, &lines);
	snprintf(path, sizeof(path), "%s.1", r->path);
	fd = lines > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	close(r->fd);
	r->fd = fd;
	// A line that both have a part of is counted once.
	lines += pread(fd, &end, 1, lseek(fd, 0, SEEK_END) - 1) == 1 && end != '\n';
	r->at = tail(fd, &lines);
	r->older = true;
}

static bool id_valid(const char *id)
{
	return id && id[0] && strlen(id) <= INSTANCE_ID_MAX && !strchr(id, '/') && id[0] != '.';
}

void logs_begin(struct host *h, struct rs_stream *stream, json_t *request)
{
	const char *id = json_string_value(json_object_get(request, "id"));
	json_t *lines = json_object_get(request, "tail");
	json_int_t count = lines ? json_integer_value(lines) : LINES_DEFAULT;
	bool room = h->log_readers < READERS_MAX;
	struct log_reader *r = room && id_valid(id) ? calloc(1, sizeof(*r)) : NULL;

	if (!r) {
		rs_error(stream, room ? RS_ERROR_INVALID : RS_ERROR_REJECTED,
			room ? "logs are asked for by an instance's id" : "too many logs are read");
		return;
	}
	record_log(&h->options, id, r->path, sizeof(r->path));
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		free(r);
		rs_error(stream, RS_ERROR_REJECTED, "this host has no log of that instance");
		return;
	}
	r->host = h;
	h->log_readers++;
	r->stream = stream;
	strcpy(r->id, id);
	r->follow = json_is_true(json_object_get(request, "follow"));
	r->timer.fire = on_timer;
	if (count > 0)
		go_back(r, count < LINES_MAX ? count : LINES_MAX);
	else
		r->at = lseek(r->fd, 0, SEEK_END);
	stream->user = r;
	pump(r);
}

void logs_request_n(struct rs_stream *stream, uint32_t n)
{
	if (stream->user)
		pump(stream->user);
}

void logs_cancel(struct rs_stream *stream)
{
	if (stream->user)
		reader_free(stream->user);
}
