// SPDX-License-Identifier: Apache-2.0
// Time: KEEPALIVE frames of a client (rule 45) and the end of a silent session. Any bytes from the
// peer prove that it lives (rule 49).

#include "lib/rsocket/internal.h"

static ns_t min_ns(ns_t a, ns_t b)
{
	return a < b ? a : b;
}

static void send_keepalive(struct rs_session *s, ns_t now)
{
	struct rs_frame f = {.type = RS_KEEPALIVE, .flags = RS_FLAG_RESPOND};

	s->beat = now + s->keepalive_ms * NS_PER_MS;
	// One that has not even left says nothing new by being there twice.
	if (s->beat_end > s->pulled_bytes)
		return;
	rs_ready_control(s, &f, NULL);
	s->beat_end = s->pulled_bytes + s->ready.len;
}

ns_t rs_tick(struct rs_session *s, ns_t now)
{
	ns_t lifetime = s->lifetime_ms * NS_PER_MS;
	ns_t late = now - s->tick_due;

	rs_session_finish(s);
	if (s->state == RS_SESSION_ENDED)
		return NS_NEVER;
	if (lifetime == 0) // a server without a limit for SETUP
		return s->tick_due = NS_NEVER;
	// Who was stopped for long cannot tell the peer's silence from its own: input may be
	// waiting.
	if (late > lifetime / 4 && now - s->heard >= lifetime)
		s->heard = now - lifetime + lifetime / 4;
	if (now - s->heard >= lifetime) {
		if (s->state == RS_SESSION_SETUP)
			rs_session_close(s, RS_ERROR_INVALID_SETUP, "no SETUP in time");
		else
			rs_session_close(s, RS_ERROR_CONNECTION, "the peer is silent");
		return NS_NEVER;
	}
	if (s->role == RS_SERVER)
		return s->tick_due = s->heard + lifetime;
	if (now >= s->beat)
		send_keepalive(s, now);
	return s->tick_due = min_ns(s->beat, s->heard + lifetime);
}
