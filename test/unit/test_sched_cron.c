// SPDX-License-Identifier: Apache-2.0
// Schedules: what they mean, held against a search minute by minute with the C library's calendar,
// and what is said of wrong ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/rng.h"
#include "sched/cron.h"

static ns_t at(const char *when)
{
	struct tm tm = {0};

	assert_non_null(strptime(when, "%Y-%m-%d %H:%M:%S", &tm));
	return (ns_t)timegm(&tm) * NS_PER_SEC;
}

static void expect(const char *schedule, const char *after, const char *next)
{
	char why[200], text[32];
	time_t t = (time_t)(cron_next(schedule, at(after)) / NS_PER_SEC);

	assert_null(cron_check(schedule, why, sizeof(why)));
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime(&t));
	assert_string_equal(text, next);
}

static void next_times(void **state)
{
	expect("* * * * *", "2026-11-23 16:00:00", "2026-11-23 16:01:00");
	expect("* * * * *", "2026-11-23 16:00:59", "2026-11-23 16:01:00");
	expect("*/5 * * * *", "2026-11-23 16:58:00", "2026-11-23 17:00:00");
	expect("7-59/20 * * * *", "2026-11-23 16:28:00", "2026-11-23 16:47:00");
	expect("30 4 * * *", "2026-12-31 04:30:00", "2027-01-01 04:30:00");
	expect("0,15,45 8-10 * * *", "2026-11-23 10:15:00", "2026-11-23 10:45:00");
	expect("0 0 1 jan,JUL *", "2026-01-01 00:00:00", "2026-07-01 00:00:00");
	expect("0 12 * * mon-fri", "2026-11-27 12:00:00", "2026-11-30 12:00:00");
	expect("0 12 * * 0", "2026-11-23 12:00:00", "2026-11-29 12:00:00");
	expect("0 12 * * 7", "2026-11-23 12:00:00", "2026-11-29 12:00:00");
	expect("0 12 * * fri-sun", "2026-11-28 12:00:00", "2026-11-29 12:00:00");
	expect("0 12 * * 5-7", "2026-11-29 12:00:00", "2026-12-04 12:00:00");
	// Before 1970 there is nothing to launch.
	assert_true(cron_next("0 0 * * *", -5 * NS_PER_SEC) == 0);
}

static void either_of_two_days(void **state)
{
	// Neither begins with *: the 13th, and each Friday.
	expect("0 0 13 * fri", "2026-11-06 00:00:00", "2026-11-13 00:00:00");
	expect("0 0 13 * fri", "2026-11-13 00:00:00", "2026-11-20 00:00:00");
	expect("0 0 13 * fri", "2026-12-11 00:00:00", "2026-12-13 00:00:00");
	// One does: both must fit.
	expect("0 0 */2 * fri", "2026-11-06 00:00:00", "2026-11-13 00:00:00");
	expect("0 0 13 * *", "2026-11-13 00:00:00", "2026-12-13 00:00:00");
	expect("0 0 * * fri", "2026-11-13 00:00:00", "2026-11-20 00:00:00");
}

static void leap_days(void **state)
{
	char why[200];

	expect("0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00");
	expect("0 0 29 2 *", "2096-02-29 00:00:00", "2104-02-29 00:00:00");
	// On a Sunday (the step makes both count), the longest anybody waits.
	expect("0 0 29 2 */7", "2088-03-01 00:00:00", "2128-02-29 00:00:00");
	expect("0 0 31 * *", "2026-11-01 00:00:00", "2026-12-31 00:00:00");
	assert_non_null(cron_check("0 0 30 2 *", why, sizeof(why)));
	assert_non_null(strstr(why, "no such date ever comes"));
	assert_non_null(cron_check("0 0 31 4,6,9,11 *", why, sizeof(why)));
	assert_true(cron_next("0 0 30 feb *", 0) == NS_NEVER);
	// With a day of the week it comes.
	expect("0 0 30 2 mon", "2026-01-30 00:00:00", "2026-02-02 00:00:00");
}

