// SPDX-License-Identifier: Apache-2.0
// lib/base: cursor, buf and chain, timer wheel, histogram, rng, addresses, base64, list.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/addr.h"
#include "lib/base/base64.h"
#include "lib/base/buf.h"
#include "lib/base/cursor.h"
#include "lib/base/hist.h"
#include "lib/base/list.h"
#include "lib/base/rng.h"
#include "lib/base/timer.h"

static void cursor_reads_what_was_written(void **state)
{
	uint8_t bytes[18];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct reader r = reader_of(bytes, sizeof(bytes));

	writer_u8(&w, 0x12);
	writer_u16(&w, 0x3456);
	writer_u24(&w, 0x789abc);
	writer_u32(&w, 0xdef01234);
	writer_u64(&w, 0x0123456789abcdefull);
	assert_false(w.bad);
	assert_int_equal(writer_left(&w), 0);
	writer_u8(&w, 1);
	assert_true(w.bad);

	assert_int_equal(reader_u8(&r), 0x12);
	assert_int_equal(reader_u16(&r), 0x3456);
	assert_int_equal(reader_u24(&r), 0x789abc);
	assert_int_equal(reader_u32(&r), 0xdef01234);
	assert_true(reader_u64(&r) == 0x0123456789abcdefull);
	assert_false(r.bad);
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.bad);
}

static void cursor_stays_bad_and_inside(void **state)
{
	uint8_t bytes[3] = {1, 2, 3};
	struct reader r = reader_of(bytes, 3);

	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.bad);
	assert_null(reader_take(&r, 1));
	assert_int_equal(reader_left(&r), 0);
}

static void chain_copies_moves_and_shares(void **state)
{
	struct buf_pool *pool = buf_pool_new(8, 0);
	struct chain a = {0}, b = {0}, c = {0};
	char out[64];

	assert_int_equal(chain_copy(&a, pool, "hello world, this is long", 25), 0);
	assert_int_equal(a.len, 25);
	assert_int_equal(buf_pool_bytes(pool), 32);
	chain_share(&b, &a, 6, 10);
	assert_true(chain_equal(&b, "world, thi", 10));
	chain_move(&c, &a, 7);
	assert_true(chain_equal(&c, "hello w", 7));
	assert_true(chain_equal(&a, "orld, this is long", 18));
	chain_skip(&a, 6);
	assert_true(chain_equal(&a, "this is long", 12));
	chain_append(&c, &a);
	assert_true(chain_empty(&a));
	assert_true(chain_equal(&c, "hello wthis is long", 19));
	assert_int_equal(chain_read(&c, 5, out, 100), 14);
	assert_memory_equal(out, " wthis is long", 14);
	chain_clear(&b);
	chain_clear(&c);
	assert_int_equal(buf_pool_bytes(pool), 0);
	assert_int_equal(chain_nodes_in_use(), 0);
	buf_pool_destroy(pool);
}

// A block that is shared must not grow under the other's feet.
static void chain_copy_does_not_write_into_shared_blocks(void **state)
{
	struct buf_pool *pool = buf_pool_new(64, 0);
	struct chain a = {0}, b = {0};

	assert_int_equal(chain_copy(&a, pool, "abc", 3), 0);
	chain_share(&b, &a, 0, 3);
	assert_int_equal(chain_copy(&a, pool, "def", 3), 0);
	assert_int_equal(chain_copy(&b, pool, "xyz", 3), 0);
	assert_true(chain_equal(&a, "abcdef", 6));
	assert_true(chain_equal(&b, "abcxyz", 6));
	chain_clear(&a);
	chain_clear(&b);
	buf_pool_destroy(pool);
}

static void chain_copy_leaves_all_as_it_was_at_the_limit(void **state)
{
	struct buf_pool *pool = buf_pool_new(8, 16);
	struct chain a = {0};

	assert_int_equal(chain_copy(&a, pool, "12345", 5), 0);
	assert_int_equal(chain_copy(&a, pool, "6789012345678", 13), -ENOBUFS);
	assert_true(chain_equal(&a, "12345", 5));
	assert_int_equal(chain_copy(&a, pool, "67890123456", 11), 0);
	assert_true(chain_equal(&a, "1234567890123456", 16));
	chain_clear(&a);
	assert_int_equal(buf_pool_bytes(pool), 0);
	buf_pool_destroy(pool);
}

