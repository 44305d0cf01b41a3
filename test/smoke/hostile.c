// SPDX-License-Identifier: Apache-2.0
// A client with bad manners, for smoke tests:
// hostile cut|garbage|mutate|hold ADDRESS:PORT [CONNECTIONS] [SEED] [SOURCE ADDRESS]
//
// cut      valid traffic cut at every byte, by FIN and by RST in turn
// garbage  random bytes
// mutate   valid traffic with random bytes changed
// hold     valid traffic with a lifetime of 2 s, then silence for 30 s; for the test to cut the wire
//
// Afterwards, but not after hold, a well-mannered call must be answered: exit 0. Bounded in connections and in time.

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/base/cursor.h"
#include "lib/base/rng.h"

#define SETUP_MIME "message/x.rsocket.routing.v0"
#define REPLY_TIMEOUT_MS 5000
#define LIFETIME_MS 90000
#define HOLD_MAX 256
#define HOLD_S 30

static struct sockaddr_storage address;
static socklen_t address_len;
static struct sockaddr_storage source;
static socklen_t source_len;  // 0: any

static void put_prefix(struct writer *w, uint32_t len, uint32_t stream, uint16_t type_flags)
{
	writer_u24(w, len);
	writer_u32(w, stream);
	writer_u16(w, type_flags);
}

static void put_setup(struct writer *w, uint32_t lifetime_ms)
{
	put_prefix(w, 6 + 12 + 1 + sizeof(SETUP_MIME) - 1 + 1 + 10, 0, 0x01 << 10);
	writer_u16(w, 1);
	writer_u16(w, 0);
	writer_u32(w, 20000);
	writer_u32(w, lifetime_ms);
	writer_u8(w, sizeof(SETUP_MIME) - 1);
	writer_bytes(w, SETUP_MIME, sizeof(SETUP_MIME) - 1);
	writer_u8(w, 10);
	writer_bytes(w, "text/plain", 10);
}

// credit 0: the type has none.
static void put_request(
	struct writer *w, uint32_t stream, uint8_t type, uint32_t credit, const char *route, const char *data)
{
	size_t route_len = strlen(route), data_len = strlen(data);

	put_prefix(w, (uint32_t)(6 + (credit ? 4 : 0) + 3 + 1 + route_len + data_len), stream,
		(uint16_t)(type << 10 | 0x100));
	if (credit)
		writer_u32(w, credit);
	writer_u24(w, (uint32_t)(1 + route_len));
	writer_u8(w, (uint8_t)route_len);
	writer_bytes(w, route, route_len);
	writer_bytes(w, data, data_len);
}

static size_t put_traffic(uint8_t *bytes, size_t room)
{
	struct writer w = writer_of(bytes, room);

	put_setup(&w, LIFETIME_MS);
	put_request(&w, 1, 0x04, 0, "echo", "hello");
	put_request(&w, 3, 0x06, 2, "count", "10");
	put_prefix(&w, 10, 3, 0x08 << 10);  // REQUEST_N
	writer_u32(&w, 3);
	put_request(&w, 5, 0x05, 0, "echo", "forget me");
	put_request(&w, 7, 0x04, 0, "error", "0x301 as asked");
	put_prefix(&w, 14, 0, 0x03 << 10 | 0x80);  // KEEPALIVE
	writer_u64(&w, 0);
	put_prefix(&w, 6, 3, 0x09 << 10);  // CANCEL
	put_request(&w, 9, 0x04, 0, "no-such-function", "");
	return (size_t)(w.at - bytes);
}

static int dial(void)
{
	int fd = socket(address.ss_family, SOCK_STREAM, 0);
	struct timeval timeout = {.tv_sec = 5};

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (source_len && bind(fd, (struct sockaddr *)&source, source_len)) {
		close(fd);
		return -1;
	}
	if (connect(fd, (struct sockaddr *)&address, address_len)) {
		close(fd);
		return -1;
	}
	return fd;
}

