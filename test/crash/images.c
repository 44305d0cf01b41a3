// SPDX-License-Identifier: Apache-2.0
// Images of crashes: the victim runs under record.c; then disks are made of its writes, cut off
// at random points, with what was not synced dropped, torn or reordered (disk.h); each is opened
// and held against what the victim had said by then.
//
// usage: crash-images VICTIM RECORDER DIRECTORY IMAGES SEED [--forget-sync | --fail-syncs N]
// [options of the victim]
// Ends with 1 if an image was wrong, with 99 if it could not look.
// --forget-sync: as if fdatasync did nothing. So the test can be seen to fail.
// --fail-syncs: one in N fails with EIO, and what it was to write is there, or not, or torn.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/crash/disk.h"
#include "test/crash/verify.h"

#define FIRST_OPERATIONS 24 // the making of a store

struct images {
	const char *victim, *recorder;
	char directory[200], trace[240], store[240], image[240];
	const char *forget, *fail; // of record.c
	struct rng rng;
	const uint8_t *bytes; // the trace
	size_t len;
	struct disk disk;
	struct shadow shadow;
	uint32_t *cuts; // before which operation, ascending
	uint32_t count;
	uint64_t operations, writes, syncs, pending_max, with_pending, whole, not_at_all, at_birth;
};

// ---- the recording ----

static int record_victim(struct images *im, char **options, int count)
{
	char *args[40] = {(char *)(uintptr_t)im->victim, im->store};
	char seed[32], number[16];
	int n = 2, status, null = open("/dev/null", O_WRONLY);
	pid_t pid;

	snprintf(seed, sizeof(seed), "%u", (unsigned)(rng_next(&im->rng) >> 40));
	snprintf(number, sizeof(number), "%d", null);
	args[n++] = seed;
	for (int i = 0; i < count && n < 38; i++)
		args[n++] = options[i];
	pid = fork();
	if (pid == 0) {
		setenv(MARK_FD_VARIABLE, number, 1);
		setenv(MARK_NEW_VARIABLE, "1", 1);
		setenv(TRACE_DIRECTORY_VARIABLE, im->store, 1);
		setenv(TRACE_FILE_VARIABLE, im->trace, 1);
		if (im->forget)
			setenv(TRACE_FORGET_VARIABLE, im->forget, 1);
		if (im->fail)
			setenv(TRACE_FAIL_VARIABLE, im->fail, 1);
		setenv("LD_PRELOAD", im->recorder, 1);
		execv(im->victim, args);
		_exit(5);
	}
	close(null);
	waitpid(pid, &status, 0);
	if (status)
		printf("WRONG: the victim ended with status 0x%x\n", (unsigned)status);
	return status ? -EIO : 0;
}

static int map_trace(struct images *im)
{
	int fd = open(im->trace, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) != 0 || !st.st_size)
		return -EIO;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return -errno;
	im->bytes = at;
	im->len = (size_t)st.st_size;
	return 0;
}

// The next record; false at the end. *at moves on.
static bool next_record(
	const struct images *im, size_t *at, struct trace_head *head, const uint8_t **body)
{
	if (im->len - *at < sizeof(*head))
		return false;
	memcpy(head, im->bytes + *at, sizeof(*head));
	*at += sizeof(*head);
	*body = im->bytes + *at;
	if (head->type == TRACE_SYNC_RANGE)
		return true;
	if (im->len - *at < head->length)
		return false;
	*at += head->length;
	return true;
}

// ---- where to cut ----

