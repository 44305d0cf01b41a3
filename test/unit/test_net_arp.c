// SPDX-License-Identifier: Apache-2.0
// ARP and the neighbour cache: RFC 826, RFC 1122 2.3.2, RFC 5227.
#include <errno.h>
#include <stdio.h>

#include "test/unit/net_fixture.h"

static const struct net_counters *counters(struct fixture *f)
{
	return net_counters(f->net);
}

static void expect_arp(struct fixture *f, const uint8_t *to, unsigned operation, const char *sender,
	const uint8_t *target_mac, const char *target)
{
	uint32_t sender_ip = ip_be(sender), target_ip = ip_be(target);
	const uint8_t *at;

	take(f);
	at = f->out.data;
	assert_int_equal(f->out.len, 42);
	assert_int_equal(f->out.port, 0);
	assert_memory_equal(at, to, 6);
	assert_memory_equal(at + 6, our_mac[0], 6);
	assert_memory_equal(at + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00", 9);
	assert_int_equal(at[21], operation);
	assert_memory_equal(at + 22, our_mac[0], 6);
	assert_memory_equal(at + 28, &sender_ip, 4);
	assert_memory_equal(at + 32, target_mac, 6);
	assert_memory_equal(at + 38, &target_ip, 4);
}

static int path_to(struct fixture *f, const char *dst, struct net_path *path)
{
	struct ip_addr addr = ip(dst);

	return net_path(f->net, &addr, f->now, path);
}

static void answers_a_request_and_learns_who_asked(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	struct net_news news;

	arp_frame(f, broadcast_mac, ARP_REQUEST, peer_mac, "10.77.0.1", "10.77.0.2");
	assert_int_equal(feed(f), NET_DONE);
	expect_arp(f, peer_mac, ARP_REPLY, "10.77.0.2", peer_mac, "10.77.0.1");
	expect_silence(f);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	assert_memory_equal(path.dst_mac, peer_mac, 6);
	assert_memory_equal(path.src_mac, our_mac[0], 6);
	assert_int_equal(path.port, 0);
	// And the siblings hear of it.
	assert_true(net_news(f->net, &news));
	assert_true(news.create);
	assert_memory_equal(news.mac, peer_mac, 6);
	assert_int_equal(news.ip_be, ip_be("10.77.0.1"));
	assert_false(net_news(f->net, &news));
}

static void answers_a_probe_without_learning(void **state)
{
	struct fixture *f = *state;

	// RFC 5227 2.1.1: the sender address of a probe is all zeros.
	arp_frame(f, broadcast_mac, ARP_REQUEST, peer_mac, "0.0.0.0", "10.77.0.2");
	feed(f);
	expect_arp(f, peer_mac, ARP_REPLY, "10.77.0.2", peer_mac, "0.0.0.0");
	assert_int_equal(net_neighbours(f->net), 0);
}

static void ignores_what_is_not_for_us(void **state)
{
	struct fixture *f = *state;

	arp_frame(f, broadcast_mac, ARP_REQUEST, peer_mac, "10.77.0.1", "10.77.0.3");
	feed(f);
	// An address of the other port.
	arp_frame(f, broadcast_mac, ARP_REQUEST, peer_mac, "10.77.0.1", "192.168.5.1");
	feed(f);
	// A reply that nobody asked for teaches nothing.
	arp_frame(f, our_mac[0], ARP_REPLY, other_mac, "10.77.0.1", "10.77.0.2");
	feed(f);
	expect_silence(f);
	assert_int_equal(net_neighbours(f->net), 0);
}

static void malformed_is_counted(void **state)
{
	struct fixture *f = *state;
	static const unsigned broken[] = {14, 15, 16, 17, 18, 19};
	uint64_t before = counters(f)->drop_arp;

	for (unsigned i = 0; i < 6; i++) {
		arp_frame(f, broadcast_mac, ARP_REQUEST, peer_mac, "10.77.0.1", "10.77.0.2");
		f->frame[broken[i]] ^= 0x40;
		feed(f);
	}
	for (uint32_t len = 14; len < 42; len++) {
		arp_frame(f, broadcast_mac, ARP_REQUEST, peer_mac, "10.77.0.1", "10.77.0.2");
		f->len = len;
		feed(f);
	}
	// A group address as the sender's own, and an unknown operation.
	arp_frame(f, broadcast_mac, ARP_REQUEST, broadcast_mac, "10.77.0.1", "10.77.0.2");
	feed(f);
	arp_frame(f, broadcast_mac, 3, peer_mac, "10.77.0.9", "10.77.0.3");
	feed(f);
	assert_int_equal(counters(f)->drop_arp - before, 36);
	expect_silence(f);
	assert_int_equal(net_neighbours(f->net), 0);
}

static void asks_once_and_sends_what_waited(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	uint8_t *frame;

	assert_int_equal(path_to(f, "10.77.0.1", &path), -EINPROGRESS);
	expect_arp(f, broadcast_mac, ARP_REQUEST, "10.77.0.2", (const uint8_t[6]){0}, "10.77.0.1");
	frame = net_defer(f->net, &path, 60);
	assert_non_null(frame);
	memset(frame, 0x55, 60);
	// RFC 1122 2.3.2.1: at most one request a second for one neighbour.
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(path_to(f, "10.77.0.1", &path), -EINPROGRESS);
	expect_silence(f);
	arp_frame(f, our_mac[0], ARP_REPLY, peer_mac, "10.77.0.1", "10.77.0.2");
	feed(f);
	take(f);
	assert_int_equal(f->out.len, 60);
	assert_memory_equal(f->out.data, peer_mac, 6);
	assert_int_equal(f->out.data[6], 0x55);
	expect_silence(f);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
}

static void keeps_the_latest_that_waits(void **state)
{
	struct fixture *f = *state;
	struct net_path path;

	// RFC 1122 2.3.2.2
	assert_int_equal(path_to(f, "10.77.0.1", &path), -EINPROGRESS);
	take(f);
	for (unsigned i = 0; i < 20; i++)
		net_defer(f->net, &path, 60)[20] = (uint8_t)i;
	assert_int_equal(counters(f)->drop_waiting, 12);
	arp_frame(f, our_mac[0], ARP_REPLY, peer_mac, "10.77.0.1", "10.77.0.2");
	feed(f);
	for (unsigned i = 12; i < 20; i++) {
		take(f);
		assert_int_equal(f->out.data[20], i);
	}
	expect_silence(f);
}

static void gives_up_after_three_requests(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	unsigned requests = 0;

	assert_int_equal(path_to(f, "10.77.0.1", &path), -EINPROGRESS);
	assert_non_null(net_defer(f->net, &path, 60));
	pass(f, 4 * NS_PER_SEC);
	while (net_output(f->net, &f->out)) {
		assert_int_equal(f->out.data[13], 0x06);
		requests++;
	}
	assert_int_equal(requests, 3);
	assert_int_equal(counters(f)->neighbours_failed, 1);
	assert_int_equal(counters(f)->drop_no_neighbour, 1);
	// For a while nobody is asked, then again.
	assert_int_equal(path_to(f, "10.77.0.1", &path), -EHOSTUNREACH);
	expect_silence(f);
	pass(f, 4 * NS_PER_SEC);
	assert_int_equal(path_to(f, "10.77.0.1", &path), -EINPROGRESS);
	take(f);
}

static void an_old_entry_is_used_while_it_is_asked_again(void **state)
{
	struct fixture *f = *state;
	struct net_path path;

	introduce(f, "10.77.0.1", peer_mac);
	pass(f, 31 * NS_PER_SEC);
	expect_silence(f);  // nobody uses it
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	expect_arp(f, peer_mac, ARP_REQUEST, "10.77.0.2", (const uint8_t[6]){0}, "10.77.0.1");
	pass(f, 1200 * NS_PER_MS);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	expect_arp(f, broadcast_mac, ARP_REQUEST, "10.77.0.2", (const uint8_t[6]){0}, "10.77.0.1");
	arp_frame(f, our_mac[0], ARP_REPLY, other_mac, "10.77.0.1", "10.77.0.2");
	feed(f);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	assert_memory_equal(path.dst_mac, other_mac, 6);
	pass(f, 5 * NS_PER_SEC);
	expect_silence(f);
}

static void an_old_entry_that_is_silent_goes(void **state)
{
	struct fixture *f = *state;
	struct net_path path;

	introduce(f, "10.77.0.1", peer_mac);
	pass(f, 31 * NS_PER_SEC);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	pass(f, 4 * NS_PER_SEC);
	assert_int_equal(net_neighbours(f->net), 0);
	while (net_output(f->net, &f->out))
		;
	assert_int_equal(path_to(f, "10.77.0.1", &path), -EINPROGRESS);
}

static void a_moved_neighbour_is_followed(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	struct net_news news;

	introduce(f, "10.77.0.1", peer_mac);
	// Gratuitous, from the new place.
	arp_frame(f, broadcast_mac, ARP_REQUEST, other_mac, "10.77.0.1", "10.77.0.1");
	feed(f);
	expect_silence(f);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	assert_memory_equal(path.dst_mac, other_mac, 6);
	assert_true(net_news(f->net, &news));
	assert_memory_equal(news.mac, other_mac, 6);
}

static void siblings_tell_each_other(void **state)
{
	struct fixture *f = *state;
	struct net_news news = {.ip_be = ip_be("10.77.0.7"), .port = 0, .mac = {2, 0, 0, 0, 0, 7}};
	struct net_path path;

	// Of no use to us: not asked for.
	net_hear(f->net, &news, f->now);
	assert_int_equal(net_neighbours(f->net), 0);
	assert_int_equal(path_to(f, "10.77.0.7", &path), -EINPROGRESS);
	net_hear(f->net, &news, f->now);
	assert_int_equal(path_to(f, "10.77.0.7", &path), 0);
	news.ip_be = ip_be("10.77.0.8");
	news.create = true;
	net_hear(f->net, &news, f->now);
	assert_int_equal(path_to(f, "10.77.0.8", &path), 0);
	// What was heard is not told on, or it would go round for ever.
	assert_false(net_news(f->net, &news));
	// A reply that we did not ask for may be for a sibling that did.
	arp_frame(f, our_mac[0], ARP_REPLY, other_mac, "10.77.0.9", "10.77.0.2");
	feed(f);
	assert_true(net_news(f->net, &news));
	assert_false(news.create);
}

// Replies reach one queue, whichever worker asked: each is told, however often, and also when
// this worker knows the neighbour long since.
static void every_answer_is_told(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	struct net_news news;

	assert_int_equal(path_to(f, "10.77.0.9", &path), -EINPROGRESS);
	take(f);
	for (unsigned asked_by = 0; asked_by < 3; asked_by++) {
		arp_frame(f, our_mac[0], ARP_REPLY, other_mac, "10.77.0.9", "10.77.0.2");
		feed(f);
		assert_true(net_news(f->net, &news));
		assert_int_equal(news.ip_be, ip_be("10.77.0.9"));
		assert_memory_equal(news.mac, other_mac, 6);
		assert_false(net_news(f->net, &news));
	}
	// A known neighbour that asks again and again is no news.
	for (unsigned i = 0; i < 3; i++)
		introduce(f, "10.77.0.9", other_mac);
	arp_frame(f, broadcast_mac, ARP_REQUEST, other_mac, "10.77.0.9", "10.77.0.2");
	feed(f);
	take(f);
	assert_false(net_news(f->net, &news));
}

static void announcements_are_told_by_who_does_not_know_their_sender(void **state)
{
	struct fixture *f = *state;
	struct net_news news;

	arp_frame(f, broadcast_mac, ARP_REQUEST, other_mac, "10.77.0.9", "10.77.0.9");
	feed(f);
	assert_int_equal(net_neighbours(f->net), 0);
	assert_true(net_news(f->net, &news));
	assert_false(news.create);
	// What others ask each other is none of a worker's business.
	arp_frame(f, broadcast_mac, ARP_REQUEST, other_mac, "10.77.0.9", "10.77.0.10");
	feed(f);
	assert_false(net_news(f->net, &news));
}

// What siblings are told is bounded, whatever is sent to us.
static void a_flood_of_answers_is_told_within_bounds(void **state)
{
	struct fixture *f = *state;
	struct net_news news;
	unsigned told = 0;

	for (unsigned i = 0; i < 10000; i++) {
		arp_frame(f, our_mac[0], ARP_REPLY, other_mac, "10.77.0.9", "10.77.0.2");
		feed(f);
		while (net_news(f->net, &news))
			told++;
	}
	assert_int_equal(told, 64);
	assert_int_equal(counters(f)->drop_news, 10000 - 64);
}

static void a_scan_neither_floods_nor_evicts(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	unsigned requests = 0, refused = 0;
	char addr[32];

	net_config_add_address_text(&f->config, "10.78.0.1/16", 0);
	net_apply(f->net, &f->config, f->now);
	while (net_output(f->net, &f->out))
		;
	introduce(f, "10.77.0.1", peer_mac);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(addr, sizeof(addr), "10.78.%u.%u", 1 + i / 250, 1 + i % 250);
		refused += path_to(f, addr, &path) == -ENOBUFS;
		while (net_output(f->net, &f->out))
			requests++;
	}
	assert_int_equal(refused, 2000 - 256);
	assert_int_equal(requests, 64);  // the burst of the rate limit
	assert_true(counters(f)->arp_limited > 0);
	assert_int_equal(path_to(f, "10.77.0.1", &path), 0);
	pass(f, NS_PER_SEC);
	while (net_output(f->net, &f->out))
		requests++;
	assert_in_range(requests, 200, 64 + 210);
}

