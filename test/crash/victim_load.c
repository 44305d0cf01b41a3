// SPDX-License-Identifier: Apache-2.0
// What the victim has to do: victim.h. Functions that come, change and go, nodes that fail, and
// hosts that report, as the control plane would hear of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"
#include "controlplane/scheduler_internal.h"
#include "test/crash/victim.h"
#include "test/crash/mark.h"

static uint32_t below(struct victim *v, uint32_t n)
{
	return rng_below(&v->rng, n);
}

static void tell(struct victim *v, enum mark type, struct sched_bytes *body)
{
	mark_send(v->mark_fd, type, body);
	sched_bytes_fini(body);
}

// ---- what became durable ----

static void tell_deed(struct victim *v, enum mark_deed deed, const char *id)
{
	struct sched_bytes body = {0};

	sched_put_u8(&body, (uint8_t)deed);
	mark_put_text(&body, id);
	tell(v, MARK_DEED, &body);
}

static void keep(char (*ring)[SCHEDULER_ID_BYTES], uint32_t *first, uint32_t *count, const char *id)
{
	if (*count == VICTIM_IDS) {
		*first = (*first + 1) % VICTIM_IDS;
		--*count;
	}
	snprintf(ring[(*first + (*count)++) % VICTIM_IDS], SCHEDULER_ID_BYTES, "%s", id);
}

static bool of_template(const char *name)
{
	return name[0] == 't';
}

static void placed(void *user, const struct scheduler_placement *p)
{
	struct victim *v = user;

	tell_deed(v, MARK_PLACED, p->id);
	// What was dispatched runs to its end.
	if (of_template(p->name))
		keep(v->ending, &v->ending_first, &v->ending_count, p->id);
	else
		keep(v->ids, &v->id_first, &v->id_count, p->id);
}

static void stopped(void *user, const char *id, bool lost)
{
	struct victim *v = user;

	tell_deed(v, MARK_STOPPED, id);
	if (!lost)
		keep(v->ending, &v->ending_first, &v->ending_count, id);
}

static void ended(void *user, const char *id)
{
	tell_deed(user, MARK_ENDED, id);
}

static void gone(void *user, const char *id)
{
	tell_deed(user, MARK_GONE, id);
}

const struct scheduler_deeds victim_deeds = {
	.placed = placed,
	.stopped = stopped,
	.ended = ended,
	.gone = gone,
};

// ---- jobs ----

static struct victim_job *job_of(struct victim *v, const char *name)
{
	unsigned k = (unsigned)atoi(name + 1);

	return k < VICTIM_JOBS_MAX ? &v->jobs[k] : NULL;
}

static void put_job(struct victim *v, const struct resource *res)
{
	json_int_t count =
		json_integer_value(json_object_get(json_object_get(res->spec, "scale"), "min"));
	struct victim_job *job = job_of(v, res->name);
	char text[32];
	const struct sched_group group = {
		.name = "main",
		.count = (uint32_t)count,
		.ask = {.cpu_milli = 100, .memory_mib = 64, .slots = 1},
		.max_parallel = (uint32_t)(count + 3) / 4,
		.restart_hash = res->version % 3,
	};
	const struct sched_spec spec = {
		.namespace = res->namespace,
		.name = res->name,
		.type = SCHED_TYPE_SERVICE,
		.priority = (uint8_t)(20 + res->version % 50),
		.groups = &group,
		.group_count = 1,
		.opaque = text,
		.opaque_len = (uint32_t)snprintf(
			text, sizeof(text), "v%llu", (unsigned long long)res->version),
	};

	if (scheduler_job_put(&v->scheduler, &spec) || !job)
		return;
	// The bytes of the put are before this index.
	pthread_mutex_lock(&v->scheduler.lock);
	job->index = v->scheduler.core->state->head.index;
	pthread_mutex_unlock(&v->scheduler.lock);
	snprintf(job->text, sizeof(job->text), "%s", text);
}

void victim_apply(void *user, const struct change *c)
{
	struct victim *v = user;
	struct sched_bytes body = {0};
	struct victim_job *job;

	sched_put_uint(&body, c->seq);
	tell(v, MARK_SEQ, &body);
	if (c->kind != KIND_FUNCTION)
		return;
	if (c->after) {
		put_job(v, c->after);
	} else if (c->before) {
		job = job_of(v, c->before->name);
		if (job)
			job->index = 0;
		scheduler_job_delete(&v->scheduler, c->before->namespace, c->before->name);
	}
}

