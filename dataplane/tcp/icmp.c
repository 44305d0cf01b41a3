// SPDX-License-Identifier: Apache-2.0
// ICMP errors about segments of ours (RFC 5927): believed only when the quoted sequence number is
// in flight, and never a reason to end a connection that is established.

#include "dataplane/tcp/internal.h"
#include "lib/base/cursor.h"

enum meaning {
	IGNORE,  // source quench (MUST-55) and what we do not know
	SOFT,   // MUST-56: nothing is aborted
	HARD,   // SHLD-26: ends a connection attempt
	TOO_BIG,
};

static enum meaning meaning_v4(uint8_t type, uint8_t code)
{
	if (type == 3) {
		if (code == 4)
			return TOO_BIG;
		return code == 2 || code == 3 ? HARD : SOFT;
	}
	return type == 11 || type == 12 ? SOFT : IGNORE;
}

static enum meaning meaning_v6(uint8_t type, uint8_t code)
{
	if (type == 2)
		return TOO_BIG;
	if (type == 1)
		return code == 1 || code == 4 ? HARD : SOFT;
	return type == 3 || type == 4 ? SOFT : IGNORE;
}

// RFC 1191, RFC 8201: smaller segments from now on, and those in flight again.
static void too_big(struct tcp_conn *c, uint32_t mtu)
{
	bool v4 = tcp_conn_is_v4(c);
	uint32_t floor = v4 ? TCP_MTU_FLOOR_V4 : TCP_MTU_FLOOR_V6;
	uint16_t mss = tcp_mss_of_mtu(mtu < floor ? floor : mtu, v4);

	if (mss >= c->mss || c->state < TCP_ESTABLISHED)
		return;
	c->mss = mss;
	c->snd_nxt = c->snd_una;
	c->flags &= ~(uint32_t)(C_TIMING | C_RTX_DUE);
	tcp_sendq_rewind(c);
	tcp_conn_ready(c);
}

void tcp_icmp(struct tcp_stack *s, const struct ip_addr *local, const struct ip_addr *remote,
	uint8_t type, uint8_t code, uint32_t mtu, const uint8_t *quoted, uint32_t len, ns_t now)
{
	struct reader r = reader_of(quoted, len);
	uint16_t local_port = reader_u16(&r);
	uint16_t remote_port = reader_u16(&r);
	uint32_t seq = reader_u32(&r);
	enum meaning meaning = ip_is_v4(remote) ? meaning_v4(type, code) : meaning_v6(type, code);
	struct tcp_conn *c = NULL;

	s->now = now;
	if (!r.bad && meaning != IGNORE)
		c = tcp_table_find(s, tcp_tuple_hash(s, local, local_port, remote, remote_port),
			local, local_port, remote, remote_port);
	if (!c || seq_lt(seq, c->snd_una) || seq_ge(seq, c->snd_max)) {
		s->counters.icmp_ignored++;
		return;
	}
	tcp_conn_enter(c);
	if (meaning == TOO_BIG)
		too_big(c, mtu);
	else if (meaning == HARD && c->state == TCP_SYN_SENT)
		tcp_conn_end(c, -ECONNREFUSED);
	tcp_conn_leave(c);
}
