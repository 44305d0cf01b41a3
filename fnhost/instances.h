// SPDX-License-Identifier: Apache-2.0
// The instances of a host: what is wanted of each (from the agent, or from its record after a restart of the
// host), its life, its shim, and the connection to its program.
//
// A record is a folder STATE/instances/ID: spec.json, payload, lock, shim.sock, fn.sock, status; stop once it was told to,
// failed once it was given up. It is there before the program is started, so there is never one that a restarted host does
// not know of. Logs are STATE/logs/ID.log.
//
// One of a job has no connection and no function: it is ready when it runs, and over when its program has ended. Its record
// stays until the control plane has taken note of that and says that it is gone.
#pragma once

#include <jansson.h>

#include "fnhost/host.h"
#include "fnhost/life.h"
#include "fnhost/shim.h"
#include "fnhost/wanted.h"

#define INSTANCE_REASON_MAX 256
#define INSTANCE_HANG_MAX (10 * NS_PER_SEC) // all places held by calls that were given up: it is killed

struct instance {
	struct list all, bucket;
	struct host *host;
	char id[INSTANCE_ID_MAX + 1];
	json_t *assignment;
	json_t *spec; // in it: what each start needs
	char namespace[FN_NAME_MAX + 1], name[FN_NAME_MAX + 1]; // of the function or job
	uint32_t version;
	bool job;
	const char *group, *payload; // in spec; payload: base64, NULL: none
	size_t payload_len;          // of its bytes
	uint32_t index;
	struct cgroup_limits limits;
	struct life life;
	struct timer timer; // life.deadline
	struct timer hang;
	struct shim shim;
	struct fn_member member; // its fn is referenced; of a job NULL
	// The program's connection, dialled as long as the program runs.
	struct link link;
	bool linked;     // the link's memory is in use
	bool want_spawn; // once link and shim are closed
	bool dial_wanted;
	bool released;   // the host goes, the program stays
	bool marked;     // by the snapshot
	bool forget;     // nobody asks for it any more: freed once it has ended
	bool recorded;
	bool news;       // has changed since it was last reported
	uint64_t oom_kills; // of its cgroup before this start
	uint32_t sync_token;
	uint32_t calls_lost; // with this connection
	int pid, exit_code, exit_signal;
	char fault[INSTANCE_REASON_MAX]; // more of the last end than life.reason; empty: no more
};

void instances_init(struct host *h);
// Takes up what ran when the host was last here.
int instances_adopt(struct host *h);
// Lets go of all without stopping any. Step the loop until instances_closed(), then instances_fini().
void instances_release(struct host *h);
bool instances_closed(const struct host *h);
void instances_fini(struct host *h);

// Carries out an assignment: {"id", "namespace", "function", "version", "desired", "spec"}. 0, -EINVAL, -ENOSPC,
// -ENOMEM.
int instances_assign(struct host *h, json_t *assignment);
void instances_stop(struct host *h, const char *id);
// What a snapshot does not name is stopped at its end.
void instances_mark(struct host *h);
void instances_sweep(struct host *h);
struct instance *instance_find(struct host *h, const char *id);

// instances.c, for assign.c: NULL: out of memory.
struct instance *instance_new(struct host *h, const struct wanted *w, json_t *assignment);
void instance_step(struct instance *instance, enum life_event event);
// What waits until the connections of the last run are closed; it may be freed.
void instance_next(struct instance *instance);
// assign.c: told as failed, so that it is placed elsewhere.
void instance_refuse(struct instance *instance, const char *why);
// Its program has ended, or could not be started (error).
void instance_over(struct instance *instance, int error, int code, int signal);
// Removes cgroups of instances that are gone, now and until none is left.
void instances_sweep_groups(struct host *h);

// places.c: lets a new one run when there is a place for it.
void places_begin(struct instance *instance);
// Its life has made a step.
void places_note(struct instance *instance, enum life_state before);

// True if calls can be sent to it now. One whose connection has just broken leaves its function here.
bool instance_usable(struct instance *instance);
// A call has ended there; cancelled: its handler may still run.
void instance_call_ended(struct instance *instance, bool cancelled);
// Why it ended last, or was given up; empty: it did not.
const char *instance_reason(const struct instance *instance);
// agent.c: something of it has changed that is reported.
void agent_changed(struct instance *instance);

// record.c: the folder of an instance.
int record_init(const struct options *o); // makes the folders
void record_dir(const struct options *o, const char *id, char *path, size_t room);
void record_log(const struct options *o, const char *id, char *path, size_t room);
int record_write(const struct instance *instance);
// It was given up: a restarted host must not begin again. What was written, or false.
void record_fail(const struct options *o, const char *id, const char *reason);
bool record_failed(const struct options *o, const char *id, char *reason, size_t room);
// It was told to stop: a restarted host goes on with that, whether there is a control plane or not.
void record_stop(const struct options *o, const char *id);
bool record_stopped(const struct options *o, const char *id);
// False: what is there is half of one.
bool record_there(const struct options *o, const char *id);
void record_remove(const struct options *o, const char *id);
// Removes old logs that are too many: now, or in a moment if it has just been done.
void record_trim_logs(struct host *h);
// The assignment in a record. NULL: none that can be read.
json_t *record_read(const struct options *o, const char *id);

// program.c: what its program is started with.
struct program {
	char **argv, **envp; // NULL-terminated
};

int program_make(struct program *program, const struct instance *instance);
void program_free(struct program *program);