static void chain_peek_joins_slices(void **state)
{
	struct buf_pool *pool = buf_pool_new(4, 0);
	struct chain a = {0};
	uint8_t scratch[8];

	assert_int_equal(chain_copy(&a, pool, "abcdefgh", 8), 0);
	assert_ptr_equal(chain_peek(&a, 4, scratch), a.first->slice.data);
	assert_ptr_equal(chain_peek(&a, 6, scratch), scratch);
	assert_memory_equal(scratch, "abcdef", 6);
	assert_null(chain_peek(&a, 9, scratch));
	chain_clear(&a);
	buf_pool_destroy(pool);
}

static void chain_reserve_is_contiguous(void **state)
{
	struct buf_pool *pool = buf_pool_new(16, 32);
	struct chain a = {0};

	memcpy(chain_reserve(&a, pool, 10), "0123456789", 10);
	memcpy(chain_reserve(&a, pool, 7), "abcdefg", 7);
	assert_true(chain_equal(&a, "0123456789abcdefg", 17));
	memcpy(chain_reserve(&a, pool, 9), "ABCDEFGHI", 9);
	assert_null(chain_reserve(&a, pool, 1));
	assert_int_equal(a.len, 26);
	chain_clear(&a);
	buf_pool_destroy(pool);
}

static void chain_push_joins_neighbours(void **state)
{
	static uint8_t bytes[8] = "abcdefg";
	struct buf buf;
	struct chain a = {0};

	buf_init(&buf, bytes, 8, NULL, NULL);
	chain_push(&a, &buf, bytes, 3);
	chain_push(&a, &buf, bytes + 3, 4);
	assert_int_equal(chain_nodes_in_use(), 1);
	assert_int_equal(buf.refs, 2);
	chain_push(&a, &buf, bytes, 2);
	assert_int_equal(chain_nodes_in_use(), 2);
	assert_true(chain_equal(&a, "abcdefgab", 9));
	chain_clear(&a);
	assert_int_equal(buf.refs, 1);
}

// Random operations against a plain array.
static void chain_agrees_with_an_array(void **state)
{
	struct buf_pool *pool = buf_pool_new(13, 0);
	struct chain a = {0};
	static uint8_t model[1 << 16];
	size_t start = 0, end = 0;
	struct rng rng;

	rng_seed(&rng, 7);
	for (int step = 0; step < 20000; step++) {
		uint32_t n = rng_below(&rng, 40);

		if (end + n > sizeof(model)) {
			memmove(model, model + start, end - start);
			end -= start;
			start = 0;
		}
		switch (rng_below(&rng, 3)) {
		case 0:
			if (end - start > 5000)
				break;
			for (uint32_t i = 0; i < n; i++)
				model[end + i] = (uint8_t)rng_next(&rng);
			assert_int_equal(chain_copy(&a, pool, model + end, n), 0);
			end += n;
			break;
		case 1:
			if (n > end - start)
				n = (uint32_t)(end - start);
			chain_skip(&a, n);
			start += n;
			break;
		case 2: {
			struct chain head = {0}, shared = {0};

			if (n > end - start)
				n = (uint32_t)(end - start);
			chain_share(&shared, &a, 0, n);
			chain_move(&head, &a, n);
			assert_true(chain_equal(&head, model + start, n));
			assert_true(chain_equal(&shared, model + start, n));
			chain_clear(&shared);
			chain_append(&head, &a);
			a = head;
			break;
		}
		}
		assert_true(chain_equal(&a, model + start, end - start));
	}
	chain_clear(&a);
	assert_int_equal(buf_pool_bytes(pool), 0);
	assert_int_equal(chain_nodes_in_use(), 0);
	buf_pool_destroy(pool);
}

