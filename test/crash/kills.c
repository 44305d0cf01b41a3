// SPDX-License-Identifier: Apache-2.0
// kill -9 at random points. Each round starts the victim on what the one before left, kills it at a
// moment that is drawn (during the start, with a batch or a checkpoint with the store, while one is
// encoded, at any time), opens a copy of what is left and holds it against what the victim had
// said. A copy, since who opens it ends cleanly, and the next victim is to begin as after a crash.
//
// usage: crash-kills VICTIM DIRECTORY ROUNDS SEED [options of the victim]
// Ends with 1 if something was wrong, with 99 if it could not look.
// The store is in a directory of its own in DIRECTORY, and its copy in another, which stay if
// something was wrong.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/rng.h"
#include "test/crash/verify.h"

#define FRESH_EVERY 50 // rounds; then a new store, so that its making is hit, too
#define ROUND_MAX (20 * NS_PER_SEC)

enum moment {
	DURING_START,
	AFTER_A_BATCH,      // was handed to the store
	AFTER_A_CHECKPOINT, // was
	WHILE_ENCODING,
	ANY_TIME,
	MOMENTS,
};

static const char *const moment_names[MOMENTS] = {
	[DURING_START] = "during the start",
	[AFTER_A_BATCH] = "with a batch",
	[AFTER_A_CHECKPOINT] = "with a checkpoint",
	[WHILE_ENCODING] = "while one is encoded",
	[ANY_TIME] = "at any time",
};

struct kills {
	const char *victim;
	char directory[200], copy[210];
	char **options;
	int option_count;
	struct rng rng;
	struct shadow shadow;
	struct sched_bytes in; // of the pipe, not yet whole marks
	pid_t pid;
	int fd;
	enum moment moment;
	uint32_t batches_left;
	bool not_looked;
	ns_t kill_at, started, start_ns; // how long a start takes
	// What the kills hit.
	uint64_t in_start, in_batch, in_checkpoint, in_encoding, at_rest, found_whole, found_not;
};

static uint32_t below(struct kills *k, uint32_t n)
{
	return rng_below(&k->rng, n);
}

static void start_victim(struct kills *k)
{
	char *args[40] = {(char *)(uintptr_t)k->victim, k->directory};
	char seed[32], number[16];
	int fds[2], n = 2;

	snprintf(seed, sizeof(seed), "%u", (unsigned)(rng_next(&k->rng) >> 40));
	args[n++] = seed;
	for (int i = 0; i < k->option_count && n < 38; i++)
		args[n++] = k->options[i];
	if (pipe(fds) != 0 || (k->pid = fork()) < 0)
		abort();
	if (k->pid == 0) {
		close(fds[0]);
		snprintf(number, sizeof(number), "%d", fds[1]);
		setenv(MARK_FD_VARIABLE, number, 1);
		k->shadow.known ? unsetenv(MARK_NEW_VARIABLE) : setenv(MARK_NEW_VARIABLE, "1", 1);
		execv(k->victim, args);
		fprintf(stderr, "%s: %s\n", k->victim, strerror(errno));
		_exit(5);
	}
	close(fds[1]);
	k->fd = fds[0];
	k->started = clock_now();
}

static void draw_moment(struct kills *k)
{
	static const uint8_t shares[MOMENTS] = {20, 35, 15, 10, 20};
	uint32_t drawn = below(k, 100);

	for (k->moment = 0; drawn >= shares[k->moment]; k->moment++)
		drawn -= shares[k->moment];
	k->kill_at = k->started + ROUND_MAX;
	if (k->moment == DURING_START)
		k->kill_at = k->started + (ns_t)below(k, 1 + (uint32_t)(k->start_ns * 5 / 4));
	k->batches_left = 1 + below(k, 30);
}

// A little later.
static void kill_within(struct kills *k, uint32_t us)
{
	ns_t at = clock_now() + (ns_t)below(k, us + 1) * 1000;

	k->kill_at = at < k->kill_at ? at : k->kill_at;
}

