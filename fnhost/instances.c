// SPDX-License-Identifier: Apache-2.0
// Instances: see instances.h. The life (life.h) decides; here its actions are carried out, and what happens to
// shim and connection becomes its events. What is wanted of them is in assign.c. Loop's thread.
//
//   assign -> life RUN -> spawn: record, shim -> "running PID" -> dial -> sync answered -> life IS_READY -> serve
//   shim: over -> life EXITED       link: down -> life UNREADY, dialled again
//   a job's: "running PID" -> life IS_READY          over -> life COMPLETED or EXITED
//
// A ready instance has answered our sync push, so its program runs and is not just a socket that listens.
#include "fnhost/instances.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "fnhost/relay.h"
#include "lib/base/cursor.h"
#include "lib/base/log.h"
#include "lib/rsocket/metadata.h"

#define SUBSYSTEM "instance"
#define SYNC_PUSH 1
#define KEEPALIVE_MS 2000
#define SWEEP_AGAIN (100 * NS_PER_MS)
#define LIFETIME_MS 60000 // a program that is stopped for a while is not dead

static ns_t now_of(const struct instance *i)
{
	return loop_now(i->host->loop);
}

static struct instance *instance_of(struct rs_session *s)
{
	return container_of(link_of(s), struct instance, link);
}

// Places

static void leave(struct instance *i)
{
	struct fn *fn = i->member.fn;

	if (!fn)
		return;
	fn_member_leave(&i->host->functions, &i->member);
	if (list_empty(&fn->members))
		calls_reject_waiting(i->host, fn);
	server_load_changed(i->host);
}

bool instance_usable(struct instance *i)
{
	bool usable = i->link.state == LINK_UP && !rs_session_ended(&i->link.session);

	if (!usable)
		leave(i);
	return usable;
}

static void push_sync(struct instance *i)
{
	uint8_t bytes[5];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct chain push = {0};

	writer_u8(&w, SYNC_PUSH);
	writer_u32(&w, ++i->sync_token);
	if (i->link.state == LINK_UP && chain_copy(&push, i->host->blocks, bytes, sizeof(bytes)) == 0)
		rs_metadata_push(&i->link.session, &push);
}

void instance_call_ended(struct instance *i, bool cancelled)
{
	fn_end(&i->host->functions, &i->member, cancelled);
	if (cancelled)
		push_sync(i);
	if (i->member.running == 0)
		instance_step(i, LIFE_IDLE);
}

static void on_hang(struct timer *timer, ns_t now)
{
	struct instance *i = container_of(timer, struct instance, hang);

	i->host->counts.instances_hung++;
	instance_step(i, LIFE_HUNG);
}

static void set_held(struct instance *i, uint32_t held)
{
	struct timer_wheel *wheel = loop_timers(i->host->loop);

	fn_set_held(&i->host->functions, &i->member, held);
	if (held < i->member.concurrency)
		timer_cancel(wheel, &i->hang);
	else if (!timer_armed(&i->hang))
		timer_arm(wheel, &i->hang, now_of(i) + INSTANCE_HANG_MAX);
}

static void on_metadata_push(struct rs_session *s, struct chain *metadata)
{
	struct instance *i = instance_of(s);
	uint8_t bytes[9];
	struct reader r = reader_of(bytes, chain_read(metadata, 0, bytes, sizeof(bytes)));
	bool sync = reader_u8(&r) == SYNC_PUSH, newest = reader_u32(&r) == i->sync_token;
	uint32_t held = reader_u32(&r);

	// An answer to an older token does not know of our newest CANCELs: a newer one is under way.
	if (r.bad || !sync || !newest)
		return;
	set_held(i, held);
	instance_step(i, LIFE_IS_READY);
	calls_pull(i->host, i);
	server_load_changed(i->host);
}

// The program's connection

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	outward_begin(instance_of(stream->session)->host, stream, message);
}

static void on_session_closed(struct rs_session *s, uint32_t code, const char *why)
{
	leave(instance_of(s));
	link_ended(s, code, why);
}

static const struct rs_handler handler = {
	.wake = link_wake,
	.request = on_request,
	.payload = relay_on_payload,
	.error = relay_on_error,
	.request_n = relay_on_request_n,
	.cancel = relay_on_cancel,
	.lost = relay_on_lost,
	.pulled = relay_on_pulled,
	.metadata_push = on_metadata_push,
	.closed = on_session_closed,
};

static void on_up(struct link *link)
{
	push_sync(link->user);
}

