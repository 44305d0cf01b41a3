// SPDX-License-Identifier: Apache-2.0
// `faulty`: a function for tests of the platform. Data is a verb and its argument:
//   "crash"        dies of SIGSEGV, with all its calls
//   "exit N"       leaves with status N
//   "hang"         waits until it is cancelled
//   "spin MS"      looks at nothing for MS milliseconds, as a bad function would
//   "sleep MS"     waits, and replies with MS; ends early when cancelled
//   "error CODE T" answers with that error
//   "call F DATA"  replies with what function F replies to DATA
//   "try F DATA"   the same, and writes to the log how the call ended
//   "left"         replies with the time left in us
//   "log TEXT"     writes to the log, by pn_log and on standard output
//   "pid"          replies with the process id
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fnhost/demo/demo.h"

static void nap_ms(long ms)
{
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static int do_crash(struct pn_context *ctx, const char *arg)
{
	signal(SIGSEGV, SIG_DFL); // sanitizers would rather report it
	raise(SIGSEGV);
	return 0;
}

static int do_exit(struct pn_context *ctx, const char *arg)
{
	_exit((int)strtol(arg, NULL, 10));
}

static int do_hang(struct pn_context *ctx, const char *arg)
{
	while (!pn_cancelled(ctx))
		nap_ms(5);
	pn_log(ctx, "hang was cancelled");
	return -ECANCELED;
}

static int do_spin(struct pn_context *ctx, const char *arg)
{
	nap_ms(strtol(arg, NULL, 10));
	return pn_reply(ctx, arg, strlen(arg));
}

static int do_sleep(struct pn_context *ctx, const char *arg)
{
	for (long left = strtol(arg, NULL, 10); left > 0; left -= 5) {
		if (pn_cancelled(ctx))
			return -ECANCELED;
		nap_ms(left < 5 ? left : 5);
	}
	return pn_reply(ctx, arg, strlen(arg));
}

static int do_error(struct pn_context *ctx, const char *arg)
{
	char *end;
	unsigned long code = strtoul(arg, &end, 0);

	return pn_error(ctx, (uint32_t)code, "%s", *end == ' ' ? end + 1 : end);
}

static int call(struct pn_context *ctx, const char *arg, bool log)
{
	const char *space = strchr(arg, ' ');
	char function[256];
	struct pn_result result;
	int error;

	snprintf(function, sizeof(function), "%.*s", space ? (int)(space - arg) : 255, arg);
	error = pn_call(ctx, function, space ? space + 1 : "", space ? strlen(space + 1) : 0, &result);
	if (error)
		return error;
	if (log)
		pn_log(ctx, "%s ended with %#x: %s", function, result.code,
			result.code && result.data ? (char *)result.data : "");
	if (result.code)
		pn_error(ctx, result.code, "%s", result.data ? (char *)result.data : "");
	else
		pn_reply(ctx, result.data, result.len);
	pn_result_free(&result);
	return 0;
}

static int do_call(struct pn_context *ctx, const char *arg)
{
	return call(ctx, arg, false);
}

static int do_try(struct pn_context *ctx, const char *arg)
{
	return call(ctx, arg, true);
}

static int do_left(struct pn_context *ctx, const char *arg)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%" PRId64, pn_time_left_us(ctx));

	return pn_reply(ctx, text, (size_t)len);
}

static int do_log(struct pn_context *ctx, const char *arg)
{
	pn_log(ctx, "%s", arg);
	printf("%s\n", arg);
	fflush(stdout);
	return pn_reply(ctx, "", 0);
}

static int do_pid(struct pn_context *ctx, const char *arg)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", (int)getpid());

	return pn_reply(ctx, text, (size_t)len);
}

static const struct {
	const char *name;
	int (*run)(struct pn_context *ctx, const char *arg);
} verbs[] = {
	{"crash", do_crash},
	{"exit", do_exit},
	{"hang", do_hang},
	{"spin", do_spin},
	{"sleep", do_sleep},
	{"error", do_error},
	{"call", do_call},
	{"try", do_try},
	{"left", do_left},
	{"log", do_log},
	{"pid", do_pid},
};

static int run(struct pn_context *ctx, const void *data, size_t len)
{
	char text[1024];
	size_t word;

	if (len >= sizeof(text))
		return pn_error(ctx, PN_INVALID, "too long");
	memcpy(text, data, len);
	text[len] = 0;
	word = strcspn(text, " ");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strlen(verbs[i].name) == word && memcmp(verbs[i].name, text, word) == 0)
			return verbs[i].run(ctx, text + word + (text[word] == ' '));
	return pn_error(ctx, PN_INVALID, "no such verb");
}

static int run_event(struct pn_context *ctx, const void *data, size_t len)
{
	return run(ctx, data, len);
}

const struct pn_function demo_faulty = {.call = run, .event = run_event};
