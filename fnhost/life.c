// SPDX-License-Identifier: Apache-2.0
// The life of an instance: the transitions of life.h, a function each. Pure.
#include "fnhost/life.h"

#include <stddef.h>

static void enter(struct life *life, enum life_state state, ns_t now, ns_t patience)
{
	life->state = state;
	life->since = now;
	life->deadline = patience == NS_NEVER ? NS_NEVER : now + patience;
	life->killing = false;
}

void life_init(struct life *life, ns_t drain_max, uint64_t seed, ns_t now)
{
	*life = (struct life){
		.drain_max = drain_max, .term_max = LIFE_TERM_MAX, .backoff = LIFE_BACKOFF_MIN};
	rng_seed(&life->rng, seed);
	enter(life, LIFE_NEW, now, NS_NEVER);
}

static unsigned on_run(struct life *life, ns_t now)
{
	if (life->state != LIFE_NEW)
		return 0;
	enter(life, LIFE_STARTING, now, LIFE_START_MAX);
	return LIFE_SPAWN;
}

static unsigned on_adopt(struct life *life, ns_t now)
{
	if (life->state == LIFE_NEW)
		enter(life, LIFE_STARTING, now, LIFE_START_MAX);
	return 0;
}

static unsigned on_recall(struct life *life, ns_t now)
{
	if (life->state != LIFE_NEW)
		return 0;
	life->failed = life->once;
	enter(life, LIFE_FAILED, now, NS_NEVER);
	return 0;
}

static unsigned on_ready(struct life *life, ns_t now)
{
	if (life->state != LIFE_STARTING || life->killing)
		return 0;
	enter(life, LIFE_READY, now, life->once ? NS_NEVER : LIFE_STABLE);
	life->late = 0;
	life->reason = NULL;
	return life->once ? 0 : LIFE_SERVE;
}

static unsigned kill_start(struct life *life, ns_t now, const char *reason)
{
	enter(life, LIFE_STARTING, now, LIFE_KILL_AGAIN);
	life->killing = true;
	life->reason = reason;
	return LIFE_KILL;
}

static unsigned on_unready(struct life *life, ns_t now)
{
	if (life->state != LIFE_READY || life->once)
		return 0;
	if (++life->breaks >= LIFE_BREAKS_MAX)
		return LIFE_UNSERVE |
		       kill_start(life, now, "its connection broke again and again");
	enter(life, LIFE_STARTING, now, LIFE_START_MAX);
	life->reason = "its connection broke";
	return LIFE_UNSERVE;
}

// Many instances that die of one cause must not come back in step: a quarter more or less.
static ns_t next_wait(struct life *life)
{
	ns_t quarter = life->backoff / 4;
	ns_t wait = life->backoff - quarter +
		    (ns_t)(rng_next(&life->rng) % (uint64_t)(2 * quarter + 1));

	life->backoff *= 2;
	if (life->backoff > LIFE_BACKOFF_MAX)
		life->backoff = LIFE_BACKOFF_MAX;
	return wait;
}

static unsigned wait_or_give_up(struct life *life, ns_t now)
{
	life->ends++;
	if (life->once) {
		life->failed = true;
		enter(life, LIFE_FAILED, now, NS_NEVER);
		return LIFE_GIVE_UP;
	}
	if (life->ends >= LIFE_ENDS_MAX || life->late >= LIFE_LATE_MAX) {
		enter(life, LIFE_FAILED, now, NS_NEVER);
		return LIFE_GIVE_UP;
	}
	enter(life, LIFE_WAITING, now, next_wait(life));
	return 0;
}

static unsigned on_exited(struct life *life, ns_t now)
{
	unsigned actions = life->state == LIFE_READY && !life->once ? LIFE_UNSERVE : 0;

	if (life->once && life->stopped && life->state < LIFE_FAILED) {
		enter(life, LIFE_ENDED, now, NS_NEVER);
		return LIFE_END;
	}
	switch (life->state) {
	case LIFE_NEW:
	case LIFE_STARTING:
	case LIFE_READY:
		if (!life->killing)
			life->reason = "it ended by itself";
		return actions | wait_or_give_up(life, now);
	case LIFE_DRAINING:
	case LIFE_TERMINATING:
	case LIFE_KILLING:
		enter(life, LIFE_ENDED, now, NS_NEVER);
		return LIFE_END;
	default:
		return 0;
	}
}

