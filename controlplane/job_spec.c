// SPDX-License-Identifier: Apache-2.0
// From resources to specs of the scheduler: job_spec.h. What a group of a job leaves out is the
// job's; constraints, wishes and claims of the job hold for all groups. A resource that was kept
// from a newer version may lack fields or have odd ones: nothing here trusts that they are there,
// and the scheduler checks the result.
#include "controlplane/job_spec.h"

#include <stdio.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY // a state on the stack
#include <xxhash.h>

#include "controlplane/job_spec_internal.h"
#include "controlplane/kinds_internal.h"
#include "controlplane/registry_internal.h"

int64_t job_spec_bytes(const json_t *size)
{
	int64_t bytes = json_integer_value(size);

	if (json_is_string(size) && size_parse(json_string_value(size), &bytes) != 0)
		return 0;
	return bytes;
}

static uint32_t mebibytes(const json_t *size)
{
	int64_t mib = (job_spec_bytes(size) + (1 << 20) - 1) >> 20;

	return mib < 0 ? 0 : mib < UINT32_MAX ? (uint32_t)mib : UINT32_MAX - 1;
}

// ---- memory ----

static void *take(struct job_spec *s, size_t count, size_t size)
{
	return count ? must(sched_arena_zeroed(&s->arena, count * size)) : NULL;
}

static char *keep_text(struct job_spec *s, const char *value)
{
	size_t len = strlen(value) + 1;

	return memcpy(take(s, len, 1), value, len);
}

// ---- placement ----

static uint8_t op_of(const json_t *object)
{
	const char *name = text(object, "op");

	for (uint8_t op = 0; placement_ops[op]; op++)
		if (strcmp(name, placement_ops[op]) == 0)
			return op;
	return SCHED_OPS; // the scheduler refuses it
}

static const struct sched_constraint *constraints(
	struct job_spec *s, const json_t *placement, uint32_t *count)
{
	const json_t *list = part(placement, "constraints");
	struct sched_constraint *out = take(s, json_array_size(list), sizeof(*out));

	*count = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; i < *count; i++) {
		const json_t *c = json_array_get(list, i);
		uint8_t op = op_of(c);
		const char *value = text(c, "value");

		if (op == SCHED_OP_DISTINCT_PROPERTY && !*value)
			value = "1";
		out[i] = (struct sched_constraint){text(c, "attribute"), value, op};
	}
	return out;
}

static void add_affinities(
	struct job_spec *s, struct sched_affinity *out, const json_t *placement, uint8_t group)
{
	const json_t *list = part(placement, "affinities");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *a = json_array_get(list, i);

		out[s->spec.affinity_count++] = (struct sched_affinity){
			.attribute = text(a, "attribute"),
			.value = text(a, "value"),
			.op = op_of(a),
			.weight = (int8_t)number(a, "weight"),
			.group = group,
		};
	}
}

static void add_spreads(
	struct job_spec *s, struct sched_spread *out, const json_t *placement, uint8_t group)
{
	const json_t *list = part(placement, "spreads");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *spread = json_array_get(list, i), *shares = part(spread, "targets");
		struct sched_spread_target *targets =
			take(s, json_array_size(shares), sizeof(*targets));

		for (size_t k = 0; k < json_array_size(shares); k++)
			targets[k] = (struct sched_spread_target){
				text(json_array_get(shares, k), "value"),
				(uint8_t)number(json_array_get(shares, k), "percent")};
		out[s->spec.spread_count++] = (struct sched_spread){
			.attribute = text(spread, "attribute"),
			.targets = targets,
			.target_count = (uint32_t)json_array_size(shares),
			.weight = (uint8_t)number(spread, "weight"),
			.group = group,
		};
	}
}

static size_t claims_of(const json_t *resources)
{
	return json_object_size(part(resources, "devices")) +
	       json_array_size(part(resources, "ports"));
}

