// SPDX-License-Identifier: Apache-2.0
// A control plane's core on a store in memory, and how tests of the API ask it.
#pragma once

#include "controlplane/api.h"
#include "controlplane/publish.h"
#include "controlplane/telemetry.h"

struct fixture {
	struct store *store;
	struct registry registry;
	struct publisher publisher;
	struct telemetry *telemetry;
	struct api api;
	struct api_response last;
	json_t *body;  // of the last response, if it is JSON
};

// For cmocka.
int setup(void **state);
int teardown(void **state);

// Asks, keeps the response in f->last and f->body, and returns its status. target: "/path?query".
unsigned ask_with(struct fixture *f, struct api_request *q, const char *method, const char *target,
	const char *body);
unsigned ask(struct fixture *f, const char *method, const char *target, const char *body);
unsigned ask_if(struct fixture *f, const char *method, const char *target, const char *body,
	const char *if_match, const char *if_none_match);
// Makes all changes durable.
void flush(struct fixture *f);

// A member by its path: "metadata.name", "items.0.spec".
const json_t *at(const json_t *json, const char *path);
const char *text_at(const struct fixture *f, const char *path);
json_int_t int_at(const struct fixture *f, const char *path);
// The last response is this error; its message has `part`.
void assert_error(const struct fixture *f, const char *code, const char *field, const char *part);

#define ORDERS "{\"spec\":{\"addresses\":[\"10.77.0.1:7000\"],\"routes\":[\"orders\"]}}"
#define ECHO "{\"spec\":{\"command\":[\"echo\"]}}"
