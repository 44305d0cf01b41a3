// SPDX-License-Identifier: Apache-2.0
// A call of `penstock-gen load`: started, checked, measured, ended.
//
// Client's thread only. A call's record is in use from call_start() until its stream's terminal
// event, a time-out or a cancel; records in flight are on the client's list by age, which all have
// the same time-out, so that only its head needs a look. Latency counts from the intended start;
// calls intended before the measurement began are counted apart.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/gen/load.h"

static struct load_stats *stats_of(struct client *cl, ns_t start)
{
	return &cl->stats[start >= cl->measure];
}

int calls_init(struct client *cl)
{
	list_init(&cl->free_calls);
	list_init(&cl->ages);
	cl->calls = calloc(cl->calls_max, sizeof(*cl->calls));
	if (!cl->calls)
		return -ENOMEM;
	for (uint32_t i = 0; i < cl->calls_max; i++)
		list_push(&cl->free_calls, &cl->calls[i].age);
	return 0;
}

void calls_error(struct client *cl, ns_t start, const char *text)
{
	stats_error(stats_of(cl, start), text);
}

static unsigned entry_index(const struct client *cl, const struct mix_entry *e)
{
	return (unsigned)(e - cl->load->mix.entries);
}

// Gives the record back, and in a closed loop starts the next call in its place.
static void call_free(struct call *call, ns_t now)
{
	struct client_conn *conn = call->conn;
	struct client *cl = conn->client;

	list_del(&call->age);
	list_push_first(&cl->free_calls, &call->age);
	conn->calls_out--;
	cl->calls_out--;
	if (cl->rate == 0 && cl->phase == PHASE_RUN && now < cl->end)
		calls_fill(cl, conn, now);
}

static void call_failed(struct call *call, const char *text)
{
	struct client *cl = call->conn->client;
	struct load_stats *s = stats_of(cl, call->start);
	ns_t now = clock_now();

	stats_error(s, text);
	counter_add(&s->functions[entry_index(cl, call->entry)].errors, 1);
	cl->last_end = now;
	call_free(call, now);
}

static void call_ended(struct call *call)
{
	struct client *cl = call->conn->client;
	struct load_stats *s = stats_of(cl, call->start);
	struct function_stats *f = &s->functions[entry_index(cl, call->entry)];
	ns_t now = clock_now();

	hist_add(&f->latency_ns, (uint64_t)(now - call->start));
	counter_add(&f->calls, 1);
	counter_add(&s->calls, 1);
	if (now <= cl->end)
		s->calls_in_time++;
	cl->last_end = now;
	call_free(call, now);
}

static void push_data(const struct call *call, struct chain *out)
{
	const struct load *load = call->conn->client->load;
	const struct mix_entry *e = call->entry;
	uint64_t left = load->config.mix.size;
	uint32_t at = call->pattern;

	if (e->data_len) {
		chain_push(out, NULL, (const uint8_t *)e->data, e->data_len);
		return;
	}
	while (left) {
		uint32_t n = PATTERN_BYTES - at;

		if (n > left)
			n = (uint32_t)left;
		chain_push(out, NULL, load->pattern + at, n);
		left -= n;
		at = 0;
	}
}

static bool same_pattern(const struct call *call, const struct chain *data)
{
	const struct load *load = call->conn->client->load;
	uint32_t at = call->pattern;

	if (data->len != load->config.mix.size)
		return false;
	for (const struct chain_node *node = data->first; node; node = node->next) {
		const uint8_t *bytes = node->slice.data;
		uint32_t left = node->slice.len;

		while (left) {
			uint32_t n = PATTERN_BYTES - at;

			if (n > left)
				n = left;
			if (memcmp(bytes, load->pattern + at, n) != 0)
				return false;
			bytes += n;
			left -= n;
			at = (at + n) % PATTERN_BYTES;
		}
	}
	return true;
}

static bool is_decimal(const struct chain *data, uint64_t n)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)n);

	return chain_equal(data, text, (size_t)len);
}

static bool item_ok(const struct call *call, const struct chain *data)
{
	const struct mix_entry *e = call->entry;

	switch (e->check) {
	case CHECK_SAME:
		return e->data_len ? chain_equal(data, e->data, e->data_len)
				   : same_pattern(call, data);
	case CHECK_DATA:
		return chain_equal(data, e->data, e->data_len);
	case CHECK_ITEMS:
		return is_decimal(data, call->items);
	case CHECK_LENGTH:
		return data->len == e->number;
	case CHECK_SIZE:
		return is_decimal(data,
			e->data_len ? e->data_len : call->conn->client->load->config.mix.size);
	case CHECK_NONE:
		break;
	}
	return true;
}

static bool items_complete(const struct call *call)
{
	if (call->entry->check == CHECK_ITEMS)
		return call->items == call->entry->number;
	return call->entry->check == CHECK_NONE || call->items == 1;
}

static void grant(struct call *call)
{
	uint64_t credit = call->conn->client->load->config.credit;

	if (++call->ungranted < (credit + 1) / 2)
		return;
	rs_request_n(call->stream, call->ungranted);
	call->ungranted = 0;
}

static void stop(struct call *call)
{
	struct load_stats *s = stats_of(call->conn->client, call->start);

	rs_cancel(call->stream);
	counter_add(&s->cancelled, 1);
	call_free(call, clock_now());
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct call *call = stream->user;
	struct load_stats *s = stats_of(call->conn->client, call->start);

	if (next) {
		call->items++;
		counter_add(&s->items, 1);
		counter_add(&s->bytes_in, message->data.len);
		if (!item_ok(call, &message->data)) {
			if (!complete)
				rs_cancel(stream);
			call_failed(call, "corrupt");
			return;
		}
	}
	if (complete && items_complete(call))
		call_ended(call);
	else if (complete)
		call_failed(call, "incomplete: the stream ended early");
	else if (call->cancel)
		stop(call);
	else
		grant(call);
}