static void add_claims(
	struct job_spec *s, struct sched_claim *out, const json_t *resources, uint8_t group)
{
	const json_t *ports = part(resources, "ports");
	char name[80];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)part(resources, "devices"), key, value)
	{
		snprintf(name, sizeof(name), "device.%.64s", key);
		out[s->spec.claim_count++] = (struct sched_claim){
			keep_text(s, name), (uint32_t)json_integer_value(value), group};
	}
	for (size_t i = 0; i < json_array_size(ports); i++) {
		snprintf(name, sizeof(name), "port.%d",
			(int)json_integer_value(json_array_get(ports, i)));
		out[s->spec.claim_count++] = (struct sched_claim){keep_text(s, name), 1, group};
	}
}

// What the job wants for all its groups, then each group on top.
static void add_wishes(struct job_spec *s, const json_t *job, const json_t *groups)
{
	size_t affinities = json_array_size(part(part(job, "placement"), "affinities"));
	size_t spreads = json_array_size(part(part(job, "placement"), "spreads"));
	size_t claims = claims_of(part(job, "resources"));
	struct sched_affinity *a;
	struct sched_spread *p;
	struct sched_claim *c;

	for (size_t g = 0; g < json_array_size(groups); g++) {
		const json_t *group = json_array_get(groups, g);

		affinities += json_array_size(part(part(group, "placement"), "affinities"));
		spreads += json_array_size(part(part(group, "placement"), "spreads"));
		claims += claims_of(part(group, "resources"));
	}
	s->spec.affinities = a = take(s, affinities, sizeof(*a));
	s->spec.spreads = p = take(s, spreads, sizeof(*p));
	s->spec.claims = c = take(s, claims, sizeof(*c));
	add_affinities(s, a, part(job, "placement"), SCHED_ALL_GROUPS);
	add_spreads(s, p, part(job, "placement"), SCHED_ALL_GROUPS);
	add_claims(s, c, part(job, "resources"), SCHED_ALL_GROUPS);
	for (size_t g = 0; g < json_array_size(groups); g++) {
		const json_t *group = json_array_get(groups, g);

		add_affinities(s, a, part(group, "placement"), (uint8_t)g);
		add_spreads(s, p, part(group, "placement"), (uint8_t)g);
		add_claims(s, c, part(group, "resources"), (uint8_t)g);
	}
}

// ---- groups ----

static void add_near(struct job_spec *s, const char **out, uint32_t *count, const json_t *placement)
{
	const json_t *list = part(placement, "near");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		char full[160];

		if (!name)
			continue;
		snprintf(full, sizeof(full), "%s%s%.127s",
			strchr(name, '/') ? "" : s->spec.namespace, strchr(name, '/') ? "" : "/",
			name);
		out[(*count)++] = keep_text(s, full);
	}
}

static void set_near(
	struct job_spec *s, struct sched_group *g, const json_t *job, const json_t *group)
{
	size_t room = json_array_size(part(part(job, "placement"), "near")) +
		      json_array_size(part(part(group, "placement"), "near"));
	const char **names = take(s, room, sizeof(*names));

	add_near(s, names, &g->near_count, part(job, "placement"));
	add_near(s, names, &g->near_count, part(group, "placement"));
	g->near = names;
}

static void set_update(struct sched_group *g, const json_t *job, const json_t *group)
{
	json_int_t parallel = json_integer_value(inherited(job, group, "update", "max_parallel"));

	g->max_parallel = parallel ? (uint32_t)parallel : (g->count + 3) / 4;
	g->canaries = (uint32_t)json_integer_value(inherited(job, group, "update", "canary"));
	g->auto_promote = json_is_true(inherited(job, group, "update", "auto_promote"));
	g->auto_revert = json_is_true(inherited(job, group, "update", "auto_revert"));
	g->progress_deadline_ns = NS_PER_MS * json_integer_value(inherited(job, group, "update",
						      "progress_deadline_ms"));
	g->lost_after_ns = NS_PER_MS *
			   json_integer_value(inherited(job, group, "disconnect", "lost_after_ms"));
}

