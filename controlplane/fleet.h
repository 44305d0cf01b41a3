// SPDX-License-Identifier: Apache-2.0
// The fleet: nodes whose hosts connect, and the instances that are wanted and observed on them.
//
// Intent (which instances, where, run or stop) comes in when it is durable, and goes to hosts as a
// feed a node. Observation (state, ready, load) comes from hosts' reports; it is soft, and lost with
// a restart. Out of both come the targets that gateways are sent to, and what the scheduler is told.
//
//   intent:  fleet_place ─▶ RUN ──fleet_stop──▶ UNROUTING ──gateways act by it, or 2 s──▶ STOP
//   told:                "run"     (no target any more)      and what was on its way   "stop"
//            one that is lost: UNROUTING, until others take its calls ──▶ ENDED, told "gone"
//            any ──fleet_end──▶ ENDED
//   node:    connected: up ──connection lost──▶ up, lease runs ──lease over──▶ down ──SETUP──▶ up
//   start:   held (gateways are told nothing until hosts have reported) ──fleet_release──▶
//            ──gateways act by our table, or 5 s──▶ settled
// Until it is settled, gateways may send calls to whatever was placed before this start, so nothing
// is ended: no "stop", and no end of a snapshot, at which hosts end what it did not name.
//
// Main thread; no I/O, no clock.
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "controlplane/feed.h"
#include "controlplane/strmap.h"
#include "lib/base/clock.h"
#include "lib/base/hist.h"
#include "sched/types.h"

#define FLEET_NODES_MAX 20000
#define FLEET_UNROUTE_MAX (2 * NS_PER_SEC)
#define FLEET_LINGER (100 * NS_PER_MS)  // for calls that are on their way when gateways turn away
#define FLEET_UNROUTE_AT_START (5 * NS_PER_SEC)  // for gateways to come back to a new control plane
#define FLEET_DOUBLE_MAX (10 * NS_PER_SEC)  // a double serves on, if nobody else does
#define FLEET_LEASE (10 * NS_PER_SEC)
#define FLEET_TOMBSTONES_MAX 1024  // of a node
#define FLEET_ID_BYTES 33
#define FLEET_KEY_MAX 130  // NAMESPACE/NAME

enum instance_intent { INTENT_RUN, INTENT_UNROUTING, INTENT_STOP, INTENT_ENDED };

enum instance_state {
	INSTANCE_PENDING,  // the host has not spoken of it
	INSTANCE_STARTING,
	INSTANCE_RUNNING,
	INSTANCE_STOPPING,
	INSTANCE_EXITED,
	INSTANCE_FAILED,
	INSTANCE_STATES,
};

extern const char *const instance_state_names[INSTANCE_STATES];

struct fleet_function {
	struct strmap_node node;
	struct list instances;
	size_t count;
	size_t jobs;    // instances of a job of this name
	size_t takers;  // instances that take calls
	uint64_t seq;   // under which gateways were told of it last
	char namespace[64], name[64];
	char key[FLEET_KEY_MAX];
};

struct fleet_node {
	struct strmap_node node;
	struct fleet *fleet;
	struct feed feed;  // of struct fleet_instance
	struct list instances;
	struct list leases;  // on fleet->leases while it is up and not connected
	size_t count;
	char name[64], address[200], version[64], start[80], machine[80];
	uint64_t cpu_milli, memory, disk, slots;  // 0: without limit
	json_t *attributes;                 // of strings
	bool known;      // a host has said what it is, now or before a restart
	bool connected, up;
	bool reported;   // on this connection
	bool waited_for; // not heard of since the start of this program, and may still be
	bool eligible, draining;
	bool back;         // it was down before this connection
	ns_t drain_until;  // what is left then is stopped; NS_NEVER. Kept by the orchestrator
	ns_t lease_until;  // while it is up and not connected
	ns_t since_wall_ns;
	json_t *functions;  // of the last report, by NAMESPACE/NAME@VERSION
};

struct fleet_instance {
	struct feed_entry entry;
	struct strmap_node node;
	struct list of_node, of_function, unrouting, routing;
	bool lost;      // its node was given up
	bool presumed;  // placed before this start, and its host has not spoken since: may serve
	bool cold;      // placed since this start, and was never ready
	bool job;       // of a job: no calls go there
	struct fleet_node *host;
	struct fleet_function *function;
	char id[FLEET_ID_BYTES];
	uint64_t version;  // of the function
	uint32_t index;    // of a job's: within its group
	uint64_t order;    // of those placed later it is larger, also after a restart
	enum instance_intent intent;
	uint64_t unrouted_seq;  // of the service without it
	ns_t unroute_until;
	bool unrouted;  // gateways act by it
	json_t *spec;  // as the host is told; shared, of a job without the index
	struct sched_why why;  // it was put there
	ns_t created_wall_ns;
	// observed
	enum instance_state state;
	bool ready;
	bool named;  // in the reports of this connection
	bool stopped;  // a job's, that ended because it was told to
	ns_t ready_ns;  // when its host said so; while on `routing`
	unsigned restarts;
	json_int_t pid;
	json_t *exit;  // of its last end; NULL
	char reason[200];
	ns_t since_wall_ns;
};

struct fleet_events {
	// A node came up, went down, or says something new of itself.
	void (*node)(void *user, const struct fleet_node *n);
	// What is observed of an instance has changed: state or ready.
	void (*instance)(void *user, const struct fleet_instance *i);
	// The targets of a function may have changed: returns the seq under which gateways are told;
	// 0: nobody is.
	uint64_t (*targets)(void *user, const struct fleet_function *f);
	// Whether all gateways act by what they were told up to seq.
	bool (*reached)(void *user, uint64_t seq);
	// Whether any gateway is there.
	bool (*watched)(void *user);
	// Why an instance was put where it is, to be shown. A new reference.
	json_t *(*why)(const struct sched_why *why);
};