// Many small copies share blocks; a block goes back when its last copy and the arena have let go.
static void arena_packs_small_copies(void **state)
{
	struct buf_pool *pool = buf_pool_new(100, 300);
	struct buf_arena arena = {.pool = pool};
	struct chain from = {0}, copies[10] = {{0}}, more = {0};

	chain_push(&from, NULL, (const uint8_t *)"0123456789", 10);
	chain_push(&from, NULL, (const uint8_t *)"abcdefghij", 10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(arena_copy(&arena, &copies[i], &from), 0);
	assert_int_equal(buf_pool_bytes(pool), 200);
	for (int i = 0; i < 5; i++)
		chain_clear(&copies[i]);
	assert_int_equal(buf_pool_bytes(pool), 100);
	assert_true(chain_equal(&copies[9], "0123456789abcdefghij", 20));
	for (int i = 0; i < 10; i++)
		assert_int_equal(arena_copy(&arena, &more, &from), 0);
	assert_int_equal(arena_copy(&arena, &more, &from), -ENOBUFS);
	assert_int_equal(more.len, 200);
	for (int i = 5; i < 10; i++)
		chain_clear(&copies[i]);
	chain_clear(&more);
	chain_clear(&from);
	assert_int_equal(buf_pool_bytes(pool), 100);
	arena_release(&arena);
	assert_int_equal(buf_pool_bytes(pool), 0);
	buf_pool_destroy(pool);
}

struct probe {
	struct timer timer;
	struct timer_wheel *wheel;
	ns_t deadline, fired_at;
	unsigned times;
	ns_t again;
};

static void probe_fire(struct timer *timer, ns_t now)
{
	struct probe *p = container_of(timer, struct probe, timer);

	p->fired_at = now;
	p->times++;
	if (p->again) {
		p->deadline = now + p->again;
		timer_arm(p->wheel, timer, p->deadline);
	}
}

// Deadlines from microseconds to days: none early, none later than one tick past the run that covers it.
static void timers_fire_on_time(void **state)
{
	enum { N = 3000 };
	static struct timer_wheel wheel;
	struct probe *probes = calloc(N, sizeof(*probes));
	struct rng rng;
	ns_t now = 123456789012345;
	ns_t last;

	rng_seed(&rng, 42);
	timer_wheel_init(&wheel, now);
	for (int i = 0; i < N; i++) {
		struct probe *p = &probes[i];

		p->timer.fire = probe_fire;
		p->wheel = &wheel;
		p->deadline = now + (ns_t)(rng_next(&rng) >> (20 + rng_below(&rng, 40)));
		timer_arm(&wheel, &p->timer, p->deadline);
	}
	while (wheel.count > 0) {
		ns_t next = timer_wheel_next(&wheel);

		last = now;
		assert_true(next != NS_NEVER);
		// Sometimes exactly at the next event, sometimes a random leap.
		now = rng_below(&rng, 2) ? next : now + (ns_t)(rng_next(&rng) >> (20 + rng_below(&rng, 36)));
		if (now < last)
			now = last;
		timer_wheel_run(&wheel, now);
		for (int i = 0; i < N; i++) {
			struct probe *p = &probes[i];

			if (p->times == 0) {
				assert_true(p->deadline + TIMER_TICK_NS > now);
			} else if (p->fired_at == now && now != last) {
				assert_true(p->deadline <= now);
				assert_true(p->deadline + TIMER_TICK_NS > last);
			}
			assert_true(p->times <= 1);
		}
	}
	free(probes);
}

static void timer_next_is_never_late(void **state)
{
	static struct timer_wheel wheel;
	struct probe p = {.timer.fire = probe_fire};
	struct rng rng;
	ns_t now = 0;

	rng_seed(&rng, 1);
	timer_wheel_init(&wheel, now);
	assert_true(timer_wheel_next(&wheel) == NS_NEVER);
	for (int i = 0; i < 5000; i++) {
		unsigned steps = 0;

		p.times = 0;
		p.deadline = now + (ns_t)(rng_next(&rng) >> (24 + rng_below(&rng, 30)));
		timer_arm(&wheel, &p.timer, p.deadline);
		while (p.times == 0) {
			ns_t next = timer_wheel_next(&wheel);

			assert_true(next <= p.deadline + TIMER_TICK_NS);
			now = next > now ? next : now + TIMER_TICK_NS;
			timer_wheel_run(&wheel, now);
			assert_true(++steps < 20);
		}
		assert_true(now >= p.deadline);
	}
}

static void timers_cancel_and_rearm(void **state)
{
	static struct timer_wheel wheel;
	struct probe a = {.timer.fire = probe_fire, .wheel = &wheel, .again = NS_PER_MS};
	struct probe b = {.timer.fire = probe_fire};

	timer_wheel_init(&wheel, 0);
	timer_arm(&wheel, &a.timer, NS_PER_MS);
	timer_arm(&wheel, &b.timer, NS_PER_MS);
	timer_arm(&wheel, &b.timer, 5 * NS_PER_MS);
	assert_int_equal(wheel.count, 2);
	for (ns_t now = 0; now <= 10 * NS_PER_MS; now += 100 * NS_PER_US)
		timer_wheel_run(&wheel, now);
	assert_int_equal(b.times, 1);
	assert_in_range(a.times, 8, 10);
	timer_cancel(&wheel, &a.timer);
	timer_cancel(&wheel, &a.timer);
	assert_int_equal(wheel.count, 0);
	assert_true(timer_wheel_next(&wheel) == NS_NEVER);
	// A deadline in the past fires in the next run that moves on.
	timer_arm(&wheel, &b.timer, 0);
	timer_wheel_run(&wheel, 11 * NS_PER_MS);
	assert_int_equal(b.times, 2);
	timer_arm(&wheel, &b.timer, NS_NEVER);
	timer_wheel_run(&wheel, 3600 * NS_PER_SEC);
	assert_int_equal(b.times, 2);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void hist_buckets_tile_the_range(void **state)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		assert_int_equal(hist_index(hist_bucket_low(i)), i);
		assert_int_equal(hist_index(hist_bucket_high(i) - 1), i);
	}
	assert_int_equal(hist_index(UINT64_MAX), HIST_BUCKETS - 1);
}

