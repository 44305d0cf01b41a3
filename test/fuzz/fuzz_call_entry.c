// SPDX-License-Identifier: Apache-2.0
// The call entry: what can be read is written again byte for byte.
#include <stdlib.h>

#include "lib/call/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t out[CALL_ENTRY_BYTES_MAX];
	struct writer w = writer_of(out, sizeof(out));
	struct call_entry entry;
	struct call_tlv tlv;
	struct reader r;
	size_t sum = 0;

	if (call_entry_read(&entry, data, len))
		return 0;
	must(len >= CALL_ENTRY_HEAD_BYTES && len <= sizeof(out));
	r = reader_of(entry.tlvs, entry.tlvs_len);
	while (call_tlv_next(&r, &tlv)) {
		must(tlv.value >= data && tlv.value + tlv.len <= data + len);
		sum += 2u + tlv.len;
	}
	must(sum == entry.tlvs_len);
	call_tlv_u32(&entry, CALL_TLV_VERSION, 0);
	call_tlv_u64(&entry, CALL_TLV_PARENT, 0);
	call_entry_write(&w, &entry);
	must(!w.bad && (size_t)(w.at - out) == len && memcmp(out, data, len) == 0);
	return 0;
}
