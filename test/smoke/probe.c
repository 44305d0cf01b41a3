// SPDX-License-Identifier: Apache-2.0
// What a client sees of a gateway's network, with the kernel's own stack as the other side.
//
//	probe ping ADDR COUNT [BYTES]       echo requests, one after the other, each compared
//	probe echo ADDR PORT BYTES [CONNS]  random bytes to a TCP echo, compared; the rate
//	probe rtt ADDR PORT COUNT [BYTES]   one message at a time on a connection; latencies
//	probe closed ADDR PORT              fails unless a TCP connection is refused at once
//	probe udp ADDR PORT                 fails unless "port unreachable" comes back
//	probe plain LINK                    from now on what LINK sends has checksums, and no segment is too long
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/rng.h"

#define TIMEOUT_S 10
#define CONNS_MAX 256
#define CHUNK 65536
#define ICMP_HEADER 8

static int fail(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	return 1;
}

static int wrong(const char *what)
{
	fprintf(stderr, "probe: %s\n", what);
	return 1;
}

static struct sockaddr_in address(const char *text, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
		fprintf(stderr, "probe: %s is not an IPv4 address\n", text);
		exit(2);
	}
	return a;
}

static int open_to(int type, int protocol, const struct sockaddr_in *a)
{
	struct timeval limit = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, protocol), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int compare(const void *a, const void *b)
{
	ns_t x = *(const ns_t *)a, y = *(const ns_t *)b;

	return (x > y) - (x < y);
}

static void print_latencies(const char *what, ns_t *ns, unsigned n)
{
	qsort(ns, n, sizeof(*ns), compare);
	printf("%s: %u, min %.1f us, p50 %.1f us, p99 %.1f us, max %.1f us\n", what, n,
		(double)ns[0] / 1e3, (double)ns[n / 2] / 1e3,
		(double)ns[(size_t)n * 99 / 100] / 1e3, (double)ns[n - 1] / 1e3);
}

static uint16_t icmp_sum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

// 0 when the reply with this number and the same data has come.
static int await_reply(int fd, const uint8_t *request, size_t len)
{
	uint8_t reply[65536];

	for (;;) {
		ssize_t n = recv(fd, reply, sizeof(reply), 0);
		size_t header;

		if (n < 0)
			return -errno;
		header = (reply[0] & 15u) * 4;
		if ((size_t)n < header + len || reply[header] != 0 ||
			memcmp(reply + header + 4, request + 4, 4) != 0)
			continue;
		return memcmp(reply + header + 8, request + 8, len - 8) == 0 ? 0 : -EBADMSG;
	}
}

static int run_ping(const char *addr, unsigned count, size_t bytes)
{
	struct sockaddr_in a = address(addr, 0);
	int fd = open_to(SOCK_RAW, IPPROTO_ICMP, &a);
	uint8_t request[65536] = {8};
	ns_t *ns = calloc(count, sizeof(*ns));

	if (fd < 0 || !ns)
		return fail("ping");
	if (bytes > 65000)
		bytes = 65000;
	for (unsigned i = 0; i < count; i++) {
		uint16_t sum = 0;
		int error;

		request[4] = (uint8_t)(getpid() >> 8);
		request[5] = (uint8_t)getpid();
		request[6] = (uint8_t)(i >> 8);
		request[7] = (uint8_t)i;
		for (size_t k = 0; k < bytes; k++)
			request[ICMP_HEADER + k] = (uint8_t)(i + k);
		memcpy(request + 2, &sum, 2);
		sum = icmp_sum(request, ICMP_HEADER + bytes);
		memcpy(request + 2, &sum, 2);
		ns[i] = clock_now();
		if (send(fd, request, ICMP_HEADER + bytes, 0) < 0)
			return fail("send");
		error = await_reply(fd, request, ICMP_HEADER + bytes);
		if (error) {
			errno = -error;
			return fail("no reply, or another one");
		}
		ns[i] = clock_now() - ns[i];
	}
	print_latencies("ping", ns, count);
	free(ns);
	close(fd);
	return 0;
}

