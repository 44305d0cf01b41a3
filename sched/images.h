// SPDX-License-Identifier: Apache-2.0
// Which nodes have which images, as hosts told last: soft, in memory alone. By node, a sorted list
// of hashes; by image, some of the nodes that have it, so that one in thousands is found. Both hang
// on the snapshot and are copied when they change. It says nothing of classes: what a node has
// changes all the time.
#pragma once

#include "sched/state.h"

#define SCHED_IMAGES_MAX 256   // of a node; the others are not known of
#define SCHED_HOLDERS_MAX 64   // that are known by image; who has it besides is found by chance
#define SCHED_IMAGES_ALL 65536 // known by image

struct sched_holders {
	const struct sched_holders *next; // of the same bucket
	uint64_t image;
	uint32_t count;
	uint32_t node[];
};

uint64_t sched_image_hash(const char *image);
bool sched_node_has_image(const struct sched_snapshot *s, uint32_t node, uint64_t image);
// NULL: nobody is known to have it.
const struct sched_holders *sched_image_holders(const struct sched_snapshot *s, uint64_t image);

// ---- writer ----

void sched_images_init(struct sched_state *st);
void sched_images_fini(struct sched_state *st);
// 1: something changed. 0, -ENOENT, -ENOMEM: not all of it may have been taken.
int sched_images_put(
	struct sched_state *st, uint32_t node, const char *const *images, uint32_t count);
// The node goes.
void sched_images_forget(struct sched_state *st, uint32_t node);
