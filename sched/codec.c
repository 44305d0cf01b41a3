// SPDX-License-Identifier: Apache-2.0
// The bytes of the log: codec.h has the format. For each type of change the writer and the reader
// stand side by side. A reader never trusts a length or a count; what refers to rows is checked by
// apply.c.
#include "sched/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/block.h"

#define MAGIC 0x5053

// Slots are put as slot + 1, so that none is one byte.
static void put_slot(struct sched_bytes *b, uint32_t slot)
{
	sched_put_uint(b, (uint32_t)(slot + 1));
}

static uint32_t get_slot(struct reader *r)
{
	return sched_get_u32(r) - 1;
}

static void put_float(struct sched_bytes *b, float v)
{
	uint8_t *at = sched_bytes_take(b, sizeof(v));

	if (at)
		memcpy(at, &v, sizeof(v));
}

static float get_float(struct reader *r)
{
	const uint8_t *at = reader_take(r, sizeof(float));
	float v = 0;

	if (at)
		memcpy(&v, at, sizeof(v));
	return v;
}

static void put_res(struct sched_bytes *b, const struct sched_res *res)
{
	sched_put_uint(b, res->cpu_milli);
	sched_put_uint(b, res->memory_mib);
	sched_put_uint(b, res->disk_mib);
	sched_put_uint(b, res->slots);
}

static void get_res(struct reader *r, struct sched_res *res)
{
	res->cpu_milli = sched_get_u32(r);
	res->memory_mib = sched_get_u32(r);
	res->disk_mib = sched_get_u32(r);
	res->slots = sched_get_u32(r);
}

// ---- nodes ----

static void put_node(struct sched_encoder *e, const struct sched_change *c)
{
	put_res(&e->out, &c->node.capacity);
	sched_node_info_encode(&e->out, c->node.info);
}

static int get_node(struct sched_decoder *d, struct sched_change *c)
{
	get_res(&d->body, &c->node.capacity);
	c->node.info = sched_node_info_decode(&d->body);
	return c->node.info ? 0 : d->body.bad ? -EBADMSG : -ENOMEM;
}

static void put_node_state(struct sched_encoder *e, const struct sched_change *c)
{
	sched_put_u8(&e->out, c->node_state.status);
	sched_put_u8(&e->out, c->node_state.eligible);
	sched_put_u8(&e->out, c->node_state.draining);
}

static int get_node_state(struct sched_decoder *d, struct sched_change *c)
{
	c->node_state.status = reader_u8(&d->body);
	c->node_state.eligible = reader_u8(&d->body);
	c->node_state.draining = reader_u8(&d->body);
	return c->node_state.status <= SCHED_NODE_INIT ? 0 : -EBADMSG;
}

// ---- jobs ----

static void put_job(struct sched_encoder *e, const struct sched_change *c)
{
	sched_put_u8(&e->out, (uint8_t)(c->job.purge | c->job.older << 1));
	sched_spec_encode(&e->out, c->job.spec);
}

static int get_job(struct sched_decoder *d, struct sched_change *c)
{
	uint8_t flags = reader_u8(&d->body);

	c->job.purge = flags & 1;
	c->job.older = flags >> 1 & 1;
	c->job.spec = sched_spec_decode(&d->body);
	return c->job.spec ? 0 : d->body.bad ? -EBADMSG : -ENOMEM;
}

// ---- placements: a head, then a few bytes each ----

static bool same_head(const struct sched_instance *a, const struct sched_instance *b)
{
	return a->job == b->job && a->id.nonce == b->id.nonce && a->version == b->version &&
	       a->group == b->group && a->changed_ns == b->changed_ns &&
	       a->why.eval == b->why.eval && a->why.trigger == b->why.trigger &&
	       a->why.considered == b->why.considered && a->why.infeasible == b->why.infeasible &&
	       a->why.exhausted == b->why.exhausted &&
	       memcmp(&a->ask, &b->ask, sizeof(a->ask)) == 0;
}