struct stream {
	int fd;
	struct rng send_rng, check_rng;  // the same sequence
	size_t sent, received, total;
	bool done;
};

// Bytes of a sequence, eight at a time: total is a multiple of eight.
static void fill(struct rng *rng, uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rng_next(rng);

		memcpy(to + i, &v, 8);
	}
}

struct pending {
	uint8_t bytes[CHUNK];
	size_t from, len;  // not taken by the socket yet; received: not compared yet
};

static int stream_send(struct stream *s, struct pending *p)
{
	ssize_t n;

	if (p->len == 0) {
		p->from = 0;
		p->len = s->total - s->sent < CHUNK ? s->total - s->sent : CHUNK;
		fill(&s->send_rng, p->bytes, p->len);
	}
	n = send(s->fd, p->bytes + p->from, p->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	p->from += (size_t)n;
	p->len -= (size_t)n;
	s->sent += (size_t)n;
	if (s->sent == s->total)
		shutdown(s->fd, SHUT_WR);
	return 0;
}

static int stream_receive(struct stream *s, struct pending *p)
{
	uint8_t expected[CHUNK];
	size_t whole;
	ssize_t n = recv(s->fd, p->bytes + p->len, CHUNK - p->len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0) {
		s->done = true;
		return s->received == s->total ? 0 : -EPIPE;
	}
	s->received += (size_t)n;
	p->len += (size_t)n;
	whole = p->len / 8 * 8;
	fill(&s->check_rng, expected, whole);
	if (memcmp(p->bytes, expected, whole) != 0)
		return -EBADMSG;
	memmove(p->bytes, p->bytes + whole, p->len - whole);
	p->len -= whole;
	return 0;
}

static int streams_open(
	struct stream *streams, unsigned conns, const struct sockaddr_in *a, size_t bytes)
{
	for (unsigned i = 0; i < conns; i++) {
		streams[i] = (struct stream){.fd = open_to(SOCK_STREAM, 0, a), .total = bytes};
		if (streams[i].fd < 0)
			return -errno;
		rng_seed(&streams[i].send_rng, i + 1);
		rng_seed(&streams[i].check_rng, i + 1);
	}
	return 0;
}

static int streams_run(struct stream *streams, struct pending *pending, unsigned conns)
{
	struct pollfd fds[CONNS_MAX];
	unsigned left = conns;

	while (left) {
		for (unsigned i = 0; i < conns; i++)
			fds[i] = (struct pollfd){.fd = streams[i].done ? -1 : streams[i].fd,
				.events = (short)(POLLIN |
						  (streams[i].sent < streams[i].total ? POLLOUT
										      : 0))};
		if (poll(fds, conns, TIMEOUT_S * 1000) <= 0)
			return -ETIMEDOUT;
		for (unsigned i = 0; i < conns; i++) {
			int error = 0;

			if (fds[i].revents & POLLOUT)
				error = stream_send(&streams[i], &pending[2 * i]);
			if (!error && fds[i].revents & (POLLIN | POLLHUP | POLLERR))
				error = stream_receive(&streams[i], &pending[2 * i + 1]);
			if (error)
				return error;
			left -= fds[i].fd >= 0 && streams[i].done;
		}
	}
	return 0;
}

static int run_echo(const char *addr, unsigned port, size_t bytes, unsigned conns)
{
	struct sockaddr_in a = address(addr, port);
	struct stream *streams = calloc(CONNS_MAX, sizeof(*streams));
	struct pending *pending = calloc(2 * (size_t)CONNS_MAX, sizeof(*pending));
	ns_t start = clock_now();
	double seconds;
	int error;

	if (!streams || !pending || conns == 0 || conns > CONNS_MAX)
		return wrong("1 to 256 connections, please");
	bytes = (bytes + 7) / 8 * 8;
	error = streams_open(streams, conns, &a, bytes);
	if (!error)
		error = streams_run(streams, pending, conns);
	if (error) {
		errno = -error;
		return fail("echo");
	}
	seconds = (double)(clock_now() - start) / 1e9;
	printf("echo: %u connections, %zu bytes each, all equal, %.0f Mbit/s each way\n", conns,
		bytes, (double)bytes * conns * 8 / seconds / 1e6);
	for (unsigned i = 0; i < conns; i++)
		close(streams[i].fd);
	free(streams);
	free(pending);
	return 0;
}

static int run_rtt(const char *addr, unsigned port, unsigned count, size_t bytes)
{
	struct sockaddr_in a = address(addr, port);
	uint8_t out[CHUNK] = {0}, in[CHUNK];
	int fd = open_to(SOCK_STREAM, 0, &a);
	ns_t *ns = calloc(count, sizeof(*ns));

	if (fd < 0 || !ns)
		return fail("connect");
	if (bytes == 0 || bytes > CHUNK)
		return wrong("1 to 65536 bytes, please");
	for (unsigned i = 0; i < count; i++) {
		size_t got = 0;

		out[0] = (uint8_t)i;
		ns[i] = clock_now();
		if (send(fd, out, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			return fail("send");
		while (got < bytes) {
			ssize_t n = recv(fd, in + got, bytes - got, 0);

			if (n <= 0)
				return fail("recv");
			got += (size_t)n;
		}
		ns[i] = clock_now() - ns[i];
		if (in[0] != out[0])
			return wrong("the echo is another one");
	}
	print_latencies("rtt", ns, count);
	free(ns);
	close(fd);
	return 0;
}

static int run_closed(const char *addr, unsigned port)
{
	struct sockaddr_in a = address(addr, port);
	int fd = open_to(SOCK_STREAM, 0, &a);

	if (fd >= 0)
		return wrong("the connection was accepted");
	return errno == ECONNREFUSED ? 0 : fail("not refused");
}

static int run_udp(const char *addr, unsigned port)
{
	struct sockaddr_in a = address(addr, port);
	int fd = open_to(SOCK_DGRAM, 0, &a);
	char byte = 0;

	if (fd < 0 || send(fd, &byte, 1, 0) != 1)
		return fail("send");
	if (recv(fd, &byte, 1, 0) >= 0)
		return wrong("somebody answered");
	return errno == ECONNREFUSED ? 0 : fail("not refused");
}

static int run_plain(const char *link)
{
	// Checksums last: the kernel turns off with them what needs them.
	static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail("socket");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ethtool_value off = {.cmd = commands[i]};
		struct ifreq request = {.ifr_data = (void *)&off};

		snprintf(request.ifr_name, IFNAMSIZ, "%s", link);
		if (ioctl(fd, SIOCETHTOOL, &request))
			return fail(link);
	}
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	unsigned long third = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	unsigned long fourth = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	unsigned long fifth = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;

	if (strcmp(verb, "ping") == 0 && third)
		return run_ping(argv[2], (unsigned)third, argc > 4 ? fourth : 56);
	if (strcmp(verb, "echo") == 0 && fourth)
		return run_echo(argv[2], (unsigned)third, fourth, argc > 5 ? (unsigned)fifth : 1);
	if (strcmp(verb, "rtt") == 0 && fourth)
		return run_rtt(argv[2], (unsigned)third, (unsigned)fourth, argc > 5 ? fifth : 32);
	if (strcmp(verb, "closed") == 0 && third)
		return run_closed(argv[2], (unsigned)third);
	if (strcmp(verb, "udp") == 0 && third)
		return run_udp(argv[2], (unsigned)third);
	if (strcmp(verb, "plain") == 0 && argc == 3)
		return run_plain(argv[2]);
	fprintf(stderr, "usage: probe ping|echo|rtt|closed|udp|plain ...; the top of probe.c says how\n");
	return 2;
}
