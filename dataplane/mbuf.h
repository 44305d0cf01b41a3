// SPDX-License-Identifier: Apache-2.0
// A packet buffer of DPDK as a buf: received packets are passed on by reference.
#pragma once

#include <rte_mbuf.h>

#include "lib/base/buf.h"

// Lies in the private area of each mbuf of our pools.
struct mbuf_private {
	struct buf buf;
	uint32_t *held;  // how many the worker has passed on and not got back
};

#define MBUF_PRIVATE RTE_ALIGN(sizeof(struct mbuf_private), RTE_MBUF_PRIV_ALIGN)

// Takes the mbuf, which has one segment: the last buf_unref() frees it. *held counts it until
// then, on the thread that took it.
struct buf *mbuf_buf(struct rte_mbuf *m, uint32_t *held);
// A packet in several segments as one copy: TCP takes contiguous bytes. Takes the mbuf. NULL when
// the pool is at its limit or the packet longer than a block.
struct buf *mbuf_gather(struct rte_mbuf *m, struct buf_pool *pool);