static void tell_children(struct victim *v)
{
	uint32_t left = 0;

	for (uint32_t k = 0; k < v->child_count; k++) {
		const struct victim_child *c = &v->children[k];
		struct sched_bytes body = {0};

		if (c->index > v->scheduler.durable_index) {
			v->children[left++] = *c;
			continue;
		}
		mark_put_text(&body, c->name);
		sched_put_uint(&body, c->hash);
		tell(v, MARK_CHILD, &body);
	}
	v->child_count = left;
}

void victim_tell_jobs(struct victim *v)
{
	tell_children(v);
	for (unsigned k = 0; k < VICTIM_JOBS_MAX; k++) {
		struct victim_job *job = &v->jobs[k];
		struct sched_bytes body = {0};
		char name[16];

		if (!job->index || job->index > v->scheduler.durable_index)
			continue;
		snprintf(name, sizeof(name), "f%u", k);
		mark_put_text(&body, "default");
		mark_put_text(&body, name);
		mark_put_text(&body, job->text);
		tell(v, MARK_JOB, &body);
		job->index = 0;
	}
}

// ---- what clients and hosts do ----

static void put_function(struct victim *v)
{
	static const uint32_t shares[] = {1, 10, 40, 100};
	uint32_t count = 1 + below(v, 1 + v->options.count * shares[below(v, 4)] / 100);
	struct schema_error error;
	const struct resource *res;
	char name[16];
	json_t *in, *object;

	snprintf(name, sizeof(name), "f%u", below(v, v->options.jobs));
	in = json_pack("{s:{s:s}, s:{s:[s], s:{s:i, s:i}}}", "metadata", "name", name, "spec",
		"command", "x", "scale", "min", (int)count, "max", (int)count);
	object = schema_normalize(&kinds[KIND_FUNCTION], in, &error);
	if (!object) {
		fprintf(stderr, "victim: the function is refused: %s\n", error.message);
		_Exit(4);
	}
	registry_put(&v->registry, KIND_FUNCTION, object, clock_wall(), &res);
	json_decref(object);
	json_decref(in);
}

static void put_endpoint(struct victim *v)
{
	struct schema_error error;
	const struct resource *res;
	char name[16], address[32];
	json_t *in, *object;

	snprintf(name, sizeof(name), "e%u", below(v, 100));
	snprintf(address, sizeof(address), "10.0.0.1:%u", 1 + below(v, 60000));
	in = json_pack("{s:{s:s}, s:{s:[s], s:[s]}}", "metadata", "name", name, "spec", "addresses",
		address, "routes", name);
	object = schema_normalize(&kinds[KIND_ENDPOINT], in, &error);
	if (object)
		registry_put(&v->registry, KIND_ENDPOINT, object, clock_wall(), &res);
	json_decref(object);
	json_decref(in);
}

static void delete_function(struct victim *v)
{
	char key[40];

	snprintf(key, sizeof(key), "default/f%u", below(v, v->options.jobs));
	registry_delete(&v->registry, KIND_FUNCTION, key, clock_wall());
}

static void dispatch(struct victim *v)
{
	uint8_t payload[200];
	char name[8], token[16];
	struct sched_dispatch d = {
		.payload = payload, .payload_len = below(v, sizeof(payload)), .token = token};
	struct scheduler_child child;
	uint64_t hash;
	int rc;

	snprintf(name, sizeof(name), "t%u", below(v, VICTIM_TEMPLATES));
	snprintf(token, sizeof(token), "k%u", below(v, 1 << 30));
	for (uint32_t k = 0; k < d.payload_len; k++)
		payload[k] = (uint8_t)rng_next(&v->rng);
	hash = mark_hash(payload, d.payload_len);
	rc = scheduler_dispatch(&v->scheduler, "default", name, &d, &child);
	if (rc || v->child_count == VICTIM_CHILDREN)
		return;
	v->children[v->child_count] = (struct victim_child){.index = child.index, .hash = hash};
	memcpy(v->children[v->child_count++].name, child.name, sizeof(child.name));
}

