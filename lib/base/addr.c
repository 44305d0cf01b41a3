// SPDX-License-Identifier: Apache-2.0
// Addresses and their text: see addr.h.

#include "lib/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

int ip_parse(const char *text, struct ip_addr *out)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*out = ip_from_v4(v4.s_addr);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		memcpy(out->b, &v6, sizeof(out->b));
		return 0;
	}
	return -EINVAL;
}

// A decimal number without sign or space, at most max.
static int number_parse(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 9)
		return -EINVAL;
	*out = strtoul(text, &end, 10);
	return *end || *out > max ? -EINVAL : 0;
}

int ip_prefix_parse(const char *text, struct ip_addr *out, unsigned *prefix_len)
{
	char head[ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	struct ip_addr addr;
	unsigned long len;

	if (!slash || (size_t)(slash - text) >= sizeof(head))
		return -EINVAL;
	memcpy(head, text, (size_t)(slash - text));
	head[slash - text] = '\0';
	if (ip_parse(head, &addr) || number_parse(slash + 1, ip_is_v4(&addr) ? 32 : 128, &len))
		return -EINVAL;
	*out = addr;
	*prefix_len = (unsigned)len;
	return 0;
}

const char *ip_text(const struct ip_addr *a, char *text)
{
	if (ip_is_v4(a))
		inet_ntop(AF_INET, &a->w[3], text, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->b, text, ADDR_TEXT_MAX);
	return text;
}

static int unix_parse(const char *path, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (path[0] == '\0' || strlen(path) >= sizeof(un.sun_path))
		return -EINVAL;
	strcpy(un.sun_path, path);
	memset(out, 0, sizeof(*out));
	memcpy(out, &un, sizeof(un));
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	return 0;
}

static int inet_parse(char *host, const char *port_text, struct sockaddr_storage *out, socklen_t *len)
{
	size_t n = strlen(host);
	struct ip_addr ip;
	unsigned long port;

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		host++;
	} else if (strchr(host, ':')) {
		return -EINVAL;
	}
	if (ip_parse(host, &ip) || number_parse(port_text, 65535, &port))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	if (ip_is_v4(&ip)) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

		in.sin_addr.s_addr = ip_v4_be(&ip);
		memcpy(out, &in, sizeof(in));
		*len = sizeof(in);
	} else {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

		memcpy(&in6.sin6_addr, ip.b, sizeof(ip.b));
		memcpy(out, &in6, sizeof(in6));
		*len = sizeof(in6);
	}
	return 0;
}

int sockaddr_parse(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
	char host[ADDR_TEXT_MAX];
	const char *colon;

	if (strncmp(text, "unix:", 5) == 0)
		return unix_parse(text + 5, out, len);
	if (text[0] == '/')
		return unix_parse(text, out, len);
	colon = strrchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	return inet_parse(host, colon + 1, out, len);
}
