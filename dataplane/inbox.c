// SPDX-License-Identifier: Apache-2.0
// See inbox.h. Many producers, one consumer.
//
// The ring synchronises producers in a way that does not spin on one that was preempted: several
// workers may share a core. Sleeping: the owner raises `sleeping`, then looks into the ring; a
// producer puts its message there, then looks at `sleeping`. With a full fence between the two
// steps on both sides, one of them sees the other.
#include "dataplane/inbox.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

_Static_assert(sizeof(struct worker_message) % 4 == 0, "rte_ring copies words");

int inbox_init(struct inbox *inbox, unsigned worker)
{
	char name[32];

	snprintf(name, sizeof(name), "inbox-%u", worker);
	*inbox = (struct inbox){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	if (inbox->fd < 0)
		return -errno;
	inbox->ring = rte_ring_create_elem(name, sizeof(struct worker_message), INBOX_MESSAGES,
		(int)rte_socket_id(), RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
	if (inbox->ring)
		return 0;
	close(inbox->fd);
	return -rte_errno;
}

void inbox_fini(struct inbox *inbox)
{
	if (!inbox->ring)
		return;
	rte_ring_free(inbox->ring);
	close(inbox->fd);
	*inbox = (struct inbox){0};
}

void inbox_wake(struct inbox *inbox)
{
	uint64_t one = 1;
	ssize_t n;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&inbox->sleeping, __ATOMIC_RELAXED))
		return;
	// Full (EAGAIN) means that a wake-up is there already.
	n = write(inbox->fd, &one, sizeof(one));
	(void)n;
}

int inbox_post(struct inbox *inbox, const struct worker_message *message)
{
	if (rte_ring_enqueue_elem(inbox->ring, (void *)(uintptr_t)message, sizeof(*message)))
		return -ENOBUFS;
	inbox_wake(inbox);
	return 0;
}

unsigned inbox_take(struct inbox *inbox, struct worker_message *out, unsigned n)
{
	return rte_ring_dequeue_burst_elem(inbox->ring, out, sizeof(*out), n, NULL);
}

bool inbox_empty(const struct inbox *inbox)
{
	return rte_ring_empty(inbox->ring);
}

void inbox_sleep(struct inbox *inbox)
{
	__atomic_store_n(&inbox->sleeping, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void inbox_awake(struct inbox *inbox)
{
	__atomic_store_n(&inbox->sleeping, 0, __ATOMIC_RELAXED);
}