static void on_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	char line[ERROR_TEXT_MAX];
	size_t at, n;

	if (code >= RS_ERROR_CUSTOM_MIN)
		at = (size_t)snprintf(line, sizeof(line), "0x%x: ", code);
	else
		at = (size_t)snprintf(line, sizeof(line), "%s: ", rs_error_name(code));
	n = chain_read(text, 0, line + at, sizeof(line) - 1 - at);
	line[at + n] = 0;
	call_failed(stream->user, line);
}

// What a gateway would tell with CANCELED and REJECTED.
static void on_lost(struct rs_stream *stream, bool sent)
{
	struct call *call = stream->user;
	struct load *load = call->conn->client->load;

	if (!load->config.reconnect)
		atomic_fetch_add(&load->failed, 1);
	conn_lost(call->conn);
	call_failed(call, sent ? "lost: the connection broke after sending"
			       : "lost: the connection broke before sending");
}

const struct rs_handler call_handler = {
	.payload = on_payload,
	.error = on_error,
	.lost = on_lost,
};

static const char *why_not(int error)
{
	switch (error) {
	case -ENOBUFS:
		return "not sent: a queue is full";
	case -EMSGSIZE:
		return "not sent: too large";
	default:
		return "not sent: the session has ended";
	}
}

static int send_call(struct client *cl, struct call *call)
{
	struct client_conn *conn = call->conn;
	const struct mix_entry *e = call->entry;
	struct rs_message message = {.has_metadata = true};
	uint64_t credit = cl->load->config.credit;
	int error = 0;

	chain_push(&message.metadata, NULL, e->metadata, e->metadata_len);
	push_data(call, &message.data);
	counter_add(&stats_of(cl, call->start)->bytes_out, message.data.len);
	if (e->type == RS_REQUEST_FNF)
		return rs_fire_and_forget(conn->session, &message);
	call->stream = rs_request(conn->session, e->type, (uint32_t)credit, &message, call, &error);
	return call->stream ? 0 : error;
}

static void count_start(struct client *cl, struct client_conn *conn, ns_t start)
{
	const struct load_config *config = &cl->load->config;

	cl->budget--;
	conn->calls_made++;
	counter_add(&stats_of(cl, start)->started, 1);
	if (conn->faulty && config->vanish && conn->calls_made % config->vanish == 0)
		conn->vanish = true;
}

// A fire-and-forget ends when it is handed over; its place is taken until it has left the session,
// which is what keeps a closed loop closed.
static void fnf_ended(struct client *cl, struct call *call)
{
	struct load_stats *s = stats_of(cl, call->start);

	counter_add(&s->calls, 1);
	counter_add(&s->functions[entry_index(cl, call->entry)].calls, 1);
	if (call->start <= cl->end)
		s->calls_in_time++;
	cl->last_end = call->start;
	list_push_first(&cl->free_calls, &call->age);
	call->conn->fnf_out++;
}

bool call_start(struct client *cl, struct client_conn *conn, ns_t start)
{
	struct list *at = list_first(&cl->free_calls);
	struct call *call;
	int error;

	if (!at) {
		calls_error(cl, start, "not sent: too many calls in flight");
		cl->budget--;
		return false;
	}
	call = list_entry(at, struct call, age);
	list_del(at);
	*call = (struct call){.conn = conn, .start = start, .pattern = cl->next_pattern};
	cl->next_pattern = (cl->next_pattern + 193) % (PATTERN_BYTES / 2);
	call->entry = mix_choose(&cl->load->mix, &cl->rng);
	if (cl->load->config.cancel > 0 && call->entry->type == RS_REQUEST_STREAM)
		call->cancel = rng_unit(&cl->rng) <= cl->load->config.cancel;
	error = send_call(cl, call);
	if (error) {
		list_push_first(&cl->free_calls, &call->age);
		counter_add(
			&stats_of(cl, start)->functions[entry_index(cl, call->entry)].errors, 1);
		calls_error(cl, start, why_not(error));
		if (error == -ESHUTDOWN)
			conn_lost(conn);
		cl->budget--;
		return false;
	}
	if (call->entry->type == RS_REQUEST_FNF) {
		fnf_ended(cl, call);
	} else {
		list_push(&cl->ages, &call->age);
		conn->calls_out++;
		cl->calls_out++;
	}
	count_start(cl, conn, start);
	return true;
}

void calls_fill(struct client *cl, struct client_conn *conn, ns_t now)
{
	uint64_t outstanding = cl->load->config.outstanding;

	if (conn->fnf_out && !rs_output_pending(conn->session))
		conn->fnf_out = 0;
	while (conn->up && conn->calls_out + conn->fnf_out < outstanding && cl->budget)
		if (!call_start(cl, conn, now))
			break;
}

void calls_sweep(struct client *cl, ns_t now)
{
	ns_t timeout = (ns_t)cl->load->config.timeout_ms * NS_PER_MS;

	while (!list_empty(&cl->ages)) {
		struct call *call = list_entry(cl->ages.next, struct call, age);

		if (now - call->start < timeout)
			break;
		rs_cancel(call->stream);
		call_failed(call, "timeout");
	}
}