static void hash_text(XXH3_state_t *h, const char *value)
{
	XXH3_64bits_update(h, value, strlen(value) + 1);
}

static void hash_constraints(XXH3_state_t *h, const struct sched_constraint *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		hash_text(h, c[i].attribute);
		hash_text(h, c[i].value);
		XXH3_64bits_update(h, &c[i].op, sizeof(c[i].op));
	}
}

// Of a function that says nothing of placement and claims it is the hash of the text alone, as in
// versions before these: an upgrade moves no instance.
static uint64_t restart_hash(const struct sched_spec *spec, uint32_t group, const char *host)
{
	const struct sched_group *g = &spec->groups[group];
	XXH3_state_t h;

	XXH3_64bits_reset(&h);
	XXH3_64bits_update(&h, host, strlen(host));
	hash_constraints(&h, spec->constraints, spec->constraint_count);
	hash_constraints(&h, g->constraints, g->constraint_count);
	if (g->distinct_hosts)
		hash_text(&h, "distinct_hosts");
	for (uint32_t i = 0; i < spec->claim_count; i++) {
		if (spec->claims[i].group != SCHED_ALL_GROUPS && spec->claims[i].group != group)
			continue;
		hash_text(&h, spec->claims[i].name);
		XXH3_64bits_update(&h, &spec->claims[i].count, sizeof(spec->claims[i].count));
	}
	return XXH3_64bits_digest(&h);
}

static void set_group(
	struct job_spec *s, struct sched_group *g, const json_t *job, const json_t *group)
{
	const char *image = json_string_value(part(group, "image"));

	g->ask = (struct sched_res){
		.cpu_milli = (uint32_t)json_integer_value(
			inherited(job, group, "resources", "cpu_milli")),
		.memory_mib = mebibytes(inherited(job, group, "resources", "memory")),
		.disk_mib = mebibytes(inherited(job, group, "resources", "disk")),
		.slots = 1,
	};
	g->distinct_hosts = json_is_true(inherited(job, group, "placement", "distinct_hosts"));
	g->sticky = json_is_true(inherited(job, group, "placement", "sticky"));
	g->image = image ? image : json_string_value(part(job, "image"));
	g->constraints = constraints(s, part(group, "placement"), &g->constraint_count);
	set_update(g, job, group);
	set_near(s, g, job, group);
}

// ---- the opaque text ----

static char *dump(const json_t *object)
{
	return must(json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS));
}

static void set_opaque(struct job_spec *s, const json_t *object)
{
	char *line = dump(object);

	s->spec.opaque = keep_text(s, line);
	s->spec.opaque_len = (uint32_t)strlen(line);
	free(line);
}

// ---- functions ----

static void function_spec(struct job_spec *s, const json_t *spec)
{
	struct sched_group *g = take(s, 1, sizeof(*g));
	json_t *host = job_host_of_function(spec);

	g->name = "main";
	g->count = (uint32_t)number(part(spec, "scale"), "min");
	set_group(s, g, spec, NULL);
	s->spec.groups = g;
	s->spec.group_count = 1;
	add_wishes(s, spec, NULL);
	set_opaque(s, host);
	g->restart_hash = restart_hash(&s->spec, 0, s->spec.opaque);
	json_decref(host);
}

// ---- jobs ----

const char *const job_spec_type_names[SCHED_TYPES] = {
	[SCHED_TYPE_SERVICE] = "service",
	[SCHED_TYPE_BATCH] = "batch",
	[SCHED_TYPE_SYSTEM] = "system",
	[SCHED_TYPE_SYSBATCH] = "sysbatch",
};

static uint8_t type_of(const json_t *spec)
{
	for (uint8_t t = 0; t < SCHED_TYPES; t++)
		if (strcmp(text(spec, "type"), job_spec_type_names[t]) == 0)
			return t;
	return SCHED_TYPES;
}

