// SPDX-License-Identifier: Apache-2.0
// Schedules: whatever text, it is refused with a sentence or has a next time, that lies ahead.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sched/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), why[192];
	ns_t after = 0;

	if (!text)
		return 0;
	// Its first bytes say when.
	if (len >= sizeof(uint32_t)) {
		uint32_t minutes;

		memcpy(&minutes, data, sizeof(minutes));
		after = (ns_t)(minutes % (290u * 366 * 1440)) * 60 * NS_PER_SEC;
		data += sizeof(minutes);
		len -= sizeof(minutes);
	}
	memcpy(text, data, len);
	text[len] = 0;
	if (cron_check(text, why, sizeof(why))) {
		if (!*why || strlen(why) >= sizeof(why))
			abort();
	} else {
		ns_t next = cron_next(text, after);

		// Only what lies beyond the clock does not come.
		if (next <= after ||
			(next == NS_NEVER && after < (ns_t)200 * 366 * 86400 * NS_PER_SEC))
			abort();
		if (next != NS_NEVER && next % (60 * NS_PER_SEC))
			abort();
	}
	free(text);
	return 0;
}
