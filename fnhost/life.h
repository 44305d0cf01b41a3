// SPDX-License-Identifier: Apache-2.0
// The life of an instance, pure: events and the time in, actions out. Knows no process and no socket.
//
//            RUN: spawn                READY: serve              STOP: unserve          IDLE, drain over: term
//   NEW ------------------> STARTING ----------------> READY ---------------> DRAINING -----------------.
//    |  ADOPT                ^ |  ^--------------------' |                                              v
//    '-----------------------' |     UNREADY: unserve    | EXITED: unserve                        TERMINATING
//                 TIMER: spawn | ^                       |                                              | TIMER: kill
//                              | |  EXITED               |                                              v
//                              v |<----------------------'                                           KILLING
//                           WAITING ----- STOP ------------------------------> ENDED <----- EXITED -----'
//                              | too often: give up                              ^
//                              '------------------------> FAILED ----- STOP -----'
//
// An instance that is not READY in time, or HUNG, is killed and comes back by way of WAITING. One that ends again
// and again without having been READY for long, or is twice not READY in time, is FAILED: it is not started any
// more, and the control plane places another one elsewhere.
//
// One that runs once (a job's) is READY as soon as it runs, and not started again:
//
//   STARTING, READY -- COMPLETED --> DONE      -- EXITED, as any other end --> FAILED (give up)
//                   -- STOP: term --> TERMINATING, then as above
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/rng.h"

#define LIFE_BACKOFF_MIN (100 * NS_PER_MS) // each start waits a quarter more or less, at random
#define LIFE_BACKOFF_MAX (30 * NS_PER_SEC)
#define LIFE_STABLE (10 * NS_PER_SEC)     // ready for this long: back-off and count begin anew
#define LIFE_ENDS_MAX 8u                  // without having been stable: given up (after about 13 s)
#define LIFE_LATE_MAX 2u                  // not ready in time, one after the other: given up
#define LIFE_BREAKS_MAX 8u                // connections that broke without its being stable: killed
#define LIFE_START_MAX (30 * NS_PER_SEC)  // to become ready
#define LIFE_TERM_MAX (5 * NS_PER_SEC)    // between SIGTERM and SIGKILL, of functions
#define LIFE_KILL_AGAIN NS_PER_SEC

enum life_state {
	LIFE_NEW, // waits for a place
	LIFE_WAITING, // it died; for the next start
	LIFE_STARTING,
	LIFE_READY,
	LIFE_DRAINING,
	LIFE_TERMINATING,
	LIFE_KILLING,
	LIFE_FAILED, // given up
	LIFE_DONE,   // ran once, and all is well
	LIFE_ENDED,
};

enum life_event {
	LIFE_RUN,     // it is wanted
	LIFE_ADOPT,   // it is wanted, and its program runs already
	LIFE_RECALL,  // it is wanted, and was given up before this host began
	LIFE_IS_READY,
	LIFE_UNREADY, // the connection broke
	LIFE_EXITED,  // or could not be started
	LIFE_COMPLETED, // exited with success
	LIFE_STOP,    // not wanted any more
	LIFE_IDLE,    // the last of its calls has ended
	LIFE_HUNG,
	LIFE_TIMER,   // `deadline` is reached
};

enum life_action {
	LIFE_SPAWN = 1,
	LIFE_SERVE = 2,   // it pulls calls from now on
	LIFE_UNSERVE = 4, // it does not any more
	LIFE_TERM = 8,
	LIFE_KILL = 16,
	LIFE_GIVE_UP = 32,
	LIFE_END = 64, // the last
};

struct life {
	enum life_state state;
	ns_t since;    // of the state
	ns_t deadline; // for LIFE_TIMER; NS_NEVER: none
	ns_t drain_max;
	ns_t term_max; // between SIGTERM and SIGKILL; LIFE_TERM_MAX, unless it is set behind life_init()
	ns_t backoff; // before the next start, without jitter
	struct rng rng;
	uint32_t restarts;
	uint32_t ends; // since it was last stable
	uint32_t late; // of these, the last ones that were not ready in time
	uint32_t breaks; // of the connection, since start or stable
	bool killing; // STARTING, and told to die
	bool once;    // set it behind life_init(): runs to its end, and that is it
	bool stopped; // told to stop before its end; set before LIFE_ADOPT if by the host before
	bool failed;  // once: what it stays when nobody asks for it any more
	const char *reason; // of the last trouble; NULL: none
};

// seed: of the jitter.
void life_init(struct life *life, ns_t drain_max, uint64_t seed, ns_t now);
// Returns enum life_action bits, to be carried out in ascending order. Events that mean nothing in a state are ignored.
unsigned life_step(struct life *life, enum life_event event, ns_t now);
// "starting" (also while it waits to be started again), "running", "stopping", "failed" (given up), "exited": what
// the control plane is told.
const char *life_name(const struct life *life);
// No program of it is there, nor will be.
static inline bool life_over(const struct life *life)
{
	return life->state >= LIFE_FAILED;
}
