// SPDX-License-Identifier: Apache-2.0
// What the API asks of the scheduler, as functions, so that tests can play it; the control plane's
// are in orchestrator_api.c. All of the main thread; JSON that is returned is a new reference.
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "controlplane/registry.h"

struct evaluation_query;

#define API_PAYLOAD_MAX ((size_t)16 << 10)

// A job to be made of a template.
struct api_dispatch {
	const char *namespace, *name;
	const void *payload;  // NULL: none
	size_t payload_len;
	const json_t *meta;  // an object of strings, or NULL
	const char *token;   // NULL: none
	char child[64];      // its name
	char why[300];       // a sentence, when it is refused
};

struct api_scheduler {
	json_t *(*evaluations)(void *user, const struct evaluation_query *query, uint64_t *next);
	// NULL: there is none of this id any more.
	json_t *(*evaluation)(void *user, uint64_t id);
	// What it would do if the object, normalized, were put, or if it is NULL, `before` deleted.
	// NULL: nothing of the kind is scheduled.
	json_t *(*plan)(
		void *user, enum kind kind, const struct resource *before, const json_t *object);
	// 0; -EEXIST: the child is there, by its token; -ENOENT: no such job; -E2BIG: the payload is
	// too long; -EDQUOT: too many children; -EINVAL. With `why`, but for the first two.
	int (*dispatch)(void *user, struct api_dispatch *d);
	// action: promote, pause, resume, fail. 0; -ENOENT: no such job, or it has no deployment;
	// -EINVAL: not in this state; why is a sentence then.
	int (*deployment)(void *user, const char *namespace, const char *name, const char *action,
		char *why, size_t room);
};