static void decide(struct kills *k, enum mark type)
{
	if (type == MARK_READY) {
		k->start_ns = (k->start_ns * 7 + (clock_now() - k->started)) / 8;
		if (k->moment == ANY_TIME)
			kill_within(k, 150000);
	}
	if (type == MARK_BATCH && !--k->batches_left && k->moment == AFTER_A_BATCH)
		kill_within(k, 2000);
	if (type == MARK_BATCH && k->shadow.checkpoint_begun && k->moment == AFTER_A_CHECKPOINT)
		kill_within(k, 1500);
	if (type == MARK_ENCODING && k->moment == WHILE_ENCODING)
		kill_within(k, 500);
}

// Takes the whole marks of what came.
static void take_marks(struct kills *k)
{
	struct reader r = reader_of(k->in.data, k->in.len);

	while (reader_left(&r) >= MARK_HEAD_BYTES) {
		struct reader head = r;
		enum mark type = (enum mark)reader_u32(&head);
		uint32_t len = reader_u32(&head);
		const uint8_t *body = reader_take(&head, len);

		if (!body)
			break;
		shadow_take(&k->shadow, type, body, len);
		decide(k, type);
		r = head;
	}
	k->in.len = reader_left(&r);
	memmove(k->in.data, r.at, k->in.len);
}

// Reads what there is. False at the end.
static bool listen_once(struct kills *k)
{
	uint8_t bytes[65536];
	ssize_t n = read(k->fd, bytes, sizeof(bytes));
	uint8_t *at;

	if (n <= 0)
		return false;
	at = sched_bytes_take(&k->in, (size_t)n);
	if (!at)
		abort();
	memcpy(at, bytes, (size_t)n);
	take_marks(k);
	return true;
}

// Listens until its time has come; true: it ended by itself.
static bool listen_until_dead(struct kills *k)
{
	struct pollfd fd = {k->fd, POLLIN, 0};

	for (;;) {
		ns_t left = k->kill_at - clock_now();
		struct timespec ts = {left / NS_PER_SEC, left % NS_PER_SEC};

		if (left <= 0 || k->shadow.wrong[0])
			break;
		if (ppoll(&fd, 1, &ts, NULL) > 0 && !listen_once(k))
			return true;
	}
	kill(k->pid, SIGKILL);
	while (listen_once(k))
		;
	return false;
}

static void count_phase(struct kills *k, int found)
{
	const struct shadow *s = &k->shadow;

	if (!s->ready)
		k->in_start++;
	else if (s->checkpoint_begun)
		k->in_checkpoint++;
	else if (s->encoding)
		k->in_encoding++;
	else if (s->begun_count)
		k->in_batch++;
	else
		k->at_rest++;
	if (s->begun_count)
		*(found >= 0 ? &k->found_whole : &k->found_not) += 1;
}

static const char *const files[] = {"store.mdb", "store.mdb.new", "journal", "journal.new", "lock"};
#define FILES (sizeof(files) / sizeof(files[0]))