static void job_groups(struct job_spec *s, const json_t *spec, const json_t *groups)
{
	size_t count = json_array_size(groups);
	struct sched_group *all = take(s, count ? count : 1, sizeof(*all));

	s->spec.groups = all;
	s->spec.group_count = count ? (uint32_t)count : 1;
	for (uint32_t i = 0; i < s->spec.group_count; i++) {
		const json_t *group = json_array_get(groups, i);
		const json_t *own = part(group, "count");

		all[i].name = count ? text(group, "name") : "main";
		all[i].count = (uint32_t)json_integer_value(own ? own : part(spec, "count"));
		set_group(s, &all[i], spec, group);
	}
	add_wishes(s, spec, groups);
}

static void job_opaque(struct job_spec *s, const json_t *spec, const json_t *groups)
{
	struct sched_group *all = (struct sched_group *)(uintptr_t)s->spec.groups;
	json_t *hosts = json_object(), *opaque = json_pack("{s:o}", "groups", hosts);

	for (uint32_t i = 0; i < s->spec.group_count; i++) {
		json_t *host = job_host_of_group(all[i].name, spec, json_array_get(groups, i));
		char *line = dump(host);

		all[i].restart_hash = restart_hash(&s->spec, i, line) ^ s->spec.type;
		json_object_set_new(hosts, all[i].name, host);
		free(line);
	}
	set_opaque(s, opaque);
	json_decref(opaque);
}

static const char *const *names(struct job_spec *s, const json_t *list, uint32_t *count)
{
	const char **out = take(s, json_array_size(list), sizeof(*out));

	*count = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_is_string(json_array_get(list, i)))
			out[(*count)++] = json_string_value(json_array_get(list, i));
	return out;
}

static const char *cron_text(struct job_spec *s, const json_t *list)
{
	size_t room = 1, len = 0;
	char *out;

	for (size_t i = 0; i < json_array_size(list); i++)
		room += json_string_length(json_array_get(list, i)) + 1;
	out = take(s, room, 1);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *one = json_string_value(json_array_get(list, i));

		len += (size_t)snprintf(
			out + len, room - len, "%s%s", i ? ";" : "", one ? one : "");
	}
	return out;
}

static void set_launch(struct job_spec *s, const json_t *spec)
{
	const json_t *schedule = part(spec, "schedule"), *template = part(spec, "template");
	const char *payload = text(template, "payload");

	if (!schedule && !template)
		return;
	if (schedule) {
		s->launch.cron = cron_text(s, part(schedule, "cron"));
		s->launch.overlap = flag(schedule, "overlap");
	}
	s->launch.templated = template != NULL;
	s->launch.payload = strcmp(payload, "required") == 0    ? SCHED_PAYLOAD_REQUIRED
			    : strcmp(payload, "forbidden") == 0 ? SCHED_PAYLOAD_FORBIDDEN
								: SCHED_PAYLOAD_OPTIONAL;
	s->launch.meta_required =
		names(s, part(template, "meta_required"), &s->launch.meta_required_count);
	s->launch.meta_optional =
		names(s, part(template, "meta_optional"), &s->launch.meta_optional_count);
	s->spec.launch = &s->launch;
}

void job_spec_init(struct job_spec *s, enum kind kind, const char *namespace, const char *name,
	const json_t *spec)
{
	json_int_t priority = number(spec, "priority");
	const json_t *placement = part(spec, "placement");

	*s = (struct job_spec){
		.spec = {.namespace = namespace,
			.name = name,
			.type = kind == KIND_JOB ? type_of(spec) : SCHED_TYPE_SERVICE,
			.priority = priority > 0 ? (uint8_t)priority : SCHED_PRIORITY_DEFAULT},
	};
	s->spec.constraints = constraints(s, placement, &s->spec.constraint_count);
	if (kind != KIND_JOB) {
		function_spec(s, spec);
		return;
	}
	job_groups(s, spec, part(spec, "groups"));
	job_opaque(s, spec, part(spec, "groups"));
	set_launch(s, spec);
}

void job_spec_fini(struct job_spec *s)
{
	sched_arena_fini(&s->arena);
}
