// SPDX-License-Identifier: Apache-2.0
// The service table: which targets serve a route. The only state that workers share.
//
// One writer (the control thread) and lock-free readers (the workers). A reader may use what a
// look-up returns until it next reports quiescence (rte_rcu_qsbr), and must take a reference
// to a target that it keeps longer. A service record never changes; a change replaces it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dataplane/capacity.h"
#include "lib/base/addr.h"

struct rte_rcu_qsbr;
struct table;

// An address that calls are sent to. Shared by the services and worker connections that refer to
// it.
struct target {
	uint32_t id;   // index for what a worker keeps about it; below TARGETS_MAX, unique while it
		       // lives
	uint32_t refs; // atomic
	uint32_t services; // that refer to it; the writer's
	bool gone;     // atomic: no service refers to it any more
	bool fragments; // can reassemble
	bool host;      // one of our hosts
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char text[ADDR_TEXT_MAX * 2];
	struct table *table;
};

// Classes of service, as the call entry has them.
#define SERVICE_CLASS_LATENCY 0
#define SERVICE_CLASS_BATCH 1

struct service {
	uint32_t slot;       // index for what a worker keeps about it; below SERVICES_MAX
	uint32_t generation; // differs when the slot was given to another service
	char namespace[64];
	char route[ROUTE_LEN_MAX + 1];
	uint8_t route_len;
	bool prefix;
	// Of a function, whose targets are our hosts: calls carry more (host_call.h).
	bool hosts;
	bool idempotent;
	uint16_t class;
	uint32_t timeout_ms; // 0: none
	const uint32_t *versions; // of the function at each target; 0: the newest there
	uint32_t targets_count;
	struct target *targets[];
};

// What a service shall be.
struct service_spec {
	const char *namespace, *route;
	bool prefix;
	bool fragments;
	bool hosts, idempotent;
	uint16_t class;
	uint32_t timeout_ms;
	uint32_t targets_count;
	const char *const *targets; // "10.77.0.1:7000", "unix:/path"
	const uint32_t *versions;   // of each target; NULL: 0
};

// NULL when out of memory. qsbr: the workers' grace periods; NULL: there are no concurrent readers.
struct table *table_new(struct rte_rcu_qsbr *qsbr);
// No reader is left.
void table_destroy(struct table *table);

// Writer. Creates or replaces. 0, -EINVAL (an address, a name), -ENOSPC (a limit): the service then
// stays as it was.
int table_put(struct table *table, const struct service_spec *spec);
// Writer. 0 or -ENOENT.
int table_remove(struct table *table, const char *namespace, const char *route, bool prefix);
// Writer. Starts a snapshot: services not put again until table_sweep() are then removed. Sweep
// returns their number.
void table_mark(struct table *table);
unsigned table_sweep(struct table *table);
// Writer. Frees what no reader can see any more; call it now and then. Returns what still waits.
unsigned table_reclaim(struct table *table);
// Writer, or a thread that the writer waits for: calls visit for each service.
void table_each(struct table *table, void (*visit)(const struct service *s, void *arg), void *arg);
// Writer. Those that no service refers to any more are left out.
void table_each_target(
	struct table *table, void (*visit)(const struct target *t, void *arg), void *arg);
unsigned table_services(const struct table *table);

// Reader. The exact route, else the longest prefix; NULL: no such service. route:
// `[namespace/]name[@version]` as called; the default namespace is "default".
const struct service *table_find(const struct table *table, const char *route, uint8_t len);

// Reader. Not 0, and another one after each change: what table_find() returned may be used again,
// also after quiescence, while this is what it was before that call.
uint64_t table_version(const struct table *table);

struct target *target_ref(struct target *target);
// From any thread.
void target_unref(struct target *target);
