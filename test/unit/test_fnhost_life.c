// SPDX-License-Identifier: Apache-2.0
// The life of an instance, in virtual time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fnhost/life.h"

#define MS NS_PER_MS
#define DRAIN (200 * MS)

static struct life fresh(void)
{
	struct life life;

	life_init(&life, DRAIN, 7, 0);
	return life;
}

static struct life ready(ns_t now)
{
	struct life life = fresh();

	assert_int_equal(life_step(&life, LIFE_RUN, now), LIFE_SPAWN);
	assert_int_equal(life_step(&life, LIFE_IS_READY, now), LIFE_SERVE);
	return life;
}

static void starts_and_serves(void **state)
{
	struct life life = fresh();

	assert_string_equal(life_name(&life), "starting");
	assert_int_equal(life_step(&life, LIFE_RUN, 5), LIFE_SPAWN);
	assert_int_equal(life_step(&life, LIFE_RUN, 6), 0); // wanted twice, started once
	assert_int_equal(life_step(&life, LIFE_IS_READY, 7), LIFE_SERVE);
	assert_int_equal(life_step(&life, LIFE_IS_READY, 8), 0);
	assert_string_equal(life_name(&life), "running");
	assert_int_equal(life.since, 7);
	assert_int_equal(life.restarts, 0);
}

static void adopted_is_not_started(void **state)
{
	struct life life = fresh();

	assert_int_equal(life_step(&life, LIFE_ADOPT, 1), 0);
	assert_int_equal(life.state, LIFE_STARTING);
	assert_int_equal(life_step(&life, LIFE_IS_READY, 2), LIFE_SERVE);
}

// A quarter more or less.
static void assert_wait(const struct life *life, ns_t now, ns_t want)
{
	assert_true(life->deadline >= now + want * 3 / 4);
	assert_true(life->deadline <= now + want * 5 / 4);
}

// Ends after it was ready for less than is stable, and is started again; returns the time.
static ns_t end_and_start(struct life *life, ns_t now, ns_t want)
{
	assert_int_equal(life_step(life, LIFE_EXITED, now) & ~(unsigned)LIFE_UNSERVE, 0);
	assert_string_equal(life_name(life), "starting");
	assert_wait(life, now, want);
	assert_int_equal(life_step(life, LIFE_TIMER, life->deadline - 1), 0);
	assert_int_equal(life_step(life, LIFE_TIMER, life->deadline), LIFE_SPAWN);
	return life->since;
}

// 100 ms, doubled; anew after 10 s of being ready, not after fewer.
static void backoff(void **state)
{
	struct life life = fresh();
	ns_t now = 0, want = LIFE_BACKOFF_MIN;

	life_step(&life, LIFE_RUN, now);
	for (uint32_t i = 0; i < 5; i++) {
		now = end_and_start(&life, now, want);
		assert_int_equal(life.restarts, i + 1);
		want *= 2;
	}
	life_step(&life, LIFE_IS_READY, now);
	now = end_and_start(&life, now + LIFE_STABLE / 2, want); // not stable yet
	life_step(&life, LIFE_IS_READY, now);
	now += LIFE_STABLE;
	assert_int_equal(life_step(&life, LIFE_TIMER, now), 0);
	assert_true(life.deadline == NS_NEVER);
	end_and_start(&life, now, LIFE_BACKOFF_MIN);
	assert_int_equal(life.restarts, 7);
}

// One that has been stable in between is never given up, and its waits have an end.
static void backoff_has_an_end(void **state)
{
	struct life life = fresh();
	ns_t now = 0;

	life.backoff = LIFE_BACKOFF_MAX / 2;
	life_step(&life, LIFE_RUN, now);
	now = end_and_start(&life, now, LIFE_BACKOFF_MAX / 2);
	now = end_and_start(&life, now, LIFE_BACKOFF_MAX);
	end_and_start(&life, now, LIFE_BACKOFF_MAX);
	for (unsigned i = 0; i < 10 * LIFE_ENDS_MAX; i++) {
		life_step(&life, LIFE_IS_READY, now);
		now += LIFE_STABLE;
		life_step(&life, LIFE_TIMER, now);
		now = end_and_start(&life, now, LIFE_BACKOFF_MIN);
	}
}

