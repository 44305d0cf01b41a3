// SPDX-License-Identifier: Apache-2.0
// What block.c and extras.c share.
#pragma once

#include "sched/block.h"

// Where the texts of a block go. text NULL: nowhere, they are only skipped.
struct sched_room {
	char *text;
	size_t left;
};

const char *sched_take_text(struct reader *r, struct sched_room *room);

// The parts of a spec that most jobs do not have (extras.c).
struct sched_extras_size {
	uint32_t affinities, spreads, targets, claims, near;
	size_t launch, child; // bytes
	size_t bytes;         // of all their structs
};

int sched_extras_check(const struct sched_spec *spec);
void sched_extras_put(struct sched_bytes *b, const struct sched_spec *spec);
// Reads ahead; a damaged or too long list makes the reader of sched_extras_get() bad.
struct sched_extras_size sched_extras_size(struct reader *r);
// at: room for size->bytes.
void sched_extras_get(struct reader *r, struct sched_spec *spec, void *at,
	const struct sched_extras_size *size, struct sched_room *room);

// ---- a job that launches others, or that was launched (launch_block.c) ----

int sched_launch_check(const struct sched_spec *spec);
void sched_launch_put(struct sched_bytes *b, const struct sched_launch *l);
void sched_child_put(struct sched_bytes *b, const struct sched_spec *spec);
// Of the structs, 0: damaged, or none.
size_t sched_launch_size(struct reader r);
size_t sched_child_size(struct reader r);
void sched_launch_get(struct reader *r, struct sched_spec *spec, void *at, struct sched_room *room);
void sched_child_get(struct reader *r, struct sched_spec *spec, void *at, struct sched_room *room);
