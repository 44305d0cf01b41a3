// SPDX-License-Identifier: Apache-2.0
// The thread that writes batches to the store, so that a slow disk stops neither the API nor the
// peers.
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "controlplane/registry.h"

// Shared under the lock: batch, done, stop. At most one batch is here at a time.
struct committer {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	const struct batch *batch;  // given by the main thread
	bool done, stop;
	int result;
	struct store_stat stat;
	int event_fd;  // becomes readable when a batch is done
};

// 0 or -E... .
int committer_start(struct committer *c, struct store *store);
// The batch stays the registry's; it must not change until committer_take().
void committer_submit(struct committer *c, const struct batch *batch);
// True once the batch is done, with its result; wait: until it is (false then: there is none).
bool committer_take(struct committer *c, bool wait, int *result, struct store_stat *stat);
// No batch may be under way.
void committer_stop(struct committer *c);
