// SPDX-License-Identifier: Apache-2.0
// The scheduler's data: plain rows that state.h keeps in tables.
//
// Rows refer to each other by slot (a row's number in its table), SCHED_NONE: none. Rows are packed
// by hand and their sizes asserted, since a cluster has millions of them: an instance costs 128
// bytes. All times are nanoseconds of one clock that the host of the core gives (sched.h): it
// survives restarts.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/clock.h"

#define SCHED_NONE UINT32_MAX

enum sched_type {
	SCHED_TYPE_SERVICE,
	SCHED_TYPE_BATCH,
	SCHED_TYPE_SYSTEM,
	SCHED_TYPE_SYSBATCH,
	SCHED_TYPES,
};

// Jobs with an instance on each node rather than a number of them.
static inline bool sched_by_node(uint8_t type)
{
	return type == SCHED_TYPE_SYSTEM || type == SCHED_TYPE_SYSBATCH;
}

#define SCHED_PRIORITY_MAX 100
#define SCHED_PRIORITY_DEFAULT 50

// What is asked for and what is there. A capacity of UINT32_MAX is without limit. `slots` is
// the number of instances: each asks for one.
struct sched_res {
	uint32_t cpu_milli;
	uint32_t memory_mib; // asks are rounded up, capacities down
	uint32_t disk_mib;
	uint32_t slots;
};

// The row's number is part of the id, so finding an instance by its id needs no index.
struct sched_id {
	uint64_t nonce; // random, one a plan
	uint32_t seq;   // within the plan
	uint32_t slot;
};

enum sched_desired {
	SCHED_RUN,
	SCHED_STOP,
	SCHED_EVICT, // stopped to make room for a higher priority
};

// Observed. From SCHED_COMPLETE on it is terminal, but for SCHED_UNKNOWN.
enum sched_status {
	SCHED_PENDING,
	SCHED_RUNNING,
	SCHED_UNKNOWN, // its node is disconnected
	SCHED_COMPLETE,
	SCHED_FAILED,
	SCHED_LOST,
};

enum sched_node_status {
	SCHED_NODE_READY,
	SCHED_NODE_DOWN,
	SCHED_NODE_DISCONNECTED,
	SCHED_NODE_INIT, // registered, not heard of since
};

// Whether a node is being emptied: by replacing what is there first, or, its time being over, by
// stopping it whether there is a replacement or not.
enum sched_drain {
	SCHED_DRAIN_NOT,
	SCHED_DRAIN_GENTLE,
	SCHED_DRAIN_NOW,
};

enum sched_trigger {
	SCHED_JOB_PUT,
	SCHED_JOB_STOP,
	SCHED_NODE_UPDATE,
	SCHED_NODE_DRAIN,
	SCHED_INSTANCE_ENDED,
	SCHED_INSTANCE_READY,
	SCHED_QUEUED_INSTANCES, // blocked: waits for room
	SCHED_MAX_PLANS,        // blocked: too many conflicts
	SCHED_CONTINUE,         // the rest of a large job
	SCHED_FAILED_FOLLOW_UP,
	SCHED_RESCHEDULE, // of what failed, at its time
	SCHED_PREEMPTION,
	SCHED_DEPLOYMENT_CHANGED,
	SCHED_TRIGGERS,
};

enum sched_eval_status {
	SCHED_EVAL_PENDING,
	SCHED_EVAL_BLOCKED,
	SCHED_EVAL_COMPLETE,
	SCHED_EVAL_FAILED,
	SCHED_EVAL_CANCELLED,
};

// Why an instance stands where it does.
struct sched_why {
	uint64_t eval;
	float score, runner_up; // of the node taken, of the next best one seen
	uint32_t considered;    // nodes looked at
	uint32_t infeasible;    // of these excluded by constraints or state
	uint32_t exhausted;     // of these full
	uint8_t trigger;
	uint8_t reserved[3];
};

#define SCHED_INSTANCE_READY_FLAG 1u
#define SCHED_INSTANCE_USED 2u  // the row is in use
#define SCHED_INSTANCE_HOLDS 4u // its ask counts on its node
#define SCHED_INSTANCE_CANARY 8u // beside the one it will replace, not promoted

struct sched_instance {
	struct sched_id id;
	uint32_t job, node;
	uint32_t version; // of the job
	uint32_t name_index;
	uint32_t next_in_job, next_on_node;
	uint32_t previous, next; // what it replaces, what replaces it
	struct sched_res ask;
	uint64_t create_index, modify_index;
	ns_t changed_ns; // when the observed status changed
	struct sched_why why;
	uint8_t desired; // enum sched_desired
	uint8_t status;  // enum sched_status
	uint8_t group;
	uint8_t flags;
	uint16_t reschedules; // failures in its chain so far
	uint8_t exit_code, exit_signal; // how its program ended, once it has
};