static void hist_quantiles_are_within_the_error(void **state)
{
	enum { N = 20001 };
	static uint64_t values[N];
	static struct hist h, half[2], sum;
	static const double qs[] = {0, 0.01, 0.5, 0.9, 0.99, 0.999, 1};
	struct rng rng;

	rng_seed(&rng, 3);
	for (int i = 0; i < N; i++) {
		values[i] = rng_next(&rng) >> (24 + rng_below(&rng, 38));
		hist_add(&h, values[i]);
		hist_add(&half[i & 1], values[i]);
	}
	qsort(values, N, sizeof(values[0]), compare_u64);
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		size_t rank = (size_t)(qs[i] * N + 0.999999);
		double exact = (double)values[rank ? rank - 1 : 0];
		double got = (double)hist_quantile(&h, qs[i]);

		assert_true(got >= exact * (1 - 1.0 / 64) - 1 && got <= exact * (1 + 1.0 / 64) + 1);
	}
	hist_merge(&sum, &half[0]);
	hist_merge(&sum, &half[1]);
	assert_memory_equal(&sum, &h, sizeof(h));
	memset(&sum, 0, sizeof(sum));
	hist_merge_diff(&sum, &h, &half[0]);
	assert_int_equal(sum.count, half[1].count);
	assert_memory_equal(sum.bucket, half[1].bucket, sizeof(sum.bucket));
}