static int by_number(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

// A third anywhere, a third just before something is synced, when most is open, a tenth in the
// making of the store, the others in the writes behind a sync.
static uint32_t draw_cut(struct images *im, const uint32_t *syncs)
{
	uint32_t drawn = rng_below(&im->rng, 30), all = (uint32_t)im->operations + 1;

	if (drawn < 10)
		return rng_below(&im->rng, all);
	if (drawn < 13 || !im->syncs)
		return rng_below(&im->rng, all < FIRST_OPERATIONS ? all : FIRST_OPERATIONS);
	drawn = syncs[rng_below(&im->rng, (uint32_t)im->syncs)];
	return rng_below(&im->rng, 2) ? drawn : drawn + 1 + rng_below(&im->rng, 12);
}

static void draw_cuts(struct images *im)
{
	uint32_t *syncs = malloc(im->len / sizeof(struct trace_head) * sizeof(*syncs) + 1);
	struct trace_head head;
	const uint8_t *body;

	im->cuts = malloc(im->count * sizeof(*im->cuts));
	if (!syncs || !im->cuts)
		abort();
	for (size_t at = 0; next_record(im, &at, &head, &body);) {
		if (head.type == TRACE_MARK)
			continue;
		im->writes += head.type == TRACE_WRITE;
		if (head.type == TRACE_SYNC || head.type == TRACE_SYNC_RANGE)
			syncs[im->syncs++] = (uint32_t)im->operations;
		im->operations++;
	}
	for (uint32_t i = 0; i < im->count; i++) {
		im->cuts[i] = draw_cut(im, syncs);
		if (im->cuts[i] > im->operations)
			im->cuts[i] = (uint32_t)im->operations;
	}
	qsort(im->cuts, im->count, sizeof(*im->cuts), by_number);
	free(syncs);
}

// ---- images ----

static void empty(const char *directory)
{
	static const char *const files[] = {
		"store.mdb", "store.mdb.new", "journal", "journal.new", "lock"};
	char path[300];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
}

static size_t pending(const struct disk *d)
{
	size_t n = d->name_steps > 1 ? d->name_steps - 1 : 0;

	for (size_t i = 0; i < d->file_count; i++)
		n += d->files[i].write_count;
	return n;
}

static int look_at(struct images *im, uint32_t cut)
{
	static const char *const fates[DISK_FATES] = {"none of what was not synced is there",
		"all of it is there", "some of it is there", "sectors of it are there",
		"the first of it is there", "the last of it is there"};
	size_t open_writes = pending(&im->disk);
	enum disk_fate fate = rng_below(&im->rng, DISK_FATES);
	struct verify_result found;
	int rc;

	im->pending_max = open_writes > im->pending_max ? open_writes : im->pending_max;
	im->with_pending += open_writes > 0;
	im->at_birth += !im->shadow.known;
	empty(im->image);
	rc = disk_image(&im->disk, fate, &im->rng, im->image);
	if (rc) {
		printf("WRONG: an image cannot be made in %s: %s\n", im->image, strerror(-rc));
		return rc;
	}
	if (verify_store(im->image, &im->shadow, true, &found)) {
		printf("WRONG, cut before operation %u of %llu with %zu writes not synced, %s: "
		       "%s\n",
			cut, (unsigned long long)im->operations, open_writes, fates[fate],
			found.wrong);
		return -EBADMSG;
	}
	if (im->shadow.begun_count)
		*(found.begun >= 0 ? &im->whole : &im->not_at_all) += 1;
	return 0;
}

static int take_mark(struct images *im, const uint8_t *body, size_t len)
{
	struct reader r = reader_of(body, len);
	enum mark type = (enum mark)reader_u32(&r);

	len = reader_u32(&r);
	if (r.bad || len != reader_left(&r) || !shadow_take(&im->shadow, type, r.at, len))
		return 0;
	printf("WRONG while it ran: %s\n", im->shadow.wrong);
	return -EBADMSG;
}

// Goes through the trace and stops at each cut. Returns how many images are wrong.
static uint32_t replay(struct images *im)
{
	uint32_t operation = 0, next = 0, wrong = 0;
	struct trace_head head;
	const uint8_t *body;
	bool more = true;
	size_t at = 0;

	while (next < im->count && wrong < 10 && more) {
		more = next_record(im, &at, &head, &body);
		if (more && head.type == TRACE_MARK) {
			if (take_mark(im, body, head.length))
				return wrong + 1;
			continue;
		}
		while (next < im->count && im->cuts[next] == operation) {
			wrong += look_at(im, operation) != 0;
			if (++next % 100 == 0) {
				printf("  %u images\n", next);
				fflush(stdout);
			}
		}
		if (more && disk_apply(&im->disk, &head, body)) {
			printf("WRONG: the trace cannot be followed\n");
			return wrong + 1;
		}
		operation++;
	}
	im->count = next;
	return wrong;
}

static void print_sum(const struct images *im)
{
	printf("%u images of %llu batches, %llu refused: %llu writes, %llu syncs; %llu with writes "
	       "that were not "
	       "synced, %llu at most\n",
		im->count, (unsigned long long)im->shadow.batches,
		(unsigned long long)im->shadow.refused, (unsigned long long)im->writes,
		(unsigned long long)im->syncs, (unsigned long long)im->with_pending,
		(unsigned long long)im->pending_max);
	printf("  of what was with the store, %llu were there whole and %llu not at all; %llu "
	       "images "
	       "are older than the first answer\n",
		(unsigned long long)im->whole, (unsigned long long)im->not_at_all,
		(unsigned long long)im->at_birth);
}

static int make_directories(struct images *im, const char *in)
{
	snprintf(im->directory, sizeof(im->directory), "%s/penstock-images-XXXXXX", in);
	if (!mkdtemp(im->directory))
		return -errno;
	snprintf(im->trace, sizeof(im->trace), "%s/trace", im->directory);
	snprintf(im->store, sizeof(im->store), "%s/store", im->directory);
	snprintf(im->image, sizeof(im->image), "%s/image", im->directory);
	return mkdir(im->store, 0700) || mkdir(im->image, 0700) ? -errno : 0;
}

static void remove_directories(struct images *im)
{
	empty(im->store);
	empty(im->image);
	unlink(im->trace);
	rmdir(im->store);
	rmdir(im->image);
	rmdir(im->directory);
}

int main(int argc, char **argv)
{
	static struct images im;
	uint32_t wrong;
	int first = 6, rc;

	if (argc < 6) {
		fprintf(stderr,
			"usage: crash-images VICTIM RECORDER DIRECTORY IMAGES SEED [OPTIONS]\n");
		return VERIFY_NOT_LOOKED;
	}
	im.victim = argv[1];
	im.recorder = argv[2];
	im.count = (uint32_t)strtoul(argv[4], NULL, 10);
	rng_seed(&im.rng, strtoull(argv[5], NULL, 10));
	rng_seed(&im.disk.rng, strtoull(argv[5], NULL, 10) + 1);
	if (argc > 6 && strcmp(argv[6], "--forget-sync") == 0) {
		im.forget = "fdatasync";
		first++;
	} else if (argc > 7 && strcmp(argv[6], "--fail-syncs") == 0) {
		im.fail = argv[7];
		first += 2;
	}
	rc = make_directories(&im, argv[3]);
	if (rc) {
		fprintf(stderr, "%s: %s\n", argv[3], strerror(-rc));
		return VERIFY_NOT_LOOKED;
	}
	shadow_init(&im.shadow);
	rc = record_victim(&im, argv + first, argc - first);
	if (!rc)
		rc = map_trace(&im);
	if (rc)
		return VERIFY_NOT_LOOKED;
	draw_cuts(&im);
	wrong = replay(&im);
	print_sum(&im);
	if (wrong)
		printf("%u images are WRONG; the trace is in %s\n", wrong, im.directory);
	if (!wrong || im.forget)
		remove_directories(&im);
	disk_fini(&im.disk);
	shadow_fini(&im.shadow);
	free(im.cuts);
	munmap((void *)(uintptr_t)im.bytes, im.len);
	return wrong != 0;
}
