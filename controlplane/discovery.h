// SPDX-License-Identifier: Apache-2.0
// From resources to services: which routes a resource declares, and what a gateway is told of a
// route. Pure.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "controlplane/registry.h"

// Of one service; a gateway would refuse more. Further addresses of a union are left out.
#define DISCOVERY_TARGETS_MAX 1024

// A route of a namespace. "orders" is exact; "person." is the prefix of every route that begins so.
struct route_id {
	char namespace[64];
	char route[256];
	bool prefix;
};

// NAMESPACE/NAME in a route names another namespace, as it does in a call. False: not a route.
bool route_id_of(struct route_id *id, const char *namespace, const char *route);
// Calls each for every route that the resource declares.
void discovery_routes(const struct resource *res,
	void (*each)(void *user, const struct resource *res, const struct route_id *id),
	void *user);

// What gateways are told of a route declared by these resources (one at least, in the order of
// kinds and keys): the members of a `service` item but op and seq. hosts: the targets of a function,
// NULL: none. A new reference.
json_t *discovery_service(const struct route_id *id, const struct resource *const *declared_by,
	size_t count, json_t *hosts);

// True if a route of the normalized object is a function's and an endpoint's at once: says whose it
// is and which field declares it.
bool discovery_conflict(const struct registry *r, enum kind kind, const json_t *object,
	char *taken_by, size_t taken_room, char *field, size_t field_room);
