// SPDX-License-Identifier: Apache-2.0
// Runs calls over one link.
//
//   caller_run --link_dial--> connecting --on_up: start_call--> calling --end of the stream-->
//     more to repeat: start_call;  else finish --> link_close --> on_down
//
// One thread, one loop, at most one stream at a time. The deadline timer covers the connection,
// then each answer and item. After `finished` no callback starts anything.
#include "tools/cli/caller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"
#include "lib/link/link.h"

#define BLOCK_BYTES (64u << 10)
#define BLOCKS_BYTES_MAX ((size_t)192 << 20)
#define STREAMS_MAX 4
#define KEEPALIVE_MS 5000
#define LIFETIME_MS 30000
#define CLOSE_WAIT (1 * NS_PER_SEC)

struct run {
	const struct caller_job *job;
	struct caller_result *result;
	struct loop *loop;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct link link;
	struct timer deadline;
	struct rs_stream *stream;
	ns_t began;        // of the connection, then of the call
	uint64_t items;    // of the call
	uint32_t granted;  // items of the call that may still come
	bool up, finished, closed;
};

static struct run *run_of(struct rs_session *s)
{
	return link_of(s)->user;
}

static void finish(struct run *run, enum caller_end end, const char *error)
{
	if (run->finished)
		return;
	run->finished = true;
	run->result->end = end;
	snprintf(run->result->error, sizeof(run->result->error), "%s", error);
	timer_cancel(loop_timers(run->loop), &run->deadline);
}

static void expect(struct run *run)
{
	if (run->job->timeout > 0)
		timer_arm(loop_timers(run->loop), &run->deadline, clock_now() + run->job->timeout);
}

static void on_deadline(struct timer *timer, ns_t now)
{
	struct run *run = container_of(timer, struct run, deadline);
	char text[128];

	snprintf(text, sizeof(text),
		run->up ? "no answer within %.3g s" : "no connection within %.3g s",
		(double)run->job->timeout / 1e9);
	if (run->stream)
		rs_cancel(run->stream);
	run->stream = NULL;
	finish(run, run->up ? CALLER_TIMED_OUT : CALLER_NOT_REACHED, text);
}

static int fill(struct run *run, struct rs_message *message)
{
	const struct caller_job *job = run->job;

	message->has_metadata = true;
	if (chain_copy(&message->metadata, run->blocks, job->metadata, job->metadata_len) ||
		chain_copy(&message->data, run->blocks, job->data, job->data_len)) {
		rs_message_clear(message);
		return -ENOBUFS;
	}
	return 0;
}

static uint32_t first_credit(const struct caller_job *job)
{
	return job->items_max && job->items_max < job->credit ? (uint32_t)job->items_max
							      : job->credit;
}

static void start_call(struct run *run)
{
	struct rs_message message = {0};
	int error = fill(run, &message);

	run->began = clock_now();
	run->items = 0;
	run->granted = first_credit(run->job);
	if (!error && run->job->type == RS_REQUEST_FNF)
		error = rs_fire_and_forget(&run->link.session, &message);
	else if (!error)
		run->stream = rs_request(
			&run->link.session, run->job->type, run->granted, &message, NULL, &error);
	if (error && (run->job->type == RS_REQUEST_FNF || !run->stream))
		finish(run, CALLER_FAILED,
			error == -EMSGSIZE ? "the data is too large: 16 MiB at most"
					   : "the request could not be made: out of memory for it");
	else
		expect(run);
}

static void call_done(struct run *run)
{
	run->stream = NULL;
	hist_add(&run->result->whole_ns, (uint64_t)(clock_now() - run->began));
	if (++run->result->calls == run->job->repeat)
		finish(run, CALLER_DONE, "");
	else
		start_call(run);
}

// Fire-and-forgets have no answer: one is done when its bytes have left.
static void send_forgotten(struct run *run)
{
	if (run->finished || !run->up || run->job->type != RS_REQUEST_FNF)
		return;
	if (!rs_output_pending(&run->link.session) && loop_conn_idle(run->link.conn))
		call_done(run);
}

static void take_item(struct run *run, const struct chain *data)
{
	if (run->items++ == 0)
		hist_add(&run->result->first_ns, (uint64_t)(clock_now() - run->began));
	run->granted--;
	run->result->items++;
	run->result->bytes += data->len;
	if (!run->job->item(run->job->user, data))
		finish(run, CALLER_ITEM_REFUSED, "the output cannot be written");
}

