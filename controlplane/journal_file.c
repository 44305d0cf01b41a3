// SPDX-License-Identifier: Apache-2.0
// Records in two halves of a file: journal_file.h.
#include "controlplane/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "controlplane/registry_internal.h"
#include "controlplane/store_file.h"
#include "lib/base/cursor.h"

#define FIRST_MAGIC 0x50534a30u // "PSJ0"
#define FIRST_BYTES 32
#define MAGIC 0x50534a31u // "PSJ1"
#define HASHED_BYTES 32   // of the header
#define HEADER_BYTES 40
#define WRITE_BYTES 19 // of a write, without key and value
#define ZEROS_BYTES ((size_t)1 << 20)

static int error_of(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ENOSPC;
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOENT:
	case ENOMEM:
		return -error;
	default:
		return -EIO;
	}
}

static int write_all(int fd, const uint8_t *bytes, size_t len, size_t offset)
{
	while (len) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? error_of(errno) : -EIO;
		bytes += n;
		offset += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

// ---- the file ----

// Written in full, not only made so long: a sync of what is written over it later has nothing else
// to write down.
static int write_zeros(int fd, size_t bytes)
{
	uint8_t *zeros = calloc(1, ZEROS_BYTES);
	int rc = zeros ? 0 : -ENOMEM;

	for (size_t at = 0; !rc && at < bytes; at += ZEROS_BYTES)
		rc = write_all(fd, zeros, bytes - at < ZEROS_BYTES ? bytes - at : ZEROS_BYTES, at);
	free(zeros);
	if (!rc && fsync(fd) != 0)
		rc = error_of(errno);
	return rc;
}

static int write_first(int fd, uint64_t run, uint64_t before)
{
	uint8_t bytes[FIRST_BYTES];
	struct writer out = writer_of(bytes, sizeof(bytes));
	int rc;

	writer_u32(&out, FIRST_MAGIC);
	writer_u32(&out, 0);
	writer_u64(&out, run);
	writer_u64(&out, before);
	writer_u64(&out, XXH3_64bits(bytes, FIRST_BYTES - sizeof(uint64_t)));
	rc = write_all(fd, bytes, sizeof(bytes), 0);
	if (!rc && fdatasync(fd) != 0)
		rc = error_of(errno);
	return rc;
}

static int read_first(struct journal_file *f)
{
	uint8_t bytes[FIRST_BYTES] = {0};
	struct reader r = reader_of(bytes, sizeof(bytes));
	bool ours;

	if (pread(f->fd, bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	ours = reader_u32(&r) == FIRST_MAGIC && reader_u32(&r) == 0;
	f->run = reader_u64(&r);
	f->before = reader_u64(&r);
	ours &= reader_u64(&r) == XXH3_64bits(bytes, FIRST_BYTES - sizeof(uint64_t));
	return ours ? 0 : -EIO;
}

int journal_file_make(const char *directory, size_t bytes)
{
	char path[PATH_MAX], new[PATH_MAX];
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/journal", directory) >= PATH_MAX ||
		snprintf(new, sizeof(new), "%s/journal.new", directory) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (unlink(new) != 0 && errno != ENOENT)
		return error_of(errno);
	fd = open(new, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_of(errno);
	rc = write_zeros(fd, JOURNAL_PAGE + bytes / (2 * JOURNAL_PAGE) * (2 * JOURNAL_PAGE));
	if (!rc)
		rc = write_first(fd, 0, 0);
	close(fd);
	if (!rc && rename(new, path) != 0)
		rc = error_of(errno);
	if (rc)
		unlink(new);
	return rc ? rc : store_file_sync_names(directory);
}

int journal_file_open(struct journal_file *f, const char *directory)
{
	char path[PATH_MAX];
	struct stat st;

	*f = (struct journal_file){.fd = -1};
	if (snprintf(path, sizeof(path), "%s/journal", directory) >= PATH_MAX)
		return -ENAMETOOLONG;
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0)
		return error_of(errno);
	if (fstat(f->fd, &st) != 0)
		return error_of(errno);
	f->first = (size_t)st.st_size % (2 * JOURNAL_PAGE);
	f->half_bytes = ((size_t)st.st_size - f->first) / 2;
	if (!f->half_bytes || (f->first && f->first != JOURNAL_PAGE))
		return -EIO;
	return f->first ? read_first(f) : 0;
}

int journal_file_begin(struct journal_file *f, uint64_t run, uint64_t before)
{
	int rc = f->first ? write_first(f->fd, run, before) : 0;

	if (!rc) {
		f->run = run;
		f->before = before;
	}
	return rc;
}

void journal_file_close(struct journal_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->record);
	*f = (struct journal_file){.fd = -1};
}

// ---- reading ----

struct found {
	uint64_t seq;
	const uint8_t *body;
	size_t len;
	uint32_t writes;
};

static size_t pages(size_t len)
{
	return (len + JOURNAL_PAGE - 1) / JOURNAL_PAGE * JOURNAL_PAGE;
}

static uint64_t hash_of(const uint8_t *header, size_t body_bytes)
{
	return XXH3_64bits_withSeed(
		header + HEADER_BYTES, body_bytes, XXH3_64bits(header, HASHED_BYTES));
}

// Whether there is a record of this run; `left` bytes are there.
static bool look_at(const struct journal_file *f, const uint8_t *at, size_t left, struct found *out)
{
	struct reader r = reader_of(at, HEADER_BYTES);
	bool ours = reader_u32(&r) == MAGIC;
	uint64_t len;

	out->writes = reader_u32(&r);
	ours &= reader_u64(&r) == f->run;
	out->seq = reader_u64(&r);
	len = reader_u64(&r);
	if (!ours || len > left - HEADER_BYTES)
		return false;
	out->body = at + HEADER_BYTES;
	out->len = (size_t)len;
	return reader_u64(&r) == hash_of(at, out->len);
}

static int by_seq(const void *a, const void *b)
{
	uint64_t left = ((const struct found *)a)->seq, right = ((const struct found *)b)->seq;

	return left < right ? -1 : left > right;
}

// Those of one half behind `after` to the end of `list`.
static size_t look_through(const struct journal_file *f, const uint8_t *half, uint64_t after,
	struct found *list, size_t count)
{
	for (size_t at = 0; at < f->half_bytes;) {
		struct found found;

		if (!look_at(f, half + at, f->half_bytes - at, &found)) {
			at += JOURNAL_PAGE;
			continue;
		}
		at += pages(HEADER_BYTES + found.len);
		if (found.seq > after)
			list[count++] = found;
	}
	return count;
}

static int hand_out(const struct found *found,
	void (*each)(void *user, const struct store_write *write), void *user)
{
	struct reader r = reader_of(found->body, found->len);

	for (uint32_t k = 0; k < found->writes; k++) {
		size_t key_len = reader_u16(&r);
		bool removes = reader_u8(&r) != 0;
		char key[STORE_KEY_MAX + 1];
		struct store_write w = {.key = key, .version = reader_u64(&r)};
		const uint8_t *bytes;

		w.len = (size_t)reader_u64(&r);
		bytes = reader_take(&r, key_len);
		if (!bytes || key_len > STORE_KEY_MAX)
			return -EIO;
		memcpy(key, bytes, key_len);
		key[key_len] = 0;
		bytes = reader_take(&r, w.len);
		if (r.bad)
			return -EIO;
		w.value = removes ? NULL : bytes;
		each(user, &w);
	}
	return reader_left(&r) ? -EIO : 0;
}

static int read_whole(const struct journal_file *f, uint8_t *bytes)
{
	for (size_t at = 0; at < 2 * f->half_bytes;) {
		ssize_t n =
			pread(f->fd, bytes + at, 2 * f->half_bytes - at, (off_t)(f->first + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		at += (size_t)n;
	}
	return 0;
}

// All that is there, and what is found in it.
struct contents {
	uint8_t *bytes;
	struct found *list;
	size_t count;
};

static void forget(struct contents *c)
{
	free(c->bytes);
	free(c->list);
}

static int find_all(const struct journal_file *f, uint64_t after, struct contents *c)
{
	int rc;

	*c = (struct contents){.bytes = malloc(2 * f->half_bytes),
		.list = malloc(2 * f->half_bytes / JOURNAL_PAGE * sizeof(*c->list))};
	rc = c->bytes && c->list ? read_whole(f, c->bytes) : -ENOMEM;
	if (!rc) {
		c->count = look_through(f, c->bytes, after, c->list, 0);
		c->count = look_through(f, c->bytes + f->half_bytes, after, c->list, c->count);
		qsort(c->list, c->count, sizeof(*c->list), by_seq);
	}
	return rc;
}

int journal_file_read(struct journal_file *f, uint64_t after,
	void (*each)(void *user, const struct store_write *write), void *user)
{
	struct contents c;
	int rc = find_all(f, after, &c);

	f->seq = after;
	// One record at most is under way, and a half is used again only when all in it is in the
	// store below: so none is missing before others but by damage.
	for (size_t k = 0; !rc && k < c.count; k++)
		rc = c.list[k].seq == ++f->seq ? hand_out(&c.list[k], each, user) : -EIO;
	forget(&c);
	return rc;
}

int journal_file_holds(struct journal_file *f)
{
	struct contents c;
	int rc = find_all(f, 0, &c);

	forget(&c);
	return rc ? rc : c.count > 0;
}

// ---- writing ----

static size_t record_bytes(const struct store_txn *t)
{
	size_t bytes = HEADER_BYTES;

	for (size_t i = 0; i < t->write_count; i++) {
		const struct store_write *w = &t->writes[i];

		bytes += WRITE_BYTES + strlen(w->key) + (w->value ? w->len : 0);
	}
	return bytes;
}

static void put_write(struct writer *out, const struct store_write *w)
{
	size_t key_len = strlen(w->key), len = w->value ? w->len : 0;

	writer_u16(out, (uint16_t)key_len);
	writer_u8(out, w->value == NULL);
	writer_u64(out, w->version);
	writer_u64(out, len);
	writer_bytes(out, w->key, key_len);
	writer_bytes(out, w->value, len);
}

void journal_file_prepare(struct journal_file *f, const struct store_txn *t)
{
	size_t bytes = record_bytes(t);
	struct writer out;

	f->record_bytes = pages(bytes);
	if (f->record_bytes > f->half_bytes)
		return;
	if (f->record_bytes > f->record_room) {
		free(f->record);
		f->record_room = f->record_bytes;
		f->record = must(malloc(f->record_room));
	}
	out = writer_of(f->record, bytes);
	writer_u32(&out, MAGIC);
	writer_u32(&out, (uint32_t)t->write_count);
	writer_u64(&out, f->run);
	writer_u64(&out, f->seq + 1);
	writer_u64(&out, bytes - HEADER_BYTES);
	writer_u64(&out, 0);
	for (size_t i = 0; i < t->write_count; i++)
		put_write(&out, &t->writes[i]);
	out = writer_of(f->record + HASHED_BYTES, sizeof(uint64_t));
	writer_u64(&out, hash_of(f->record, bytes - HEADER_BYTES));
	memset(f->record + bytes, 0, f->record_bytes - bytes);
}

bool journal_file_fits(const struct journal_file *f)
{
	return f->record_bytes <= f->half_bytes - f->at;
}

void journal_file_turn(struct journal_file *f)
{
	f->half ^= 1;
	f->at = 0;
}

static int write_here(struct journal_file *f, const uint8_t *bytes, size_t len)
{
	int rc = write_all(f->fd, bytes, len, f->first + f->half * f->half_bytes + f->at);

	if (!rc && fdatasync(f->fd) != 0)
		rc = error_of(errno);
	return rc;
}

int journal_file_append(struct journal_file *f)
{
	int rc = write_here(f, f->record, f->record_bytes);

	if (rc) {
		f->torn = true;
		return rc;
	}
	f->at += f->record_bytes;
	f->seq++;
	return 0;
}

int journal_file_mend(struct journal_file *f)
{
	static const uint8_t zeros[JOURNAL_PAGE];
	int rc = f->torn ? write_here(f, zeros, sizeof(zeros)) : 0;

	f->torn = rc != 0;
	return rc;
}
