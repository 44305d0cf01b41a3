// SPDX-License-Identifier: Apache-2.0
// What the files of the SDK share: the context of a call, and what carries it (backend): the platform,
// or the harness for tests.
#pragma once

#include "fnhost/sdk/penstock.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"

#define PN_ERROR_TEXT_MAX 1024
#define PN_FUNCTION_MAX 200 // "[NAMESPACE/]NAME[@VERSION]"

enum pn_kind { PN_CALL, PN_EVENT, PN_STREAM };

struct rs_stream;

// A call of a handler to another function.
struct pn_outgoing {
	struct list link; // in ctx->outgoing
	struct pn_context *ctx;
	pn_done *done;
	void *arg;
	char function[PN_FUNCTION_MAX + 1];
	void *data; // the request, until the backend has taken it
	size_t len;
	bool over; // result is there
	struct pn_result result;
	struct rs_stream *stream; // the platform's
};

struct pn_backend {
	int (*item)(struct pn_context *ctx, const void *data, size_t len, bool wait);
	// Takes the call; sooner or later it is over.
	int (*call)(struct pn_context *ctx, struct pn_outgoing *out);
	// Waits for one that is over and takes it off the list. NULL: cancelled.
	struct pn_outgoing *(*next_over)(struct pn_context *ctx);
	ns_t (*now)(struct pn_context *ctx);
	void (*log)(struct pn_context *ctx, const char *line, size_t len);
};

struct pn_context {
	const struct pn_backend *backend;
	enum pn_kind kind;
	void *data;
	size_t len;
	char mime[129];
	uint64_t id;
	ns_t deadline; // NS_NEVER: none
	bool cancelled; // atomic
	// The answer.
	bool answered;
	uint32_t code; // of an error
	char text[PN_ERROR_TEXT_MAX];
	void *reply;
	size_t reply_len;
	struct list outgoing;
	unsigned outgoing_count;
};

void pn_context_init(struct pn_context *ctx, const struct pn_backend *backend, enum pn_kind kind);
// Runs the handler and settles what it left open.
void pn_context_run(struct pn_context *ctx, const struct pn_function *function);
// Frees request, answer and outgoing calls, none of which is with the backend any more.
void pn_context_fini(struct pn_context *ctx);
void pn_outgoing_free(struct pn_outgoing *out);
// Ends an outgoing call: takes data (with a NUL behind it), or NULL.
void pn_outgoing_over(struct pn_outgoing *out, uint32_t code, void *data, size_t len);
// A copy with a NUL behind it, or NULL.
void *pn_copy(const void *data, size_t len);
// cases.c: runs the cases of `penstock test` until the stream ends. 0 or -E....
int pn_cases_serve(int fd, const struct pn_function *function);
