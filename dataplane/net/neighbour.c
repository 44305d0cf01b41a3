// SPDX-License-Identifier: Apache-2.0
// The neighbour cache: IPv4 next hop -> Ethernet address, by port. States in internal.h.
//
// Worker thread. A neighbour whose address is old stays in use while it is asked again, so
// traffic never waits for a refresh. The table is bounded: the least recently used makes room,
// and those that have not answered yet may take a quarter only, so that a scan of the network
// pushes out nobody who talks to us.
#include "dataplane/net/internal.h"

#include <assert.h>

#define KNOWN_NS (30 * NS_PER_SEC)   // then ask again, when used (RFC 1122 2.3.2.1)
#define TRY_NS (1 * NS_PER_SEC)      // at most one request a second (RFC 1122 2.3.2.1)
#define RETRY_NS (100 * NS_PER_MS) // after a request that the rate limit held back
#define TRIES 3
#define FAILED_NS (3 * NS_PER_SEC)   // packets are refused at once meanwhile
#define TOLD_NS (5 * NS_PER_SEC)     // siblings hear of what they know already at most this often

static unsigned bucket_of(const struct net *net, unsigned port, uint32_t ip)
{
	uint64_t h = (net->setup.seed ^ ip ^ (uint64_t)port << 32) * 0x9e3779b97f4a7c15u;

	return (unsigned)(h >> 40) & (NEIGHBOUR_BUCKETS - 1);
}

void neighbours_init(struct net *net)
{
	list_init(&net->lru);
	list_init(&net->unused);
	list_init(&net->waiting);
	for (unsigned i = 0; i < NEIGHBOURS_MAX; i++)
		list_push(&net->unused, &net->neighbour[i].lru);
}

struct neighbour *neighbour_find(struct net *net, unsigned port, uint32_t ip)
{
	struct neighbour *n = net->bucket[bucket_of(net, port, ip)];

	while (n && (n->ip != ip || n->port != port))
		n = n->next;
	return n;
}

static bool has_address(const struct neighbour *n)
{
	return n->state == NEIGHBOUR_KNOWN || n->state == NEIGHBOUR_PROBED;
}

static void set_state(struct net *net, struct neighbour *n, enum neighbour_state state)
{
	net->known -= has_address(n);
	net->asked -= n->state == NEIGHBOUR_ASKED;
	n->state = state;
	net->known += has_address(n);
	net->asked += state == NEIGHBOUR_ASKED;
	list_del(&n->waiting);
	if (state != NEIGHBOUR_FREE && state != NEIGHBOUR_KNOWN)
		list_push(&net->waiting, &n->waiting);
}

static void drop_packets(struct net *net, struct neighbour *n, uint64_t *counter)
{
	struct packet *p;

	while ((p = packet_pop(&n->packets))) {
		net->packets_waiting--;
		packet_free(net, p);
		count(counter);
	}
}

