// SPDX-License-Identifier: Apache-2.0
// The page of counters: see metrics.h. Control thread only.
//
// One request a connection: read up to the blank line, answer, close. Connections are few and
// bounded.

#include "dataplane/metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/base/atomic.h"

#define CONNECTIONS_MAX 16u
#define REQUEST_BYTES_MAX 4096u
#define REQUEST_TIMEOUT (5 * NS_PER_SEC)
#define PAGE_BLOCK_BYTES 16384u
#define PAGE_BYTES_MAX ((size_t)8 << 20)

struct metrics {
	struct loop *loop;
	struct loop_listener *listener;
	struct buf_pool *blocks;
	struct report_sources sources;
	unsigned connections;
};

struct visit {
	struct metrics *metrics;
	struct loop_conn *conn;
	struct timer timer;
	char request[REQUEST_BYTES_MAX];
	size_t len;
	bool answered;
};

static void put(struct metrics *m, struct chain *page, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void put(struct metrics *m, struct chain *page, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n > 0)
		chain_copy(page, m->blocks, line,
			(size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void put_group(struct metrics *m, struct chain *page, const struct report_group *group)
{
	bool gauge = group->gauges;

	for (unsigned i = 0; i < group->count; i++) {
		const struct report_counter *counter = &group->counters[i];
		uint64_t sum = 0;

		for (unsigned w = 0; w < m->sources.workers; w++)
			sum += counter_read(&group->values(w, m->sources.arg)[i]);
		put(m, page, "# HELP penstock_%s_%s%s %s\n", group->name, counter->name,
			gauge ? "" : "_total", counter->help);
		put(m, page, "# TYPE penstock_%s_%s%s %s\n", group->name, counter->name,
			gauge ? "" : "_total", gauge ? "gauge" : "counter");
		put(m, page, "penstock_%s_%s%s %llu\n", group->name, counter->name,
			gauge ? "" : "_total", (unsigned long long)sum);
	}
}

static void answer(struct visit *v)
{
	struct metrics *m = v->metrics;
	struct chain page = {0}, out = {0};
	bool found = strncmp(v->request, "GET /metrics ", 13) == 0;

	v->answered = true;
	if (found)
		for (unsigned i = 0; i < m->sources.groups; i++)
			put_group(m, &page, &m->sources.group[i]);
	else
		put(m, &page, "There is only GET /metrics here.\n");
	put(m, &out,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n",
		found ? "200 OK" : "404 Not Found", page.len);
	chain_append(&out, &page);
	if (loop_send(v->conn, &out))
		chain_clear(&out);
	loop_close(v->conn);
}

static void on_data(struct loop_conn *c, struct chain *in)
{
	struct visit *v = loop_conn_user(c);

	if (v->answered)
		return;
	v->len += chain_read(in, 0, v->request + v->len, sizeof(v->request) - 1 - v->len);
	v->request[v->len] = '\0';
	if (strstr(v->request, "\r\n\r\n"))
		answer(v);
	else if (v->len == sizeof(v->request) - 1)
		loop_abort(c);
}

static void on_closed(struct loop_conn *c, int error)
{
	struct visit *v = loop_conn_user(c);

	(void)error;
	timer_cancel(loop_timers(v->metrics->loop), &v->timer);
	v->metrics->connections--;
	free(v);
}

static const struct loop_conn_ops ops = {.data = on_data, .closed = on_closed};

static void on_timeout(struct timer *timer, ns_t now)
{
	struct visit *v = list_entry(timer, struct visit, timer);

	(void)now;
	loop_abort(v->conn);
}

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	struct metrics *m = user;
	struct visit *v = m->connections < CONNECTIONS_MAX ? calloc(1, sizeof(*v)) : NULL;
	int error;

	if (!v) {
		close(fd);
		return;
	}
	v->metrics = m;
	v->timer.fire = on_timeout;
	v->conn = loop_adopt(loop_listener_loop(l), fd, &ops, v, &error);
	if (!v->conn) {
		close(fd);
		free(v);
		return;
	}
	m->connections++;
	timer_arm(loop_timers(m->loop), &v->timer, loop_now(m->loop) + REQUEST_TIMEOUT);
}

struct metrics *metrics_new(
	struct loop *loop, const char *address, const struct report_sources *sources, int *error)
{
	struct metrics *m = calloc(1, sizeof(*m));
	struct sockaddr_storage addr;
	socklen_t len;

	*error = m ? sockaddr_parse(address, &addr, &len) : -ENOMEM;
	if (*error)
		goto fail;
	m->loop = loop;
	m->sources = *sources;
	m->blocks = buf_pool_new(PAGE_BLOCK_BYTES, PAGE_BYTES_MAX);
	*error = -ENOMEM;
	if (!m->blocks)
		goto fail;
	m->listener = loop_listen(loop, (const struct sockaddr *)&addr, len, on_accept, m, error);
	if (!m->listener)
		goto fail;
	return m;
fail:
	metrics_free(m);
	return NULL;
}

void metrics_stop(struct metrics *m)
{
	if (!m)
		return;
	if (m->listener)
		loop_listener_close(m->listener);
	m->listener = NULL;
	// Workers end now, and what they counted with them: who still asks is told nothing of
	// theirs.
	m->sources.workers = 0;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	buf_pool_destroy(m->blocks);
	free(m);
}