static void several_schedules(void **state)
{
	expect("0 6 * * *; 30 5 * * mon ;0 7 * * *", "2026-11-23 05:00:00", "2026-11-23 05:30:00");
	expect("0 6 * * *; 30 5 * * mon ;0 7 * * *", "2026-11-24 05:00:00", "2026-11-24 06:00:00");
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "the minute is missing"},
		{"* * * *", "the day of the week is missing"},
		{"* * * * * *", "more behind the fifth field"},
		{"60 * * * *", "minute \"60\": write *, a number from 0 to 59"},
		{"* 24 * * *", "hour \"24\""},
		{"* * 0 * *", "day of the month \"0\""},
		{"* * * 13 *", "month \"13\""},
		{"* * * jam *", "or jan to dec"},
		{"* * * * 8", "day of the week \"8\""},
		{"* * * * monday", "day of the week \"monday\""},
		{"*/0 * * * *", "minute \"*/0\""},
		{"5/15 * * * *", "minute \"5/15\""},
		{"9-5 * * * *", "minute \"9-5\""},
		{"1,,2 * * * *", "minute \"1,,2\""},
		{"1, * * * *", "minute \"1,\""},
		{"-1 * * * *", "minute \"-1\""},
		{"+1 * * * *", "minute \"+1\""},
		{"1- * * * *", "minute \"1-\""},
		{"*5 * * * *", "minute \"*5\""},
		{"* * * * *;", "schedule 2: the minute is missing"},
		{"* * * * *; * 77 * * *", "schedule 2: hour \"77\""},
		{"@daily", "minute \"@daily\""},
		{"99999999999999999999 * * * *", "minute"},
	};
	char why[200];

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		assert_ptr_equal(cron_check(cases[k].text, why, sizeof(why)), why);
		if (!strstr(why, cases[k].says))
			fail_msg("%s: %s", cases[k].text, why);
		assert_true(cron_next(cases[k].text, 0) == NS_NEVER);
	}
}

static void texts_are_bounded(void **state)
{
	char text[2 * CRON_TEXT_MAX], why[200], little[8];
	size_t len = 0;

	memset(text, ' ', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_non_null(cron_check(text, why, sizeof(why)));
	assert_non_null(strstr(why, "too long"));
	for (int k = 0; k < CRON_SCHEDULES_MAX; k++)
		len += (size_t)sprintf(text + len, "%s%d 1 * * *", k ? ";" : "", k);
	assert_null(cron_check(text, why, sizeof(why)));
	strcpy(text + len, ";0 1 * * *");
	assert_non_null(cron_check(text, why, sizeof(why)));
	assert_non_null(strstr(why, "too many"));
	// A short buffer gets the beginning.
	assert_non_null(cron_check("x", little, sizeof(little)));
	assert_string_equal(little, "minute ");
}

// ---- the search minute by minute ----

static const int lows[] = {0, 0, 1, 1, 0}, highs[] = {59, 23, 31, 12, 6};

struct random {
	char text[200];
	bool set[5][64], star[5];
};

static void random_field(struct rng *rng, struct random *r, int f)
{
	int low = lows[f], span = highs[f] - lows[f] + 1, len = (int)strlen(r->text);

	if (f)
		len += sprintf(r->text + len, " ");
	if (rng_below(rng, 3) == 0) {
		int by = 1 + (int)rng_below(rng, 4);

		r->star[f] = true;
		sprintf(r->text + len, "*/%d", by);
		for (int v = low; v <= highs[f]; v += by)
			r->set[f][v] = true;
		return;
	}
	for (uint32_t parts = 1 + rng_below(rng, 3), k = 0; k < parts; k++) {
		int from = low + (int)rng_below(rng, (uint32_t)span);
		int to = from + (int)rng_below(rng, (uint32_t)(highs[f] - from + 1));
		int by = 1 + (int)rng_below(rng, 5);

		len += sprintf(r->text + len, "%s%d-%d/%d", k ? "," : "", from, to, by);
		for (int v = from; v <= to; v += by)
			r->set[f][v] = true;
	}
}

static bool fits(const struct random *r, time_t t)
{
	struct tm tm;
	bool day, week;

	gmtime_r(&t, &tm);
	day = r->set[2][tm.tm_mday];
	week = r->set[4][tm.tm_wday];
	if (!r->set[0][tm.tm_min] || !r->set[1][tm.tm_hour] || !r->set[3][tm.tm_mon + 1])
		return false;
	return r->star[2] || r->star[4] ? day && week : day || week;
}

static void as_minute_by_minute(void **state)
{
	struct rng rng;
	uint32_t found = 0;

	rng_seed(&rng, 91);
	for (int k = 0; k < 300; k++) {
		struct random r = {0};
		time_t t = 60 * (time_t)rng_below(&rng, 90u * 365 * 1440), end = t + 40 * 86400;
		ns_t next;

		for (int f = 0; f < 5; f++)
			random_field(&rng, &r, f);
		next = cron_next(r.text, (ns_t)t * NS_PER_SEC + rng_below(&rng, 2));
		do
			t += 60;
		while (t < end && !fits(&r, t));
		if (t < end) {
			found++;
			assert_true(next == (ns_t)t * NS_PER_SEC);
		} else {
			assert_true(next >= (ns_t)t * NS_PER_SEC);
		}
	}
	assert_true(found > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(next_times),
		cmocka_unit_test(either_of_two_days),
		cmocka_unit_test(leap_days),
		cmocka_unit_test(several_schedules),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(texts_are_bounded),
		cmocka_unit_test(as_minute_by_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