static void put_head(struct sched_bytes *b, const struct sched_instance *i)
{
	sched_put_u8(b, SCHED_PLACE_HEAD);
	put_slot(b, i->job);
	sched_put_uint(b, i->id.nonce);
	sched_put_uint(b, i->version);
	sched_put_u8(b, i->group);
	sched_put_uint(b, (uint64_t)i->changed_ns);
	sched_put_uint(b, i->why.eval);
	sched_put_u8(b, i->why.trigger);
	sched_put_uint(b, i->why.considered);
	sched_put_uint(b, i->why.infeasible);
	sched_put_uint(b, i->why.exhausted);
	put_res(b, &i->ask);
}

static int get_head(struct sched_decoder *d, struct sched_change *c)
{
	struct sched_instance *i = &d->head;

	*i = (struct sched_instance){.job = get_slot(&d->body), .create_index = d->index};
	i->id.nonce = sched_get_uint(&d->body);
	i->version = sched_get_u32(&d->body);
	i->group = reader_u8(&d->body);
	i->changed_ns = (ns_t)sched_get_uint(&d->body);
	i->why.eval = sched_get_uint(&d->body);
	i->why.trigger = reader_u8(&d->body);
	i->why.considered = sched_get_u32(&d->body);
	i->why.infeasible = sched_get_u32(&d->body);
	i->why.exhausted = sched_get_u32(&d->body);
	get_res(&d->body, &i->ask);
	return 0;
}

static void put_place(struct sched_encoder *e, const struct sched_change *c)
{
	const struct sched_instance *i = c->instance;
	struct sched_bytes *b = &e->out;

	sched_put_uint(b, i->id.seq);
	put_slot(b, i->node);
	sched_put_uint(b, i->name_index);
	put_slot(b, i->previous);
	sched_put_uint(b, i->reschedules);
	put_float(b, i->why.score);
	put_float(b, i->why.runner_up);
}

static int get_place(struct sched_decoder *d, struct sched_change *c)
{
	struct sched_instance *i = &d->instance;
	struct reader *r = &d->body;

	*i = d->head;
	i->id.slot = c->slot;
	i->id.seq = sched_get_u32(r);
	i->node = get_slot(r);
	i->name_index = sched_get_u32(r);
	i->previous = get_slot(r);
	i->next = SCHED_NONE;
	i->reschedules = (uint16_t)sched_get_uint(r);
	i->why.score = get_float(r);
	i->why.runner_up = get_float(r);
	c->instance = i;
	return i->job == SCHED_NONE ? -EBADMSG : 0;
}

// Both are 0 of nearly all, so a bit of the status says that they follow.
#define STATUS_EXIT 0x40
#define STATUS_MASK 0x3f

static void put_exit(struct sched_bytes *b, uint8_t code, uint8_t signal)
{
	sched_put_u8(b, code);
	sched_put_u8(b, signal);
}

// A whole row of a checkpoint: its own head, then what a placement has, then what happened to it
// since.
static void put_row(struct sched_encoder *e, const struct sched_change *c)
{
	const struct sched_instance *i = c->instance;
	bool exit = i->exit_code || i->exit_signal;
	struct sched_bytes *b = &e->out;

	put_place(e, c);
	put_slot(b, i->next);
	sched_put_uint(b, i->create_index);
	sched_put_uint(b, i->modify_index);
	sched_put_u8(b, i->desired);
	sched_put_u8(b, (uint8_t)(i->status | (exit ? STATUS_EXIT : 0)));
	sched_put_u8(b, i->flags);
	if (exit)
		put_exit(b, i->exit_code, i->exit_signal);
}

static int get_row(struct sched_decoder *d, struct sched_change *c)
{
	struct sched_instance *i = &d->instance;
	int rc = get_place(d, c);
	uint8_t v;

	i->next = get_slot(&d->body);
	i->create_index = sched_get_uint(&d->body);
	i->modify_index = sched_get_uint(&d->body);
	i->desired = reader_u8(&d->body);
	v = reader_u8(&d->body);
	i->status = v & (uint8_t)~STATUS_EXIT;
	i->flags = reader_u8(&d->body);
	i->exit_code = v & STATUS_EXIT ? reader_u8(&d->body) : 0;
	i->exit_signal = v & STATUS_EXIT ? reader_u8(&d->body) : 0;
	return rc || i->desired > SCHED_EVICT || i->status > SCHED_LOST ? -EBADMSG : 0;
}

// ---- what happens to instances ----

static void put_stop(struct sched_encoder *e, const struct sched_change *c)
{
	sched_put_u8(&e->out, (uint8_t)(c->stop.desired | c->stop.lost << 7));
}

