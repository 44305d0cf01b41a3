// SPDX-License-Identifier: Apache-2.0
// The state: nodes, jobs, instances, evaluations; changed by transactions of typed changes only.
//
// A transaction takes the next index, applies its changes one by one and writes each into the log
// as it goes. Replaying the log gives the same state, since both ways lead through sched_apply.
// Observed status is in the log only where it ends an instance or makes it unknown; the rest is
// soft and comes again from the hosts (`soft` below).
//
// Threads: one writer. Readers see only what was published, through a snapshot they have pinned; a
// snapshot never changes. Functions that take a `struct sched_snapshot` work on the writer's head
// as well.
#pragma once

#include "sched/codec.h"
#include "sched/map.h"
#include "sched/table.h"
#include "sched/types.h"

enum sched_table_kind {
	SCHED_TABLE_NODES,
	SCHED_TABLE_JOBS,
	SCHED_TABLE_INSTANCES,
	SCHED_TABLE_EVALS,
	SCHED_TABLE_QUOTAS,
	SCHED_TABLES,
};

struct sched_snapshot {
	uint64_t index; // of the last transaction in it
	struct sched_table tables[SCHED_TABLES];
	uint32_t counts[SCHED_TABLES]; // rows in use
	uint32_t class_count;          // classes are numbered below this
	uint64_t topology;        // index at which a node last came, went or got other attributes
	struct sched_table names; // of jobs (names.h)
	struct sched_table images, holders; // by node; by image (images.h)
};

// Free rows of a table. Writer only.
struct sched_slots {
	uint32_t *free;
	uint32_t count, room;
	uint32_t next; // never used yet
};

// Of a job's current version; soft (deploy_state.c). Writer only.
struct sched_readiness {
	uint32_t live;
	uint32_t ready;    // live and ready, without canaries
	uint32_t canaries; // ready
	ns_t progress_ns;  // when its deployment last began, went on, or had one more ready
	bool watched;      // the core looks at its deployment's time
};

#define SCHED_EFFECT_NODES 64

// What transactions did that others must be told; whoever handles them clears them.
struct sched_effects {
	uint64_t freed[SCHED_CLASSES_TRACKED / 64]; // classes in which room appeared
	bool freed_other;                           // in a class beyond the bitmap
	uint32_t freed_instances;
	uint32_t nodes[SCHED_EFFECT_NODES]; // where room appeared, or that are gone
	uint32_t node_count;                // beyond SCHED_EFFECT_NODES: there were more
	uint64_t quotas;                    // keys - 1 of those in which room appeared
};

struct sched_state {
	struct sched_snapshot head;             // the writer's
	const struct sched_snapshot *published; // atomic
	struct sched_pages pages;
	struct sched_slots slots[SCHED_TABLES];
	uint32_t *prev_in_job, *prev_on_node; // of instances: only the writer unlinks
	uint32_t prev_room;
	struct sched_map job_names, node_names, quota_names, classes;
	struct sched_slots system_jobs; // `free` is the list of jobs with an instance a node
	struct sched_map tokens;        // children by parent and token
	uint64_t last_eval_id;
	uint32_t image_count;              // known by image
	struct sched_readiness *readiness; // by job
	uint32_t readiness_room;
	struct sched_encoder log;
	bool replaying;
	struct sched_effects effects;
};

struct sched_state *sched_state_new(void);
// No reader may be left.
void sched_state_destroy(struct sched_state *st);

// ---- reading ----

static inline const struct sched_node *sched_node_at(const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_node *n = sched_table_row(&s->tables[SCHED_TABLE_NODES], slot);

	return n && n->in_use ? n : NULL;
}

static inline const struct sched_job *sched_job_at(const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_job *j = sched_table_row(&s->tables[SCHED_TABLE_JOBS], slot);

	return j && j->in_use ? j : NULL;
}

static inline const struct sched_instance *sched_instance_at(
	const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_instance *i = sched_table_row(&s->tables[SCHED_TABLE_INSTANCES], slot);

	return i && (i->flags & SCHED_INSTANCE_USED) ? i : NULL;
}

