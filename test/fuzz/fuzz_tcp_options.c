// SPDX-License-Identifier: Apache-2.0
// The option parser with any bytes. What it reads of a known layout must be what was written.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void expect_at(bool good, int line, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "line %d: not so: %s\n", line, what);
	abort();
}

#define expect(good) expect_at(good, __LINE__, #good)

// A parsed set of options, written in our layout, reads back as the same.
static void round_trip(const struct tcp_options *o)
{
	uint8_t bytes[40], *at = bytes;
	struct tcp_options again;

	if (o->mss)
		at = tcp_options_write_mss(at, o->mss);
	if (o->has_wscale)
		at = tcp_options_write_wscale(at, o->wscale);
	if (o->has_ts)
		at = tcp_options_write_ts(at, o->tsval, o->tsecr);
	tcp_options_parse(bytes, (uint32_t)(at - bytes), true, &again);
	expect(again.mss == o->mss && again.has_wscale == o->has_wscale &&
		again.has_ts == o->has_ts);
	expect(!o->has_wscale || again.wscale == o->wscale);
	expect(!o->has_ts || (again.tsval == o->tsval && again.tsecr == o->tsecr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tcp_options syn, other;

	if (len > 40)
		len = 40;
	tcp_options_parse(data, (uint32_t)len, true, &syn);
	round_trip(&syn);
	tcp_options_parse(data, (uint32_t)len, false, &other);
	expect(!other.mss && !other.has_wscale && !other.sack_permitted);
	expect(other.has_ts == syn.has_ts && other.tsval == syn.tsval);
	return 0;
}
