// SPDX-License-Identifier: Apache-2.0
// How long a control plane needs to know its state again: a store is filled through the whole path
// (bench_durable.h) with functions that run, copied, and read as at a start: the scheduler alone,
// then everything that the orchestrator joins. Says what each step took.
//
// usage: crash-restart DIRECTORY [NODES JOBS COUNT] (1,000,000 on 5,000 by default)
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/job_spec.h"
#include "controlplane/orchestrator.h"
#include "controlplane/scheduler_internal.h"
#include "test/bench/bench_durable.h"

struct shape {
	uint32_t nodes, jobs, count;
};

static void on_placed(void *user, const struct scheduler_placement *p)
{
	++*(uint64_t *)user;
}

static void on_stopped(void *user, const char *id, bool lost)
{
}

static void on_other(void *user, const char *id)
{
}

static const struct scheduler_deeds told = {on_placed, on_stopped, on_other, on_other};

static double ms(ns_t ns)
{
	return (double)ns / NS_PER_MS;
}

static void copy(const char *from, const char *to)
{
	static char bytes[1 << 20];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	durable_must(in < 0 || out < 0 ? -errno : 0, to);
	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)n) != n)
			durable_must(-EIO, to);
	close(in);
	close(out);
}

static int add_len(void *user, const struct store_record *r)
{
	*(size_t *)user += r->len;
	return 0;
}

// As scheduler_start(), without its threads.
static void load(const char *directory)
{
	static struct registry registry;
	static struct scheduler s;
	uint64_t placed = 0;
	size_t logs = 0, before = durable_memory();
	ns_t at[5];
	struct store *store;
	int rc = 0;

	at[0] = clock_now();
	store = store_lmdb_open(directory, &rc);
	durable_must(rc, "the copy");
	durable_must(registry_init(&registry, store), "the registry");
	at[1] = clock_now();
	s = (struct scheduler){.deeds = &told, .user = &placed, .event_fd = -1};
	pthread_mutex_init(&s.lock, NULL);
	s.core = sched_core_new(NULL, 1);
	s.reader = sched_reader_new(&s.core->state->pages);
	durable_must(scheduler_load(&s, store), "the log");
	at[2] = clock_now();
	durable_must(sched_core_start(s.core, 1), "the core");
	at[3] = clock_now();
	store_list(store, SCHEDULER_LOG_PREFIX, NULL, add_len, &logs);
	printf("  %u instances: open and registry %.1f ms; checkpoint of %.1f MB and logs of %.1f "
	       "MB "
	       "%.1f ms; core %.1f ms; together %.1f ms, %.0f MB of memory\n",
		s.core->state->head.counts[SCHED_TABLE_INSTANCES], ms(at[1] - at[0]),
		(double)s.checkpoint_bytes / 1e6, (double)logs / 1e6, ms(at[2] - at[1]),
		ms(at[3] - at[2]), ms(at[3] - at[0]), (double)(durable_memory() - before) / 1e6);
	if (placed != s.core->state->head.counts[SCHED_TABLE_INSTANCES])
		durable_must(-EIO, "not all were told");
	registry_fini(&registry);
	sched_reader_destroy(s.reader);
	sched_core_destroy(s.core);
	free(s.ids);
	free(s.logs);
	sched_bytes_fini(&s.joining);
	store_close(store);
}

// All of it, with what hosts and gateways are to be told.
static void start_all(const char *directory)
{
	static struct registry registry;
	static struct publisher publisher;
	static struct orchestrator o;
	const struct orchestrator_config config = {.workers = 2, .lease_ns = 10 * NS_PER_SEC};
	size_t before = durable_memory();
	uint32_t instances;
	ns_t start = clock_now(), took;
	struct store *store;
	int rc = 0;

	store = store_lmdb_open(directory, &rc);
	durable_must(rc, "the copy");
	durable_must(registry_init(&registry, store), "the registry");
	publisher_init(&publisher, &registry);
	durable_must(orchestrator_start(&o, &registry, &publisher, store, &config), "all of it");
	took = clock_now() - start;
	instances = o.scheduler.core->state->head.counts[SCHED_TABLE_INSTANCES];
	printf("  the whole control plane: %.1f ms, %.0f MB of memory, %.0f bytes an instance\n",
		ms(took), (double)(durable_memory() - before) / 1e6,
		(double)(durable_memory() - before) / instances);
	orchestrator_stop(&o);
	publisher_fini(&publisher);
	registry_fini(&registry);
	store_close(store);
}

