// SPDX-License-Identifier: Apache-2.0
// Logs of instances: asked of their hosts (penstock.logs), handed to readers. Main thread.
//
// A reader grants what it has taken, so a slow one stops its host's stream and nothing else.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/peers_internal.h"
#include "controlplane/registry_internal.h"
#include "lib/rsocket/metadata.h"

#define ROUTE "penstock.logs"
#define ITEMS_UNDER_WAY 8
#define STREAMS_OF_HOST_MAX 8

struct log_stream {
	struct list link;  // in the peer's logs
	struct log_reader *reader;
	struct rs_stream *stream;
	uint32_t taken;  // items since the last grant
};

static void finish(struct log_stream *l, const char *why)
{
	struct log_reader *reader = l->reader;

	list_del(&l->link);
	free(l);
	reader->stream = NULL;
	reader->end(reader, why);
}

bool peer_logs_item(struct rs_stream *stream, struct rs_message *message, bool next, bool complete)
{
	struct log_stream *l = stream->user;

	if (!l)
		return false;
	if (next) {
		char *text = must(malloc(message->data.len + 1));

		chain_read(&message->data, 0, text, message->data.len);
		l->taken++;
		l->reader->data(l->reader, text, message->data.len);
		free(text);
	}
	if (complete)
		finish(l, NULL);
	return true;
}

void peer_logs_end(struct rs_stream *stream, const char *why)
{
	if (stream->user)
		finish(stream->user, why);
}

void peer_logs_lost(struct peer *peer)
{
	list_for_each_safe (at, after, &peer->logs)
		finish(list_entry(at, struct log_stream, link), "its host is gone");
}

static struct peer *host_of(struct peers *p, const char *name)
{
	list_for_each (at, &p->all) {
		struct peer *peer = list_entry(at, struct peer, all);

		if (peer->role == &peer_role_host && !peer->superseded &&
			strcmp(peer->name, name) == 0)
			return peer;
	}
	return NULL;
}

static int make_request(struct peer *peer, struct rs_message *message, const char *id,
	unsigned tail, bool follow)
{
	json_t *data = json_pack(
		"{s:s, s:i, s:b}", "id", id, "tail", (int)tail, "follow", (int)follow);
	char *text = must(json_dumps(data, JSON_COMPACT));
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int rc = chain_copy(&message->data, peer->peers->blocks, text, strlen(text));

	free(text);
	json_decref(data);
	if (rc)
		return rc;
	rs_route_entry_write(&w, ROUTE, (uint8_t)strlen(ROUTE));
	message->has_metadata = true;
	return chain_copy(&message->metadata, peer->peers->blocks, bytes, (size_t)(w.at - bytes));
}

static size_t streams_of(const struct peer *peer)
{
	size_t n = 0;

	list_for_each (at, &peer->logs)
		n++;
	return n;
}

int peers_log_open(
	struct peers *p, struct log_reader *r, const char *id, unsigned tail, bool follow)
{
	const struct fleet_instance *i =
		p->orchestrator ? fleet_instance(&p->orchestrator->fleet, id) : NULL;
	struct peer *peer = i ? host_of(p, i->host->name) : NULL;
	struct rs_message message = {0};
	struct log_stream *l;
	int rc;

	r->stream = NULL;
	if (!i)
		return -ENOENT;
	if (!peer)
		return -ENOTCONN;
	if (streams_of(peer) >= STREAMS_OF_HOST_MAX)
		return -EBUSY;
	rc = make_request(peer, &message, id, tail, follow);
	if (rc) {
		rs_message_clear(&message);
		return -EBUSY;
	}
	l = must(calloc(1, sizeof(*l)));
	l->reader = r;
	l->stream = rs_request(&peer->link.session, RS_REQUEST_STREAM, ITEMS_UNDER_WAY, &message, l,
		&rc);
	if (!l->stream) {
		free(l);
		return -EBUSY;
	}
	r->stream = l;
	list_push(&peer->logs, &l->link);
	return 0;
}

void peers_log_more(struct log_reader *r)
{
	struct log_stream *l = r->stream;

	if (!l || !l->taken)
		return;
	rs_request_n(l->stream, l->taken);
	l->taken = 0;
}

void peers_log_close(struct log_reader *r)
{
	struct log_stream *l = r->stream;

	if (!l)
		return;
	l->stream->user = NULL;
	rs_cancel(l->stream);
	list_del(&l->link);
	free(l);
	r->stream = NULL;
}