static void on_down(struct link *link, const char *why)
{
	struct instance *i = link->user;

	fn_set_held(&i->host->functions, &i->member, 0);
	timer_cancel(loop_timers(i->host->loop), &i->hang);
	if (i->calls_lost)
		log_warn(SUBSYSTEM, "%s of %s/%s: %u calls were lost with its connection: %s", i->id,
			i->namespace, i->name, i->calls_lost, why);
	i->calls_lost = 0;
	// Who has just started to listen must not wait for us.
	link->backoff_ns = LINK_BACKOFF_MIN;
	if (link->state == LINK_CLOSED)
		i->linked = false;
	instance_step(i, LIFE_UNREADY);
	instance_next(i);
}

static const struct link_ops link_ops = {.up = on_up, .down = on_down};

static void dial(struct instance *i)
{
	const struct rs_config config = {
		.handler = &handler,
		.keepalive_ms = KEEPALIVE_MS,
		.lifetime_ms = LIFETIME_MS,
		.metadata_mime = rs_mime_name(RS_MIME_COMPOSITE),
		.data_mime = rs_mime_name(RS_MIME_OCTET_STREAM),
	};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	i->dial_wanted = false;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s/fn.sock", i->shim.dir);
	if (link_dial(&i->link, &i->host->hub, (struct sockaddr *)&addr, sizeof(addr), &config,
		    &link_ops, i))
		log_error(SUBSYSTEM, "%s: no resources to dial it", i->id);
	else
		i->linked = true;
}

static void hang_up(struct instance *i)
{
	i->dial_wanted = false;
	if (i->linked)
		link_close(&i->link);
}

// The shim

static void on_running(struct shim *shim, int pid)
{
	struct instance *i = container_of(shim, struct instance, shim);

	i->pid = pid;
	if (i->job)
		instance_step(i, LIFE_IS_READY);
	i->dial_wanted = !i->job;
	instance_next(i);
	agent_changed(i);
}

static void tell_end(const struct instance *i, int error)
{
	if (!error && i->fault[0] && !i->life.stopped)
		log_warn(SUBSYSTEM, "%s of %s/%s ended: %s", i->id, i->namespace,
			i->name, i->fault);
	else if (error)
		log_warn(SUBSYSTEM, "%s of %s/%s could not start: %s", i->id,
			i->namespace, i->name, strerror(-error));
	else
		log_info(SUBSYSTEM, "%s of %s/%s ended: status %d, signal %d", i->id,
			i->namespace, i->name, i->exit_code, i->exit_signal);
}

// The kernel tells nobody why it killed; the group's count does.
static void note_out_of_memory(struct instance *i)
{
	uint64_t kills = cgroup_oom_kills(&i->host->cgroups, i->id);

	if (kills <= i->oom_kills)
		return;
	i->oom_kills = kills;
	i->host->counts.instances_out_of_memory++;
	snprintf(i->fault, sizeof(i->fault), "out of memory: it needed more than its limit of %llu MiB",
		(unsigned long long)(i->limits.memory_bytes >> 20));
}

// Nothing of a job's end is left to guess: it is all that most of them say.
static void note_end_of_job(struct instance *i)
{
	const char *name = sigabbrev_np(i->exit_signal);

	if (i->life.state == LIFE_KILLING)
		snprintf(i->fault, sizeof(i->fault),
			"stopped: killed, since it had not ended %lld ms after SIGTERM",
			(long long)(i->life.drain_max / NS_PER_MS));
	else if (i->life.stopped)
		snprintf(i->fault, sizeof(i->fault), "stopped");
	else if (!i->fault[0] && i->exit_signal)
		snprintf(i->fault, sizeof(i->fault), "killed by signal %d (SIG%s)", i->exit_signal,
			name ? name : "?");
	else if (!i->fault[0] && i->exit_code)
		snprintf(i->fault, sizeof(i->fault), "exit status %d", i->exit_code);
}

static void count_job(struct instance *i)
{
	struct host_counts *counts = &i->host->counts;

	if (i->life.stopped)
		counts->jobs_stopped++;
	else if (i->life.state == LIFE_DONE)
		counts->jobs_completed++;
	else
		counts->jobs_failed++;
}

// Its limits are of no more use; there may be thousands that wait for the control plane's word.
static void end_group(struct instance *i)
{
	struct host *h = i->host;

	if (cgroup_remove(&h->cgroups, i->id))
		timer_arm(loop_timers(h->loop), &h->sweep_timer, loop_now(h->loop) + SWEEP_AGAIN);
}

void instance_over(struct instance *i, int error, int code, int signal)
{
	i->pid = 0;
	i->exit_code = code;
	i->exit_signal = signal;
	i->host->counts.instances_exited++;
	i->fault[0] = 0;
	if (error)
		snprintf(i->fault, sizeof(i->fault), "the program could not be started: %s",
			strerror(-error));
	else
		note_out_of_memory(i);
	cgroup_kill(&i->host->cgroups, i->id); // what it left behind
	if (i->job)
		note_end_of_job(i);
	tell_end(i, error);
	hang_up(i);
	instance_step(i, error || code || signal ? LIFE_EXITED : LIFE_COMPLETED);
	if (i->life.once && life_over(&i->life)) {
		count_job(i);
		end_group(i);
	}
}