static int get_stop(struct sched_decoder *d, struct sched_change *c)
{
	uint8_t v = reader_u8(&d->body);

	c->stop.desired = v & 0x7f;
	c->stop.lost = v >> 7;
	return c->stop.desired == SCHED_STOP || c->stop.desired == SCHED_EVICT ? 0 : -EBADMSG;
}

static void put_update(struct sched_encoder *e, const struct sched_change *c)
{
	sched_put_uint(&e->out, c->update.version);
	put_res(&e->out, &c->update.ask);
}

static int get_update(struct sched_decoder *d, struct sched_change *c)
{
	c->update.version = sched_get_u32(&d->body);
	get_res(&d->body, &c->update.ask);
	return 0;
}

static void put_status(struct sched_encoder *e, const struct sched_change *c)
{
	bool exit = c->status.exit_code || c->status.exit_signal;

	sched_put_u8(&e->out,
		(uint8_t)(c->status.status | c->status.ready << 7 | (exit ? STATUS_EXIT : 0)));
	sched_put_uint(&e->out, c->status.reschedules);
	sched_put_uint(&e->out, (uint64_t)c->status.changed_ns);
	if (exit)
		put_exit(&e->out, c->status.exit_code, c->status.exit_signal);
}

static int get_status(struct sched_decoder *d, struct sched_change *c)
{
	uint8_t v = reader_u8(&d->body);

	c->status.status = v & STATUS_MASK;
	c->status.ready = v >> 7;
	c->status.reschedules = (uint16_t)sched_get_uint(&d->body);
	c->status.changed_ns = (ns_t)sched_get_uint(&d->body);
	c->status.exit_code = v & STATUS_EXIT ? reader_u8(&d->body) : 0;
	c->status.exit_signal = v & STATUS_EXIT ? reader_u8(&d->body) : 0;
	return c->status.status <= SCHED_LOST ? 0 : -EBADMSG;
}

static void put_nothing(struct sched_encoder *e, const struct sched_change *c)
{
}

static int get_nothing(struct sched_decoder *d, struct sched_change *c)
{
	return 0;
}

// ---- evaluations ----

static void put_eligibility(struct sched_bytes *b, const struct sched_eligibility *e)
{
	sched_put_uint(b, e->known);
	sched_put_u8(b, e->escaped);
	for (size_t i = 0; i < SCHED_CLASSES_TRACKED / 64; i++)
		sched_put_uint(b, e->eligible[i]);
}

static void get_eligibility(struct reader *r, struct sched_eligibility *e)
{
	e->known = sched_get_u32(r);
	e->escaped = reader_u8(r) != 0;
	for (size_t i = 0; i < SCHED_CLASSES_TRACKED / 64; i++)
		e->eligible[i] = sched_get_uint(r);
}

// Those that came later stand at the end.
#define FIRST_DIMS 7

static void put_explain(struct sched_bytes *b, const struct sched_explain *x)
{
	const uint32_t counts[] = {x->considered, x->feasible, x->wanted, x->placed, x->failed,
		x->stopped, x->updated, x->conflicts, x->group, x->attempts, x->plans};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		sched_put_uint(b, counts[i]);
	for (size_t i = 0; i < FIRST_DIMS; i++)
		sched_put_uint(b, x->by_dimension[i]);
	for (size_t i = 0; i < SCHED_EXPLAIN_CONSTRAINTS; i++) {
		sched_put_uint(b, x->by_constraint[i].constraint);
		sched_put_uint(b, x->by_constraint[i].nodes);
	}
	for (size_t i = 0; i < SCHED_EXPLAIN_BEST; i++) {
		put_slot(b, x->best[i].node);
		put_float(b, x->best[i].score);
	}
	for (size_t i = FIRST_DIMS; i < SCHED_DIMS; i++)
		sched_put_uint(b, x->by_dimension[i]);
	sched_put_u8(b, x->drawn);
}