static void remove_store(const char *directory)
{
	char path[4096];

	for (size_t i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
}

// What is not there is not there in the copy either.
static bool copy_file(const char *from, const char *to)
{
	static char bytes[1 << 20];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n = 0, written = 0;

	if (in < 0)
		return errno == ENOENT;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	while (out >= 0 && written == n && (n = read(in, bytes, sizeof(bytes))) > 0)
		written = write(out, bytes, (size_t)n);
	close(in);
	return out >= 0 && close(out) == 0 && n == 0;
}

static bool copy_store(const struct kills *k)
{
	char from[4096], to[4096];
	bool copied = true;

	remove_store(k->copy);
	for (size_t i = 0; i < FILES && copied; i++) {
		snprintf(from, sizeof(from), "%s/%s", k->directory, files[i]);
		snprintf(to, sizeof(to), "%s/%s", k->copy, files[i]);
		copied = copy_file(from, to);
	}
	return copied;
}

static void remove_all(const char *directory)
{
	remove_store(directory);
	rmdir(directory);
}

static int round_of(struct kills *k)
{
	struct verify_result found;
	bool by_itself;
	int status;

	k->in.len = 0;
	start_victim(k);
	draw_moment(k);
	by_itself = listen_until_dead(k);
	close(k->fd);
	waitpid(k->pid, &status, 0);
	if (by_itself && !k->shadow.ended) {
		snprintf(k->shadow.wrong, sizeof(k->shadow.wrong),
			"the victim ended by itself, with status 0x%x", (unsigned)status);
		k->not_looked = true;
		return -EBADMSG;
	}
	if (k->shadow.wrong[0])
		return -EBADMSG;
	if (!copy_store(k)) {
		snprintf(k->shadow.wrong, sizeof(k->shadow.wrong),
			"what it left cannot be copied: %s", strerror(errno));
		k->not_looked = true;
		return -EBADMSG;
	}
	if (verify_store(k->copy, &k->shadow, false, &found)) {
		memcpy(k->shadow.wrong, found.wrong, sizeof(found.wrong));
		return -EBADMSG;
	}
	count_phase(k, found.begun);
	if (found.begun >= 0)
		shadow_advance(&k->shadow, (size_t)found.begun);
	shadow_forget_begun(&k->shadow);
	return 0;
}

struct sum {
	uint64_t batches, deeds, jobs, children, checkpoints;
};

static void add_up(struct sum *sum, const struct shadow *s)
{
	sum->batches += s->batches;
	sum->deeds += s->deeds;
	sum->jobs += s->jobs;
	sum->children += s->children;
	sum->checkpoints += s->checkpoints;
}

static void print_sum(const struct kills *k, const struct sum *sum, uint32_t rounds)
{
	printf("%u kills: %llu during the start, %llu with a batch, %llu with a checkpoint, %llu "
	       "while one is encoded, %llu between\n",
		rounds, (unsigned long long)k->in_start, (unsigned long long)k->in_batch,
		(unsigned long long)k->in_checkpoint, (unsigned long long)k->in_encoding,
		(unsigned long long)k->at_rest);
	printf("  of what was with the store, %llu were there whole and %llu not at all\n",
		(unsigned long long)k->found_whole, (unsigned long long)k->found_not);
	printf("  acknowledged and found: %llu batches, %llu jobs, %llu dispatched, "
	       "%llu deeds, %llu checkpoints\n",
		(unsigned long long)sum->batches, (unsigned long long)sum->jobs,
		(unsigned long long)sum->children, (unsigned long long)sum->deeds,
		(unsigned long long)sum->checkpoints);
}

int main(int argc, char **argv)
{
	static struct kills k;
	struct sum sum = {0};
	uint32_t rounds;

	if (argc < 5) {
		fprintf(stderr, "usage: crash-kills VICTIM DIRECTORY ROUNDS SEED [OPTIONS]\n");
		return VERIFY_NOT_LOOKED;
	}
	k = (struct kills){.victim = argv[1],
		.options = argv + 5,
		.option_count = argc - 5,
		.start_ns = 20 * NS_PER_MS};
	rounds = (uint32_t)strtoul(argv[3], NULL, 10);
	rng_seed(&k.rng, strtoull(argv[4], NULL, 10));
	snprintf(k.directory, sizeof(k.directory), "%s/penstock-kills-XXXXXX", argv[2]);
	if (!mkdtemp(k.directory) || snprintf(k.copy, sizeof(k.copy), "%s-copy", k.directory) < 0 ||
		mkdir(k.copy, 0700) != 0) {
		fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
		return VERIFY_NOT_LOOKED;
	}
	shadow_init(&k.shadow);
	for (uint32_t round = 1; round <= rounds; round++) {
		if (round_of(&k)) {
			printf("WRONG in round %u, killed %s: %s; see %s\n", round,
				moment_names[k.moment], k.shadow.wrong, k.directory);
			// It was asked for.
			if (argc > 5 && strcmp(argv[5], "--tell-early") == 0) {
				remove_all(k.directory);
				remove_all(k.copy);
			}
			return k.not_looked ? VERIFY_NOT_LOOKED : 1;
		}
		if (round % FRESH_EVERY == 0) {
			printf("  %u kills\n", round);
			fflush(stdout);
			add_up(&sum, &k.shadow);
			shadow_fini(&k.shadow);
			shadow_init(&k.shadow);
			remove_store(k.directory);
		}
	}
	add_up(&sum, &k.shadow);
	shadow_fini(&k.shadow);
	sched_bytes_fini(&k.in);
	remove_all(k.directory);
	remove_all(k.copy);
	print_sum(&k, &sum, rounds);
	return 0;
}
