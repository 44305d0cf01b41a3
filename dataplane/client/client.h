// SPDX-License-Identifier: Apache-2.0
// A client: an RSocket session on a TCP connection of the worker's stack.
#pragma once

#include "dataplane/caller.h"
#include "dataplane/relay.h"

struct client {
	struct rs_session session;
	struct caller caller; // its MIME types are from SETUP
	struct relay *relay;
	struct tcp_conn *conn;
	struct list all;
	struct list dirty;  // in the relay's list: output to pull
	struct timer timer; // SETUP's time-out, then keepalive
	struct chain held;  // copied input that waits while paused
	bool leaving;       // drained: waits a little for the client to close
	bool late;          // no SETUP came in time
	bool paused;        // too many replies wait: input is held, and with it the TCP window
	struct client *next_free;
};

static inline struct client *client_of(struct rs_session *s)
{
	return list_entry(s, struct client, session);
}

// Puts output of all dirty clients into TCP.
void clients_flush(struct relay *r);
// While memory is short: cuts the clients that hold most of it.
void clients_relieve(struct relay *r);
// Refuses new calls on all clients; force cuts their connections.
void clients_drain(struct relay *r, bool force);
// Events of accepted connections.
bool client_accept(struct tcp_conn *conn, struct relay *r);
void client_data(struct tcp_conn *conn, struct chain *data);
void client_writable(struct tcp_conn *conn);
void client_eof(struct tcp_conn *conn);
void client_closed(struct tcp_conn *conn, int error);