static void on_over(struct shim *shim, int error, int code, int signal)
{
	instance_over(container_of(shim, struct instance, shim), error, code, signal);
}

static void on_shim_closed(struct shim *shim)
{
	instance_next(container_of(shim, struct instance, shim));
}

static const struct shim_ops shim_ops = {
	.running = on_running, .over = on_over, .closed = on_shim_closed};

// What must be there before a process is: a restarted host could not know of one without a record.
static int prepare(struct instance *i)
{
	int error = i->recorded ? 0 : record_write(i);

	if (error)
		return error;
	i->recorded = true;
	error = cgroup_make(&i->host->cgroups, i->id, &i->limits);
	i->oom_kills = cgroup_oom_kills(&i->host->cgroups, i->id);
	return error;
}

static int spawn(struct instance *i)
{
	const struct options *o = &i->host->options;
	char log[2 * OPTION_TEXT_MAX], cgroup[CGROUP_PATH_MAX + 128];
	struct program program;
	struct shim_start start = {.program = o->shim, .log = log, .log_bytes = o->log_bytes_max,
		.cgroup = cgroup};
	int error = prepare(i);

	if (!error)
		error = program_make(&program, i);
	if (error)
		return error;
	record_log(o, i->id, log, sizeof(log));
	cgroup_entry(&i->host->cgroups, i->id, cgroup, sizeof(cgroup));
	start.argv = program.argv;
	start.envp = program.envp;
	i->host->counts.instances_spawned++;
	error = shim_spawn(&i->shim, &start);
	program_free(&program);
	return error;
}

static void destroy(struct instance *i)
{
	struct host *h = i->host;

	timer_cancel(loop_timers(h->loop), &i->timer);
	timer_cancel(loop_timers(h->loop), &i->hang);
	list_del(&i->all);
	list_del(&i->bucket);
	h->instances_count--;
	if (i->member.fn)
		fn_put(&h->functions, i->member.fn);
	json_decref(i->assignment);
	free(i);
}

// What waits until the connections of the last run are closed.
void instance_next(struct instance *i)
{
	int error;

	if (i->dial_wanted && !i->linked && !i->released)
		dial(i);
	if (i->linked || shim_busy(&i->shim) || i->released)
		return;
	if (i->want_spawn) {
		i->want_spawn = false;
		error = spawn(i);
		if (error)
			instance_over(i, error, 0, 0);
	} else if (i->life.state == LIFE_ENDED && i->forget && i->member.running == 0) {
		destroy(i);
	}
}

// Life

const char *instance_reason(const struct instance *i)
{
	if (i->fault[0])
		return i->fault;
	if (i->life.state == LIFE_NEW)
		return "all places of this host are taken: it waits for one";
	return i->life.reason ? i->life.reason : "";
}

static bool lives(void *user, const char *id)
{
	const struct instance *i = instance_find(user, id);

	return i && !life_over(&i->life);
}

static void on_sweep(struct timer *timer, ns_t now)
{
	instances_sweep_groups(container_of(timer, struct host, sweep_timer));
}

void instances_sweep_groups(struct host *h)
{
	h->sweep_timer.fire = on_sweep;
	if (cgroups_sweep(&h->cgroups, lives, h))
		timer_arm(loop_timers(h->loop), &h->sweep_timer, loop_now(h->loop) + SWEEP_AGAIN);
}

static void give_up(struct instance *i)
{
	char last[200];

	if (i->life.once) {
		record_fail(&i->host->options, i->id, i->fault);
		return;
	}
	snprintf(last, sizeof(last), "%.199s", instance_reason(i));
	snprintf(i->fault, sizeof(i->fault), "given up after %u starts: %s", i->life.restarts + 1, last);
	i->host->counts.instances_failed++;
	log_warn(SUBSYSTEM, "%s of %s/%s is %s", i->id, i->namespace, i->name,
		i->fault);
	record_fail(&i->host->options, i->id, i->fault);
}

static void finish(struct instance *i)
{
	struct host *h = i->host;

	hang_up(i);
	record_remove(&h->options, i->id);
	record_trim_logs(h);
	end_group(i);
}

static void serve(struct instance *i)
{
	log_info(SUBSYSTEM, "%s of %s/%s@%u is ready, pid %d", i->id, i->namespace, i->name,
		i->version, i->pid);
	if (i->job)
		return;
	fn_member_join(&i->host->functions, &i->member);
	calls_pull(i->host, i);
	server_load_changed(i->host);
}