static void the_table_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct net_news news = {.create = true, .mac = {2, 0, 0, 0, 0, 7}};

	for (unsigned i = 0; i < 5000; i++) {
		news.ip_be = ip_be("10.77.0.1") + (i << 24 >> 8) + i;
		net_hear(f->net, &news, f->now);
	}
	assert_int_equal(net_neighbours(f->net), 1024);
	assert_true(counters(f)->neighbours_full > 0);
}

static void packets_that_wait_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct net_path path;
	unsigned kept = 0;
	char addr[32];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(addr, sizeof(addr), "10.77.0.%u", 10 + i);
		assert_int_equal(path_to(f, addr, &path), -EINPROGRESS);
		while (net_output(f->net, &f->out))
			;
		for (unsigned k = 0; k < 8; k++)
			kept += net_defer(f->net, &path, 1514) != NULL;
	}
	assert_int_equal(kept, 128);
	assert_int_equal(net_packets(f->net), 128);
	// And what is longer than a packet can be is refused.
	assert_null(net_defer(f->net, &path, 1515));
}

static void a_conflict_is_defended_once_in_a_while(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 5; i++) {
		arp_frame(f, broadcast_mac, ARP_REQUEST, other_mac, "10.77.0.2", "10.77.0.1");
		feed(f);
	}
	assert_int_equal(counters(f)->arp_conflicts, 5);
	expect_arp(f, broadcast_mac, ARP_REQUEST, "10.77.0.2", (const uint8_t[6]){0}, "10.77.0.2");
	expect_silence(f);
	pass(f, 11 * NS_PER_SEC);
	arp_frame(f, broadcast_mac, ARP_REPLY, other_mac, "10.77.0.2", "10.77.0.2");
	feed(f);
	expect_arp(f, broadcast_mac, ARP_REQUEST, "10.77.0.2", (const uint8_t[6]){0}, "10.77.0.2");
}