static void rng_is_uniform_enough(void **state)
{
	struct rng rng;
	unsigned counts[10] = {0};

	rng_seed(&rng, 99);
	for (int i = 0; i < 100000; i++) {
		double u = rng_unit(&rng);

		counts[rng_below(&rng, 10)]++;
		assert_true(u > 0 && u <= 1);
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(counts[i], 9500, 10500);
}

static void addresses_parse_and_print(void **state)
{
	static const char *const good[] = {"10.77.0.2", "0.0.0.0", "fd77::2", "::1"};
	static const char *const bad[] = {"", "10.77.0", "10.77.0.256", "x", "10.77.0.2 ", "fd77::zz"};
	struct ip_addr a;
	unsigned len;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ip_parse(good[i], &a), 0);
		assert_string_equal(ip_text(&a, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ip_parse(bad[i], &a), -EINVAL);
	assert_int_equal(ip_prefix_parse("10.77.0.2/24", &a, &len), 0);
	assert_int_equal(len, 24);
	assert_true(ip_is_v4(&a));
	assert_int_equal(ip_v4_be(&a), htonl(0x0a4d0002));
	assert_int_equal(ip_prefix_parse("10.77.0.2/33", &a, &len), -EINVAL);
	assert_int_equal(ip_prefix_parse("fd77::2/64", &a, &len), 0);
	assert_int_equal(ip_prefix_parse("10.77.0.2", &a, &len), -EINVAL);
	assert_int_equal(ip_prefix_parse("10.77.0.2/-1", &a, &len), -EINVAL);
}

static void socket_addresses_parse(void **state)
{
	static const char *const bad[] = {"", "10.77.0.1", "10.77.0.1:", "10.77.0.1:65536", ":1", "unix:",
		"fd77::1:7000", "[fd77::1:70", "host:1", "10.77.0.1:1x", "10.77.0.1:+1"};
	struct sockaddr_storage ss;
	socklen_t len;

	assert_int_equal(sockaddr_parse("10.77.0.1:7000", &ss, &len), 0);
	assert_int_equal(ss.ss_family, AF_INET);
	assert_int_equal(ntohs(((struct sockaddr_in *)&ss)->sin_port), 7000);
	assert_int_equal(sockaddr_parse("[fd77::1]:7000", &ss, &len), 0);
	assert_int_equal(ss.ss_family, AF_INET6);
	assert_int_equal(sockaddr_parse("unix:/run/x.sock", &ss, &len), 0);
	assert_string_equal(((struct sockaddr_un *)&ss)->sun_path, "/run/x.sock");
	assert_int_equal(sockaddr_parse("/run/y.sock", &ss, &len), 0);
	assert_int_equal(ss.ss_family, AF_UNIX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sockaddr_parse(bad[i], &ss, &len), -EINVAL);
}

// RFC 4648, section 10.
static void base64_goes_there_and_back(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\x7f", "//5/"}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9",
		"Zm9v\n", "Zm-v", "=m9v"};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		size_t len = strlen(pairs[i][0]), text_len = strlen(pairs[i][1]);
		char text[32], data[32] = "";

		assert_true(BASE64_TEXT_BYTES(len) == text_len + 1 && BASE64_DATA_BYTES(text_len) >= len);
		base64_encode(pairs[i][0], len, text);
		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(base64_decode(text, text_len, NULL), len);
		assert_int_equal(base64_decode(text, text_len, data), len);
		assert_string_equal(data, pairs[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_reads_what_was_written),
		cmocka_unit_test(cursor_stays_bad_and_inside),
		cmocka_unit_test(chain_copies_moves_and_shares),
		cmocka_unit_test(chain_copy_does_not_write_into_shared_blocks),
		cmocka_unit_test(chain_copy_leaves_all_as_it_was_at_the_limit),
		cmocka_unit_test(chain_peek_joins_slices),
		cmocka_unit_test(chain_reserve_is_contiguous),
		cmocka_unit_test(chain_push_joins_neighbours),
		cmocka_unit_test(chain_agrees_with_an_array),
		cmocka_unit_test(arena_packs_small_copies),
		cmocka_unit_test(timers_fire_on_time),
		cmocka_unit_test(timer_next_is_never_late),
		cmocka_unit_test(timers_cancel_and_rearm),
		cmocka_unit_test(hist_buckets_tile_the_range),
		cmocka_unit_test(hist_quantiles_are_within_the_error),
		cmocka_unit_test(rng_is_uniform_enough),
		cmocka_unit_test(addresses_parse_and_print),
		cmocka_unit_test(socket_addresses_parse),
		cmocka_unit_test(base64_goes_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
