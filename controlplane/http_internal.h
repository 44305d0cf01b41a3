// SPDX-License-Identifier: Apache-2.0
// What http.c and http_logs.c share.
#pragma once

#include "controlplane/http.h"

struct MHD_Connection;
struct MHD_Response;

// The connection is seen by watch_fd when its client leaves, also while it is suspended.
void http_watch(struct http *h, struct MHD_Connection *connection);
int http_connection_fd(struct MHD_Connection *connection);

// The answer to a request for logs; NULL: none, and *response tells why instead.
struct MHD_Response *http_logs_response(
	struct http *h, struct MHD_Connection *connection, struct api_response *response);
// The client behind this descriptor has left; -1: all are to go.
void http_logs_left(struct http *h, int fd);
