// SPDX-License-Identifier: Apache-2.0
// What the API asks of the scheduler, as functions, so that tests can play it; the control plane's
// are in orchestrator_api.c. All of the main thread; JSON that is returned is a new reference.
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "controlplane/registry.h"

struct evaluation_query;

// A job to be made of a template.
struct api_dispatch {
	const char *namespace, *name;
	const void *payload;  // NULL: none
	size_t payload_len;
	const json_t *meta;  // an object of strings, or NULL
	const char *token;   // NULL: none
	char child[64];      // out: its name
	uint64_t index;      // out: the answer may go when durable() has reached it
	char why[200];       // out: a sentence, when it is refused
};

struct api_scheduler {
	// How many evaluations wait, and for what; NULL: nobody asks.
	json_t *(*waiting)(void *user);
	json_t *(*evaluations)(void *user, const struct evaluation_query *query, uint64_t *next);
	// NULL: there is none of this id any more.
	json_t *(*evaluation)(void *user, uint64_t id);
	// What it would do if the object, normalized, were put, or if it is NULL, `before` deleted.
	// NULL: nothing of the kind is scheduled.
	json_t *(*plan)(
		void *user, enum kind kind, const struct resource *before, const json_t *object);
	// As scheduler_jobs.c has them.
	json_t *(*job)(void *user, const char *namespace, const char *name);
	json_t *(*child)(void *user, const char *namespace, const char *name);
	json_t *(*children)(void *user, const char *namespace, const char *parent,
		const char *after, size_t limit);
	int (*child_delete)(void *user, const char *namespace, const char *name, uint64_t *index);
	json_t *(*quota)(void *user, const char *namespace);
	// 0; -EEXIST: the child is there, by its token; -ENOENT: no such job; -E2BIG: the payload is
	// too long; -EDQUOT: too many children; -EBUSY: one of a schedule runs; -EINVAL; -ENOMEM. With
	// `why`, but for -ENOENT and -ENOMEM.
	int (*dispatch)(void *user, struct api_dispatch *d);
	// The transaction of the scheduler up to which all is durable.
	uint64_t (*durable)(void *user);
	// action: promote, pause, resume, fail. As scheduler_deployment_act().
	int (*deployment)(void *user, const char *namespace, const char *name, const char *action,
		uint64_t *index, char *why, size_t room);
	// How a function or job is rolled out; NULL: it is not.
	json_t *(*deployment_of)(void *user, const char *namespace, const char *name);
};
