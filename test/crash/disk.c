// SPDX-License-Identifier: Apache-2.0
// Disks as crashes leave them: disk.h.
#include "test/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- files ----

// Makes it this long, with zeros.
static void set_length(struct disk_bytes *b, size_t len)
{
	if (len > b->room) {
		b->room = len + len / 4 + 65536;
		b->data = realloc(b->data, b->room);
		if (!b->data)
			abort();
	}
	if (len > b->len)
		memset(b->data + b->len, 0, len - b->len);
	b->len = len;
}

static void put_bytes(struct disk_bytes *b, size_t offset, const uint8_t *bytes, size_t len)
{
	if (offset + len > b->len)
		set_length(b, offset + len);
	if (len)
		memcpy(b->data + offset, bytes, len);
}

static struct disk_file *file_of(struct disk *d, uint64_t id)
{
	for (size_t i = 0; i < d->file_count; i++)
		if (d->files[i].id == id)
			return &d->files[i];
	if (d->file_count == DISK_FILES)
		return NULL;
	d->files[d->file_count] = (struct disk_file){.id = id};
	return &d->files[d->file_count++];
}

static struct disk_write *new_write(struct disk_file *f)
{
	if (f->write_count == f->write_room) {
		f->write_room = f->write_room ? f->write_room * 2 : 64;
		f->writes = realloc(f->writes, f->write_room * sizeof(*f->writes));
		if (!f->writes)
			abort();
	}
	f->writes[f->write_count] = (struct disk_write){.length = f->now.len};
	return &f->writes[f->write_count++];
}