static void instances_do_not_come_back_in_step(void **state)
{
	struct life a, b;

	life_init(&a, DRAIN, 1, 0);
	life_init(&b, DRAIN, 2, 0);
	life_step(&a, LIFE_RUN, 0);
	life_step(&b, LIFE_RUN, 0);
	life_step(&a, LIFE_EXITED, 0);
	life_step(&b, LIFE_EXITED, 0);
	assert_true(a.deadline != b.deadline);
}

static void too_many_ends_are_a_failure(void **state)
{
	struct life life = fresh();
	ns_t now = 0;

	life_step(&life, LIFE_RUN, now);
	for (unsigned i = 1; i < LIFE_ENDS_MAX; i++) {
		life_step(&life, LIFE_IS_READY, now); // for a moment
		life_step(&life, LIFE_EXITED, now);
		assert_int_equal(life.state, LIFE_WAITING);
		now = life.deadline;
		life_step(&life, LIFE_TIMER, now);
	}
	assert_true(now <= 16 * NS_PER_SEC); // told in time to be placed elsewhere
	life_step(&life, LIFE_IS_READY, now);
	assert_int_equal(life_step(&life, LIFE_EXITED, now), LIFE_UNSERVE | LIFE_GIVE_UP);
	assert_string_equal(life_name(&life), "failed");
	assert_string_equal(life.reason, "it ended by itself");
	assert_true(life.deadline == NS_NEVER);
	assert_int_equal(life_step(&life, LIFE_TIMER, now + 1000 * NS_PER_SEC), 0);
	assert_int_equal(life_step(&life, LIFE_RUN, now), 0);
	assert_int_equal(life_step(&life, LIFE_EXITED, now), 0);
	assert_int_equal(life_step(&life, LIFE_STOP, now), LIFE_END);
	assert_string_equal(life_name(&life), "exited");
}

static void given_up_stays_given_up(void **state)
{
	struct life life = fresh();

	assert_int_equal(life_step(&life, LIFE_RECALL, 1), 0);
	assert_string_equal(life_name(&life), "failed");
	assert_int_equal(life_step(&life, LIFE_RUN, 2), 0);
	assert_int_equal(life_step(&life, LIFE_STOP, 3), LIFE_END);
}

static void stop_drains_then_terminates(void **state)
{
	struct life life = ready(0);

	assert_int_equal(life_step(&life, LIFE_STOP, 10), LIFE_UNSERVE);
	assert_string_equal(life_name(&life), "stopping");
	assert_true(life.deadline == 10 + DRAIN);
	assert_int_equal(life_step(&life, LIFE_STOP, 11), 0);
	assert_int_equal(life_step(&life, LIFE_IDLE, 20), LIFE_TERM);
	assert_int_equal(life_step(&life, LIFE_IDLE, 21), 0);
	assert_int_equal(life_step(&life, LIFE_EXITED, 30), LIFE_END);
	assert_string_equal(life_name(&life), "exited");
	assert_int_equal(life_step(&life, LIFE_EXITED, 31), 0);
	assert_int_equal(life_step(&life, LIFE_RUN, 32), 0);
}

static void drain_has_an_end_and_so_has_term(void **state)
{
	struct life life = ready(0);
	ns_t now = 10;

	life_step(&life, LIFE_STOP, now);
	now = life.deadline;
	assert_int_equal(life_step(&life, LIFE_TIMER, now), LIFE_TERM);
	assert_true(life.deadline == now + LIFE_TERM_MAX);
	now = life.deadline;
	assert_int_equal(life_step(&life, LIFE_TIMER, now), LIFE_KILL);
	now = life.deadline;
	assert_int_equal(life_step(&life, LIFE_TIMER, now), LIFE_KILL); // said again until it is over
	assert_int_equal(life_step(&life, LIFE_EXITED, now), LIFE_END);
}

static void stop_while_it_waits_or_starts(void **state)
{
	struct life life = fresh();

	assert_int_equal(life_step(&life, LIFE_STOP, 0), LIFE_END);
	life = fresh();
	life_step(&life, LIFE_RUN, 0);
	assert_int_equal(life_step(&life, LIFE_STOP, 1), LIFE_TERM);
	assert_int_equal(life_step(&life, LIFE_IS_READY, 2), 0); // too late
	assert_int_equal(life_step(&life, LIFE_EXITED, 3), LIFE_END);
	life = fresh();
	life_step(&life, LIFE_RUN, 0);
	life_step(&life, LIFE_EXITED, 1);
	assert_int_equal(life_step(&life, LIFE_STOP, 2), LIFE_END);
	assert_int_equal(life_step(&life, LIFE_TIMER, 1000 * NS_PER_SEC), 0); // nothing comes back
}