struct sched_attribute {
	const char *key, *value;
};

// What is known of a node and seldom changes; one immutable block.
struct sched_node_info {
	const char *name;
	const struct sched_attribute *attributes; // sorted by key
	uint32_t attribute_count;
	uint64_t class_hash; // over all attributes but unique.*
};

struct sched_node {
	const struct sched_node_info *info;
	struct sched_res capacity, used;
	uint32_t first_instance;
	uint32_t class_id;
	uint32_t holding;                   // instances whose ask counts
	uint8_t status;                     // enum sched_node_status
	uint8_t eligible, draining, in_use; // draining: enum sched_drain
	uint64_t modify_index;
};

enum sched_op {
	SCHED_OP_EQ,
	SCHED_OP_NE,
	SCHED_OP_LT,
	SCHED_OP_LE,
	SCHED_OP_GT,
	SCHED_OP_GE,
	SCHED_OP_SET,
	SCHED_OP_UNSET,
	SCHED_OP_CONTAINS, // the attribute, a comma list, has all of the value's items
	SCHED_OP_CONTAINS_ANY,
	SCHED_OP_DISTINCT_PROPERTY, // at most `value` instances on nodes that share the attribute
	SCHED_OPS,
};

struct sched_constraint {
	const char *attribute, *value;
	uint8_t op;
};

struct sched_group {
	const char *name;
	uint32_t count;
	struct sched_res ask;
	uint32_t max_parallel; // replacements under way at a time, in an update or a drain; 0: no
			       // limit
	bool distinct_hosts;
	// On a node that is disconnected an instance is unknown, and replaced, and lost only after
	// this: if it is back before, it goes on and its replacement is stopped. 0: it is lost at
	// once.
	ns_t lost_after_ns;
	uint64_t restart_hash; // equal in two versions: the update needs no new instance
	// How a new version comes (deploy.h): so many instances of it beside the old ones first,
	// the others when these are promoted, by hand or as soon as all are ready.
	uint32_t canaries;
	bool auto_promote;
	bool auto_revert;          // if it fails the last stable version comes back
	bool sticky;               // a replacement goes where its data is, if it can
	ns_t progress_deadline_ns; // it fails if nothing becomes ready for so long; 0: never
	const struct sched_constraint *constraints;
	uint32_t constraint_count;
	// What it is liked for that a node has these already (near.h). NULL: nothing.
	const char *image;
	const char *const *near; // jobs it is chained with, as "namespace/name"
	uint32_t near_count;
};

// An instance of the one is, unchanged, one of the other.
static inline bool sched_group_same(const struct sched_group *a, const struct sched_group *b)
{
	return a->restart_hash == b->restart_hash && memcmp(&a->ask, &b->ask, sizeof(a->ask)) == 0;
}

#define SCHED_ALL_GROUPS UINT8_MAX

// Nodes that a group would rather have, or rather not: weight -100 to 100, never 0.
struct sched_affinity {
	const char *attribute, *value;
	uint8_t op; // not SCHED_OP_DISTINCT_PROPERTY
	int8_t weight;
	uint8_t group; // or SCHED_ALL_GROUPS
};

struct sched_spread_target {
	const char *value;
	uint8_t percent;
};

// Instances of a group spread over the values of an attribute: evenly, or as the targets say.
// Values without a target share what the targets leave of 100 percent.
struct sched_spread {
	const char *attribute;
	const struct sched_spread_target *targets;
	uint32_t target_count;
	uint8_t weight; // 1 to 100
	uint8_t group;  // or SCHED_ALL_GROUPS
};

// What instances of a group have for themselves on their node, by name. A node has as many of a
// name as its attribute of that name says, and none without it; but of a port ("port.8080") one.
struct sched_claim {
	const char *name; // "port.8080", "device.gpu", "core"
	uint32_t count;
	uint8_t group; // or SCHED_ALL_GROUPS
};

// A key and its value, given to what runs.
struct sched_meta {
	const char *key, *value;
};

// What a dispatch must say of its payload.
enum sched_payload {
	SCHED_PAYLOAD_OPTIONAL,
	SCHED_PAYLOAD_REQUIRED,
	SCHED_PAYLOAD_FORBIDDEN,
	SCHED_PAYLOADS,
};

// A job that does not run itself, but whose copies do, its children: at the times of a schedule, or
// each time one is asked for. launch.c
struct sched_launch {
	const char *cron; // cron.h; NULL: none
	bool overlap;     // a child is launched though the one before it has not ended
	bool templated;   // children are dispatched
	uint8_t payload;  // enum sched_payload
	const char *const *meta_required, *const *meta_optional;
	uint32_t meta_required_count, meta_optional_count;
};

