// SPDX-License-Identifier: Apache-2.0
// Pushes of load: one that is whole is written again byte for byte.
#include <stdlib.h>

#include "lib/call/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool within(const char *text, size_t text_len, const uint8_t *data, size_t len)
{
	return (const uint8_t *)text >= data && (const uint8_t *)text + text_len <= data + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t out[CALL_LOAD_BYTES_MAX];
	struct writer w = writer_of(out, sizeof(out));
	struct call_load load;
	struct reader r;

	if (call_load_check(data, len))
		return 0;
	must(len > 0 && len <= sizeof(out));
	writer_u8(&w, CALL_LOAD_PUSH);
	r = reader_of(data + 1, len - 1);
	while (call_load_next(&r, &load)) {
		must(within(load.namespace, load.namespace_len, data, len));
		must(within(load.name, load.name_len, data, len));
		must(load.name_len > 0 && load.name_len <= CALL_LOAD_NAME_MAX);
		must(call_load_write(&w, &load));
	}
	must(!r.bad && (size_t)(w.at - out) == len && memcmp(out, data, len) == 0);
	return 0;
}