static void get_explain(struct reader *r, struct sched_explain *x)
{
	uint32_t *const counts[] = {&x->considered, &x->feasible, &x->wanted, &x->placed,
		&x->failed, &x->stopped, &x->updated, &x->conflicts};
	uint8_t *const small[] = {&x->group, &x->attempts, &x->plans};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		*counts[i] = sched_get_u32(r);
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		*small[i] = (uint8_t)sched_get_uint(r);
	for (size_t i = 0; i < FIRST_DIMS; i++)
		x->by_dimension[i] = sched_get_u32(r);
	for (size_t i = 0; i < SCHED_EXPLAIN_CONSTRAINTS; i++) {
		x->by_constraint[i].constraint = (uint16_t)sched_get_uint(r);
		x->by_constraint[i].nodes = sched_get_u32(r);
	}
	for (size_t i = 0; i < SCHED_EXPLAIN_BEST; i++) {
		x->best[i].node = get_slot(r);
		x->best[i].score = get_float(r);
	}
	for (size_t i = FIRST_DIMS; i < SCHED_DIMS && reader_left(r); i++)
		x->by_dimension[i] = sched_get_u32(r);
	if (reader_left(r))
		x->drawn = reader_u8(r);
}

#define EVAL_BODY_MAX 600

static void put_eval(struct sched_encoder *e, const struct sched_change *c)
{
	const struct sched_eval *v = c->eval;
	struct sched_bytes *b = &e->out;
	size_t at = b->len, len;

	// The body is at most EVAL_BODY_MAX bytes: its length fits two bytes, written at the end.
	if (!sched_bytes_take(b, 2))
		return;
	sched_put_uint(b, v->id);
	sched_put_uint(b, v->previous);
	sched_put_uint(b, v->create_index);
	sched_put_uint(b, v->snapshot_index);
	sched_put_uint(b, (uint64_t)v->wait_until);
	put_slot(b, v->job);
	put_slot(b, v->node);
	sched_put_uint(b, v->quota);
	sched_put_u8(b, v->type);
	sched_put_u8(b, v->priority);
	sched_put_u8(b, v->trigger);
	sched_put_u8(b, v->status);
	sched_put_u8(b, v->nacks);
	// Only what waits for room needs to know where; what has not been worked on has nothing to
	// explain.
	if (v->status == SCHED_EVAL_BLOCKED)
		put_eligibility(b, &v->eligibility);
	if (v->status != SCHED_EVAL_PENDING)
		put_explain(b, &v->explain);
	len = b->len - at - 2;
	if (b->failed || len > EVAL_BODY_MAX)
		b->failed = true;
	else {
		b->data[at] = (uint8_t)(len >> 8);
		b->data[at + 1] = (uint8_t)len;
	}
}

static int get_eval(struct sched_decoder *d, struct sched_change *c)
{
	struct sched_eval *v = &d->eval;
	size_t len = reader_u16(&d->body);
	const uint8_t *bytes = reader_take(&d->body, len);
	struct reader r = reader_of(bytes ? bytes : (const uint8_t *)"", bytes ? len : 0);

	*v = (struct sched_eval){.slot = c->slot, .id = sched_get_uint(&r)};
	v->previous = sched_get_uint(&r);
	v->create_index = sched_get_uint(&r);
	v->snapshot_index = sched_get_uint(&r);
	v->wait_until = (ns_t)sched_get_uint(&r);
	v->job = get_slot(&r);
	v->node = get_slot(&r);
	v->quota = sched_get_u32(&r);
	v->type = reader_u8(&r);
	v->priority = reader_u8(&r);
	v->trigger = reader_u8(&r);
	v->status = reader_u8(&r);
	v->nacks = reader_u8(&r);
	if (v->status == SCHED_EVAL_BLOCKED)
		get_eligibility(&r, &v->eligibility);
	if (v->status != SCHED_EVAL_PENDING)
		get_explain(&r, &v->explain);
	c->eval = v;
	return r.bad || v->type >= SCHED_TYPES || v->priority > SCHED_PRIORITY_MAX ||
			       v->trigger >= SCHED_TRIGGERS || v->status > SCHED_EVAL_CANCELLED
		       ? -EBADMSG
		       : 0;
}

// ---- deployments ----