// How long the steps of a start take, of instances placed since this start.
struct fleet_steps {
	struct hist ready;     // from the durable placement to the host's word that it takes calls
	struct hist routable;  // from there until all gateways act by it; of every one that gets ready
};

struct fleet {
	const struct fleet_events *events;
	void *user;
	char epoch[32];
	uint64_t seq;
	ns_t lease_ns;
	struct strmap nodes, instances, functions;
	struct list leases, unrouting;
	struct list routing;  // ready instances that not all gateways know of yet
	size_t waited_for;    // nodes
	bool starting;        // intent of before is being loaded
	bool held, settled;   // see above
	uint64_t first_seq;   // of the first table
	ns_t settle_until;
	struct fleet_steps steps;
	uint64_t failures, restarts, lost;  // of instances, as reported since this start
};

struct fleet_placement {
	const char *id, *namespace, *function, *node;
	uint64_t version;
	uint32_t index;
	uint64_t order;
	json_t *spec;  // a new reference is taken; spec.kind is "job" if it is of a job
	struct sched_why why;
	ns_t created_wall_ns;
};

struct fleet_exit {
	bool failed, stopped;
	uint8_t code, signal;
	ns_t wall_ns;
};

struct fleet_hello {
	const char *name, *version, *start, *machine, *address;
	uint64_t cpu_milli, memory, disk, slots;
	json_t *attributes;
};

// epoch: of the store; this start is told apart by `start`.
void fleet_init(struct fleet *f, const struct fleet_events *events, void *user, const char *epoch,
	uint32_t start, ns_t lease_ns);
void fleet_fini(struct fleet *f);

// ---- nodes ----

struct fleet_node *fleet_node(const struct fleet *f, const char *name);
// Makes it if it is new: down until a host connects; with wait, up on a lease that begins now, as
// after a restart of the control plane. NULL: there are too many.
struct fleet_node *fleet_node_add(struct fleet *f, const char *name, bool wait, ns_t now);
// The node has no instances and no host.
void fleet_node_remove(struct fleet *f, struct fleet_node *n);
// Its instances, if any, need not be waited for after a start.
void fleet_node_heard(struct fleet_node *n);
// Whether a host that says this may take the node's name now. False: why is a sentence.
bool fleet_may_connect(const struct fleet *f, const struct fleet_hello *hello, char *why, size_t room);
// 0, or -ENOSPC: there are too many nodes.
int fleet_connected(
	struct fleet *f, const struct fleet_hello *hello, ns_t now, ns_t wall_ns);
void fleet_disconnected(struct fleet *f, struct fleet_node *n, ns_t now);
// 0, or -EINVAL: not a report of this host.
int fleet_report(
	struct fleet *f, struct fleet_node *n, const json_t *report, ns_t now, ns_t wall_ns);
// ready, down, draining, ineligible.
const char *fleet_node_state(const struct fleet_node *n);

// ---- intent ----

// Durable: the instance is to run. One that is there already stays as it is.
void fleet_place(struct fleet *f, const struct fleet_placement *p);
// Durable: it is to stop; lost: its node was given up.
void fleet_stop(struct fleet *f, const char *id, bool lost, ns_t now);
// Durable: it goes on under another version of the function.
void fleet_update(struct fleet *f, const char *id, uint64_t version);
// Durable: it has ended, as its host reported.
void fleet_end(struct fleet *f, const char *id);
// It had ended before this start, in that way.
void fleet_recall_end(struct fleet *f, const char *id, const struct fleet_exit *exit);
// Durable: there is no such instance any more.
void fleet_forget(struct fleet *f, const char *id);
struct fleet_instance *fleet_instance(const struct fleet *f, const char *id);
struct fleet_function *fleet_function(const struct fleet *f, const char *namespace, const char *name);

// ---- time ----

// Does what is due: leases that are over, gateways that were waited for.
void fleet_tick(struct fleet *f, ns_t now);
// When to call it next; NS_NEVER. It is also due when a gateway has told what it applied.
ns_t fleet_next(const struct fleet *f);
// True as long as nodes that should run instances have not reported since the start.
bool fleet_waits(const struct fleet *f);
// Gateways are told from now on; seq: of what they are told first.
void fleet_release(struct fleet *f, uint64_t seq, ns_t now);

// ---- what is shown ----

// The targets of a function for gateways. A new reference.
json_t *fleet_targets(const struct fleet *f, const char *namespace, const char *name);
json_t *fleet_node_status(const struct fleet *f, const char *name);
json_t *fleet_function_status(const struct fleet *f, const char *namespace, const char *name);
json_t *fleet_instance_json(const struct fleet *f, const struct fleet_instance *i);
// The steps of starts and what went wrong.
json_t *fleet_deploys(const struct fleet *f);
struct prom;
void fleet_metrics(const struct fleet *f, const struct prom *p);

// ---- between the files of the fleet ----

// The instance as it is now goes to its host.
void fleet_tell(struct fleet *f, struct fleet_instance *i);
// Counts who takes calls, and tells gateways.
void fleet_retarget(struct fleet *f, struct fleet_function *fn);
bool fleet_takes_calls(const struct fleet_instance *i);
// It is no target any more; when gateways act by that, it is told to stop, or to go if it is lost.
void fleet_unroute(struct fleet *f, struct fleet_instance *i, ns_t now);
void fleet_set_intent(struct fleet *f, struct fleet_instance *i, enum instance_intent intent);
// It is ready since now: how long until gateways act by it?
void fleet_route(struct fleet *f, struct fleet_instance *i, ns_t now);
void fleet_tick_routing(struct fleet *f, ns_t now);
ns_t fleet_next_routing(const struct fleet *f);