// Grants more when half of the credit is used, never more than are wanted.
static void grant(struct run *run)
{
	uint64_t wanted = run->job->credit;
	uint32_t more;

	if (run->job->items_max && run->job->items_max - run->items < wanted)
		wanted = run->job->items_max - run->items;
	if (run->granted > run->job->credit / 2 || run->granted >= wanted)
		return;
	more = (uint32_t)wanted - run->granted;
	run->granted += more;
	rs_request_n(run->stream, more);
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct run *run = run_of(stream->session);
	bool enough;

	if (complete || run->finished)
		run->stream = NULL;
	if (run->finished)
		return;
	if (next)
		take_item(run, &message->data);
	enough = run->job->items_max && run->items >= run->job->items_max;
	if (!complete && (enough || run->finished)) {
		rs_cancel(stream);
		run->stream = NULL;
	}
	if (run->finished)
		return;
	if (complete || enough) {
		call_done(run);
		return;
	}
	grant(run);
	expect(run);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	struct run *run = run_of(stream->session);
	char error[CALLER_ERROR_MAX] = "", name[32];
	size_t len, n;

	if (code >= RS_ERROR_CUSTOM_MIN)
		snprintf(name, sizeof(name), "0x%x", code);
	else
		snprintf(name, sizeof(name), "%s", rs_error_name(code));
	len = (size_t)snprintf(error, sizeof(error), "%s%s", name, text->len ? ": " : "");
	n = chain_read(text, 0, error + len, sizeof(error) - len - 1);
	error[len + n] = '\0';
	run->stream = NULL;
	finish(run, CALLER_FAILED, error);
}

static void on_lost(struct rs_stream *stream, bool sent)
{
	run_of(stream->session)->stream = NULL;
}

static void on_up(struct link *link)
{
	struct run *run = link->user;

	run->up = true;
	run->result->connect_ns = clock_now() - run->began;
	start_call(run);
}

static void on_down(struct link *link, const char *why)
{
	struct run *run = link->user;
	char text[CALLER_ERROR_MAX];

	// A dialled link would try again: here the first fault is told.
	run->closed = true;
	snprintf(text, sizeof(text), run->up ? "the connection was lost: %s" : "%s", why);
	finish(run, CALLER_NOT_REACHED, text);
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.closed = link_ended,
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
};

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static int dial(struct run *run)
{
	const struct rs_config config = {
		.handler = &handler,
		.keepalive_ms = KEEPALIVE_MS,
		.lifetime_ms = LIFETIME_MS,
		.metadata_mime = "message/x.rsocket.composite-metadata.v0",
		.data_mime = run->job->data_mime,
	};
	int error;

	link_hub_init(&run->hub, run->loop, run->pool);
	run->began = clock_now();
	run->deadline.fire = on_deadline;
	error = link_dial(&run->link, &run->hub, (const struct sockaddr *)&run->job->addr,
		run->job->addr_len, &config, &link_ops, run);
	if (!error)
		expect(run);
	return error;
}

// Steps until everything is done, then lets what is under way leave before the connection closes.
static int drive(struct run *run)
{
	ns_t until;
	int r = 0;

	while (!run->finished && r >= 0) {
		r = loop_step(run->loop, NS_NEVER);
		send_forgotten(run);
	}
	if (run->closed)
		goto out;
	link_close(&run->link);
	for (until = clock_now() + CLOSE_WAIT; r >= 0 && !run->closed && clock_now() < until;)
		r = loop_step(run->loop, until);
out:
	return r < 0 ? r : 0;
}

int caller_run(const struct caller_job *job, struct caller_result *result)
{
	struct run run = {.job = job, .result = result};
	const struct loop_config config = {.entries = 64, .buffers = 64};
	int error = 0;

	*result = (struct caller_result){.end = CALLER_NOT_REACHED};
	run.loop = loop_new(&config, &error);
	run.blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	run.pool = run.blocks ? rs_pool_new(STREAMS_MAX, run.blocks) : NULL;
	if (!run.loop)
		snprintf(result->error, sizeof(result->error),
			"io_uring: %s; `penstock doctor` tells more", strerror(-error));
	else if (!run.pool)
		error = -ENOMEM;
	else
		error = dial(&run);
	if (!error)
		error = drive(&run);
	if (error && !result->error[0])
		snprintf(result->error, sizeof(result->error), "%s", strerror(-error));
	if (run.loop)
		loop_destroy(run.loop);
	if (run.pool)
		rs_pool_destroy(run.pool);
	if (run.blocks)
		buf_pool_destroy(run.blocks);
	return error;
}
