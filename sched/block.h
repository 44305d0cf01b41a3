// SPDX-License-Identifier: Apache-2.0
// Specs and node infos: immutable, each one malloc'd block with all its texts inside (free() ends
// it).
#pragma once

#include "sched/codec.h"

struct sched_spec *sched_spec_copy(const struct sched_spec *spec);
void sched_spec_encode(struct sched_bytes *out, const struct sched_spec *spec);
// NULL with r->bad: damaged; NULL without: out of memory.
struct sched_spec *sched_spec_decode(struct reader *r);
// 0, or -EINVAL: beyond a limit, or without a name.
int sched_spec_check(const struct sched_spec *spec);
// Keys of a template's meta; the same if they differ in case or in - and _ alone, since environment
// variables are made of them.
bool sched_meta_key_ok(const char *key);
bool sched_meta_key_same(const char *a, const char *b);

// Sorts the attributes by key and hashes the class.
struct sched_node_info *sched_node_info_make(
	const char *name, const struct sched_attribute *attributes, uint32_t count);
void sched_node_info_encode(struct sched_bytes *out, const struct sched_node_info *info);
struct sched_node_info *sched_node_info_decode(struct reader *r);
// The value of an attribute, NULL if it has none. "unique.node.name" is its name.
const char *sched_node_attribute(const struct sched_node_info *info, const char *key);
