// SPDX-License-Identifier: Apache-2.0
// The control socket: HTTP/1.1 and JSON over a Unix socket, through libcurl.
#pragma once

#include <jansson.h>

#include "tools/cli/cli.h"

// What came back. `exit` says what the verb should end with; all else is empty when it is
// CLI_UNREACHABLE (which has been complained about).
struct api_reply {
	enum cli_exit exit;  // CLI_DONE for 2xx, CLI_REFUSED for other statuses
	long status;
	json_t *body;   // NULL: none, or no JSON
	char *text;     // the body as it came, NUL-terminated; may be NULL
	char etag[64];  // without quotes; empty: none
	// Of an error body; never NULL after a refusal, but `field`.
	const char *code, *message, *field;
};

struct api_request {
	const char *method;    // NULL: GET
	const char *path;      // with query
	const json_t *body;    // NULL: none
	const char *if_match;  // ETag; NULL: none
	const char *accept;    // NULL: application/json
	const char *content_type;
};

// Sends and waits. Returns reply->exit. The reply is to be ended with api_reply_end() in every
// case.
enum cli_exit api_call(struct cli *cli, const struct api_request *request, struct api_reply *reply);
enum cli_exit api_get(struct cli *cli, const char *path, struct api_reply *reply);
void api_reply_end(struct api_reply *reply);
// "penstock: WHAT: message" for a refusal; nothing more when the socket was not reached.
enum cli_exit api_complain(struct cli *cli, const char *what, const struct api_reply *reply);
// GET whose body is lines: on_line gets each without its end, empty ones and a last one without an
// end, too; false ends it.
enum cli_exit api_stream(struct cli *cli, const char *path,
	bool (*on_line)(struct cli *cli, const char *line, void *user), void *user);
// All items of a list, page by page: an array, or NULL with *exit set and complained about. query:
// NULL, or "label=a%3Db&..." already encoded.
json_t *api_list(struct cli *cli, const char *path, const char *query, enum cli_exit *exit);
// Percent-encodes. Caller frees.
char *api_escape(const char *text);
// Frees what the requests of a run kept; without any request nothing.
void api_close(struct cli *cli);
