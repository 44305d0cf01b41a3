// SPDX-License-Identifier: Apache-2.0
// The schedules of cron.h. Each field becomes a set of bits; the next time is looked for day by
// day, then by hour and minute within the day that fits. Pure.
#include "sched/cron.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MINUTES_A_DAY 1440
#define NS_PER_MINUTE (60 * NS_PER_SEC)
// A day that ever comes does so within this: 29 February on a given day of the week may take 40
// years around 2100.
#define SEARCH_DAYS (41 * 366)

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const char *const months[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct {
	const char *name;
	unsigned low, high;
	const char *const *names; // of low, low + 1, ...
	unsigned name_count;
} fields[FIELDS] = {
	[MINUTE] = {"minute", 0, 59, NULL, 0},
	[HOUR] = {"hour", 0, 23, NULL, 0},
	[DAY] = {"day of the month", 1, 31, NULL, 0},
	[MONTH] = {"month", 1, 12, months, 12},
	[WEEKDAY] = {"day of the week", 0, 7, weekdays, 7},
};

struct schedule {
	uint64_t set[FIELDS]; // a bit a value; Sunday is bit 0
	bool star[FIELDS];    // the field begins with *
};

// Where a parser stands, and what it has to say.
struct parser {
	const char *at, *end; // of the schedule
	char *why;
	size_t why_len;
	unsigned number; // of the schedule, 0: there is only one
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct parser *p, const char *format, ...)
{
	int n = 0;
	va_list args;

	if (p->number)
		n = snprintf(p->why, p->why_len, "schedule %u: ", p->number);
	if (n < 0 || (size_t)n >= p->why_len)
		return false;
	va_start(args, format);
	vsnprintf(p->why + n, p->why_len - (size_t)n, format, args);
	va_end(args);
	return false;
}

// ---- one field ----

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// What is wrong with the field that ends at `end`, shown in short.
static bool wrong_field(struct parser *p, int f, const char *begin, const char *end)
{
	int len = end - begin > 24 ? 24 : (int)(end - begin);
	const char *names = f == MONTH ? " or jan to dec" : f == WEEKDAY ? " or sun to sat" : "";

	return wrong(p,
		"%s \"%.*s\": write *, a number from %u to %u%s, a range as %u-%u, a step as "
		"*/2, or several with commas",
		fields[f].name, len, begin, fields[f].low, fields[f].high, names, fields[f].low + 1,
		fields[f].low + 3);
}

// A number or a name at *at; false: neither, or out of its bounds.
static bool value(int f, const char **at, const char *end, unsigned *v)
{
	const char *from = *at;

	for (unsigned k = 0; k < fields[f].name_count && end - from >= 3; k++) {
		if (strncasecmp(from, fields[f].names[k], 3) != 0)
			continue;
		*v = fields[f].low + k;
		*at = from + 3;
		return *at == end || !letter(**at);
	}
	*v = 0;
	for (; *at < end && digit(**at) && *at - from < 3; (*at)++)
		*v = *v * 10 + (unsigned)(**at - '0');
	return *at > from && *v >= fields[f].low && *v <= fields[f].high;
}

static bool step(const char **at, const char *end, unsigned *by)
{
	const char *from = ++*at;

	*by = 0;
	for (; *at < end && digit(**at) && *at - from < 3; (*at)++)
		*by = *by * 10 + (unsigned)(**at - '0');
	return *at > from && *by > 0;
}

// One of the parts between commas.
static bool part(int f, const char **at, const char *end, uint64_t *set)
{
	unsigned low = fields[f].low, high = fields[f].high, by = 1;
	bool range = **at == '*';

	if (range) {
		++*at;
		high -= f == WEEKDAY; // Sunday once
	} else {
		if (!value(f, at, end, &low))
			return false;
		high = low;
		if (*at < end && **at == '-') {
			++*at;
			range = true;
			if (!value(f, at, end, &high))
				return false;
			// From Friday to Sunday.
			if (f == WEEKDAY && high == 0 && low > 0)
				high = 7;
		}
	}
	if (low > high)
		return false;
	if (*at < end && **at == '/' && (!range || !step(at, end, &by)))
		return false;
	for (unsigned v = low; v <= high; v += by)
		*set |= 1ull << (f == WEEKDAY ? v % 7 : v);
	return *at == end || **at == ',';
}

static bool field(struct parser *p, int f, struct schedule *s)
{
	const char *begin, *end, *at;

	while (p->at < p->end && blank(*p->at))
		p->at++;
	begin = at = end = p->at;
	while (end < p->end && !blank(*end))
		end++;
	p->at = end;
	if (begin == end)
		return wrong(p,
			"the %s is missing: write five fields, minute, hour, day of the month, "
			"month, "
			"day of the week",
			fields[f].name);
	s->star[f] = *begin == '*';
	for (;; at++) {
		if (at == end || !part(f, &at, end, &s->set[f]))
			return wrong_field(p, f, begin, end);
		if (at == end)
			return true;
	}
}

// ---- dates ----

struct date {
	unsigned year, month, day; // month and day from 1
};

// Of the proleptic Gregorian calendar; days since 1970. Years begin in March here, so that a leap
// day is the last one.
static struct date date_of(uint32_t days)
{
	uint32_t z = days + 719468, era = z / 146097, of_era = z % 146097;
	uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint32_t month = (5 * of_year + 2) / 153;

	return (struct date){.year = year + era * 400 + (month >= 10),
		.month = month < 10 ? month + 3 : month - 9,
		.day = of_year - (153 * month + 2) / 5 + 1};
}

static bool has(uint64_t set, unsigned v)
{
	return set >> v & 1;
}

static bool day_fits(const struct schedule *s, uint32_t days)
{
	struct date d = date_of(days);
	bool by_month = has(s->set[DAY], d.day);
	bool by_week = has(s->set[WEEKDAY], (days + 4) % 7); // 1970 began on a Thursday

	if (!has(s->set[MONTH], d.month))
		return false;
	return s->star[DAY] || s->star[WEEKDAY] ? by_month && by_week : by_month || by_week;
}

// The first minute of a day, from `from` on; MINUTES_A_DAY: none.
static uint32_t minute_of_day(const struct schedule *s, uint32_t from)
{
	for (uint32_t hour = from / 60; hour < 24; hour++, from = hour * 60) {
		uint64_t left = has(s->set[HOUR], hour) ? s->set[MINUTE] >> from % 60 : 0;

		if (left)
			return from + (uint32_t)__builtin_ctzll(left);
	}
	return MINUTES_A_DAY;
}

static ns_t next_of(const struct schedule *s, ns_t after)
{
	const uint32_t last = (uint32_t)(INT64_MAX / NS_PER_MINUTE / MINUTES_A_DAY) - 1;
	uint64_t minute = after < 0 ? 0 : (uint64_t)(after / NS_PER_MINUTE) + 1;
	uint32_t day = (uint32_t)(minute / MINUTES_A_DAY),
		 from = (uint32_t)(minute % MINUTES_A_DAY);

	for (uint32_t k = 0; k < SEARCH_DAYS && day <= last; k++, day++, from = 0) {
		uint32_t found = day_fits(s, day) ? minute_of_day(s, from) : MINUTES_A_DAY;

		if (found < MINUTES_A_DAY)
			return ((ns_t)day * MINUTES_A_DAY + found) * NS_PER_MINUTE;
	}
	return NS_NEVER;
}

// ---- all schedules of a text ----

// 30 February never does.
static bool ever_comes(struct parser *p, const struct schedule *s)
{
	// From 2000 on there is every kind of year.
	if (next_of(s, 946684800 * NS_PER_SEC) != NS_NEVER)
		return true;
	return wrong(p,
		"no such date ever comes: no month of the field month has that day of the month");
}

static bool one(struct parser *p, struct schedule *s)
{
	*s = (struct schedule){0};
	for (int f = 0; f < FIELDS; f++)
		if (!field(p, f, s))
			return false;
	while (p->at < p->end && blank(*p->at))
		p->at++;
	if (p->at < p->end)
		return wrong(p, "there is more behind the fifth field: put ; between schedules");
	return true;
}

// Reads the schedules and calls the function with each; false: what is wrong is told.
static bool each(const char *text, char *why, size_t len,
	bool (*function)(struct parser *p, const struct schedule *s, void *user), void *user)
{
	size_t all = strnlen(text, CRON_TEXT_MAX + 1);
	struct parser p = {.why = why, .why_len = len};
	struct schedule s;

	if (all > CRON_TEXT_MAX)
		return wrong(&p, "it is too long: at most %d characters", CRON_TEXT_MAX);
	p.number = memchr(text, ';', all) != NULL;
	for (const char *at = text;; at = p.end + 1, p.number++) {
		p.at = at;
		p.end = memchr(at, ';', (size_t)(text + all - at));
		if (!p.end)
			p.end = text + all;
		if (p.number > CRON_SCHEDULES_MAX)
			return wrong(&p, "there are too many: at most %d", CRON_SCHEDULES_MAX);
		if (!one(&p, &s) || !function(&p, &s, user))
			return false;
		if (p.end == text + all)
			return true;
	}
}

static bool check(struct parser *p, const struct schedule *s, void *user)
{
	return ever_comes(p, s);
}

struct search {
	ns_t after, first;
};

static bool earliest(struct parser *p, const struct schedule *s, void *user)
{
	struct search *search = user;
	ns_t at = next_of(s, search->after);

	if (at < search->first)
		search->first = at;
	return true;
}

const char *cron_check(const char *text, char *why, size_t len)
{
	return each(text, why, len, check, NULL) ? NULL : why;
}

ns_t cron_next(const char *text, ns_t after)
{
	struct search search = {after, NS_NEVER};
	char why[1];

	return each(text, why, sizeof(why), earliest, &search) ? search.first : NS_NEVER;
}
