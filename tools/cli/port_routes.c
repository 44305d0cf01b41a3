// SPDX-License-Identifier: Apache-2.0
// Which interfaces this machine cannot do without: those of default routes, and those on the way to
// people who are logged in from elsewhere (SSH_CONNECTION, which sudo may have removed, and what
// who(1) shows).
//
// Addresses are 16 bytes; IPv4 ones as ::ffff:a.b.c.d, so that one comparison serves both.
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <utmpx.h>

#include "tools/cli/port.h"

#define LOWER_DEPTH 8
#define MAPPED_BITS 96
#define LOGINS_MAX 64
#define RTF_UP_FLAG 1u
#define RTF_REJECT_FLAG 0x200u

struct route {
	uint8_t to[16];
	unsigned bits;
	bool is_default;
	char interface[PORT_NAME_MAX];
};

typedef void route_fn(const struct route *route, void *user);

static void map_v4(uint8_t to[16], uint32_t address)
{
	memset(to, 0, 16);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, &address, 4);
}

static FILE *open_below(const struct port_system *s, const char *path)
{
	char full[4096];

	snprintf(full, sizeof(full), "%s%s", s->root, path);
	return fopen(full, "re");
}

// Iface Destination Gateway Flags RefCnt Use Metric Mask ...; numbers are in the order of this
// machine's bytes.
static void each_v4(const struct port_system *s, route_fn *fn, void *user)
{
	FILE *file = open_below(s, "/proc/net/route");
	char line[512];
	struct route r;

	while (file && fgets(line, sizeof(line), file)) {
		unsigned to, flags, mask;

		if (sscanf(line, "%31s %x %*x %x %*d %*d %*d %x", r.interface, &to, &flags,
			    &mask) != 4 ||
			!(flags & RTF_UP_FLAG) || flags & RTF_REJECT_FLAG)
			continue;
		map_v4(r.to, to);
		r.bits = MAPPED_BITS + (unsigned)__builtin_popcount(mask);
		r.is_default = !mask;
		fn(&r, user);
	}
	if (file)
		fclose(file);
}

static bool parse_v6(const char *hex, uint8_t to[16])
{
	for (int i = 0; i < 16; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		to[i] = (uint8_t)byte;
	}
	return true;
}

// Destination bits source bits next-hop metric refs use flags interface; all hexadecimal.
static void each_v6(const struct port_system *s, route_fn *fn, void *user)
{
	FILE *file = open_below(s, "/proc/net/ipv6_route");
	char line[512], to[64];
	struct route r;

	while (file && fgets(line, sizeof(line), file)) {
		unsigned flags;

		if (sscanf(line, "%63s %x %*s %*x %*s %*x %*x %*x %x %31s", to, &r.bits, &flags,
			    r.interface) != 4 ||
			strlen(to) != 32 || !parse_v6(to, r.to) || !(flags & RTF_UP_FLAG) ||
			flags & RTF_REJECT_FLAG || strcmp(r.interface, "lo") == 0)
			continue;
		r.is_default = r.bits == 0;
		fn(&r, user);
	}
	if (file)
		fclose(file);
}

static bool covers(const struct route *r, const uint8_t address[16])
{
	unsigned bytes = r->bits / 8, rest = r->bits % 8;

	if (r->bits > 128 || memcmp(r->to, address, bytes) != 0)
		return false;
	return !rest || ((r->to[bytes] ^ address[bytes]) >> (8 - rest)) == 0;
}

// Whether an interface is, or stands on, a lower one: a bond, a bridge, a VLAN.
static bool stands_on(const struct port_system *s, const char *upper, const char *lower, int depth)
{
	struct dirent *entry;
	char path[4096];
	bool found = strcmp(upper, lower) == 0;
	DIR *dir;

	if (found || depth == 0)
		return found;
	snprintf(path, sizeof(path), "%s/sys/class/net/%s", s->root, upper);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir)))
		if (strncmp(entry->d_name, "lower_", 6) == 0)
			found = stands_on(s, entry->d_name + 6, lower, depth - 1);
	if (dir)
		closedir(dir);
	return found;
}

struct search {
	const struct port_system *system;
	const char *interface;
	bool is_default;        // found
	const uint8_t *address; // looked for
	unsigned bits;          // of the best route there
	bool found, leads;      // ... and whether it is over the interface
};

static void look_for_default(const struct route *r, void *user)
{
	struct search *q = user;

	if (r->is_default && stands_on(q->system, r->interface, q->interface, LOWER_DEPTH))
		q->is_default = true;
}

static void look_for_way(const struct route *r, void *user)
{
	struct search *q = user;
	bool leads;

	if (!covers(r, q->address) || (q->found && r->bits < q->bits))
		return;
	leads = stands_on(q->system, r->interface, q->interface, LOWER_DEPTH);
	// Of equal ones either may be taken.
	q->leads = leads || (q->found && r->bits == q->bits && q->leads);
	q->found = true;
	q->bits = r->bits;
}

static bool leads_to(const struct port_system *s, const char *interface, const uint8_t address[16])
{
	struct search q = {.system = s, .interface = interface, .address = address};

	each_v4(s, look_for_way, &q);
	each_v6(s, look_for_way, &q);
	return q.leads;
}

static bool parse_address(const char *text, uint8_t to[16])
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		map_v4(to, v4.s_addr);
		return true;
	}
	return inet_pton(AF_INET6, text, to) == 1;
}

static bool login_by_ssh(const struct port_system *s, const char *interface)
{
	char client[64] = "";
	uint8_t address[16];

	return s->ssh_connection && sscanf(s->ssh_connection, "%63s", client) == 1 &&
	       parse_address(client, address) && leads_to(s, interface, address);
}

// What who(1) shows: everybody's sessions, not this one alone.
static bool login_by_list(const struct port_system *s, const char *interface)
{
	FILE *file = open_below(s, "/run/utmp");
	struct utmpx u;
	bool found = false;

	for (int i = 0; file && !found && i < LOGINS_MAX * 16 && fread(&u, sizeof(u), 1, file) == 1;
		i++) {
		uint8_t address[16];
		bool v6 = u.ut_addr_v6[1] || u.ut_addr_v6[2] || u.ut_addr_v6[3];

		if (u.ut_type != USER_PROCESS || (!v6 && !u.ut_addr_v6[0]))
			continue;
		if (v6)
			memcpy(address, u.ut_addr_v6, 16);
		else
			map_v4(address, (uint32_t)u.ut_addr_v6[0]);
		found = leads_to(s, interface, address);
	}
	if (file)
		fclose(file);
	return found;
}

void port_carries(
	const struct port_system *s, const char *interface, bool *default_route, bool *login)
{
	struct search q = {.system = s, .interface = interface};

	each_v4(s, look_for_default, &q);
	each_v6(s, look_for_default, &q);
	*default_route = q.is_default;
	*login = login_by_ssh(s, interface) || login_by_list(s, interface);
}
