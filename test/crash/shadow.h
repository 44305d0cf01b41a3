// SPDX-License-Identifier: Apache-2.0
// What the store must hold, known from the victim's marks alone: every record by key, and the
// scheduler's state, made of the logs without any checkpoint.
//
// A batch is `begun` from its mark on and `durable` from the mark that says so. What is found after
// a crash must be the state after the last durable batch, or after one of those begun behind it.
#pragma once

#include "controlplane/strmap.h"
#include "sched/state.h"
#include "test/crash/mark.h"

#define SHADOW_BEGUN_MAX 8

struct shadow_record {
	struct strmap_node node;
	uint64_t version, hash;
	size_t len;
	char key[];
};

struct shadow_batch {
	uint64_t number, seq;
	struct sched_bytes records;
};

struct shadow {
	struct strmap records;
	struct sched_state *state;
	bool known; // false: nothing is known to be stored yet
	bool ready, encoding, ended;
	uint64_t durable, seq; // number and last seq of the last durable batch
	struct shadow_batch begun[SHADOW_BEGUN_MAX];
	size_t begun_count;
	bool checkpoint_begun; // it is in a batch that has begun
	uint64_t batches, refused, deeds, jobs, children, checkpoints;
	char wrong[400]; // the first thing that was told and is not so; "" if all is well
};

void shadow_init(struct shadow *s);
void shadow_fini(struct shadow *s);
// A mark that came. 0, or -EBADMSG: s->wrong says why.
int shadow_take(struct shadow *s, enum mark type, const void *body, size_t len);
// The store is at the k-th of the batches that have begun.
void shadow_advance(struct shadow *s, size_t k);
// Forgets those that have begun: the victim is dead, and they are not in the store.
void shadow_forget_begun(struct shadow *s);
