// SPDX-License-Identifier: Apache-2.0
// What a worker does when there is nothing to do: spin a little, then sleep. Worker thread.
//
//	polling ──no work for `spin`──▶ armed ──one more look finds nothing──▶ asleep ──event──▶ polling
//	   ▲                            │   ▲                                   │
//	   └────────────work────────────┘   └──────────────time-out─────────────┘
//
// Arming comes before the last look, so that a packet which arrives between the two ends the
// sleep. Asleep, one epoll waits for the rx interrupts, the event loop's ring, the inbox and the
// next timer. With a port that has no interrupts the sleep is POLL_NS at most. The worker is
// offline in the RCU while it sleeps.
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/dataplane.h"
#include "dataplane/worker.h"

#define POLL_NS (100 * NS_PER_US)
#define EMPTY_MIN 8  // iterations, however long they took

static int watch(struct idle *idle, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	return epoll_ctl(idle->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int idle_init(struct worker *w, ns_t spin)
{
	struct idle *idle = &w->idle;
	int error;

	*idle = (struct idle){.epoll = epoll_create1(EPOLL_CLOEXEC), .spin = spin};
	if (idle->epoll < 0)
		return -errno;
	// Edge-triggered: what is readable is read by polling, so that no descriptor needs to be
	// emptied here.
	error = watch(idle, w->inbox.fd, EPOLLIN | EPOLLET);
	if (!error)
		error = watch(idle, loop_fd(w->loop), EPOLLIN);
	for (unsigned i = 0; !error && i < w->dp->ports.count; i++) {
		const struct port *port = &w->dp->ports.port[i];
		int fd = port->rx_fd[w->id];

		// net_tap's descriptor is the queue itself: while a packet lies in it there is no sleep.
		// Interrupts that are switched stay readable, so there the edge it is.
		if (fd < 0)
			idle->polled = true;
		else
			error = watch(idle, fd, port->intr_switch ? EPOLLIN | EPOLLET : EPOLLIN);
	}
	if (error)
		idle_fini(w);
	return error;
}

void idle_fini(struct worker *w)
{
	if (w->idle.epoll >= 0)
		close(w->idle.epoll);
	w->idle.epoll = -1;
}

static void switch_interrupts(struct worker *w, bool on)
{
	for (unsigned i = 0; i < w->dp->ports.count; i++) {
		const struct port *port = &w->dp->ports.port[i];

		if (!port->intr_switch)
			continue;
		if (on)
			rte_eth_dev_rx_intr_enable(port->id, (uint16_t)w->id);
		else
			rte_eth_dev_rx_intr_disable(port->id, (uint16_t)w->id);
	}
}

static void arm(struct worker *w, bool on)
{
	if (w->idle.armed == on)
		return;
	w->idle.armed = on;
	switch_interrupts(w, on);
	if (on)
		inbox_sleep(&w->inbox);
	else
		inbox_awake(&w->inbox);
}

static ns_t wake_time(struct worker *w, ns_t now)
{
	ns_t until = timer_wheel_next(&w->wheel), next = timer_wheel_next(loop_timers(w->loop));

	if (next < until)
		until = next;
	// Packets that the device did not take are offered again soon.
	if ((w->idle.polled || !tx_empty(w)) && now + POLL_NS < until)
		until = now + POLL_NS;
	return until;
}

// Returns how many descriptors ended the sleep.
static int doze(struct worker *w)
{
	struct epoll_event event[NET_PORTS_MAX + 2];
	struct timespec timeout, *limit = NULL;
	ns_t now = clock_now(), until = wake_time(w, now);
	int n;

	if (until <= now)
		return 0;
	if (until != NS_NEVER) {
		timeout.tv_sec = (until - now) / NS_PER_SEC;
		timeout.tv_nsec = (until - now) % NS_PER_SEC;
		limit = &timeout;
	}
	if (w->qsbr)
		rte_rcu_qsbr_thread_offline(w->qsbr, w->id);
	n = epoll_pwait2(w->idle.epoll, event, NET_PORTS_MAX + 2, limit, NULL);
	if (w->qsbr)
		rte_rcu_qsbr_thread_online(w->qsbr, w->id);
	counter_add(&w->counters.sleeps, 1);
	return n < 0 ? 0 : n;
}

static void sleep_now(struct worker *w)
{
	uint64_t before = rte_rdtsc();
	int events;

	loop_submit(w->loop);
	events = doze(w);
	counter_add(&w->counters.cycles_asleep, rte_rdtsc() - before);
	// A time-out says nothing about traffic: one look, and back to sleep. An event may be the
	// first of many.
	if (!events)
		return;
	arm(w, false);
	w->idle.empty = 0;
}

void idle_after(struct worker *w, bool worked)
{
	struct idle *idle = &w->idle;

	if (worked) {
		arm(w, false);
		idle->empty = 0;
		return;
	}
	if (idle->empty++ == 0)
		idle->since = w->now;
	if (idle->armed) {
		sleep_now(w);
		return;
	}
	if (idle->empty < EMPTY_MIN || w->now - idle->since < idle->spin) {
		rte_pause();
		return;
	}
	arm(w, true);
}
