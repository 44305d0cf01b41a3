// SPDX-License-Identifier: Apache-2.0
// The API's handlers for what is done to a function or a job rather than written: dispatch, a word
// on a deployment. Main thread; no I/O. The answer goes when it is durable.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api_internal.h"
#include "controlplane/api_scheduler.h"
#include "lib/base/base64.h"

// ---- bodies ----

// An object with none but these members; NULL: the error has been made.
static json_t *read_body(struct api_call *call, const char *const *known, const char *example)
{
	const struct api_request *q = call->request;
	json_error_t error;
	json_t *body = q->body_len
			       ? json_loadb(q->body, q->body_len, JSON_REJECT_DUPLICATES, &error)
			       : json_object();
	const char *key;
	json_t *value;

	if (!json_is_object(body)) {
		json_decref(body);
		api_error(call->response, 400, "invalid_json", NULL,
			"the body must be a JSON object, such as %s", example);
		return NULL;
	}
	json_object_foreach(body, key, value)
	{
		const char *const *k = known;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (*k)
			continue;
		api_error(call->response, 400, "unknown_field", key,
			"there is no field %.60s here: send an object such as %s", key, example);
		json_decref(body);
		return NULL;
	}
	return body;
}

// A text, absent or null: NULL. False: the error has been made.
static bool read_text(
	struct api_call *call, const json_t *body, const char *field, const char **out)
{
	const json_t *value = json_object_get(body, field);

	*out = json_string_value(value);
	if (*out || !value || json_is_null(value))
		return true;
	api_error(call->response, 400, "invalid_field", field, "%s must be a string", field);
	return false;
}

// ---- dispatch ----

// The payload's bytes, free() them; NULL with *len 0: none. False: the error has been made.
static bool read_payload(struct api_call *call, const json_t *body, void **bytes, size_t *len)
{
	const char *base64, *text;
	ssize_t n;

	*bytes = NULL;
	*len = 0;
	if (!read_text(call, body, "payload", &base64) || !read_text(call, body, "text", &text))
		return false;
	if (base64 && text) {
		api_error(call->response, 400, "invalid_field", "text",
			"send payload (Base64) or text, not both");
		return false;
	}
	if (text) {
		*bytes = strdup(text);
		*len = strlen(text);
		return *bytes != NULL;
	}
	if (!base64)
		return true;
	*bytes = malloc(BASE64_DATA_BYTES(strlen(base64)) + 1);
	n = *bytes ? base64_decode(base64, strlen(base64), *bytes) : -ENOMEM;
	if (n >= 0) {
		*len = (size_t)n;
		return true;
	}
	free(*bytes);
	api_error(call->response, 400, "invalid_field", "payload",
		"payload must be Base64 (RFC 4648) of the bytes; text takes plain text");
	return false;
}

static bool read_meta(struct api_call *call, const json_t *body, const json_t **out)
{
	const json_t *meta = json_object_get(body, "meta");
	const char *key;
	json_t *value;
	char field[100];

	*out = json_is_object(meta) ? meta : NULL;
	if (meta && !json_is_null(meta) && !*out) {
		api_error(call->response, 400, "invalid_field", "meta",
			"meta must be an object of strings");
		return false;
	}
	json_object_foreach((json_t *)(uintptr_t)*out, key, value)
	{
		if (json_is_string(value))
			continue;
		snprintf(field, sizeof(field), "meta.%.80s", key);
		api_error(
			call->response, 400, "invalid_field", field, "%s must be a string", field);
		return false;
	}
	return true;
}

