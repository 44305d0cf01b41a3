// SPDX-License-Identifier: Apache-2.0
// Packet buffers as bufs, and a worker's inbox. Runs the EAL without huge pages, ports or rights.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/inbox.h"
#include "dataplane/mbuf.h"

#define POOL 64
#define MESSAGES_MAX (INBOX_MESSAGES - 1)

static struct rte_mempool *pool;

static int group_setup(void **state)
{
	char *argv[] = {"test", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m",
		"64", "--log-level=*:critical", NULL};

	(void)state;
	if (rte_eal_init(8, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create(
		"test", POOL, 0, MBUF_PRIVATE, 512 + RTE_PKTMBUF_HEADROOM, 0);
	return pool ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}

static struct rte_mbuf *packet(const char *text)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint16_t len = (uint16_t)strlen(text);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, len), text, len);
	return m;
}

static void the_last_reference_frees_the_packet(void **state)
{
	uint32_t held = 0;
	struct chain chain = {0};
	struct buf *buf = mbuf_buf(packet("hello"), &held);

	(void)state;
	assert_int_equal(held, 1);
	assert_int_equal(buf->size, 5);
	assert_memory_equal(buf->base, "hello", 5);
	chain_push(&chain, buf, buf->base + 1, 3);
	buf_unref(buf);
	assert_int_equal(held, 1);
	assert_int_equal(rte_mempool_avail_count(pool), POOL - 1);
	assert_true(chain_equal(&chain, "ell", 3));
	chain_clear(&chain);
	assert_int_equal(held, 0);
	assert_int_equal(rte_mempool_avail_count(pool), POOL);
}

static struct rte_mbuf *segments(unsigned n)
{
	struct rte_mbuf *m = packet("<");

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(rte_pktmbuf_chain(m, packet("0123456789")), 0);
	return m;
}

static void segments_are_gathered(void **state)
{
	struct buf_pool *blocks = buf_pool_new(64, 64);
	struct buf *buf, *none;

	(void)state;
	buf = mbuf_gather(segments(3), blocks);
	assert_non_null(buf);
	assert_int_equal(buf->used, 31);
	assert_memory_equal(buf->base, "<012345678901234567890123456789", 31);
	assert_int_equal(rte_mempool_avail_count(pool), POOL);
	// At the pool's limit, and longer than a block: dropped, and the packet is free all the
	// same.
	none = mbuf_gather(segments(3), blocks);
	assert_null(none);
	buf_unref(buf);
	none = mbuf_gather(segments(7), blocks);
	assert_null(none);
	assert_int_equal(rte_mempool_avail_count(pool), POOL);
	assert_int_equal(buf_pool_bytes(blocks), 0);
	buf_pool_destroy(blocks);
}

static void an_inbox_is_bounded_and_keeps_order(void **state)
{
	struct worker_message message = {.kind = MESSAGE_NEIGHBOUR}, out[32];
	unsigned sent = 0, taken = 0, n;
	struct inbox inbox;

	(void)state;
	assert_int_equal(inbox_init(&inbox, 0), 0);
	assert_true(inbox_empty(&inbox));
	for (;;) {
		message.news.ip_be = sent;
		if (inbox_post(&inbox, &message))
			break;
		sent++;
	}
	assert_int_equal(sent, MESSAGES_MAX);
	while ((n = inbox_take(&inbox, out, 32)))
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(out[i].news.ip_be, taken++);
	assert_int_equal(taken, sent);
	inbox_fini(&inbox);
}

static void only_a_sleeper_is_woken(void **state)
{
	struct worker_message message = {.kind = MESSAGE_NEIGHBOUR};
	struct inbox inbox;
	uint64_t wakes;

	(void)state;
	assert_int_equal(inbox_init(&inbox, 1), 0);
	assert_int_equal(inbox_post(&inbox, &message), 0);
	assert_int_equal(read(inbox.fd, &wakes, sizeof(wakes)), -1);
	inbox_sleep(&inbox);
	assert_false(inbox_empty(&inbox));  // what came before is seen before sleeping
	assert_int_equal(inbox_post(&inbox, &message), 0);
	assert_int_equal(read(inbox.fd, &wakes, sizeof(wakes)), sizeof(wakes));
	inbox_awake(&inbox);
	inbox_wake(&inbox);
	assert_int_equal(read(inbox.fd, &wakes, sizeof(wakes)), -1);
	inbox_fini(&inbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_reference_frees_the_packet),
		cmocka_unit_test(segments_are_gathered),
		cmocka_unit_test(an_inbox_is_bounded_and_keeps_order),
		cmocka_unit_test(only_a_sleeper_is_woken),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
