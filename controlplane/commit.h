// SPDX-License-Identifier: Apache-2.0
// The thread that commits, so that a slow disk stops neither the API nor the peers.
//
// The main thread hands it sealed batches. What joins them (registry_rider) it commits by itself as
// soon as it is told of it, since each thread more on the way to the disk costs as much as planning
// does. After an error it tries again every 200 ms, with nothing but the number if there is nothing
// else; a batch does not wait for that.
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "controlplane/registry.h"

// Since the last committer_take().
struct commit_result {
	bool settled;  // the batch is, with this error
	int error;
	uint64_t alone;   // good commits without a batch
	int alone_error;  // of the last one, if it was not
	int last;         // what the last commit came to, also one that was taken before
	struct store_stat stat;  // after the last good commit
};

// Shared under the lock, but registry and thread. At most one batch is here at a time.
struct committer {
	struct registry *registry;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work, rest;
	struct batch *batch;  // given by the main thread
	bool wanted, stop;    // something is to join
	ns_t retry_at;        // nothing is committed without a batch before
	uint64_t begun, ended;  // commits
	struct commit_result result;
	int event_fd;  // becomes readable when a batch is settled, at each error, and when they end
};

// The registry's store and rider; neither changes until it is stopped. 0 or -E... .
int committer_start(struct committer *c, struct registry *registry);
// The batch is the thread's until it is settled.
void committer_submit(struct committer *c, struct batch *batch);
// Something is to join: for any thread.
void committer_wake(void *committer);
// What has been done; wait: until all is that was wanted before the call.
struct commit_result committer_take(struct committer *c, bool wait);
// No batch may be under way.
void committer_stop(struct committer *c);