static unsigned on_completed(struct life *life, ns_t now)
{
	bool runs = life->state == LIFE_NEW || life->state == LIFE_STARTING || life->state == LIFE_READY;

	if (!life->once || !runs || life->killing || life->stopped)
		return on_exited(life, now);
	enter(life, LIFE_DONE, now, NS_NEVER);
	return 0;
}

static unsigned terminate(struct life *life, ns_t now)
{
	enter(life, LIFE_TERMINATING, now, life->term_max);
	return LIFE_TERM;
}

static unsigned on_stop(struct life *life, ns_t now)
{
	if (life->state < LIFE_FAILED)
		life->stopped = true;
	switch (life->state) {
	case LIFE_NEW:
	case LIFE_WAITING:
	case LIFE_FAILED:
	case LIFE_DONE:
		enter(life, LIFE_ENDED, now, NS_NEVER);
		return LIFE_END;
	case LIFE_STARTING:
		return terminate(life, now);
	case LIFE_READY:
		if (life->once)
			return terminate(life, now);
		enter(life, LIFE_DRAINING, now, life->drain_max);
		return LIFE_UNSERVE;
	default:
		return 0;
	}
}

static unsigned on_idle(struct life *life, ns_t now)
{
	return life->state == LIFE_DRAINING ? terminate(life, now) : 0;
}

static unsigned on_hung(struct life *life, ns_t now)
{
	if (life->state != LIFE_READY)
		return 0;
	return LIFE_UNSERVE | kill_start(life, now, "all its places were held by calls that hang");
}

static unsigned on_timer(struct life *life, ns_t now)
{
	if (now < life->deadline)
		return 0;
	switch (life->state) {
	case LIFE_WAITING:
		enter(life, LIFE_STARTING, now, LIFE_START_MAX);
		life->restarts++;
		life->breaks = 0;
		return LIFE_SPAWN;
	case LIFE_STARTING:
		life->late += !life->killing;
		return kill_start(
			life, now, life->killing ? life->reason : "it did not become ready in time");
	case LIFE_READY:
		life->backoff = LIFE_BACKOFF_MIN;
		life->ends = 0;
		life->breaks = 0;
		life->deadline = NS_NEVER;
		return 0;
	case LIFE_DRAINING:
		return terminate(life, now);
	case LIFE_TERMINATING:
	case LIFE_KILLING:
		enter(life, LIFE_KILLING, now, LIFE_KILL_AGAIN);
		return LIFE_KILL;
	default:
		return 0;
	}
}

unsigned life_step(struct life *life, enum life_event event, ns_t now)
{
	static unsigned (*const on[])(struct life *life, ns_t now) = {
		[LIFE_RUN] = on_run,
		[LIFE_ADOPT] = on_adopt,
		[LIFE_RECALL] = on_recall,
		[LIFE_IS_READY] = on_ready,
		[LIFE_UNREADY] = on_unready,
		[LIFE_EXITED] = on_exited,
		[LIFE_COMPLETED] = on_completed,
		[LIFE_STOP] = on_stop,
		[LIFE_IDLE] = on_idle,
		[LIFE_HUNG] = on_hung,
		[LIFE_TIMER] = on_timer,
	};

	return on[event](life, now);
}

const char *life_name(const struct life *life)
{
	static const char *const names[] = {
		[LIFE_NEW] = "starting",
		[LIFE_WAITING] = "starting",
		[LIFE_STARTING] = "starting",
		[LIFE_READY] = "running",
		[LIFE_DRAINING] = "stopping",
		[LIFE_TERMINATING] = "stopping",
		[LIFE_KILLING] = "stopping",
		[LIFE_FAILED] = "failed",
		[LIFE_DONE] = "exited",
		[LIFE_ENDED] = "exited",
	};

	return names[life->state == LIFE_ENDED && life->failed ? LIFE_FAILED : life->state];
}
