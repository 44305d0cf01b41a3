// SPDX-License-Identifier: Apache-2.0
// The process: ports, workers, and the configuration of the network that they share.
#pragma once

#include "dataplane/options.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"

struct dataplane {
	struct options options;
	struct ports ports;
	unsigned workers;
	bool shared_cores;           // workers share cores: polling takes time from siblings
	struct worker *worker[WORKERS_MAX];
	struct rte_rcu_qsbr *qsbr;   // thread ids: the workers' ids
	const struct net_config *net;  // atomic; see dataplane_set_net()
	uint64_t generations;        // of net_configs published so far
	uint32_t stop;               // atomic: workers drain and end
	ns_t stop_by;                // atomic; set before stop
	void *app;                   // the application's
};

// Control thread. Starts all that the options ask for: 0, or -E... after a log line; then nothing
// runs.
int dataplane_start(struct dataplane *dp);
// After workers_stop(): waits for the workers, then takes everything down.
void dataplane_end(struct dataplane *dp);
// Control thread: publishes a copy of the configuration (its generation is set here), wakes the
// workers and frees the previous one when none can see it any more. 0 or -ENOMEM. Workers apply
// it within an iteration.
int dataplane_set_net(struct dataplane *dp, const struct net_config *config);
// Control thread: waits until every worker has passed a point where it holds nothing shared.
void dataplane_synchronize(struct dataplane *dp);