static void act(struct instance *i, unsigned actions)
{
	if (actions & LIFE_SPAWN)
		i->want_spawn = true;
	if (actions & LIFE_SERVE)
		serve(i);
	if (actions & LIFE_UNSERVE)
		leave(i);
	if (actions & LIFE_TERM)
		shim_term(&i->shim);
	if (actions & LIFE_KILL)
		shim_kill(&i->shim);
	if (actions & LIFE_GIVE_UP)
		give_up(i);
	if (actions & LIFE_END)
		finish(i);
}

static void on_timer(struct timer *timer, ns_t now)
{
	struct instance *i = container_of(timer, struct instance, timer);

	instance_step(i, LIFE_TIMER);
	instance_next(i);
}

void instance_step(struct instance *i, enum life_event event)
{
	enum life_state before = i->life.state;
	unsigned actions;

	if (i->released)
		return;
	actions = life_step(&i->life, event, now_of(i));
	places_note(i, before);
	if (i->life.deadline == NS_NEVER)
		timer_cancel(loop_timers(i->host->loop), &i->timer);
	else
		timer_arm(loop_timers(i->host->loop), &i->timer, i->life.deadline);
	act(i, actions);
	if (i->life.state == LIFE_DRAINING && i->member.running == 0)
		instance_step(i, LIFE_IDLE);
	if (i->life.state != before || actions)
		agent_changed(i);
}

// FNV-1a
static uint64_t hash_of(const char *id)
{
	uint64_t hash = 14695981039346656037u;

	for (; *id; id++)
		hash = (hash ^ (uint8_t)*id) * 1099511628211u;
	return hash;
}

static bool join_function(struct instance *i, const struct wanted *w)
{
	i->member.fn = fn_get(&i->host->functions, w->namespace, w->function, w->version);
	if (!i->member.fn)
		return false;
	i->member.concurrency = w->concurrency;
	i->member.fn->queue_max = w->queue;
	i->member.fn->timeout_ms = w->timeout_ms;
	return true;
}

// It has no calls that could be waited for: what it wants to finish it does on SIGTERM.
static void take_job(struct instance *i, const struct wanted *w)
{
	i->job = true;
	i->life.once = !w->restart;
	i->life.term_max = i->life.drain_max;
	i->group = w->group;
	i->index = w->index;
	i->payload = w->payload;
	i->payload_len = w->payload_len;
}

struct instance *instance_new(struct host *h, const struct wanted *w, json_t *assignment)
{
	struct instance *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->host = h;
	if (!w->job && !join_function(i, w)) {
		free(i);
		return NULL;
	}
	strcpy(i->id, w->id);
	strcpy(i->namespace, w->namespace);
	strcpy(i->name, w->function);
	i->version = w->version;
	i->assignment = json_incref(assignment);
	i->spec = w->spec;
	i->limits = (struct cgroup_limits){w->cpu_milli, w->memory_bytes};
	i->timer.fire = on_timer;
	i->hang.fire = on_hang;
	i->shim.loop = h->loop;
	i->shim.ops = &shim_ops;
	record_dir(&h->options, i->id, i->shim.dir, sizeof(i->shim.dir));
	life_init(&i->life, w->drain_ms * NS_PER_MS, hash_of(i->id), now_of(i));
	if (w->job)
		take_job(i, w);
	list_push(&h->instances, &i->all);
	list_push(&h->instance_buckets[hash_of(i->id) % HOST_BUCKETS], &i->bucket);
	h->instances_count++;
	return i;
}

struct instance *instance_find(struct host *h, const char *id)
{
	list_for_each (at, &h->instance_buckets[hash_of(id) % HOST_BUCKETS]) {
		struct instance *i = list_entry(at, struct instance, bucket);

		if (strcmp(i->id, id) == 0)
			return i;
	}
	return NULL;
}

void instances_init(struct host *h)
{
	list_init(&h->instances);
	for (size_t i = 0; i < HOST_BUCKETS; i++)
		list_init(&h->instance_buckets[i]);
}

void instances_release(struct host *h)
{
	timer_cancel(loop_timers(h->loop), &h->sweep_timer);
	timer_cancel(loop_timers(h->loop), &h->trim_timer);
	timer_cancel(loop_timers(h->loop), &h->place_timer);
	list_for_each (at, &h->instances) {
		struct instance *i = list_entry(at, struct instance, all);

		leave(i);
		i->released = true;
		timer_cancel(loop_timers(h->loop), &i->timer);
		hang_up(i);
		shim_release(&i->shim);
	}
}

bool instances_closed(const struct host *h)
{
	list_for_each (at, &h->instances) {
		const struct instance *i = list_entry(at, struct instance, all);

		if (i->linked || shim_busy(&i->shim))
			return false;
	}
	return true;
}

void instances_fini(struct host *h)
{
	list_for_each_safe (at, after, &h->instances)
		destroy(list_entry(at, struct instance, all));
}