static void not_ready_in_time(void **state)
{
	struct life life = fresh();

	life_step(&life, LIFE_RUN, 0);
	assert_int_equal(life_step(&life, LIFE_TIMER, LIFE_START_MAX), LIFE_KILL);
	assert_int_equal(life_step(&life, LIFE_IS_READY, LIFE_START_MAX + 1), 0);
	assert_int_equal(life_step(&life, LIFE_EXITED, LIFE_START_MAX + 2), 0);
	assert_int_equal(life.state, LIFE_WAITING);
	assert_string_equal(life.reason, "it did not become ready in time");
}

static void twice_not_ready_in_time_is_a_failure(void **state)
{
	struct life life = fresh();

	life_step(&life, LIFE_RUN, 0);
	life_step(&life, LIFE_TIMER, life.deadline);
	life_step(&life, LIFE_TIMER, life.deadline); // killed again: still the same start
	life_step(&life, LIFE_EXITED, life.deadline);
	assert_int_equal(life.state, LIFE_WAITING);
	life_step(&life, LIFE_TIMER, life.deadline);
	life_step(&life, LIFE_TIMER, life.deadline);
	assert_int_equal(life_step(&life, LIFE_EXITED, life.deadline), LIFE_GIVE_UP);
	assert_string_equal(life.reason, "it did not become ready in time");
}

static void connection_breaks_and_returns(void **state)
{
	struct life life = ready(0);

	assert_int_equal(life_step(&life, LIFE_UNREADY, 1), LIFE_UNSERVE);
	assert_int_equal(life_step(&life, LIFE_UNREADY, 2), 0);
	assert_int_equal(life_step(&life, LIFE_IS_READY, 3), LIFE_SERVE);
	assert_int_equal(life.restarts, 0);
}

// A program that speaks garbage is ready again and again, and never of use.
static void connection_breaks_again_and_again(void **state)
{
	struct life life = ready(0);

	for (unsigned i = 1; i < LIFE_BREAKS_MAX; i++) {
		assert_int_equal(life_step(&life, LIFE_UNREADY, i), LIFE_UNSERVE);
		assert_int_equal(life_step(&life, LIFE_IS_READY, i), LIFE_SERVE);
	}
	assert_int_equal(life_step(&life, LIFE_UNREADY, 50), LIFE_UNSERVE | LIFE_KILL);
	assert_int_equal(life_step(&life, LIFE_IS_READY, 51), 0);
	life_step(&life, LIFE_EXITED, 52);
	assert_string_equal(life.reason, "its connection broke again and again");
	life_step(&life, LIFE_TIMER, life.deadline);
	assert_int_equal(life_step(&life, LIFE_IS_READY, life.since), LIFE_SERVE);
	assert_int_equal(life_step(&life, LIFE_UNREADY, life.since), LIFE_UNSERVE); // counts anew
}

static void hung_is_killed_and_comes_back(void **state)
{
	struct life life = ready(0);

	assert_int_equal(life_step(&life, LIFE_HUNG, 1), LIFE_UNSERVE | LIFE_KILL);
	assert_int_equal(life_step(&life, LIFE_TIMER, life.deadline), LIFE_KILL);
	assert_int_equal(life_step(&life, LIFE_EXITED, 3 * NS_PER_SEC), 0);
	assert_non_null(strstr(life.reason, "hang"));
	assert_int_equal(life_step(&life, LIFE_TIMER, life.deadline), LIFE_SPAWN);
	assert_int_equal(life.restarts, 1);
}

// Jobs

static struct life once(void)
{
	struct life life = fresh();

	life.once = true;
	life.term_max = DRAIN;
	assert_int_equal(life_step(&life, LIFE_RUN, 0), LIFE_SPAWN);
	return life;
}

static struct life once_running(void)
{
	struct life life = once();

	assert_int_equal(life_step(&life, LIFE_IS_READY, 1), 0); // it serves nobody
	assert_string_equal(life_name(&life), "running");
	assert_true(life.deadline == NS_NEVER); // for as long as it takes
	return life;
}