static void put_deployment(struct sched_encoder *e, const struct sched_change *c)
{
	const struct sched_deployment *v = c->deployment;
	const uint64_t fields[] = {v->version, v->from, v->stable, v->canary_groups, v->promoted,
		v->before, v->create_index, (uint64_t)v->changed_ns, v->refused};
	size_t at = e->out.len;

	// Its length fits one byte, written at the end.
	if (!sched_bytes_take(&e->out, 1))
		return;
	sched_put_u8(&e->out, v->status);
	sched_put_u8(&e->out, v->why);
	sched_put_u8(&e->out, v->before_status);
	sched_put_u8(&e->out, v->revert);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		sched_put_uint(&e->out, fields[i]);
	if (!e->out.failed)
		e->out.data[at] = (uint8_t)(e->out.len - at - 1);
}

static int get_deployment(struct sched_decoder *d, struct sched_change *c)
{
	struct sched_deployment *v = &d->deployment;
	uint32_t *const small[] = {&v->version, &v->from, &v->stable, &v->canary_groups,
		&v->promoted, &v->before};
	size_t len = reader_u8(&d->body);
	const uint8_t *bytes = reader_take(&d->body, len);
	struct reader r = reader_of(bytes ? bytes : (const uint8_t *)"", bytes ? len : 0);

	*v = (struct sched_deployment){.status = reader_u8(&r)};
	v->why = reader_u8(&r);
	v->before_status = reader_u8(&r);
	v->revert = reader_u8(&r) & 1;
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		*small[i] = sched_get_u32(&r);
	v->create_index = sched_get_uint(&r);
	v->changed_ns = (ns_t)sched_get_uint(&r);
	v->refused = sched_get_uint(&r);
	c->deployment = v;
	return r.bad || v->status >= SCHED_DEPLOYMENT_STATUSES ||
			       v->why >= SCHED_DEPLOYMENT_WHYS ||
			       v->before_status >= SCHED_DEPLOYMENT_STATUSES
		       ? -EBADMSG
		       : 0;
}

// ---- quotas ----

static void put_quota(struct sched_encoder *e, const struct sched_change *c)
{
	uint8_t *to;

	sched_put_uint(&e->out, c->quota.namespace_len);
	to = sched_bytes_take(&e->out, c->quota.namespace_len);
	if (to && c->quota.namespace_len)
		memcpy(to, c->quota.namespace, c->quota.namespace_len);
	put_res(&e->out, &c->quota.limit);
}

static int get_quota(struct sched_decoder *d, struct sched_change *c)
{
	c->quota.namespace_len = sched_get_u32(&d->body);
	c->quota.namespace = (const char *)reader_take(&d->body, c->quota.namespace_len);
	get_res(&d->body, &c->quota.limit);
	return c->quota.namespace && !memchr(c->quota.namespace, 0, c->quota.namespace_len)
		       ? 0
		       : -EBADMSG;
}

// ---- launches ----

static void put_launch(struct sched_encoder *e, const struct sched_change *c)
{
	sched_put_uint(&e->out, (uint64_t)c->launch.launched_ns);
	sched_put_uint(&e->out, c->launch.launches);
	sched_put_uint(&e->out, c->launch.skips);
}

static int get_launch(struct sched_decoder *d, struct sched_change *c)
{
	c->launch.launched_ns = (ns_t)sched_get_uint(&d->body);
	c->launch.launches = sched_get_u32(&d->body);
	c->launch.skips = sched_get_u32(&d->body);
	return 0;
}

static void put_ended(struct sched_encoder *e, const struct sched_change *c)
{
	sched_put_uint(&e->out, (uint64_t)c->ended_ns);
}

static int get_ended(struct sched_decoder *d, struct sched_change *c)
{
	c->ended_ns = (ns_t)sched_get_uint(&d->body);
	return c->ended_ns > 0 ? 0 : -EBADMSG;
}

// ---- all types ----