static void load_copy(const struct durable *d)
{
	char from[300], directory[300], to[320];

	snprintf(from, sizeof(from), "%s/store.mdb", d->dir);
	snprintf(directory, sizeof(directory), "%s-copy", d->options.dir);
	snprintf(to, sizeof(to), "%s/store.mdb", directory);
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		durable_must(-errno, directory);
	copy(from, to);
	load(directory);
	start_all(directory);
	unlink(to);
	snprintf(to, sizeof(to), "%s/lock", directory);
	unlink(to);
	rmdir(directory);
}

static json_t *resource(enum kind kind, json_t *in)
{
	struct schema_error error;
	json_t *object = schema_normalize(&kinds[kind], in, &error);

	if (!object) {
		fprintf(stderr, "a resource is refused: %s\n", error.message);
		exit(1);
	}
	json_decref(in);
	return object;
}

// Waits for room in the batch.
static const struct resource *put(struct durable *d, enum kind kind, json_t *object)
{
	const struct resource *res;
	int rc;

	while ((rc = registry_put(&d->registry, kind, object, clock_wall(), &res)) == -EBUSY)
		durable_turn(d, clock_now() + NS_PER_MS);
	durable_must(rc, "a resource");
	json_decref(object);
	return res;
}

static void add_node(struct durable *d, uint32_t k)
{
	char name[32];

	snprintf(name, sizeof(name), "node-%u", k);
	put(d, KIND_NODE, resource(KIND_NODE, json_pack("{s:{s:s}}", "metadata", "name", name)));
}

// As the orchestrator does once it is stored.
static void add_function(struct durable *d, uint32_t k, uint32_t count)
{
	const struct resource *res;
	struct job_spec job;
	char name[32];
	json_t *object;

	snprintf(name, sizeof(name), "function-%u", k);
	object = resource(KIND_FUNCTION,
		json_pack("{s:{s:s}, s:{s:[s], s:{s:i, s:i}, s:{s:i, s:s}}}", "metadata", "name",
			name, "spec", "command", "x", "scale", "min", (int)count, "max", (int)count,
			"resources", "cpu_milli", 100, "memory", "64Mi"));
	res = put(d, KIND_FUNCTION, object);
	job_spec_init(&job, KIND_FUNCTION, res->namespace, res->name, res->spec);
	durable_must(scheduler_job_put(&d->scheduler, &job.spec), "a job");
	job_spec_fini(&job);
}

static void fill(struct durable *d, const struct shape *shape)
{
	for (uint32_t k = 0; k < shape->nodes; k++)
		add_node(d, k);
	durable_add_nodes(d, shape->nodes,
		(uint32_t)((uint64_t)shape->jobs * shape->count / shape->nodes * 5 / 4 + 2));
	for (uint32_t k = 0; k < shape->jobs; k++) {
		add_function(d, k, shape->count);
		if (k % 64 == 63)
			durable_turn(d, 0);
	}
	durable_rest(d);
}

// Turns until a checkpoint has been stored, however small the logs are.
static void checkpoint(struct durable *d)
{
	uint64_t made = d->scheduler.checkpoints;
	ns_t start = clock_now();

	for (uint32_t k = 0; d->scheduler.checkpoints == made; k++) {
		if (clock_now() > start + 60 * NS_PER_SEC)
			durable_must(-ETIMEDOUT, "a checkpoint");
		if (!d->scheduler.checkpoint.running && !d->scheduler.checkpoint.rides) {
			d->scheduler.checkpoint_bytes = d->scheduler.checkpoint_after = 0;
			durable_add_job(d, &(struct durable_job){"more", k, 1, NULL});
		}
		durable_turn(d, clock_now() + NS_PER_MS);
	}
	d->scheduler.checkpoint_after = SCHEDULER_CHECKPOINT_AFTER;
	durable_rest(d);
	printf("  a checkpoint of %.1f MB: commits took %.1f ms at p99, %.1f at most\n",
		(double)d->scheduler.checkpoint_bytes / 1e6,
		ms((ns_t)hist_quantile(&d->timed.commit, 0.99)), ms((ns_t)d->timed.commit.max));
}

int main(int argc, char **argv)
{
	struct shape shape = {5000, 1000, 1000};
	struct durable d;
	char directory[200];

	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: crash-restart DIRECTORY [NODES JOBS COUNT]\n");
		return 2;
	}
	if (argc == 5)
		shape = (struct shape){
			(uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4])};
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(directory, sizeof(directory), "%s/penstock-restart-%d", argv[1], (int)getpid());
	durable_start(&d, &(struct durable_options){.dir = directory, .workers = 2, .no_journal = true});
	fill(&d, &shape);
	printf("filled\n");
	load_copy(&d);
	durable_mark(&d);
	checkpoint(&d);
	load_copy(&d);
	durable_stop(&d);
	return 0;
}