static void new_addresses_are_announced_twice(void **state)
{
	struct fixture *f = *state;
	struct net_config config = {0};
	uint64_t before = counters(f)->arp_announced;

	net_apply(f->net, &f->config, f->now);
	expect_silence(f);  // nothing new
	net_config_add_address_text(&config, "10.77.0.3/24", 0);
	net_apply(f->net, &config, f->now);
	expect_arp(f, broadcast_mac, ARP_REQUEST, "10.77.0.3", (const uint8_t[6]){0}, "10.77.0.3");
	pass(f, 3 * NS_PER_SEC);
	expect_arp(f, broadcast_mac, ARP_REQUEST, "10.77.0.3", (const uint8_t[6]){0}, "10.77.0.3");
	expect_silence(f);
	assert_int_equal(counters(f)->arp_announced - before, 2);
}

static void a_change_of_addresses_forgets_who_is_far_now(void **state)
{
	struct fixture *f = *state;
	struct net_config config = {0};
	struct net_path path;

	introduce(f, "10.77.0.1", peer_mac);
	assert_int_equal(path_to(f, "10.77.0.50", &path), -EINPROGRESS);
	take(f);
	assert_non_null(net_defer(f->net, &path, 60));
	net_config_add_address_text(&config, "172.16.0.1/24", 0);
	net_apply(f->net, &config, f->now);
	assert_int_equal(net_neighbours(f->net), 0);
	assert_int_equal(net_neighbours_waiting(f->net), 0);
	assert_int_equal(path_to(f, "10.77.0.1", &path), -ENETUNREACH);
	while (net_output(f->net, &f->out))
		;
	assert_int_equal(net_packets(f->net), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_a_request_and_learns_who_asked),
		TEST(answers_a_probe_without_learning),
		TEST(ignores_what_is_not_for_us),
		TEST(malformed_is_counted),
		TEST(asks_once_and_sends_what_waited),
		TEST(keeps_the_latest_that_waits),
		TEST(gives_up_after_three_requests),
		TEST(an_old_entry_is_used_while_it_is_asked_again),
		TEST(an_old_entry_that_is_silent_goes),
		TEST(a_moved_neighbour_is_followed),
		TEST(siblings_tell_each_other),
		TEST(every_answer_is_told),
		TEST(announcements_are_told_by_who_does_not_know_their_sender),
		TEST(a_flood_of_answers_is_told_within_bounds),
		TEST(a_scan_neither_floods_nor_evicts),
		TEST(the_table_is_bounded),
		TEST(packets_that_wait_are_bounded),
		TEST(a_conflict_is_defended_once_in_a_while),
		TEST(new_addresses_are_announced_twice),
		TEST(a_change_of_addresses_forgets_who_is_far_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
