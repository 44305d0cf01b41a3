// SPDX-License-Identifier: Apache-2.0
// See api_fixture.h.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/api_fixture.h"

static void on_changed(void *user, const struct change *c)
{
	publisher_apply(&((struct fixture *)user)->publisher, c);
}

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->store = store_mem_new();
	assert_int_equal(registry_init(&f->registry, f->store), 0);
	publisher_init(&f->publisher, &f->registry);
	registry_observe(&f->registry, on_changed, f);
	f->telemetry = telemetry_new(1);
	api_init(&f->api, &f->registry, f->telemetry, &f->publisher, "0.0.0", 1);
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	json_decref(f->body);
	api_response_clear(&f->last);
	api_fini(&f->api);
	telemetry_destroy(f->telemetry);
	publisher_fini(&f->publisher);
	registry_fini(&f->registry);
	store_close(f->store);
	free(f);
	return 0;
}

// ---- asking ----

unsigned ask_with(struct fixture *f, struct api_request *q, const char *method, const char *target,
	const char *body)
{
	char *copy = strdup(target), *at = strchr(copy, '?');

	q->method = method;
	q->path = copy;
	q->body = body;
	q->body_len = body ? strlen(body) : 0;
	q->now = 1000000;
	q->wall_ns = (ns_t)1700000000 * NS_PER_SEC;
	if (at)
		*at++ = 0;
	while (at && *at) {
		char *value, *next = strchr(at, '&');

		if (next)
			*next++ = 0;
		value = strchr(at, '=');
		if (value)
			*value++ = 0;
		q->query[q->query_count++] = (struct api_pair){at, value};
		at = next;
	}
	api_response_clear(&f->last);
	json_decref(f->body);
	api_handle(&f->api, q, &f->last);
	f->body = f->last.body ? json_loadb(f->last.body, f->last.body_len, 0, NULL) : NULL;
	free(copy);
	return f->last.status;
}

unsigned ask(struct fixture *f, const char *method, const char *target, const char *body)
{
	struct api_request q = {0};

	return ask_with(f, &q, method, target, body);
}

unsigned ask_if(struct fixture *f, const char *method, const char *target, const char *body,
	const char *if_match, const char *if_none_match)
{
	struct api_request q = {.if_match = if_match, .if_none_match = if_none_match};

	return ask_with(f, &q, method, target, body);
}

void flush(struct fixture *f)
{
	assert_int_equal(registry_flush(&f->registry), 0);
}

// "metadata.name", "items.0.spec"
const json_t *at(const json_t *json, const char *path)
{
	char part[64];

	while (*path && json) {
		size_t len = strcspn(path, ".");

		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part))
					   : json_object_get(json, part);
		path += len + (path[len] == '.');
	}
	return json;
}

const char *text_at(const struct fixture *f, const char *path)
{
	const char *text = json_string_value(at(f->body, path));

	return text ? text : "(none)";
}

json_int_t int_at(const struct fixture *f, const char *path)
{
	const json_t *value = at(f->body, path);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

void assert_error(const struct fixture *f, const char *code, const char *field, const char *part)
{
	assert_string_equal(f->last.content_type, "application/json");
	assert_string_equal(text_at(f, "error.code"), code);
	assert_string_equal(text_at(f, "error.field"), field ? field : "(none)");
	if (!strstr(text_at(f, "error.message"), part))
		fail_msg("'%s' lacks '%s'", text_at(f, "error.message"), part);
}