static void forget(struct net *net, struct neighbour *n)
{
	struct neighbour **at = &net->bucket[bucket_of(net, n->port, n->ip)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	drop_packets(net, n, &net->counters.drop_waiting);
	set_state(net, n, NEIGHBOUR_FREE);
	list_del(&n->lru);
	list_push(&net->unused, &n->lru);
}

void neighbours_forget(struct net *net, bool (*keep)(struct net *net, const struct neighbour *n))
{
	list_for_each_safe (at, after, &net->lru) {
		struct neighbour *n = list_entry(at, struct neighbour, lru);

		if (!keep(net, n))
			forget(net, n);
	}
}

static struct neighbour *make(struct net *net, unsigned port, uint32_t ip)
{
	unsigned bucket = bucket_of(net, port, ip);
	struct neighbour *n;

	if (list_empty(&net->unused)) {
		count(&net->counters.neighbours_full);
		forget(net, list_entry(list_first(&net->lru), struct neighbour, lru));
	}
	n = list_entry(list_first(&net->unused), struct neighbour, lru);
	list_del(&n->lru);
	assert(!n->packets.first && "a forgotten neighbour has no packets");
	*n = (struct neighbour){.ip = ip, .port = (uint8_t)port, .next = net->bucket[bucket]};
	net->bucket[bucket] = n;
	list_push(&net->lru, &n->lru);
	return n;
}

static void touch(struct net *net, struct neighbour *n)
{
	if (net->lru.prev == &n->lru)
		return;
	list_del(&n->lru);
	list_push(&net->lru, &n->lru);
}

static void ask(struct net *net, struct neighbour *n, ns_t now)
{
	if (arp_request(net, n, now)) {
		n->tries++;
		n->due = now + TRY_NS;
	} else {
		n->due = now + RETRY_NS;
	}
	net_timer_arm(net, now);
}

struct neighbour *neighbour_use(struct net *net, unsigned port, uint32_t ip, ns_t now)
{
	struct neighbour *n = neighbour_find(net, port, ip);

	if (!n) {
		if (net->asked == NEIGHBOURS_ASKED_MAX) {
			count(&net->counters.neighbours_full);
			return NULL;
		}
		n = make(net, port, ip);
		set_state(net, n, NEIGHBOUR_ASKED);
		ask(net, n, now);
		return n;
	}
	touch(net, n);
	if (n->state == NEIGHBOUR_KNOWN && now - n->confirmed > KNOWN_NS) {
		n->tries = 0;
		set_state(net, n, NEIGHBOUR_PROBED);
		ask(net, n, now);
	}
	return n;
}

static void tell(struct net *net, const struct net_news *news, ns_t now)
{
	if (net->news_count == NEWS_MAX || !rate_take(&net->news_rate, now)) {
		count(&net->counters.drop_news);
		return;
	}
	net->news[(net->news_first + net->news_count++) % NEWS_MAX] = *news;
}

static void send_waiting(struct net *net, struct neighbour *n)
{
	struct packet *p;

	while ((p = packet_pop(&n->packets))) {
		net->packets_waiting--;
		memcpy(p->data, n->mac, sizeof(n->mac));
		packet_push(&net->output, p);
	}
}

static bool worth_telling(
	const struct neighbour *n, enum neighbour_tell how, bool changed, ns_t now)
{
	if (how == NEIGHBOUR_TELL_CHANGES)
		return changed || now - n->told > TOLD_NS;
	return how == NEIGHBOUR_TELL_ALL;
}

void neighbour_learn(
	struct net *net, const struct net_news *news, enum neighbour_tell how, ns_t now)
{
	struct neighbour *n = neighbour_find(net, news->port, news->ip_be);
	bool changed;

	if (!n && !news->create) {
		// Not asked for here: a sibling may have.
		if (how != NEIGHBOUR_TELL_NOBODY)
			tell(net, news, now);
		return;
	}
	if (!n)
		n = make(net, news->port, news->ip_be);
	changed = !has_address(n) || memcmp(n->mac, news->mac, sizeof(n->mac)) != 0;
	memcpy(n->mac, news->mac, sizeof(n->mac));
	n->confirmed = now;
	set_state(net, n, NEIGHBOUR_KNOWN);
	touch(net, n);
	send_waiting(net, n);
	if (worth_telling(n, how, changed, now)) {
		n->told = now;
		tell(net, news, now);
	}
}

static void give_up(struct net *net, struct neighbour *n, ns_t now)
{
	count(&net->counters.neighbours_failed);
	if (n->state == NEIGHBOUR_PROBED) {
		forget(net, n);  // the next packet asks anew
		return;
	}
	drop_packets(net, n, &net->counters.drop_no_neighbour);
	set_state(net, n, NEIGHBOUR_FAILED);
	n->due = now + FAILED_NS;
}

void neighbours_due(struct net *net, ns_t now)
{
	list_for_each_safe (at, after, &net->waiting) {
		struct neighbour *n = list_entry(at, struct neighbour, waiting);

		if (n->due > now)
			continue;
		if (n->state == NEIGHBOUR_FAILED)
			forget(net, n);
		else if (n->tries == TRIES)
			give_up(net, n, now);
		else
			ask(net, n, now);
	}
}

uint8_t *net_defer(struct net *net, const struct net_path *path, uint32_t len)
{
	struct neighbour *n = path->wait;
	struct packet *p;

	assert(n && n->state == NEIGHBOUR_ASKED &&
		"only a path in progress has something to wait for");
	// RFC 1122 2.3.2.2: of what waits for one address, the latest is kept.
	if (n->packets.count == NEIGHBOUR_WAITING_MAX) {
		packet_free(net, packet_pop(&n->packets));
		net->packets_waiting--;
		count(&net->counters.drop_waiting);
	}
	if (net->packets_waiting == PACKETS_WAITING_MAX) {
		count(&net->counters.drop_waiting);
		return NULL;
	}
	p = packet_new(net, path->port, len);
	if (!p)
		return NULL;
	net->packets_waiting++;
	packet_push(&n->packets, p);
	return p->data;
}

void net_hear(struct net *net, const struct net_news *news, ns_t now)
{
	neighbour_learn(net, news, NEIGHBOUR_TELL_NOBODY, now);
}

bool net_news(struct net *net, struct net_news *out)
{
	if (!net->news_count)
		return false;
	*out = net->news[net->news_first];
	net->news_first = (net->news_first + 1) % NEWS_MAX;
	net->news_count--;
	return true;
}

unsigned net_neighbours(const struct net *net)
{
	return net->known;
}

unsigned net_neighbours_waiting(const struct net *net)
{
	return net->asked;
}
