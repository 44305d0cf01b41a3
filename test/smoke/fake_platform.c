// SPDX-License-Identifier: Apache-2.0
// What a function host meets, for its smoke test: a control plane that assigns what it is told on standard
// input, and a gateway that sends calls of functions back to the host.
//
//   fake-platform PEER HOST
//
// PEER: where to listen as control plane. HOST: the host to dial as gateway. Lines on standard input:
//   run ID FUNCTION VERSION SPEC   assign; SPEC is JSON
//   never ID FUNCTION VERSION SPEC the same, and it is to be stopped
//   stop ID                        want it stopped
//   gone ID                        forget it
//   again all                      tell all of it once more, in another snapshot
//   drop host                      close the host's connection; it comes back
//   logs ID LINES [follow]         ask for a log; its text goes to standard output
//   call FUNCTION DATA             call as a gateway; "reply TEXT" or "error CODE TEXT" on standard output
//   file FUNCTION IN OUT           the same with files; "reply" alone when OUT is written
// Standard output has a line for each report: "report" and its JSON; "load" and numbers for each push.
// Ends with standard input.
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnhost/relay.h"
#include "lib/base/addr.h"
#include "lib/base/cursor.h"
#include "lib/call/entry.h"
#include "lib/link/link.h"
#include "lib/rsocket/metadata.h"

#define LINES_MAX 64
#define LINE_BYTES 4096
#define WANTED_MAX 64

struct platform {
	struct loop *loop;
	struct link_hub hub;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link gateway;
	struct link host; // the one connection as control plane
	bool host_up;
	struct rs_stream *watch;
	json_t *wanted; // id: message
	json_int_t seq;
	uint64_t calls;
	char out[512]; // where the reply of `file` goes
	struct rs_stream *file;
	pthread_mutex_t lock;
	char lines[LINES_MAX][LINE_BYTES];
	unsigned lines_count;
	bool over;
};

static struct platform platform;

static void push_text(struct chain *out, const char *text)
{
	chain_copy(out, platform.blocks, text, strlen(text));
}

// json stays the caller's.
static void send_item(struct rs_stream *watch, json_t *json)
{
	struct rs_message message = {0};
	char *text;

	json_object_set_new(json, "seq", json_integer(platform.seq));
	text = json_dumps(json, JSON_COMPACT);
	push_text(&message.data, text);
	rs_payload(watch, &message, true, false);
	free(text);
}

static void set_route(struct rs_message *message, const char *route, uint32_t left_us)
{
	uint8_t bytes[400];
	struct writer w = writer_of(bytes, sizeof(bytes));
	const struct call_entry call = {.left_us = left_us, .id = ++platform.calls};

	rs_route_entry_write(&w, route, (uint8_t)strlen(route));
	rs_entry_write_name(&w, CALL_ENTRY_MIME, CALL_ENTRY_HEAD_BYTES);
	call_entry_write(&w, &call);
	chain_copy(&message->metadata, platform.blocks, bytes, (size_t)(w.at - bytes));
	message->has_metadata = true;
}

// Control plane

static void print_chain(const char *what, const struct chain *data)
{
	char *text = calloc(1, data->len + 1);

	chain_read(data, 0, text, data->len);
	printf("%s%s\n", what, text);
	fflush(stdout);
	free(text);
}

static void snapshot(struct rs_stream *stream)
{
	json_t *begin = json_pack("{s:s, s:s}", "op", "snapshot_begin", "epoch", "fake");
	json_t *end = json_pack("{s:s}", "op", "snapshot_end");
	json_t *message;
	const char *id;

	send_item(stream, begin);
	json_object_foreach(platform.wanted, id, message)
	{
		send_item(stream, message);
	}
	send_item(stream, end);
	json_decref(begin);
	json_decref(end);
}

static void peer_request(struct rs_stream *stream, struct rs_message *message)
{
	if (stream->type == RS_REQUEST_STREAM) {
		platform.watch = stream;
		snapshot(stream);
	} else if (stream->type == RS_REQUEST_FNF) {
		print_chain("report ", &message->data);
	}
}

static uint32_t peer_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	print_chain("setup ", &setup->message.data);
	return 0;
}

static void peer_lost(struct rs_stream *stream, bool sent)
{
	if (stream == platform.watch)
		platform.watch = NULL;
}

static void peer_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	if (next)
		print_chain("log ", &message->data);
}