// Reads what is there, waiting at most ms for the first byte.
static void drain(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char sink[4096];

	while (poll(&p, 1, ms) > 0 && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		ms = 0;
}

static void hang_up(int fd, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

// One bad connection. -1 when it could not even be opened.
static int abuse(const uint8_t *bytes, size_t len, unsigned turn)
{
	int fd = dial();

	if (fd < 0)
		return -1;
	// A peer that closes early is no failure here.
	if (send(fd, bytes, len, MSG_NOSIGNAL) > 0)
		drain(fd, turn % 4 == 0 ? 2 : 0);
	hang_up(fd, turn % 2);
	return 0;
}

static int cut(unsigned connections, struct rng *rng)
{
	uint8_t bytes[1024];
	size_t len = put_traffic(bytes, sizeof(bytes));

	(void)connections;
	(void)rng;
	for (unsigned turn = 0; turn < 4; turn++)
		for (size_t at = 1; at <= len; at++)
			if (abuse(bytes, at, turn))
				return -1;
	printf("cut: %zu connections\n", 4 * len);
	return 0;
}

static int garbage(unsigned connections, struct rng *rng)
{
	uint8_t bytes[2048];

	for (unsigned i = 0; i < connections; i++) {
		size_t len = 1 + rng_below(rng, sizeof(bytes));

		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)rng_next(rng);
		// Small frames of garbage get further than one that claims 15 MB.
		if (rng_below(rng, 2))
			bytes[0] = bytes[1] = 0;
		if (abuse(bytes, len, (unsigned)rng_next(rng)))
			return -1;
	}
	printf("garbage: %u connections\n", connections);
	return 0;
}

static int mutate(unsigned connections, struct rng *rng)
{
	uint8_t bytes[1024];

	for (unsigned i = 0; i < connections; i++) {
		size_t len = put_traffic(bytes, sizeof(bytes));

		for (unsigned k = 1 + rng_below(rng, 4); k > 0; k--)
			bytes[rng_below(rng, (uint32_t)len)] = (uint8_t)rng_next(rng);
		if (abuse(bytes, len, (unsigned)rng_next(rng)))
			return -1;
	}
	printf("mutate: %u connections\n", connections);
	return 0;
}

static int hold(unsigned connections, struct rng *rng)
{
	int fds[HOLD_MAX];
	uint8_t bytes[512];
	struct writer w = writer_of(bytes, sizeof(bytes));

	(void)rng;
	put_setup(&w, 2000);
	put_request(&w, 1, 0x04, 0, "delay", "60000");
	put_request(&w, 3, 0x06, 5, "count", "100000");
	for (unsigned i = 0; i < connections && i < HOLD_MAX; i++) {
		fds[i] = dial();
		if (fds[i] < 0 || send(fds[i], bytes, (size_t)(w.at - bytes), MSG_NOSIGNAL) < 0)
			return -1;
	}
	printf("hold: %u connections\n", connections);
	fflush(stdout);
	sleep(HOLD_S);
	exit(0);
}

// The reply to a call: PAYLOAD of stream 1 that ends with what was sent.
static int behave(void)
{
	uint8_t bytes[256], reply[256];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct pollfd p = {.events = POLLIN};
	size_t have = 0;
	ssize_t n;
	int fd = dial();

	if (fd < 0)
		return -1;
	put_setup(&w, LIFETIME_MS);
	put_request(&w, 1, 0x04, 0, "echo", "still there?");
	if (send(fd, bytes, (size_t)(w.at - bytes), MSG_NOSIGNAL) < 0)
		return -1;
	p.fd = fd;
	while (have < 9 + 12 && poll(&p, 1, REPLY_TIMEOUT_MS) > 0) {
		n = recv(fd, reply + have, sizeof(reply) - have, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	hang_up(fd, false);
	return have == 9 + 12 && memcmp(reply + 9, "still there?", 12) == 0 ? 0 : -1;
}

static const struct {
	const char *name;
	int (*run)(unsigned connections, struct rng *rng);
} modes[] = {{"cut", cut}, {"garbage", garbage}, {"mutate", mutate}, {"hold", hold}};

int main(int argc, char **argv)
{
	struct rng rng;
	unsigned connections = argc > 3 ? (unsigned)atoi(argv[3]) : 1000;

	if (argc < 3 || sockaddr_parse(argv[2], &address, &address_len)) {
		fprintf(stderr, "usage: hostile cut|garbage|mutate|hold ADDRESS:PORT [CONNECTIONS] "
				"[SEED] [SOURCE]\n");
		return 2;
	}
	if (argc > 5) {
		char text[ADDR_TEXT_MAX];

		snprintf(text, sizeof(text), "%s:0", argv[5]);
		if (sockaddr_parse(text, &source, &source_len))
			return 2;
	}
	rng_seed(&rng, argc > 4 ? strtoull(argv[4], NULL, 0) : 1);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) != 0)
			continue;
		if (modes[i].run(connections, &rng)) {
			perror("hostile: a connection could not be opened");
			return 1;
		}
		if (behave()) {
			fprintf(stderr, "hostile: a good call was not answered afterwards\n");
			return 1;
		}
		return 0;
	}
	fprintf(stderr, "hostile: no mode %s\n", argv[1]);
	return 2;
}