static const struct {
	void (*put)(struct sched_encoder *e, const struct sched_change *c);
	int (*get)(struct sched_decoder *d, struct sched_change *c);
} types[SCHED_CHANGE_TYPES] = {
	[SCHED_NODE_PUT] = {put_node, get_node},
	[SCHED_NODE_STATE] = {put_node_state, get_node_state},
	[SCHED_NODE_DEL] = {put_nothing, get_nothing},
	[SCHED_JOB_PUT_SPEC] = {put_job, get_job},
	[SCHED_JOB_DEL] = {put_nothing, get_nothing},
	[SCHED_PLACE] = {put_place, get_place},
	[SCHED_STOP_INSTANCE] = {put_stop, get_stop},
	[SCHED_UPDATE_INSTANCE] = {put_update, get_update},
	[SCHED_INSTANCE_STATUS] = {put_status, get_status},
	[SCHED_INSTANCE_DEL] = {put_nothing, get_nothing},
	[SCHED_INSTANCE_ROW] = {put_row, get_row},
	[SCHED_EVAL_PUT] = {put_eval, get_eval},
	[SCHED_EVAL_DEL] = {put_nothing, get_nothing},
	[SCHED_QUOTA_PUT] = {put_quota, get_quota},
	[SCHED_QUOTA_DEL] = {put_nothing, get_nothing},
	[SCHED_JOB_LAUNCH] = {put_launch, get_launch},
	[SCHED_JOB_ENDED] = {put_ended, get_ended},
	[SCHED_DEPLOYMENT_PUT] = {put_deployment, get_deployment},
};

void sched_encode_begin(struct sched_encoder *e, uint64_t index)
{
	uint8_t *at;

	e->frame = e->out.len;
	e->head = (struct sched_instance){.job = SCHED_NONE};
	at = sched_bytes_take(&e->out, SCHED_LOG_FRAME_BYTES);
	if (at) {
		struct writer w = writer_of(at, SCHED_LOG_FRAME_BYTES);

		writer_u16(&w, MAGIC);
		writer_u8(&w, SCHED_LOG_FORMAT);
		writer_u8(&w, 0);
		writer_u32(&w, 0);
		writer_u64(&w, index);
	}
}

void sched_encode(struct sched_encoder *e, const struct sched_change *c)
{
	if ((c->type == SCHED_PLACE || c->type == SCHED_INSTANCE_ROW) &&
		!same_head(&e->head, c->instance)) {
		e->head = *c->instance;
		put_head(&e->out, c->instance);
	}
	sched_put_u8(&e->out, c->type);
	put_slot(&e->out, c->slot);
	types[c->type].put(e, c);
}

int sched_encode_end(struct sched_encoder *e)
{
	size_t len = e->out.len - e->frame - SCHED_LOG_FRAME_BYTES;
	struct writer w;

	if (e->out.failed || len > UINT32_MAX) {
		e->out.len = e->frame;
		e->out.failed = false;
		e->incomplete = true;
		return -ENOMEM;
	}
	w = writer_of(e->out.data + e->frame + 4, 4);
	writer_u32(&w, (uint32_t)len);
	return 0;
}

void sched_decoder_init(struct sched_decoder *d, const void *bytes, size_t len)
{
	*d = (struct sched_decoder){.all = reader_of(bytes, len)};
}

int sched_decode_begin(struct sched_decoder *d)
{
	const uint8_t *body;
	uint16_t magic;
	uint8_t format;
	size_t len;

	if (reader_left(&d->all) == 0)
		return 0;
	magic = reader_u16(&d->all);
	format = reader_u8(&d->all);
	reader_u8(&d->all);
	len = reader_u32(&d->all);
	d->index = reader_u64(&d->all);
	body = reader_take(&d->all, len);
	if (magic != MAGIC || !body)
		return -EBADMSG;
	if (format != SCHED_LOG_FORMAT)
		return -EPROTO;
	d->body = reader_of(body, len);
	d->head = (struct sched_instance){.job = SCHED_NONE};
	return 1;
}

int sched_decode(struct sched_decoder *d, struct sched_change *c)
{
	int rc;

	for (;;) {
		*c = (struct sched_change){0};
		if (reader_left(&d->body) == 0)
			return d->body.bad ? -EBADMSG : 0;
		c->type = reader_u8(&d->body);
		if (c->type != SCHED_PLACE_HEAD)
			break;
		get_head(d, c);
	}
	if (c->type >= SCHED_CHANGE_TYPES || !types[c->type].get)
		return -EBADMSG;
	c->slot = get_slot(&d->body);
	rc = types[c->type].get(d, c);
	if (!rc && !d->body.bad)
		return 1;
	if (c->type == SCHED_NODE_PUT)
		free((void *)(uintptr_t)c->node.info);
	if (c->type == SCHED_JOB_PUT_SPEC)
		free((void *)(uintptr_t)c->job.spec);
	return rc ? rc : -EBADMSG;
}