static const struct rs_handler peer_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.setup = peer_setup,
	.request = peer_request,
	.lost = peer_lost,
	.payload = peer_payload,
};

static void peer_down(struct link *link, const char *why)
{
	platform.host_up = false;
}

static const struct link_ops peer_ops = {.down = peer_down};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	static const struct rs_config config = {.handler = &peer_handler};

	if (platform.host_up || link_serve(&platform.host, &platform.hub, fd, &config, &peer_ops, NULL))
		return;
	platform.host_up = true;
}

// Gateway: what the host asks for goes back to it.

static void relay_ended(struct relay *r, enum relay_end how)
{
	free(r);
}

static void gateway_request(struct rs_stream *stream, struct rs_message *message)
{
	struct relay *r = calloc(1, sizeof(*r));

	relay_init(r, stream, stream->type, relay_ended);
	relay_start(r, &platform.gateway.session, message);
}

static void write_file(const struct chain *data)
{
	FILE *file = fopen(platform.out, "w");

	for (const struct chain_node *node = data->first; file && node; node = node->next)
		fwrite(node->slice.data, 1, node->slice.len, file);
	if (file)
		fclose(file);
	platform.file = NULL;
	puts("reply");
	fflush(stdout);
}

static void read_file(struct chain *to, const char *path)
{
	FILE *file = fopen(path, "r");
	char bytes[4096];
	size_t n;

	while (file && (n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		chain_copy(to, platform.blocks, bytes, n);
	if (file)
		fclose(file);
}

static void gateway_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	if (stream->user)
		relay_on_payload(stream, message, next, complete);
	else if (stream == platform.file)
		write_file(&message->data);
	else
		print_chain("reply ", &message->data);
}

static void gateway_error(struct rs_stream *stream, uint32_t code, struct chain *text)
{
	char what[32];

	snprintf(what, sizeof(what), "error %#x ", code);
	if (stream->user)
		relay_on_error(stream, code, text);
	else
		print_chain(what, text);
}

static void gateway_lost(struct rs_stream *stream, bool sent)
{
	if (stream->user)
		relay_on_lost(stream, sent);
	else
		puts("lost");
}

static void gateway_push(struct rs_session *s, struct chain *metadata)
{
	uint8_t bytes[4096];
	struct reader r = reader_of(bytes, chain_read(metadata, 0, bytes, sizeof(bytes)));

	if (reader_u8(&r) != 2)
		return;
	while (reader_left(&r) > 0 && !r.bad) {
		size_t len = reader_u8(&r);
		const uint8_t *namespace = reader_take(&r, len);
		size_t name_len = reader_u8(&r);
		const uint8_t *name = reader_take(&r, name_len);
		uint32_t version = reader_u32(&r), queued = reader_u32(&r), running = reader_u32(&r);
		uint32_t capacity = reader_u32(&r);

		if (!r.bad)
			printf("load %.*s/%.*s@%u %u %u %u\n", (int)len, (const char *)namespace,
				(int)name_len, (const char *)name, version, queued, running, capacity);
	}
	fflush(stdout);
}

static const struct rs_handler gateway_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.request = gateway_request,
	.payload = gateway_payload,
	.error = gateway_error,
	.lost = gateway_lost,
	.request_n = relay_on_request_n,
	.cancel = relay_on_cancel,
	.pulled = relay_on_pulled,
	.metadata_push = gateway_push,
};

static const struct link_ops gateway_ops = {0};

// Commands