static inline const struct sched_eval *sched_eval_at(const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_eval *e = sched_table_row(&s->tables[SCHED_TABLE_EVALS], slot);

	return e && e->in_use ? e : NULL;
}

static inline const struct sched_quota *sched_quota_at(
	const struct sched_snapshot *s, uint32_t slot)
{
	const struct sched_quota *q = sched_table_row(&s->tables[SCHED_TABLE_QUOTAS], slot);

	return q && q->in_use ? q : NULL;
}

// NULL if it is gone or its row belongs to another one now.
static inline const struct sched_instance *sched_instance_by_id(
	const struct sched_snapshot *s, const struct sched_id *id)
{
	const struct sched_instance *i = sched_instance_at(s, id->slot);

	return i && i->id.nonce == id->nonce && i->id.seq == id->seq ? i : NULL;
}

static inline const struct sched_spec *sched_job_spec(const struct sched_job *job)
{
	return job->versions->spec[0];
}

// Nothing of it shall run: it is stopped, has ended, or launches others instead.
static inline bool sched_job_rests(const struct sched_job *job)
{
	const struct sched_spec *spec = sched_job_spec(job);

	return spec->stopped || spec->launch || job->ended_ns;
}

// NULL if no instance has that version any more.
const struct sched_spec *sched_job_version(const struct sched_job *job, uint32_t version);
// Whether the instance, of whichever version, is what this version of the job asks for.
bool sched_job_same(const struct sched_job *job, const struct sched_spec *spec,
	const struct sched_instance *i);
// The versions that are kept once the job is put with this spec; j: NULL: it is new.
void sched_versions_keep(const struct sched_snapshot *s, const struct sched_job *j,
	const struct sched_spec *spec, struct sched_versions *out);
// May take new instances.
static inline bool sched_node_takes(const struct sched_node *n)
{
	return n->status == SCHED_NODE_READY && n->eligible && !n->draining;
}

// A pinned reader's view, valid until it pins again or unpins. Any thread.
const struct sched_snapshot *sched_snapshot_pin(
	struct sched_reader *reader, const struct sched_state *st);

// Writer only. SCHED_NONE if there is none.
uint32_t sched_job_find(const struct sched_state *st, const char *namespace, const char *name);
uint32_t sched_node_find(const struct sched_state *st, const char *name);
uint32_t sched_quota_find(const struct sched_state *st, const char *namespace);
// What was dispatched with the token and is still there.
uint32_t sched_token_find(
	const struct sched_state *st, const struct sched_spec *parent, const char *token);
size_t sched_state_bytes(const struct sched_state *st);

// ---- writing ----

// A free row for a change that makes one. SCHED_NONE: out of memory or of rows. It is taken by that
// change; given up, it is simply offered again later.
uint32_t sched_slot_new(struct sched_state *st, enum sched_table_kind kind);

uint64_t sched_txn_begin(struct sched_state *st);
// Applies the change and writes it to the log. 0 or what sched_apply returns; then it is not in the
// log.
int sched_txn_change(struct sched_state *st, const struct sched_change *change);
// 0, or -ENOMEM: the log is incomplete, which its encoder remembers. Whoever hosts the state must
// not append what follows, but begin anew from what is durable.
int sched_txn_end(struct sched_state *st);
// Makes all transactions so far visible to readers. 0 or -ENOMEM: readers stay with the older view.
int sched_publish(struct sched_state *st);

// Whether a change must be in the log.
bool sched_change_durable(const struct sched_change *change);

// One change of the state. 0; -EBADMSG: it refers to what is not there; -ENOMEM. On an error
// nothing has changed, and the blocks of the change are freed.
int sched_apply(struct sched_state *st, const struct sched_change *change);

// Applies a log to the state, which then is ready for use. 0, -EBADMSG (what came before is
// applied), -EPROTO, -ENOMEM.
int sched_replay(struct sched_state *st, const void *bytes, size_t len);

// ---- checkpoints ----

// Writes the whole snapshot as one log into `out`. Any thread that has it pinned. 0 or -ENOMEM.
int sched_checkpoint(const struct sched_snapshot *s, struct sched_encoder *out);
// A hash over all that the log keeps: equal states, equal hashes. For tests.
uint64_t sched_state_hash(const struct sched_snapshot *s);