#define SCHED_PAYLOAD_MAX 16384
#define SCHED_META_MAX 32     // keys of a template, required and optional ones each, and of a child
#define SCHED_META_KEY_MAX 63 // letters, digits, - and _
#define SCHED_META_BYTES_MAX 16384 // all values of a child
#define SCHED_TOKEN_MAX 128
#define SCHED_PARENT_NAME_MAX 46 // so that a child's name is one, too
#define SCHED_CHILDREN_MAX 16384 // of a job, that have not ended
#define SCHED_KEPT_MAX 65536     // children that have ended, of all jobs

#define SCHED_CLAIMS_MAX 16 // of a job with all its groups
#define SCHED_NEAR_MAX 16   // the same
#define SCHED_GROUPS_MAX 32
#define SCHED_AFFINITIES_MAX 16 // of a job with all its groups, as are the next two
#define SCHED_SPREADS_MAX 8
#define SCHED_TARGETS_MAX 64
#define SCHED_PROPERTIES_MAX 8   // constraints with SCHED_OP_DISTINCT_PROPERTY
#define SCHED_CONSTRAINTS_MAX 64 // of a job with all its groups
#define SCHED_COUNT_MAX 1000000  // of a group

// One version of a job; one immutable block.
struct sched_spec {
	const char *namespace, *name;
	uint32_t version;
	uint8_t type, priority;
	bool stopped;
	bool all_at_once;
	const struct sched_group *groups;
	uint32_t group_count;
	const struct sched_constraint *constraints; // of all groups
	uint32_t constraint_count;
	const struct sched_affinity *affinities;
	const struct sched_spread *spreads;
	const struct sched_claim *claims;
	uint32_t affinity_count, spread_count, claim_count;
	const void *opaque; // for hosts; never looked into
	uint32_t opaque_len;
	const struct sched_launch *launch; // NULL: runs itself; else it has no instances, but
					   // children
	const char
		*parent; // of a child: the job, in the same namespace, it is a copy of; else NULL
	const void *payload;
	uint32_t payload_len;
	const struct sched_meta *meta;
	uint32_t meta_count;
	const char *token; // that the child was dispatched with, NULL
};

// The specs that instances still run, the newest first; never empty.
#define SCHED_VERSIONS_MAX 8
struct sched_versions {
	uint32_t count;
	const struct sched_spec *spec[SCHED_VERSIONS_MAX];
};

enum sched_deployment_status {
	SCHED_DEPLOYMENT_RUNNING, // also while its canaries wait to be promoted
	SCHED_DEPLOYMENT_PAUSED,
	SCHED_DEPLOYMENT_FAILED,
	SCHED_DEPLOYMENT_SUCCESSFUL,
	SCHED_DEPLOYMENT_CANCELLED, // by a newer version, or with its job
	SCHED_DEPLOYMENT_STATUSES,
};

// Why a deployment has the status it has.
enum sched_deployment_why {
	SCHED_DEPLOYMENT_NEW,
	SCHED_DEPLOYMENT_BY_HAND,
	SCHED_DEPLOYMENT_AUTO_PROMOTED,
	SCHED_DEPLOYMENT_INSTANCE_FAILED,
	SCHED_DEPLOYMENT_NO_PROGRESS,
	SCHED_DEPLOYMENT_ALL_READY,
	SCHED_DEPLOYMENT_NEWER_VERSION,
	SCHED_DEPLOYMENT_JOB_STOPPED,
	SCHED_DEPLOYMENT_WHYS,
};

// A version of a job on its way to the instances; one immutable block, replaced as a whole. A job
// keeps its last one.
struct sched_deployment {
	uint32_t version;
	uint32_t from;          // the version that runs until then and replaces what is lost; 0: none
	uint32_t stable;        // the last one whose deployment was successful; 0: none
	uint32_t canary_groups; // bits: groups that have canaries first
	uint32_t promoted;      // bits: of these, promoted
	uint32_t before;        // the version deployed before this one, and how that ended
	uint8_t before_status;
	uint8_t status, why;
	bool revert;           // back to the stable version's spec
	uint64_t refused;      // of a revert: what failed (sched_deploy_identity); not tried again
	uint64_t create_index; // of its first transaction
	ns_t changed_ns;       // of the status
};

struct sched_job {
	const struct sched_versions *versions;
	const struct sched_deployment *deployment; // NULL: none so far
	uint32_t first_instance;
	uint32_t instances; // rows
	uint32_t live;      // desired to run and not terminal
	uint32_t last_eval; // slot of the last one that ended
	uint8_t type, priority, in_use;
	uint8_t purge;  // goes when its last instance is gone
	uint32_t evals; // rows
	uint64_t create_index, modify_index;
	uint64_t spec_index; // when the spec last changed
	uint32_t quota;      // of its namespace, SCHED_NONE
	uint32_t next_named; // names.c
	uint32_t parent;     // of a child; SCHED_NONE
	uint32_t first_child, next_child, previous_child;
	uint32_t children, children_alive; // rows; of these not ended
	uint32_t launches, skips; // of its schedule: made; not made, as one before was running or
				  // there were too many
	ns_t launched_ns;         // schedule: what was due until then is settled
	ns_t ended_ns;            // of a batch job: when it ended, 0: it has not
};

