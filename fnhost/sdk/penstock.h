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
// Memory. What a handler is given is valid until it returns; what it hands over is copied, but for pn_reply_take().
// Data may hold any bytes; a NUL stands behind it, which len does not count. Lengths are bytes.
//
// Errors are 0 or negative errno values; where a comment names some, there are no others. -ECANCELED means that
// nobody waits for this call any more (cancelled, past its deadline, or the connection was lost): clean up and
// return it.
//
// `penstock test` and penstock-test.h (fnhost/sdk/test.h) test a function without any platform; penstock-sdk(3) is
// this file as a manual page.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pn_context; // one call, within its handler

// Handles one call. data: len bytes, 0 to PN_BYTES_MAX, valid until it returns; never NULL. Returning 0 (or more)
// without pn_reply() answers with nothing. A negative errno without pn_error() answers APPLICATION_ERROR with
// strerror()'s text, -ECANCELED answers CANCELED. After an answer the return value does not matter.
typedef int pn_handler(struct pn_context *ctx, const void *data, size_t len);

// What a program is; it must stay as it is while pn_main() runs. A kind of call whose handler is NULL is answered
// INVALID.
struct pn_function {
	pn_handler *call;   // request-response: at most one pn_reply() or pn_error()
	pn_handler *event;  // fire-and-forget: nobody hears of pn_reply() and pn_error()
	pn_handler *stream; // request-stream: any number of pn_item(); returning ends the stream
	// Once, on the main thread, before the first call and before the instance counts as ready, with the words of
	// the command; anything but 0 ends the program with that status. May be NULL.
	int (*start)(int argc, char **argv);
	// Once, on the main thread, after the last call has ended. May be NULL.
	void (*stop)(void);
};

// Serves until SIGTERM or SIGINT, then finishes the calls that run; new ones are rejected meanwhile. Returns the
// program's exit status: 0; 1: it could not serve (a sentence is in the log); 2: nobody said where to serve; what
// start() returned. Call it once, with no threads of your own running (start() may make some). PENSTOCK_SOCKET and
// PENSTOCK_CONCURRENCY (1 to 256) in the environment are the host's; PENSTOCK_INSTANCE, PENSTOCK_FUNCTION
// ("NAMESPACE/NAME") and PENSTOCK_VERSION are there to be read. SIGPIPE is ignored.
int pn_main(int argc, char **argv, const struct pn_function *function);

// --- answering ---

#define PN_BYTES_MAX (16u << 20) // 16 MiB: of a request, a reply, an item

// RSocket's codes: what callers see of pn_error().
#define PN_APPLICATION_ERROR 0x201u
#define PN_REJECTED 0x202u // never started; safe to retry elsewhere
#define PN_CANCELED 0x203u
#define PN_INVALID 0x204u // the request is wrong, do not repeat it
#define PN_CUSTOM_MIN 0x301u // application-defined, to 0xfffffffe

// The reply: len bytes, 0 to PN_BYTES_MAX; a copy is taken. It leaves when the handler returns. 0, -EALREADY: there
// is an answer already, -EMSGSIZE: too long, -ENOTSUP: a stream has items instead, -ENOMEM.
int pn_reply(struct pn_context *ctx, const void *data, size_t len);
// The same, but the storage, which malloc() made, is given away, also on failure. NULL with len 0 is an empty reply.
// 0, -EALREADY, -EMSGSIZE, -ENOTSUP.
int pn_reply_take(struct pn_context *ctx, void *data, size_t len);
// Ends the call, or the stream behind its items, with an error: one of the codes above or of your own; codes that may
// not stand there become APPLICATION_ERROR. The text is cut at 1023 bytes. Returns 0 or -EALREADY, so a handler may
// `return pn_error(...)`.
int pn_error(struct pn_context *ctx, uint32_t code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
// An item of a stream: len bytes, 0 to PN_BYTES_MAX; a copy is taken. Waits until the caller has asked for it and
// earlier ones have left (256 KiB may be under way). 0, -ECANCELED, -EMSGSIZE, -ENOTSUP: this is no stream,
// -EALREADY: it was ended by pn_error(), -ENOMEM.
int pn_item(struct pn_context *ctx, const void *data, size_t len);
// The same without waiting: -EAGAIN when it would.
int pn_item_try(struct pn_context *ctx, const void *data, size_t len);

// --- asking ---

// True once nobody waits for the answer any more: look now and then in long work. It stays true.
bool pn_cancelled(struct pn_context *ctx);
// Microseconds until the caller's deadline, never below 0; INT64_MAX: there is none.
int64_t pn_time_left_us(struct pn_context *ctx);
// MIME type of the request's data, as the caller named it; "" if he did not. Never NULL; valid as ctx.
const char *pn_mime(struct pn_context *ctx);
// The same for all calls that one call at the edge led to; 0: not known.
uint64_t pn_call_id(struct pn_context *ctx);

// --- calling other functions ---

// How a call ended.
struct pn_result {
	uint32_t code; // 0: data is the reply; else one of the codes above, and data its text
	void *data;    // from malloc(), with a NUL behind it; NULL: there was no memory for it
	size_t len;    // without the NUL
};

// Calls "[NAMESPACE/]NAME[@VERSION]" (1 to 200 bytes) through host and gateway, with len bytes, 0 to PN_BYTES_MAX.
// Deadline and trace are inherited. Waits. 0: the call has ended, and result says how: free it with
// pn_result_free(); else result is untouched: -ECANCELED, -ENOMEM, -EINVAL: the name, -EMSGSIZE, -EAGAIN: as below.
int pn_call(struct pn_context *ctx, const char *function, const void *data, size_t len,
	struct pn_result *result);
// Frees result->data and empties the result.
void pn_result_free(struct pn_result *result);

// Many at once: done() is called on the handler's own thread, within pn_wait() (or pn_call()), so it needs no lock; it
// may call more. result is freed afterwards; take its data by setting result->data to NULL, and free() it. At most
// PN_CALLS_MAX may be under way, else -EAGAIN. A handler that returns gives up what is still under way, and
// done() is not called for that. 0, -ECANCELED, -ENOMEM, -EINVAL, -EMSGSIZE, -EAGAIN.
#define PN_CALLS_MAX 256
typedef void pn_done(struct pn_context *ctx, struct pn_result *result, void *arg);
int pn_call_async(struct pn_context *ctx, const char *function, const void *data, size_t len,
	pn_done *done, void *arg);
// Waits and runs done() for what has ended, until at most `under_way` calls are. 0, -ECANCELED.
int pn_wait(struct pn_context *ctx, unsigned under_way);

// --- telling ---

// A line in the instance's log, with the call's id in front, cut at about 2 KiB; a line end is added. ctx may be NULL
// outside handlers. What a program writes to standard output and error goes to the same log.
void pn_log(struct pn_context *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
