// SPDX-License-Identifier: Apache-2.0
// A stack: all its memory is taken here, at start.

#include <stdlib.h>

#include "dataplane/tcp/internal.h"

#define TIME_WAIT_MS_DEFAULT 60000
#define TTL_DEFAULT 64
#define WINDOW_MAX (1u << 30)

// The smallest shift with which the whole window can be told (RFC 7323 2.3).
static uint8_t shift_of(uint32_t window)
{
	uint8_t shift = 0;

	while (shift < TCP_WINDOW_SHIFT_MAX && window >> shift > UINT16_MAX)
		shift++;
	return shift;
}

static int init(struct tcp_stack *s)
{
	if (tcp_table_init(s) || tcp_peers_init(s) || tcp_time_wait_init(s) || tcp_ooo_init(s))
		return -ENOMEM;
	s->replies = calloc(TCP_REPLIES, sizeof(*s->replies));
	s->compact_pool = buf_pool_new(s->config.mtu, TCP_COMPACT_BYTES_MAX);
	return s->replies && s->compact_pool ? 0 : -ENOMEM;
}

static void fini(struct tcp_stack *s)
{
	buf_pool_destroy(s->compact_pool);
	free(s->replies);
	tcp_ooo_fini(s);
	tcp_time_wait_fini(s);
	tcp_peers_fini(s);
	tcp_table_fini(s);
	free(s);
}

struct tcp_stack *tcp_stack_new(
	const struct tcp_config *config, struct timer_wheel *wheel, ns_t now)
{
	struct tcp_stack *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->config = *config;
	s->wheel = wheel;
	s->now = s->started = now;
	memcpy(s->table_key, config->key, sizeof(s->table_key));
	memcpy(s->secret_key, config->key + sizeof(s->table_key), sizeof(s->secret_key));
	if (s->config.conns_max < 2)
		s->config.conns_max = 2;
	if (s->config.recv_window_bytes > WINDOW_MAX)
		s->config.recv_window_bytes = WINDOW_MAX;
	if (s->config.time_wait_ms == 0)
		s->config.time_wait_ms = TIME_WAIT_MS_DEFAULT;
	if (s->config.ttl == 0)
		s->config.ttl = TTL_DEFAULT;
	s->half_open_max = s->config.conns_max / 2;
	s->window_shift = shift_of(s->config.recv_window_bytes);
	list_init(&s->ready);
	list_init(&s->half_open);
	if (init(s)) {
		fini(s);
		return NULL;
	}
	return s;
}

void tcp_stack_destroy(struct tcp_stack *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->config.conns_max; i++)
		tcp_conn_end(&s->conns[i], -ECONNABORTED);
	fini(s);
}

uint32_t tcp_conns(const struct tcp_stack *s)
{
	return s->conns_used;
}

const struct tcp_counters *tcp_counters(const struct tcp_stack *s)
{
	return &s->counters;
}
