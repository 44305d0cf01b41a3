// SPDX-License-Identifier: Apache-2.0
// Carries the API over HTTP/1.1: the control socket and the metrics port, by libmicrohttpd in
// external polling, on the main thread.
#pragma once

#include <stdbool.h>

#include "controlplane/api.h"
#include "lib/base/list.h"

#define HTTP_CONNECTIONS_MAX 256
#define HTTP_FOLLOWERS_MAX 64
#define HTTP_TIMEOUT_S 60

struct MHD_Daemon;
struct peers;

struct http {
	struct MHD_Daemon *daemon;
	struct api *api;
	const char *only_path;  // the metrics port serves nothing else; NULL: all
	int watch_fd;           // an epoll of followers' sockets, to see those that leave
	struct list waiting;    // exchanges held back until they are durable
	struct list followers;
	struct list tails;    // of logs
	struct peers *peers;  // who knows logs; NULL: nobody
	bool again;  // something was resumed: run before sleeping
};

// Takes the listening socket, also when it fails. 0 or -E... .
int http_start(struct http *h, struct api *api, int listen_fd, const char *only_path);
// Readable when there is something to do; also watch_fd.
int http_fd(const struct http *h);
// How long to sleep at most, in ms; -1: no limit.
int http_timeout_ms(const struct http *h);
void http_run(struct http *h);
// The registry has settled a batch: 0, or the error that undid it. Answers who waited and wakes
// followers.
void http_settled(struct http *h, int error);
// The same of the scheduler's log: it is stored as far as it tells by now, or could not be.
void http_logged(struct http *h, int error);
// Answers what it can, then closes all.
void http_stop(struct http *h);