static void run_line(char *line)
{
	char *save, *verb = strtok_r(line, " ", &save), *id = strtok_r(NULL, " ", &save);
	struct rs_message message = {0};
	json_t *json = NULL;
	int error;

	if (!verb || !id)
		return;
	platform.seq++;
	if (strcmp(verb, "run") == 0 || strcmp(verb, "never") == 0) {
		char *function = strtok_r(NULL, " ", &save), *version = strtok_r(NULL, " ", &save);

		json = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o}", "op", "instance", "id", id,
			"namespace", "default", "function", function, "version", atoi(version),
			"desired", verb[0] == 'r' ? "run" : "stop", "spec", json_loads(save, 0, NULL));
		json_object_set(platform.wanted, id, json);
	} else if (strcmp(verb, "stop") == 0) {
		json = json_incref(json_object_get(platform.wanted, id));
		json_object_set_new(json, "desired", json_string("stop"));
	} else if (strcmp(verb, "gone") == 0) {
		json_object_del(platform.wanted, id);
		json = json_pack("{s:s, s:s}", "op", "instance_gone", "id", id);
	} else if (strcmp(verb, "again") == 0 && platform.watch) {
		snapshot(platform.watch);
	} else if (strcmp(verb, "drop") == 0 && platform.host_up) {
		link_close(&platform.host);
	} else if (strcmp(verb, "logs") == 0) {
		char text[256];

		snprintf(text, sizeof(text), "{\"id\":\"%s\",\"tail\":%d,\"follow\":%s}", id,
			atoi(save), strstr(save, "follow") ? "true" : "false");
		set_route(&message, "penstock.logs", 0);
		push_text(&message.data, text);
		rs_request(&platform.host.session, RS_REQUEST_STREAM, 100, &message, NULL, &error);
	} else if (strcmp(verb, "call") == 0) {
		set_route(&message, id, 5000000);
		push_text(&message.data, save);
		rs_request(&platform.gateway.session, RS_REQUEST_RESPONSE, 0, &message, NULL, &error);
	}
	if (strcmp(verb, "file") == 0) {
		char *in = strtok_r(NULL, " ", &save), *out = strtok_r(NULL, " ", &save);

		snprintf(platform.out, sizeof(platform.out), "%s", out);
		set_route(&message, id, 20000000);
		read_file(&message.data, in);
		platform.file = rs_request(
			&platform.gateway.session, RS_REQUEST_RESPONSE, 0, &message, NULL, &error);
	}
	if (json && platform.watch)
		send_item(platform.watch, json);
	json_decref(json);
}

static void on_wake(struct loop *loop, void *user)
{
	pthread_mutex_lock(&platform.lock);
	for (unsigned i = 0; i < platform.lines_count; i++)
		run_line(platform.lines[i]);
	platform.lines_count = 0;
	pthread_mutex_unlock(&platform.lock);
}

static void *read_lines(void *arg)
{
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		pthread_mutex_lock(&platform.lock);
		if (platform.lines_count < LINES_MAX)
			strcpy(platform.lines[platform.lines_count++], line);
		pthread_mutex_unlock(&platform.lock);
		loop_wake(platform.loop);
	}
	__atomic_store_n(&platform.over, true, __ATOMIC_RELEASE);
	loop_wake(platform.loop);
	return NULL;
}

int main(int argc, char **argv)
{
	static const uint8_t who[] = "{\"role\":\"gateway\",\"name\":\"fake\"}";
	struct rs_message setup = {0};
	const struct rs_config config = {
		.handler = &gateway_handler,
		.keepalive_ms = 1000,
		.lifetime_ms = 5000,
		.metadata_mime = rs_mime_name(RS_MIME_COMPOSITE),
		.data_mime = rs_mime_name(RS_MIME_OCTET_STREAM),
		.setup = &setup,
	};
	struct sockaddr_storage peer, host;
	socklen_t peer_len, host_len;
	pthread_t thread;
	int error = 0;

	if (argc != 3 || sockaddr_parse(argv[1], &peer, &peer_len) ||
		sockaddr_parse(argv[2], &host, &host_len)) {
		fputs("usage: fake-platform PEER HOST\n", stderr);
		return 2;
	}
	platform.loop = loop_new(NULL, &error);
	platform.blocks = buf_pool_new(16384, (size_t)64 << 20);
	platform.pool = rs_pool_new(4096, platform.blocks);
	platform.wanted = json_object();
	pthread_mutex_init(&platform.lock, NULL);
	link_hub_init(&platform.hub, platform.loop, platform.pool);
	loop_on_wake(platform.loop, on_wake, NULL);
	if (!loop_listen(platform.loop, (struct sockaddr *)&peer, peer_len, on_accept, NULL, &error)) {
		fprintf(stderr, "cannot listen: %s\n", strerror(-error));
		return 1;
	}
	chain_push(&setup.data, NULL, who, sizeof(who) - 1);
	link_dial(&platform.gateway, &platform.hub, (struct sockaddr *)&host, host_len, &config,
		&gateway_ops, NULL);
	pthread_create(&thread, NULL, read_lines, NULL);
	while (!__atomic_load_n(&platform.over, __ATOMIC_ACQUIRE))
		if (loop_step(platform.loop, NS_NEVER) < 0)
			break;
	pthread_join(thread, NULL);
	json_decref(platform.wanted);
	return 0; // the kernel cleans up after a test's helper
}