// What all jobs of a namespace may have together.
struct sched_quota {
	const char *namespace; // a block of its own
	struct sched_res limit, used;
	uint32_t in_use;
};

// Evaluations wait for one of these, not 0; several quotas may share one.
static inline uint32_t sched_quota_key(uint32_t quota)
{
	return quota % 64 + 1;
}

// Added to the key: room on nodes would help, too.
#define SCHED_QUOTA_OR_ROOM 128u

// Which resource or condition stood in the way of a placement.
enum sched_dimension {
	SCHED_DIM_CPU,
	SCHED_DIM_MEMORY,
	SCHED_DIM_DISK,
	SCHED_DIM_SLOTS,
	SCHED_DIM_DISTINCT_HOSTS,
	SCHED_DIM_NOT_READY,
	SCHED_DIM_INELIGIBLE,
	SCHED_DIM_CLAIM,
	SCHED_DIM_QUOTA, // counts instances, not nodes
	SCHED_DIMS,
};

// Something is missing there that others may give back.
static inline bool sched_exhausted(enum sched_dimension d)
{
	return d < SCHED_DIM_NOT_READY || d == SCHED_DIM_CLAIM;
}

// Of sched_explain.drawn.
#define SCHED_DRAWN_PEERS 1u // by instances of jobs that a group is near
#define SCHED_DRAWN_ALONE 2u // there were none
#define SCHED_DRAWN_IMAGE 4u // nodes were known to have the image

#define SCHED_EXPLAIN_CONSTRAINTS 6
#define SCHED_EXPLAIN_BEST 3

// What an evaluation saw; of its last group that failed, or of its last one.
struct sched_explain {
	uint32_t considered, feasible;
	uint32_t wanted, placed, failed; // all groups
	uint32_t stopped, updated;
	uint32_t conflicts; // node plans the applier rejected
	uint32_t by_dimension[SCHED_DIMS];
	struct {
		uint16_t constraint; // number in the spec: the job's, then the groups' in order
		uint16_t reserved;
		uint32_t nodes;
	} by_constraint[SCHED_EXPLAIN_CONSTRAINTS]; // nodes 0: unused
	struct {
		uint32_t node;
		float score;
	} best[SCHED_EXPLAIN_BEST];
	uint8_t group;
	uint8_t attempts;
	uint8_t plans;
	uint8_t drawn;
};

// Node classes that a blocked evaluation knows about. All classes below `known` were seen. A node
// of another class, or of one too high for the bitmap, may be what it waits for.
#define SCHED_CLASSES_TRACKED 256
struct sched_eligibility {
	uint32_t known;
	bool escaped; // constraints on unique.* attributes: any node may be it
	uint64_t eligible[SCHED_CLASSES_TRACKED / 64];
};

struct sched_eval {
	uint64_t id;       // grows
	uint64_t previous; // the evaluation that made it, 0: none
	uint64_t create_index, modify_index;
	uint64_t snapshot_index; // of the state it was last worked on with
	ns_t wait_until;
	uint32_t slot, job, node;
	uint32_t quota;
	uint8_t type, priority, trigger, status;
	uint8_t in_use;
	uint8_t nacks; // follow-ups in a row of an evaluation that failed
	struct sched_eligibility eligibility;
	struct sched_explain explain;
};

// What broker and blocked hold of an evaluation.
struct sched_ticket {
	uint64_t eval;
	uint64_t create_index;
	uint64_t min_index; // the snapshot to work on must be at least this new
	ns_t wait_until;
	uint32_t slot, job, node;
	uint8_t type, priority, trigger;
};

_Static_assert(sizeof(struct sched_instance) == 128, "a million instances: 128 MB");
_Static_assert(sizeof(struct sched_node) == 64, "a cache line a node");
_Static_assert(sizeof(struct sched_why) <= 64, "why an instance is where it is: at most 64 bytes");
_Static_assert(sizeof(struct sched_eval) <= 384, "an evaluation");

static inline bool sched_terminal(uint8_t status)
{
	return status >= SCHED_COMPLETE;
}

// It is wanted and has not ended.
static inline bool sched_live(const struct sched_instance *i)
{
	return i->desired == SCHED_RUN && !sched_terminal(i->status);
}

static inline bool sched_ready(const struct sched_instance *i)
{
	return i->status == SCHED_RUNNING && (i->flags & SCHED_INSTANCE_READY_FLAG);
}

static inline bool sched_is_unique_attribute(const char *key)
{
	return __builtin_strncmp(key, "unique.", 7) == 0;
}
