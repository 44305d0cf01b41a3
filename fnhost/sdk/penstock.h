// SPDX-License-Identifier: Apache-2.0
// The C API of functions. A function is a program: its main() hands its handlers to pn_main(), which
// serves calls until it is told to end.
//
//	static int shout(struct pn_context *ctx, const void *data, size_t len)
//	{
//		...
//		return pn_reply(ctx, text, len);
//	}
//
//	int main(int argc, char **argv)
//	{
//		static const struct pn_function function = {.call = shout};
//
//		return pn_main(argc, argv, &function);
//	}
//
// Threads. A handler may block: as many run at once as the function's concurrency says (1 unless its
// manifest says more), each on a thread of its own. What handlers share needs a lock if concurrency
// is above 1. A context belongs to its handler's thread and is gone when the handler returns.
//
// Errors are 0 or negative errno values. -ECANCELED means that nobody waits for this call any more
// (cancelled, past its deadline, or the connection was lost): clean up and return.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pn_context; // one call, within its handler

// Handles one call. data is valid until it returns. Returning 0 without pn_reply() answers with nothing;
// a negative errno without pn_error() answers APPLICATION_ERROR with its text.
typedef int pn_handler(struct pn_context *ctx, const void *data, size_t len);

struct pn_function {
	pn_handler *call;   // request-response
	pn_handler *event;  // fire-and-forget; pn_reply() and pn_error() do nothing there
	pn_handler *stream; // any number of pn_item(); returning ends the stream
	// Once, before the first call; anything but 0 ends the program with that status.
	int (*start)(int argc, char **argv);
	void (*stop)(void); // once, after the last
};

// Serves until SIGTERM, then finishes the calls that run. The program's exit status.
int pn_main(int argc, char **argv, const struct pn_function *function);

// --- answering ---

#define PN_BYTES_MAX (16u << 20) // of a request, a reply, an item

// RSocket's codes: what callers see of pn_error().
#define PN_APPLICATION_ERROR 0x201u
#define PN_REJECTED 0x202u // never started; safe to retry elsewhere
#define PN_CANCELED 0x203u
#define PN_INVALID 0x204u // the request is wrong, do not repeat it
#define PN_CUSTOM_MIN 0x301u // application-defined, to 0xfffffffe

// The reply; a copy is taken. It leaves when the handler returns. -EALREADY: there is an answer already, -EMSGSIZE,
// -ENOTSUP: a stream has items instead.
int pn_reply(struct pn_context *ctx, const void *data, size_t len);
// The same, but the storage (from malloc) is given away, also on failure.
int pn_reply_take(struct pn_context *ctx, void *data, size_t len);
// Ends the call, or the stream behind its items, with an error. Codes that may not stand there become
// APPLICATION_ERROR. Returns 0 or -EALREADY, so a handler may `return pn_error(...)`.
int pn_error(struct pn_context *ctx, uint32_t code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
// An item of a stream. Waits until the caller has asked for it and earlier ones have left.
// 0, -ECANCELED, -EMSGSIZE, -ENOTSUP: this is no stream.
int pn_item(struct pn_context *ctx, const void *data, size_t len);
// The same without waiting: -EAGAIN.
int pn_item_try(struct pn_context *ctx, const void *data, size_t len);

// --- asking ---

// True once nobody waits for the answer any more: look now and then in long work.
bool pn_cancelled(struct pn_context *ctx);
// Until the caller's deadline, never below 0; INT64_MAX: there is none.
int64_t pn_time_left_us(struct pn_context *ctx);
// Of the request's data, as the caller named it; "" if he did not.
const char *pn_mime(struct pn_context *ctx);
// The same for all calls that one call at the edge led to; 0: not known.
uint64_t pn_call_id(struct pn_context *ctx);

// --- calling other functions ---

struct pn_result {
	uint32_t code; // 0: data is the reply; else one of the codes above, and data its text
	void *data;    // with a NUL behind it
	size_t len;
};

// Calls "[NAMESPACE/]NAME[@VERSION]" through host and gateway. Deadline and trace are inherited. Waits.
// 0: an answer is in result, free it with pn_result_free(); -ECANCELED, -ENOMEM, -EINVAL, -EMSGSIZE.
int pn_call(struct pn_context *ctx, const char *function, const void *data, size_t len,
	struct pn_result *result);
void pn_result_free(struct pn_result *result);

// Many at once: done() is called on the handler's own thread, within pn_wait(), so it needs no lock.
// result is freed afterwards; take its data by setting result->data to NULL. At most PN_CALLS_MAX may be
// under way, else -EAGAIN. A handler that returns gives up what is still under way.
#define PN_CALLS_MAX 256
typedef void pn_done(struct pn_context *ctx, struct pn_result *result, void *arg);
int pn_call_async(struct pn_context *ctx, const char *function, const void *data, size_t len,
	pn_done *done, void *arg);
// Runs done() for what has ended, until at most `under_way` calls are. 0, -ECANCELED.
int pn_wait(struct pn_context *ctx, unsigned under_way);

// --- telling ---

// A line in the instance's log. ctx may be NULL outside handlers.
void pn_log(struct pn_context *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
