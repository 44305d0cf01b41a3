// SPDX-License-Identifier: Apache-2.0
// A segment's bytes: parsed when it arrives, written when it leaves.

#include "dataplane/tcp/internal.h"
#include "lib/base/cursor.h"

#define HEADER_MIN 20
#define CHECKSUM_AT 16

static bool checksum_good(const struct tcp_rx *rx)
{
	uint64_t sum = tcp_checksum_pseudo(&rx->src, &rx->dst, rx->len);

	return tcp_checksum_fold(tcp_checksum_sum(rx->data, rx->len, sum)) == 0xffff;
}

enum tcp_parse tcp_segment_parse(const struct tcp_rx *rx, struct tcp_seg *seg)
{
	struct reader r = reader_of(rx->data, rx->len);
	uint32_t header_len;

	seg->src_port = reader_u16(&r);
	seg->dst_port = reader_u16(&r);
	seg->seq = reader_u32(&r);
	seg->ack = reader_u32(&r);
	header_len = (reader_u8(&r) >> 4) * 4u;
	seg->flags = reader_u8(&r);
	seg->window = reader_u16(&r);
	reader_u32(&r);  // checksum; urgent pointer: urgent data passes inline
	if (r.bad || header_len < HEADER_MIN || header_len > rx->len)
		return TCP_PARSE_SHORT;
	if (!rx->checksum_good && !checksum_good(rx))  // MUST-3
		return TCP_PARSE_CHECKSUM;
	seg->src = &rx->src;
	seg->dst = &rx->dst;
	seg->buf = rx->buf;
	seg->payload = rx->data + header_len;
	seg->len = rx->len - header_len;
	seg->had_text = seg->len > 0;
	tcp_options_parse(rx->data + HEADER_MIN, header_len - HEADER_MIN, seg->flags & TCP_SYN,
		&seg->options);
	return TCP_PARSE_OK;
}

// Header without options; tcp_tx_options_end() completes it.
void tcp_tx_begin(struct tcp_tx *tx, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t src_port, uint16_t dst_port, uint32_t seq, uint32_t ack, uint8_t flags,
	uint16_t window)
{
	struct writer w = writer_of(tx->header, HEADER_MIN);

	tx->src = *src;
	tx->dst = *dst;
	tx->slices = 0;
	tx->payload_len = 0;
	writer_u16(&w, src_port);
	writer_u16(&w, dst_port);
	writer_u32(&w, seq);
	writer_u32(&w, ack);
	writer_u8(&w, HEADER_MIN / 4 << 4);
	writer_u8(&w, flags);
	writer_u16(&w, window);
	writer_u32(&w, 0);  // checksum, urgent pointer
	tx->header_len = HEADER_MIN;
}

// end: behind the options, which are padded to words by their writers (MUST-69).
void tcp_tx_options_end(struct tcp_tx *tx, const uint8_t *end)
{
	tx->header_len = (uint8_t)(end - tx->header);
	tx->header[12] = (uint8_t)(tx->header_len / 4 << 4);
}

uint32_t tcp_tx_write(const struct tcp_tx *tx, uint8_t *to, bool checksum_offload)
{
	uint32_t len = tx->header_len;
	uint64_t sum;
	uint16_t field;

	memcpy(to, tx->header, tx->header_len);
	for (unsigned i = 0; i < tx->slices; i++) {
		memcpy(to + len, tx->payload[i].data, tx->payload[i].len);
		len += tx->payload[i].len;
	}
	sum = tcp_checksum_pseudo(&tx->src, &tx->dst, len);
	if (checksum_offload)
		field = tcp_checksum_fold(sum);
	else  // MUST-2
		field = (uint16_t)~tcp_checksum_fold(tcp_checksum_sum(to, len, sum));
	memcpy(to + CHECKSUM_AT, &field, sizeof(field));
	return len;
}