static void once_runs_to_its_end(void **state)
{
	struct life life = once_running();

	assert_int_equal(life_step(&life, LIFE_COMPLETED, 2), 0);
	assert_int_equal(life.state, LIFE_DONE);
	assert_string_equal(life_name(&life), "exited");
	assert_true(life_over(&life));
	assert_false(life.stopped);
	assert_int_equal(life_step(&life, LIFE_RUN, 3), 0);
	assert_int_equal(life_step(&life, LIFE_TIMER, 1000 * NS_PER_SEC), 0); // nothing comes back
	assert_int_equal(life_step(&life, LIFE_STOP, 4), LIFE_END);
	assert_false(life.stopped); // it was through before
	assert_string_equal(life_name(&life), "exited");
	life = once();
	assert_int_equal(life_step(&life, LIFE_COMPLETED, 2), 0); // before we heard that it runs
	assert_int_equal(life.state, LIFE_DONE);
}

static void once_fails_once(void **state)
{
	struct life life = once_running();

	assert_int_equal(life_step(&life, LIFE_EXITED, 2), LIFE_GIVE_UP);
	assert_string_equal(life_name(&life), "failed");
	assert_int_equal(life_step(&life, LIFE_TIMER, 1000 * NS_PER_SEC), 0);
	assert_int_equal(life.restarts, 0);
	assert_int_equal(life_step(&life, LIFE_STOP, 3), LIFE_END);
	assert_int_equal(life.state, LIFE_ENDED);
	assert_string_equal(life_name(&life), "failed"); // it was told so, and that is that
	life = once();
	assert_int_equal(life_step(&life, LIFE_EXITED, 2), LIFE_GIVE_UP); // could not be started
	life = fresh();
	life.once = true;
	life_step(&life, LIFE_ADOPT, 0);
	assert_int_equal(life_step(&life, LIFE_COMPLETED, 1), 0); // ended while the host was away
	assert_int_equal(life.state, LIFE_DONE);
}

static void once_has_its_drain_between_term_and_kill(void **state)
{
	struct life life = once_running();

	assert_int_equal(life_step(&life, LIFE_STOP, 10), LIFE_TERM);
	assert_string_equal(life_name(&life), "stopping");
	assert_true(life.stopped);
	assert_true(life.deadline == 10 + DRAIN);
	assert_int_equal(life_step(&life, LIFE_TIMER, life.deadline), LIFE_KILL);
	assert_int_equal(life_step(&life, LIFE_EXITED, 400 * MS), LIFE_END);
	assert_string_equal(life_name(&life), "exited"); // and not failed
	life = once_running();
	life_step(&life, LIFE_STOP, 10);
	assert_int_equal(life_step(&life, LIFE_COMPLETED, 20), LIFE_END);
	assert_true(life.stopped);
	life = fresh();
	life.once = true;
	assert_int_equal(life_step(&life, LIFE_STOP, 0), LIFE_END);
	assert_true(life.stopped);
	assert_int_equal(life_step(&life, LIFE_RUN, 1), 0); // never begins
}

// Success is nothing for a function: it is to go on.
static void a_function_that_exits_is_started_again(void **state)
{
	struct life life = ready(0);

	assert_int_equal(life_step(&life, LIFE_COMPLETED, 1), LIFE_UNSERVE);
	assert_int_equal(life.state, LIFE_WAITING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_and_serves),
		cmocka_unit_test(adopted_is_not_started),
		cmocka_unit_test(backoff),
		cmocka_unit_test(backoff_has_an_end),
		cmocka_unit_test(instances_do_not_come_back_in_step),
		cmocka_unit_test(too_many_ends_are_a_failure),
		cmocka_unit_test(given_up_stays_given_up),
		cmocka_unit_test(stop_drains_then_terminates),
		cmocka_unit_test(drain_has_an_end_and_so_has_term),
		cmocka_unit_test(stop_while_it_waits_or_starts),
		cmocka_unit_test(not_ready_in_time),
		cmocka_unit_test(twice_not_ready_in_time_is_a_failure),
		cmocka_unit_test(connection_breaks_and_returns),
		cmocka_unit_test(connection_breaks_again_and_again),
		cmocka_unit_test(hung_is_killed_and_comes_back),
		cmocka_unit_test(once_runs_to_its_end),
		cmocka_unit_test(once_fails_once),
		cmocka_unit_test(once_has_its_drain_between_term_and_kill),
		cmocka_unit_test(a_function_that_exits_is_started_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