static void write_file(struct disk_file *f, size_t offset, const uint8_t *bytes, size_t len)
{
	size_t first = offset / DISK_SECTOR * DISK_SECTOR, last;
	struct disk_write *w;

	put_bytes(&f->now, offset, bytes, len);
	last = (offset + len + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
	last = last < f->now.len ? last : f->now.len;
	w = new_write(f);
	w->offset = first;
	put_bytes(&w->bytes, 0, f->now.data + first, last - first);
}

static void forget_writes(struct disk_file *f)
{
	for (size_t i = 0; i < f->write_count; i++)
		free(f->writes[i].bytes.data);
	f->write_count = 0;
}

// What was written, and not all that the page cache has: see failed().
static void sync_file(struct disk_file *f)
{
	for (size_t i = 0; i < f->write_count; i++)
		put_bytes(&f->safe, f->writes[i].offset, f->writes[i].bytes.data,
			f->writes[i].bytes.len);
	set_length(&f->safe, f->now.len);
	forget_writes(f);
}

static void failed(struct disk_file *f, struct rng *rng)
{
	for (size_t i = 0; i < f->write_count; i++) {
		const struct disk_write *w = &f->writes[i];
		bool kept = rng_below(rng, 2);

		for (size_t at = 0; at < w->bytes.len; at += DISK_SECTOR) {
			size_t left = w->bytes.len - at;

			if (rng_below(rng, 8) ? kept : !kept)
				put_bytes(&f->safe, w->offset + at, w->bytes.data + at,
					left < DISK_SECTOR ? left : DISK_SECTOR);
		}
	}
	forget_writes(f);
}

// What an older write had there cannot come back.
static void renew(struct disk_write *w, size_t offset, const uint8_t *bytes, size_t len)
{
	size_t first = offset > w->offset ? offset : w->offset;
	size_t last = offset + len, end = w->offset + w->bytes.len;

	last = last < end ? last : end;
	if (first < last)
		memcpy(w->bytes.data + (first - w->offset), bytes + (first - offset), last - first);
}

// The sectors of a range are durable; writes elsewhere still are not.
static void sync_range(struct disk_file *f, size_t offset, size_t len)
{
	size_t first = offset / DISK_SECTOR * DISK_SECTOR, last = offset + len;

	last = (last + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
	last = last < f->now.len ? last : f->now.len;
	put_bytes(&f->safe, first, f->now.data + first, last - first);
	for (size_t i = 0; i < f->write_count;) {
		struct disk_write *w = &f->writes[i];

		if (w->offset < first || w->offset + w->bytes.len > last) {
			renew(w, first, f->now.data + first, last - first);
			i++;
			continue;
		}
		free(w->bytes.data);
		memmove(w, w + 1, (--f->write_count - i) * sizeof(*w));
	}
}

// ---- names ----

static struct disk_names *new_names(struct disk *d)
{
	if (!d->name_steps)
		d->name_steps = 1;
	if (d->name_steps == DISK_NAMES_MAX)
		return NULL;
	d->names[d->name_steps] = d->names[d->name_steps - 1];
	return &d->names[d->name_steps++];
}

static int set_name(struct disk *d, const char *name, uint64_t id, bool moved)
{
	struct disk_names *names = new_names(d);
	size_t i;

	if (!names)
		return -E2BIG;
	for (i = 0; moved && i < names->count; i++)
		if (names->of[i].id == id)
			names->of[i].id = 0;
	for (i = 0; i < names->count && strcmp(names->of[i].name, name) != 0; i++)
		;
	if (i == DISK_FILES)
		return -E2BIG;
	if (i == names->count)
		snprintf(names->of[names->count++].name, sizeof(names->of[i].name), "%s", name);
	names->of[i].id = id;
	return 0;
}

static void sync_names(struct disk *d)
{
	if (d->name_steps)
		d->names[0] = d->names[d->name_steps - 1];
	d->name_steps = 1;
}

int disk_apply(struct disk *d, const struct trace_head *head, const uint8_t *bytes)
{
	struct disk_file *f = head->file ? file_of(d, head->file) : NULL;
	const char *name = (const char *)bytes;

	if (head->file && !f)
		return -E2BIG;
	switch (head->type) {
	case TRACE_CREATE:
		return set_name(d, name, head->file, false);
	case TRACE_RENAME:
		return set_name(d, name, head->file, true);
	case TRACE_UNLINK:
		return set_name(d, name, 0, false);
	case TRACE_WRITE:
		write_file(f, head->offset, bytes, head->length);
		return 0;
	case TRACE_TRUNCATE:
		set_length(&f->now, head->offset);
		new_write(f);
		return 0;
	case TRACE_SYNC:
		sync_file(f);
		return 0;
	case TRACE_SYNC_RANGE:
		sync_range(f, head->offset, head->length);
		return 0;
	case TRACE_FAILED:
		failed(f, &d->rng);
		return 0;
	case TRACE_SYNC_NAMES:
		sync_names(d);
		return 0;
	default:
		return -EBADMSG;
	}
}

void disk_fini(struct disk *d)
{
	for (size_t i = 0; i < d->file_count; i++) {
		forget_writes(&d->files[i]);
		free(d->files[i].writes);
		free(d->files[i].safe.data);
		free(d->files[i].now.data);
	}
	*d = (struct disk){0};
}

// ---- images ----

static size_t any_length(const struct disk_file *f, enum disk_fate fate, struct rng *rng)
{
	uint32_t k = rng_below(rng, (uint32_t)f->write_count + 1);

	if (fate == DISK_ALL)
		return f->now.len;
	return fate == DISK_NONE || k == 0 ? f->safe.len : f->writes[k - 1].length;
}

// Whether a sector of the k-th write is there.
static bool survives(const struct disk_file *f, enum disk_fate fate, size_t k, uint32_t from,
	bool whole, struct rng *rng)
{
	switch (fate) {
	case DISK_ALL:
		return true;
	case DISK_WRITES:
		return whole;
	case DISK_SECTORS:
		return rng_below(rng, 2);
	case DISK_PREFIX:
		return k < from || (k == from && rng_below(rng, 2));
	case DISK_LATE:
		return k >= from;
	default:
		return false;
	}
}

static struct disk_bytes content(const struct disk_file *f, enum disk_fate fate, struct rng *rng)
{
	uint32_t from = rng_below(rng, (uint32_t)f->write_count + 1);
	size_t length = any_length(f, fate, rng);
	struct disk_bytes out = {0};

	put_bytes(&out, 0, f->safe.data, f->safe.len);
	for (size_t k = 0; k < f->write_count; k++) {
		const struct disk_bytes *w = &f->writes[k].bytes;
		bool whole = rng_below(rng, 2);

		for (size_t at = 0; at < w->len; at += DISK_SECTOR) {
			size_t n = w->len - at < DISK_SECTOR ? w->len - at : DISK_SECTOR;

			if (survives(f, fate, k, from, whole, rng))
				put_bytes(&out, f->writes[k].offset + at, w->data + at, n);
		}
	}
	set_length(&out, length);
	return out;
}

static int write_image(const struct disk_bytes *bytes, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < bytes->len) {
		ssize_t n = write(fd, bytes->data + done, bytes->len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	return done == bytes->len ? 0 : -EIO;
}

int disk_image(const struct disk *d, enum disk_fate fate, struct rng *rng, const char *directory)
{
	const struct disk_names *names = &d->names[0];
	int rc = 0;

	if (d->name_steps > 1 && fate == DISK_ALL)
		names = &d->names[d->name_steps - 1];
	else if (d->name_steps > 1 && fate != DISK_NONE)
		names = &d->names[rng_below(rng, (uint32_t)d->name_steps)];
	for (size_t i = 0; !rc && i < names->count; i++) {
		struct disk_bytes bytes = {0};
		char path[4200];

		if (!names->of[i].id)
			continue;
		for (size_t k = 0; k < d->file_count; k++)
			if (d->files[k].id == names->of[i].id)
				bytes = content(&d->files[k], fate, rng);
		snprintf(path, sizeof(path), "%s/%s", directory, names->of[i].name);
		rc = write_image(&bytes, path);
		free(bytes.data);
	}
	return rc;
}
