// SPDX-License-Identifier: Apache-2.0
// See mbuf.h. Worker thread; a buf made of an mbuf never leaves it.
#include "dataplane/mbuf.h"

static void mbuf_release(struct buf *buf)
{
	struct rte_mbuf *m = buf->owner;
	struct mbuf_private *private = rte_mbuf_to_priv(m);

	--*private->held;
	rte_pktmbuf_free_seg(m);
}

struct buf *mbuf_buf(struct rte_mbuf *m, uint32_t *held)
{
	struct mbuf_private *private = rte_mbuf_to_priv(m);

	private->held = held;
	++*held;
	buf_init(&private->buf, rte_pktmbuf_mtod(m, void *), m->data_len, mbuf_release, m);
	return &private->buf;
}

struct buf *mbuf_gather(struct rte_mbuf *m, struct buf_pool *pool)
{
	struct buf *block = buf_pool_get(pool);

	if (block && m->pkt_len > block->size) {
		buf_unref(block);
		block = NULL;
	}
	if (block) {
		for (const struct rte_mbuf *at = m; at; at = at->next) {
			memcpy(block->base + block->used, rte_pktmbuf_mtod(at, const void *),
				at->data_len);
			block->used += at->data_len;
		}
	}
	rte_pktmbuf_free(m);
	return block;
}
