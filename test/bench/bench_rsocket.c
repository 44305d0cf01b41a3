// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per call of a client and a server session back to back, without sockets: what the
// protocol itself costs. Arguments: [calls] [payload bytes] [calls per batch].

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/rsocket/session.h"

static uint8_t payload[1 << 16];
static uint32_t payload_len = 32;
static uint64_t replies;

static void wake(struct rs_session *s)
{
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	rs_payload(stream, message, true, true);
}

static void on_payload(
	struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	replies++;
}

static const struct rs_handler server_handler = {.wake = wake, .request = on_request};
static const struct rs_handler client_handler = {.wake = wake, .payload = on_payload};

// Moves bytes as a transport would: into a receive buffer of its own, in one slice. A reply may
// still refer to the request's bytes, hence one buffer for each direction.
static void transfer(struct rs_session *from, struct rs_session *to, ns_t *spent)
{
	static uint8_t storages[2][1 << 20];
	uint8_t *storage = storages[from->role];
	struct chain out = {0}, in = {0};
	ns_t start;
	size_t len;

	while (rs_output_pending(from)) {
		start = clock_now();
		rs_output(from, &out, 256 << 10);
		*spent += clock_now() - start;
		len = chain_read(&out, 0, storage, sizeof(storages[0]));
		chain_skip(&out, len);
		chain_push(&in, NULL, storage, (uint32_t)len);
		start = clock_now();
		rs_input(to, &in, start);
		*spent += clock_now() - start;
	}
}

static void ask(struct rs_session *client, uint64_t batch)
{
	for (uint64_t i = 0; i < batch; i++) {
		struct rs_message message = {0};
		int error;

		chain_push(&message.data, NULL, payload, payload_len);
		if (!rs_request(client, RS_REQUEST_RESPONSE, 1, &message, NULL, &error))
			exit(1);
	}
}

int main(int argc, char **argv)
{
	uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	uint64_t batch = argc > 3 ? strtoull(argv[3], NULL, 10) : 64, done = 0;
	struct buf_pool *blocks = buf_pool_new(4096, 0);
	struct rs_pool *pool = rs_pool_new(1 << 16, blocks);
	struct rs_session client, server;
	struct rs_config config = {.role = RS_CLIENT,
		.handler = &client_handler,
		.pool = pool,
		.keepalive_ms = 20000,
		.lifetime_ms = 90000,
		.metadata_mime = "message/x.rsocket.routing.v0",
		.data_mime = "application/octet-stream"};
	ns_t start, both = 0, server_in = 0;

	if (argc > 2)
		payload_len = (uint32_t)strtoul(argv[2], NULL, 10);
	if (payload_len > sizeof(payload) || !pool || rs_session_init(&client, &config, 0))
		return 2;
	config = (struct rs_config){.role = RS_SERVER, .handler = &server_handler, .pool = pool};
	if (rs_session_init(&server, &config, 0))
		return 2;
	while (done < calls) {
		start = clock_now();
		ask(&client, batch);
		both += clock_now() - start;
		transfer(&client, &server, &server_in);
		transfer(&server, &client, &both);
		done += batch;
	}
	printf("%" PRIu64 " calls of %u bytes, %" PRIu64
	       " a batch: server's input and client's output "
	       "%.1f ns, client's and server's other half %.1f ns, both sides %.1f ns a call\n",
		done, payload_len, batch, (double)server_in / (double)done,
		(double)both / (double)done, (double)(server_in + both) / (double)done);
	rs_session_fini(&client);
	rs_session_fini(&server);
	rs_pool_destroy(pool);
	buf_pool_destroy(blocks);
	return replies == done ? 0 : 1;
}
