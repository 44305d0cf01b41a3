// SPDX-License-Identifier: Apache-2.0
// The file system alone: bench_probe.h.
#include "test/bench/bench_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/rng.h"

#define BYTES 4096
#define BLOCKS 4096 // that are there beforehand

static void stop_if(bool bad, const char *path)
{
	if (bad) {
		fprintf(stderr, "bench: cannot probe %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

struct file {
	int fd;
	char *path;
};

static void write_block(const struct file *f, unsigned k)
{
	static const char block[BYTES] = {7};

	stop_if(pwrite(f->fd, block, BYTES, (off_t)k * BYTES) != BYTES, f->path);
}

static struct file make_file(const char *directory, unsigned blocks)
{
	struct file f = {-1, NULL};

	stop_if(asprintf(&f.path, "%s/probe", directory) < 0, directory);
	f.fd = open(f.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	stop_if(f.fd < 0, f.path);
	for (unsigned k = 0; k < blocks; k++)
		write_block(&f, k);
	stop_if(fsync(f.fd) != 0, f.path);
	return f;
}

static void remove_file(struct file *f)
{
	close(f->fd);
	unlink(f->path);
	free(f->path);
}

static void sync_block(const struct file *f, unsigned k)
{
	write_block(f, k);
	stop_if(fdatasync(f->fd) != 0, f->path);
}

struct hist probe_syncs(const char *directory, unsigned n, bool append)
{
	struct file f = make_file(directory, append ? 0 : n);
	struct hist h = {0};

	for (unsigned k = 0; k < n; k++) {
		ns_t start = clock_now();

		sync_block(&f, k);
		hist_add(&h, (uint64_t)(clock_now() - start));
	}
	remove_file(&f);
	return h;
}

static void sleep_until(ns_t until)
{
	const struct timespec ts = {until / NS_PER_SEC, until % NS_PER_SEC};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

struct hist probe_arrivals(const char *directory, double rate, ns_t duration, uint64_t seed)
{
	struct file f = make_file(directory, BLOCKS);
	size_t room = (size_t)(rate * (double)duration / 1e9 * 2) + 1000, first = 0, last = 0;
	ns_t *due = malloc(room * sizeof(*due)), at = clock_now(), end = at + duration;
	struct hist h = {0};
	struct rng rng;

	stop_if(!due, f.path);
	rng_seed(&rng, seed);
	for (unsigned k = 0; at < end; k++) {
		ns_t now = clock_now();

		if (at > now)
			sleep_until(at);
		for (now = clock_now(); at <= now && at < end && last < room; last++) {
			due[last] = at;
			at += (ns_t)(-log(rng_unit(&rng)) * 1e9 / rate);
		}
		sync_block(&f, k % BLOCKS);
		for (now = clock_now(); first < last; first++)
			hist_add(&h, (uint64_t)(now - due[first]));
	}
	free(due);
	remove_file(&f);
	return h;
}
