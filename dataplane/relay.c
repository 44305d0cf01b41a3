// SPDX-License-Identifier: Apache-2.0
// The relay of one worker: see relay.h. Memory is taken here, at start.

#include "dataplane/relay.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/call.h"
#include "dataplane/client/client.h"
#include "dataplane/host_call.h"
#include "dataplane/upstream/upstream.h"
#include "lib/base/atomic.h"

// Untouched parts of these arrays cost address space only.
static int take_memory(struct relay *r)
{
	r->blocks = buf_pool_new(BLOCK_BYTES, BLOCKS_BYTES_MAX);
	r->pool = r->blocks ? rs_pool_new(STREAMS_MAX, r->blocks) : NULL;
	r->clients_memory = calloc(CLIENTS_MAX, sizeof(*r->clients_memory));
	r->calls_memory = calloc(CALLS_MAX, sizeof(*r->calls_memory));
	if (!r->pool || !r->clients_memory || !r->calls_memory)
		return -ENOMEM;
	return loads_init(&r->loads);
}

static void free_memory(struct relay *r)
{
	loads_fini(&r->loads);
	free(r->calls_memory);
	free(r->clients_memory);
	if (r->pool)
		rs_pool_destroy(r->pool);
	buf_pool_destroy(r->blocks);
}

static void write_gauges(struct relay *r)
{
	counter_set(&r->gauges.clients, r->clients_count);
	counter_set(&r->gauges.calls, r->calls_in_flight);
	counter_set(&r->gauges.streams, rs_pool_streams(r->pool));
	counter_set(&r->gauges.block_bytes, buf_pool_bytes(r->blocks));
	counter_set(&r->gauges.slices, chain_nodes_in_use() - r->setups_kept);
	counter_set(&r->gauges.tcp_connections, tcp_conns(r->tcp));
}

static void on_housekeeping(struct timer *timer, ns_t now)
{
	struct relay *r = list_entry(timer, struct relay, housekeeping);
	uint64_t upstreams = 0;

	upstream_sweep(r);
	clients_relieve(r);
	list_for_each (at, &r->upstreams)
		upstreams++;
	counter_set(&r->gauges.upstreams, upstreams);
	write_gauges(r);
	timer_arm(r->timers, timer, now + RELAY_HOUSEKEEPING);
}

int relay_init(struct relay *r, const struct relay_config *config)
{
	int rc;

	*r = (struct relay){
		.tcp = config->tcp,
		.loop = config->loop,
		.timers = config->timers,
		.table = config->table,
		.now = config->now,
		.targets = config->targets,
		.services = config->services,
		.host_setup = config->host_setup,
	};
	list_init(&r->clients);
	list_init(&r->clients_dirty);
	list_init(&r->upstreams);
	rng_seed(&r->rng, config->seed);
	rc = take_memory(r);
	if (rc) {
		free_memory(r);
		return rc;
	}
	r->host_mime = mime_get(&r->mimes, HOST_METADATA_MIME, HOST_DATA_MIME);
	if (!r->host_mime) {
		free_memory(r);
		return -ENOMEM;
	}
	r->call_ids = config->seed;
	link_hub_init(&r->hub, r->loop, r->pool);
	r->housekeeping.fire = on_housekeeping;
	timer_arm(r->timers, &r->housekeeping, *r->now);
	return 0;
}

void relay_fini(struct relay *r)
{
	timer_cancel(r->timers, &r->housekeeping);
	mime_unref(r->host_mime);
	mime_table_fini(&r->mimes);
	free_memory(r);
}

void relay_flush(struct relay *r)
{
	uint64_t calls = r->counters.calls - r->calls_seen;

	clients_flush(r);
	if (calls == 0)
		return;
	r->calls_seen = r->counters.calls;
	hist_add_n(&r->gateway_time_ns, (uint64_t)(clock_now() - *r->now), calls);
}

bool relay_drain(struct relay *r, bool force)
{
	if (!r->draining || force) {
		r->draining = true;
		clients_drain(r, force);
	}
	if (r->clients_count > 0)
		return false;
	// Until here functions that served them could call others; now only what other gateways
	// began is left.
	upstream_drain_all(r);
	if (r->calls_in_flight > 0 && !force)
		return false;
	upstream_close_all(r);
	return list_empty(&r->upstreams);
}
