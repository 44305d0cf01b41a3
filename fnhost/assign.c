// SPDX-License-Identifier: Apache-2.0
// What is wanted of instances: assignments of the control plane, and records of those that were here when the host
// was last. Loop's thread.
//
//   assign "run"  -> new: life RUN             assign "stop", gone, not in the snapshot -> life STOP
//   record -> given up: life RECALL, else life ADOPT: its shim is there, or it has ended meanwhile
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fnhost/instances.h"
#include "lib/base/log.h"

#define SUBSYSTEM "instance"
#define RUNTIME_SHOWN_MAX 40

void instance_refuse(struct instance *i, const char *why)
{
	i->host->counts.instances_refused++;
	i->marked = true;
	snprintf(i->fault, sizeof(i->fault), "refused: %s", why);
	log_warn(SUBSYSTEM, "%s of %s/%s is %s", i->id, i->namespace, i->name, i->fault);
	instance_step(i, LIFE_RECALL);
}

// Else the control plane would wait for it for ever.
static void refuse_unknown(struct host *h, const struct wanted *w, json_t *assignment)
{
	const char *runtime = json_string_value(
		json_object_get(json_object_get(assignment, "spec"), "runtime"));
	struct instance *i = NULL;
	char why[160];

	if (h->instances_count < HOST_RECORDS_MAX)
		i = instance_new(h, w, assignment);
	if (!i)
		return;
	// Cut within a character it could not be reported at all.
	if (runtime && strlen(runtime) > RUNTIME_SHOWN_MAX)
		runtime = NULL;
	snprintf(why, sizeof(why), "this host does not know how to run %s%s: a newer penstock-fnhost may",
		runtime ? "the runtime " : "what it is given", runtime ? runtime : "");
	instance_refuse(i, why);
}

static int begin(struct host *h, const struct wanted *w, json_t *assignment)
{
	struct instance *i;

	if (h->instances_count >= HOST_RECORDS_MAX)
		return -ENOSPC;
	i = instance_new(h, w, assignment);
	if (!i)
		return -ENOMEM;
	i->marked = true;
	places_begin(i);
	return 0;
}

static void stop(struct instance *i)
{
	if (i->recorded && i->life.state < LIFE_DRAINING)
		record_stop(&i->host->options, i->id);
	instance_step(i, LIFE_STOP);
	instance_next(i);
}

int instances_assign(struct host *h, json_t *assignment)
{
	struct wanted w;
	struct instance *i;
	int error = wanted_read(&w, assignment);

	// One that cannot be run can still be ended, or told that it was refused before.
	if (error && wanted_read_head(&w, assignment))
		return error;
	i = instance_find(h, w.id);
	if (i)
		i->marked = true;
	if (w.run && !i && error)
		refuse_unknown(h, &w, assignment);
	if (w.run)
		return i || error ? error : begin(h, &w, assignment);
	// One that is not here any more has ended, and that is what is reported.
	if (!i && h->instances_count < HOST_RECORDS_MAX)
		i = instance_new(h, &w, assignment);
	if (!i)
		return -ENOSPC;
	i->marked = true;
	stop(i);
	return 0;
}

void instances_stop(struct host *h, const char *id)
{
	struct instance *i = instance_find(h, id);

	if (!i)
		return;
	i->forget = true;
	stop(i);
}

void instances_mark(struct host *h)
{
	list_for_each (at, &h->instances)
		list_entry(at, struct instance, all)->marked = false;
}

void instances_sweep(struct host *h)
{
	list_for_each_safe (at, after, &h->instances) {
		struct instance *i = list_entry(at, struct instance, all);

		if (!i->marked)
			instances_stop(h, i->id);
	}
}

// Adoption

// What ran when the host was last here, or has ended meanwhile.
static void take_up(struct instance *i, bool stopped)
{
	struct shim_status status;
	int error;

	error = shim_adopt(&i->shim, &status);
	// The host had written the record and was gone before there was a shim.
	if (error == -ESRCH && i->job && !status.known) {
		instance_step(i, stopped ? LIFE_STOP : LIFE_RUN);
		instance_next(i);
		return;
	}
	i->life.stopped = stopped;
	instance_step(i, LIFE_ADOPT);
	if (error == -ESRCH) {
		instance_over(i, status.error, status.code, status.signal);
	} else if (error) {
		instance_over(i, error, 0, 0);
	} else {
		// Who started this host may have taken the limits away to be able to (systemd's unit).
		if (cgroup_make(&i->host->cgroups, i->id, &i->limits))
			log_warn(SUBSYSTEM, "%s: its limits cannot be set again", i->id);
		i->oom_kills = cgroup_oom_kills(&i->host->cgroups, i->id);
		i->host->counts.instances_adopted++;
	}
	instance_next(i);
}

static void recall(struct instance *i)
{
	struct shim_status status;

	shim_read_status(&i->shim, &status);
	if (i->job && status.known && !status.error) {
		i->exit_code = status.code;
		i->exit_signal = status.signal;
	}
	instance_step(i, LIFE_RECALL);
}

static void adopt(struct host *h, const char *id)
{
	json_t *assignment = wanted_id_valid(id) ? record_read(&h->options, id) : NULL;
	struct instance *i = NULL;
	struct wanted w;
	bool stopped;

	if (assignment && wanted_read(&w, assignment) == 0 && strcmp(w.id, id) == 0)
		i = instance_new(h, &w, assignment);
	json_decref(assignment);
	// Its record was being written or removed when the host was killed: there is no program of it.
	if (!i && wanted_id_valid(id) && !record_there(&h->options, id)) {
		record_remove(&h->options, id);
		return;
	}
	if (!i) {
		log_warn(SUBSYSTEM, "the record of %s cannot be read, so it is not taken up", id);
		return;
	}
	i->marked = true;
	i->recorded = true;
	stopped = record_stopped(&h->options, id);
	if (record_failed(&h->options, id, i->fault, sizeof(i->fault)))
		recall(i);
	else
		take_up(i, stopped);
	if (stopped)
		stop(i);
}

static void tell_limits(const struct host *h)
{
	char limits[32];

	cgroups_limits(&h->cgroups, limits, sizeof(limits));
	if (h->cgroups.why[0])
		log_warn(SUBSYSTEM, "limits of instances that are enforced: %s; %s", limits,
			h->cgroups.why);
	else
		log_info(SUBSYSTEM, "limits of instances that are enforced: %s, below %s", limits,
			h->cgroups.root);
}

int instances_adopt(struct host *h)
{
	char path[2 * OPTION_TEXT_MAX];
	int error = record_init(&h->options);
	struct dirent *entry;
	DIR *dir;

	if (error)
		return error;
	cgroups_open(&h->cgroups, h->options.cgroup, "/proc/self");
	tell_limits(h);
	snprintf(path, sizeof(path), "%s/instances", h->options.state);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && h->instances_count < HOST_RECORDS_MAX)
			adopt(h, entry->d_name);
	closedir(dir);
	record_trim_logs(h);
	instances_sweep_groups(h);
	if (h->instances_count)
		log_info(SUBSYSTEM, "took up %llu running instances of %u recorded",
			(unsigned long long)h->counts.instances_adopted, h->instances_count);
	return 0;
}
