// SPDX-License-Identifier: Apache-2.0
// TCP options, read and written (RFC 9293 3.1, RFC 7323, RFC 2018).

#include "dataplane/tcp/internal.h"
#include "lib/base/cursor.h"

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_TIMESTAMPS = 8,
};

static void parse_one(uint8_t kind, struct reader *body, bool syn, struct tcp_options *out)
{
	size_t len = reader_left(body);

	switch (kind) {
	case OPTION_MSS:
		if (syn && len == 2)
			out->mss = reader_u16(body);
		break;
	case OPTION_WSCALE:
		if (syn && len == 1) {
			out->wscale = reader_u8(body);
			out->has_wscale = true;
		}
		break;
	case OPTION_SACK_PERMITTED:
		if (syn && len == 0)
			out->sack_permitted = true;
		break;
	case OPTION_TIMESTAMPS:
		if (len == 8) {
			out->tsval = reader_u32(body);
			out->tsecr = reader_u32(body);
			out->has_ts = true;
		}
		break;
	default: // MUST-6
		break;
	}
}

// MUST-5 and MUST-64: any segment, any alignment. MUST-7: an illegal length ends the list, what
// came before counts.
void tcp_options_parse(const uint8_t *data, uint32_t len, bool syn, struct tcp_options *out)
{
	struct reader r = reader_of(data, len);

	*out = (struct tcp_options){0};
	while (reader_left(&r) > 0) {
		uint8_t kind = reader_u8(&r);
		uint8_t option_len;
		const uint8_t *body;
		struct reader b;

		if (kind == OPTION_END)
			return;
		if (kind == OPTION_NOP)
			continue;
		option_len = reader_u8(&r);  // MUST-68: all others have one
		if (r.bad || option_len < 2)
			return;
		body = reader_take(&r, option_len - 2u);
		if (!body)
			return;
		b = reader_of(body, option_len - 2u);
		parse_one(kind, &b, syn, out);
	}
}

static uint8_t *write_u32(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 24);
	to[1] = (uint8_t)(v >> 16);
	to[2] = (uint8_t)(v >> 8);
	to[3] = (uint8_t)v;
	return to + 4;
}

// The layout that RFC 7323 appendix A recommends.
uint8_t *tcp_options_write_ts(uint8_t *to, uint32_t tsval, uint32_t tsecr)
{
	to[0] = OPTION_NOP;
	to[1] = OPTION_NOP;
	to[2] = OPTION_TIMESTAMPS;
	to[3] = 10;
	to = write_u32(to + 4, tsval);
	return write_u32(to, tsecr);
}

uint8_t *tcp_options_write_mss(uint8_t *to, uint16_t mss)
{
	to[0] = OPTION_MSS;
	to[1] = 4;
	to[2] = (uint8_t)(mss >> 8);
	to[3] = (uint8_t)mss;
	return to + 4;
}

uint8_t *tcp_options_write_wscale(uint8_t *to, uint8_t shift)
{
	to[0] = OPTION_NOP;
	to[1] = OPTION_WSCALE;
	to[2] = 3;
	to[3] = shift;
	return to + 4;
}