static void refuse_dispatch(struct api_call *call, const struct api_dispatch *d, int rc)
{
	if (rc == -ENOENT)
		api_error(call->response, 404, "not_found", NULL,
			"there is no job %s/%s: GET /v1/jobs lists all", d->namespace, d->name);
	else if (rc == -E2BIG)
		api_error(call->response, 413, "too_large", "payload", "%s", d->why);
	else if (rc == -EDQUOT)
		api_error(call->response, 503, "busy", NULL, "%s", d->why);
	else if (rc == -EBUSY)
		api_error(call->response, 409, "not_now", NULL, "%s", d->why);
	else if (rc == -EINVAL)
		api_error(call->response, 400, "invalid_field", NULL, "%s", d->why);
	else
		api_error(call->response, 503, "busy", NULL,
			"the scheduler cannot take it now (%s): try again in a moment",
			strerror(-rc));
}

static void reply_child(struct api_call *call, const struct api_dispatch *d, bool made)
{
	call->response->wait_index = d->index;
	api_reply(call, made ? 201 : 200,
		json_pack("{s:o, s:o, s:b}", "namespace", api_string(d->namespace), "job",
			api_string(d->child), "created", (int)made));
}

void api_dispatch(struct api_call *call)
{
	static const char *const known[] = {"payload", "text", "meta", "token", NULL};
	const struct api *api = call->api;
	struct api_dispatch d = {.namespace = call->namespace, .name = call->name};
	void *bytes = NULL;
	json_t *body = read_body(call, known,
		"{\"text\": \"scene-7\", \"meta\": {\"zoom\": \"12\"}, \"token\": \"once\"}");
	int rc;

	if (!body || !read_text(call, body, "token", &d.token) || !read_meta(call, body, &d.meta) ||
		!read_payload(call, body, &bytes, &d.payload_len))
		goto out;
	d.payload = bytes;
	rc = api->scheduler ? api->scheduler->dispatch(api->scheduler_user, &d) : -ENOENT;
	if (!rc || rc == -EEXIST)
		reply_child(call, &d, !rc);
	else
		refuse_dispatch(call, &d, rc);
	free(bytes);
out:
	json_decref(body);
}

// ---- deployments ----

static void refuse_deployment(struct api_call *call, const char *action, const char *why, int rc)
{
	const struct kind_info *kind = &kinds[call->route->kind];

	if (rc == -ESRCH)
		api_error(call->response, 404, "not_found", NULL,
			"there is no %s %s/%s: GET /v1/%s lists all", kind->singular,
			call->namespace, call->name, kind->plural);
	else if (rc == -EDOM)
		api_error(call->response, 400, "invalid_field", "action", "%s, but is '%.40s'", why,
			action);
	else if (rc == -ENOMEM)
		api_error(call->response, 503, "busy", NULL, "%s", why);
	else
		api_error(call->response, 409, "not_now", NULL, "%s/%s: %s", call->namespace,
			call->name, why);
}

void api_deployment(struct api_call *call)
{
	static const char *const known[] = {"action", NULL};
	const struct api *api = call->api;
	json_t *body = read_body(call, known, "{\"action\": \"promote\"}"), *shown;
	char why[200] = "", key[520];
	const char *action;
	int rc = -ESRCH;

	if (!body || !read_text(call, body, "action", &action))
		goto out;
	snprintf(key, sizeof(key), "%s/%s", call->namespace, call->name);
	if (!action)
		rc = api->scheduler ? -EDOM : -ESRCH;
	// A function is not reached by the path of jobs, nor a job by that of functions.
	else if (registry_get(api->registry, call->route->kind, key) && api->scheduler)
		rc = api->scheduler->deployment(api->scheduler_user, call->namespace, call->name,
			action, &call->response->wait_index, why, sizeof(why));
	if (!action && api->scheduler)
		snprintf(why, sizeof(why), "action must be promote, pause, resume or fail");
	if (rc) {
		call->response->wait_index = 0;
		refuse_deployment(call, action ? action : "", why, rc);
		goto out;
	}
	registry_note(api->registry, action, call->route->kind, key, "the rollout, by hand",
		call->request->wall_ns);
	api_wait(call);
	shown = api->scheduler->deployment_of(api->scheduler_user, call->namespace, call->name);
	api_reply(call, 200, shown ? shown : json_object());
out:
	json_decref(body);
}