static void change_node(struct victim *v)
{
	char name[16];
	bool down = below(v, 4) == 0;

	snprintf(name, sizeof(name), "n%u", below(v, v->options.nodes));
	scheduler_node_state(&v->scheduler, name, down ? SCHED_NODE_DOWN : SCHED_NODE_READY,
		below(v, 8) != 0, below(v, 16) == 0);
}

// What was told to start starts, and what was told to stop stops.
static void report(struct victim *v)
{
	for (uint32_t n = below(v, 64); n && v->id_count; n--, v->id_count--) {
		const char *id = v->ids[v->id_first];
		bool fails = below(v, 50) == 0;

		scheduler_report(&v->scheduler, id, fails ? SCHED_FAILED : SCHED_RUNNING, !fails);
		v->id_first = (v->id_first + 1) % VICTIM_IDS;
	}
	for (uint32_t n = below(v, 64); n && v->ending_count; n--, v->ending_count--) {
		scheduler_report(&v->scheduler, v->ending[v->ending_first], SCHED_COMPLETE, false);
		v->ending_first = (v->ending_first + 1) % VICTIM_IDS;
	}
}

void victim_load(struct victim *v)
{
	for (uint32_t n = below(v, 4); n; n--) {
		uint32_t what = below(v, 100);

		if (what < 45)
			put_function(v);
		else if (what < 60)
			delete_function(v);
		else if (what < 70)
			dispatch(v);
		else if (what < 85)
			put_endpoint(v);
		else if (what < 95)
			change_node(v);
		else
			registry_note(
				&v->registry, "note", KIND_COUNT, NULL, "hello", clock_wall());
	}
	report(v);
}

// ---- the start ----

static void count_node(void *user, const char *name)
{
	++*(uint32_t *)user;
}

static void add_nodes(struct victim *v)
{
	const struct sched_res capacity = {25000, 16000, UINT32_MAX, 300};
	uint32_t there = 0;

	scheduler_each_node(&v->scheduler, count_node, &there);
	for (; there < v->options.nodes; there++) {
		char name[16], rack[16];
		const struct sched_attribute attributes[] = {{"rack", rack}, {"unique.name", name}};

		snprintf(name, sizeof(name), "n%u", there);
		snprintf(rack, sizeof(rack), "r%u", there % 5);
		scheduler_node_put(&v->scheduler, name, attributes, 2, &capacity);
		scheduler_node_state(&v->scheduler, name, SCHED_NODE_READY, true, false);
	}
}

// They are of nobody but the scheduler here.
static void add_templates(struct victim *v)
{
	const struct sched_launch launch = {.templated = true, .payload = SCHED_PAYLOAD_OPTIONAL};
	const struct sched_group group = {.name = "main",
		.count = 1,
		.ask = {.cpu_milli = 100, .memory_mib = 64, .slots = 1},
		.restart_hash = 1};
	char name[8];
	const struct sched_spec spec = {.namespace = "default",
		.name = name,
		.type = SCHED_TYPE_BATCH,
		.priority = SCHED_PRIORITY_DEFAULT,
		.groups = &group,
		.group_count = 1,
		.launch = &launch,
		.opaque = "x",
		.opaque_len = 1};

	for (unsigned k = 0; k < VICTIM_TEMPLATES; k++) {
		snprintf(name, sizeof(name), "t%u", k);
		scheduler_job_put(&v->scheduler, &spec);
	}
}

static void note_stray(void *user, const char *namespace, const char *name)
{
	if (of_template(name))
		return;
	json_array_append_new(user, json_string(name));
}

void victim_meet(struct victim *v)
{
	json_t *names = json_array();
	const struct resource *res;

	add_nodes(v);
	add_templates(v);
	scheduler_each_job(&v->scheduler, note_stray, names);
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		char key[80];

		snprintf(key, sizeof(key), "default/%s", name);
		if (!registry_get(&v->registry, KIND_FUNCTION, key))
			scheduler_job_delete(&v->scheduler, "default", name);
	}
	json_decref(names);
	for (size_t i = 0; (res = registry_at(&v->registry, KIND_FUNCTION, i)); i++)
		put_job(v, res);
}
