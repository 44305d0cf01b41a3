// SPDX-License-Identifier: Apache-2.0
// Round-trip time and the retransmission timeout (RFC 6298).
//
// A sample is either one segment timed in nanoseconds and never sent again (Karn, MUST-18), or,
// when that was lost, an echoed timestamp (RFC 7323 4). A timeout doubles the RTO, and it stays
// doubled until there is a new sample.

#include "dataplane/tcp/internal.h"

void tcp_rtt_init(struct tcp_conn *c)
{
	c->srtt_us = 0;
	c->rttvar_us = 0;
	c->rto_us = TCP_RTO_INITIAL_US;
}

static uint32_t clamp_rto(uint64_t us)
{
	if (us < TCP_RTO_MIN_US)
		return TCP_RTO_MIN_US;
	return us > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : (uint32_t)us;
}

void tcp_rtt_forget_back_off(struct tcp_conn *c)
{
	uint64_t margin = 4 * (uint64_t)c->rttvar_us;

	c->flags &= ~(uint32_t)C_BACKED_OFF;
	if (c->srtt_us == 0)
		c->rto_us = TCP_RTO_INITIAL_US;
	else
		c->rto_us = clamp_rto(c->srtt_us + (margin > TCP_CLOCK_US ? margin : TCP_CLOCK_US));
}

void tcp_rtt_sample(struct tcp_conn *c, int64_t rtt_us)
{
	uint32_t r = rtt_us < 1 ? 1 : rtt_us > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : (uint32_t)rtt_us;

	if (c->srtt_us == 0) {
		c->srtt_us = r;
		c->rttvar_us = r / 2;
	} else {
		uint32_t error = r > c->srtt_us ? r - c->srtt_us : c->srtt_us - r;

		c->rttvar_us = (uint32_t)((3 * (uint64_t)c->rttvar_us + error) / 4);
		c->srtt_us = (uint32_t)((7 * (uint64_t)c->srtt_us + r) / 8);
		if (c->srtt_us == 0)
			c->srtt_us = 1;
	}
	tcp_rtt_forget_back_off(c);
}

void tcp_rtt_back_off(struct tcp_conn *c)
{
	c->rto_us = clamp_rto(2 * (uint64_t)c->rto_us);
	c->flags |= C_BACKED_OFF;
}
