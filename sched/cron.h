// SPDX-License-Identifier: Apache-2.0
// Schedules as cron(5) writes them: minute, hour, day of the month, month, day of the week; in UTC.
//
// A field is `*`, a value, a range `a-b`, either of the last two with a step (`*/5`, `8-18/2`), or
// several of these with commas between. Months and days of the week have names, too (jan, mon);
// Sunday is 0 or 7. If neither of the two fields of days begins with `*`, a day that is in one of
// them will do. Several schedules stand with `;` between.
#pragma once

#include <stddef.h>

#include "lib/base/clock.h"

#define CRON_TEXT_MAX 1024
#define CRON_SCHEDULES_MAX 16

// NULL: the text is fine. Else a sentence, written to `why`, that says which field is wrong and how
// it should be.
const char *cron_check(const char *text, char *why, size_t len);
// The first time of any of the schedules that is later than `after`, both since 1970. NS_NEVER: the
// text is wrong, or it comes after the year 2262.
ns_t cron_next(const char *text, ns_t after);
