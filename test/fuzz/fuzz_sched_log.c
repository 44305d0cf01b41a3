// SPDX-License-Identifier: Apache-2.0
// The scheduler's log: whatever bytes are replayed, the state stays sound and can be written and
// read again.
#include <stdint.h>
#include <stdlib.h>

#include "sched/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sched_state *st = sched_state_new(), *copy = sched_state_new();
	struct sched_encoder out = {0};

	// What came before the damage is applied; a checkpoint of that gives the same state.
	if (!st || !copy)
		abort();
	sched_replay(st, data, len);
	if (sched_checkpoint(&st->head, &out))
		abort();
	if (sched_replay(copy, out.out.data, out.out.len))
		abort();
	if (sched_state_hash(&copy->head) != sched_state_hash(&st->head))
		abort();
	sched_bytes_fini(&out.out);
	sched_state_destroy(st);
	sched_state_destroy(copy);
	return 0;
}
