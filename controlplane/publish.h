// SPDX-License-Identifier: Apache-2.0
// What gateways are told: the table of services and the gateways' own specs, as a feed (feed.h).
// Pure: texts out, no sockets.
//
// A service comes from resources; the targets of a function come from what hosts report (fleet.h).
#pragma once

#include "controlplane/feed.h"
#include "controlplane/registry.h"
#include "controlplane/strmap.h"

#define PUBLISH_TOMBSTONES_MAX 4096

struct publisher {
	struct feed feed;
	char epoch[32];
	struct strmap services, gateways;
	uint64_t changes;  // of services, since start
	bool held;
	json_t *(*hosts)(void *user, const struct resource *function);
	void *hosts_user;
};

// Starts with all resources of the registry.
void publisher_init(struct publisher *p, const struct registry *registry);
void publisher_fini(struct publisher *p);
// The targets of a function, an array (a new reference). Without this functions have none.
void publisher_set_hosts(struct publisher *p,
	json_t *(*hosts)(void *user, const struct resource *function), void *user);
// While held, no snapshot begins.
void publisher_hold(struct publisher *p, bool held);
// A change that is durable; then every watcher's `ready` is called if there is something new.
void publisher_apply(struct publisher *p, const struct change *change);
// The targets of this function may have changed. Returns the seq of what gateways are told of it
// now; 0: nothing, there is no such function.
uint64_t publisher_hosts_changed(struct publisher *p, const char *namespace, const char *name);
// Whether every gateway that there should be acts by what changed up to seq. One that is away still
// serves by what it was told before.
bool publisher_reached(const struct publisher *p, uint64_t seq);
// Whether any gateway watches.
bool publisher_watched(const struct publisher *p);
size_t publisher_services(const struct publisher *p);
