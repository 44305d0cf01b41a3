// SPDX-License-Identifier: Apache-2.0
// Loads of functions: see load.h. Pure functions over bytes from outside.
#include "lib/call/load.h"

#include <errno.h>

static bool read_name(struct reader *r, const char **text, uint8_t *len)
{
	*len = reader_u8(r);
	*text = (const char *)reader_take(r, *len);
	return !r->bad && *len > 0 && *len <= CALL_LOAD_NAME_MAX;
}

bool call_load_next(struct reader *r, struct call_load *load)
{
	if (r->bad || reader_left(r) == 0)
		return false;
	if (!read_name(r, &load->namespace, &load->namespace_len) ||
		!read_name(r, &load->name, &load->name_len)) {
		r->bad = true;
		return false;
	}
	load->version = reader_u32(r);
	load->queued = reader_u32(r);
	load->running = reader_u32(r);
	load->capacity = reader_u32(r);
	return !r->bad;
}

int call_load_check(const void *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct call_load load;

	if (len == 0)
		return -EINVAL;
	if (reader_u8(&r) != CALL_LOAD_PUSH)
		return -ENOTSUP;
	if (len > CALL_LOAD_BYTES_MAX)
		return -EINVAL;
	while (call_load_next(&r, &load))
		;
	return r.bad ? -EINVAL : 0;
}

bool call_load_write(struct writer *w, const struct call_load *load)
{
	struct writer before = *w;

	writer_u8(w, load->namespace_len);
	writer_bytes(w, load->namespace, load->namespace_len);
	writer_u8(w, load->name_len);
	writer_bytes(w, load->name, load->name_len);
	writer_u32(w, load->version);
	writer_u32(w, load->queued);
	writer_u32(w, load->running);
	writer_u32(w, load->capacity);
	if (!w->bad)
		return true;
	*w = before;
	return false;
}
