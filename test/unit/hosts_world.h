// SPDX-License-Identifier: Apache-2.0
// A control plane with fake hosts and gateways, for test_controlplane_hosts.c and _restart.c: the
// fakes say what the protocol lets them say over a real Unix socket; registry, scheduler threads,
// fleet and publisher are real, the store is one in memory. Two loops, stepped in turn.
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/peers.h"
#include "controlplane/store.h"

#define DEADLINE (20 * NS_PER_SEC)
#define LEASE (300 * NS_PER_MS)

enum { HOST1, HOST2, GATEWAY, GATEWAY2, OTHER, CLIENTS };

struct client {
	struct link link;
	struct rs_stream *watch;
	bool up, closed;
	char why[300];
	struct buf_pool *blocks;
	// What a host holds, by id, or a gateway, by route; as told.
	json_t *table, *marked;
	char epoch[64], snapshot_epoch[64];
	json_int_t seq;
	unsigned snapshots, items;
	char log_asked[200];
};

struct env {
	struct sockaddr_un addr;
	unsigned starts;
	ns_t lease;
	struct sched_worker_config planning;
	struct store *store;
	struct registry registry;
	struct publisher publisher;
	struct telemetry *telemetry;
	struct orchestrator orchestrator;
	struct loop *server_loop, *client_loop;
	struct peers peers;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct client clients[CLIENTS];
	bool broken;  // the store, for now
};

int world_setup(void **state);
// With a lease that does not end on a slow machine either.
int world_setup_patient(void **state);
int world_teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define PATIENT(name) cmocka_unit_test_setup_teardown(name, world_setup_patient, world_teardown)

// The control plane; stop is as a crash: what was not durable is gone.
void start(struct env *e);
void stop(struct env *e);
void step(struct env *e);
void pass(struct env *e, ns_t time);

#define UNTIL(e, condition)                                        \
	do {                                                       \
		ns_t give_up = clock_now() + DEADLINE;             \
		while (!(condition)) {                             \
			if (clock_now() > give_up)                 \
				fail_msg("never: %s", #condition); \
			step(e);                                   \
		}                                                  \
	} while (0)

// ---- clients ----

void dial(struct env *e, int i, const char *hello);
struct rs_message request(struct env *e, const char *route, const char *data);
void watch(struct env *e, int i);
void watch_with(struct env *e, int i, uint32_t credit);
void report(struct env *e, int i, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define HOST(name, start, more)                                                              \
	"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"host\",\"name\":\"" name             \
	"\",\"version\":\"9.9\",\"start\":\"" start "\",\"address\":\"10.0.0.1:7880\","       \
	"\"capacity\":{\"cpu_milli\":4000,\"memory\":8589934592}" more "}"
#define GATE                                                                           \
	"{\"protocol\":{\"min\":1,\"max\":1},\"role\":\"gateway\",\"name\":\"gw1\","    \
	"\"version\":\"9.9\",\"start\":\"g\",\"workers\":1}"

void put(struct env *e, enum kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void put_echo(struct env *e, int count, const char *level);
// Until it watches; a host's first report names nothing.
void connect_host(struct env *e, int i, const char *hello, const char *start);
void connect_gateway(struct env *e);
// A gateway that has its resource already.
void reconnect_gateway(struct env *e, int i, const char *hello);
void leave(struct env *e, int i);
// How many of what the host holds are to run, or to stop.
size_t told(const struct env *e, int i, const char *desired);
// Each instance that is told goes on as it should: running and ready, or exited. In one report.
void obey(struct env *e, int i, const char *start);
// What gateways are told of echo: "NODE@VERSIONxINSTANCES ...".
const char *targets(const struct env *e);
bool targets_are(const struct env *e, const char *expected);
void applied(struct env *e);
void applied_by(struct env *e, int i);
