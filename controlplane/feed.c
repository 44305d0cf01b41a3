// SPDX-License-Identifier: Apache-2.0
// The list of entries and watchers along it: feed.h has the picture. Main thread; no I/O.
//
// Invariants: entries other than markers are in ascending order of seq; `gone` counts the
// tombstones on the list.
#include "controlplane/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/registry_internal.h"

static struct feed_entry *entry_of(struct list *link)
{
	return list_entry(link, struct feed_entry, link);
}

void feed_init(struct feed *f, const struct feed_ops *ops, const char *epoch, size_t gone_max)
{
	*f = (struct feed){.ops = ops, .epoch = epoch, .gone_max = gone_max};
	list_init(&f->entries);
	list_init(&f->watchers);
}

void feed_fini(struct feed *f)
{
	list_for_each_safe (at, after, &f->watchers)
		feed_unwatch(list_entry(at, struct watcher, all));
}

// ---- entries ----

void feed_put(struct feed *f, struct feed_entry *e, uint64_t seq, bool gone)
{
	feed_remove(f, e);
	e->seq = f->seq = seq;
	e->gone = gone;
	f->gone += gone;
	list_push(&f->entries, &e->link);
}

void feed_remove(struct feed *f, struct feed_entry *e)
{
	if (!list_linked(&e->link))
		return;
	f->gone -= e->gone;
	list_del(&e->link);
}

// Watchers that would never be told of what is not kept any more.
static void begin_behind_floor(struct feed *f)
{
	list_for_each (at, &f->watchers) {
		struct watcher *w = list_entry(at, struct watcher, all);

		if ((w->state == WATCH_LIVE || w->state == WATCH_SNAPSHOT) &&
			w->sent_seq < f->floor)
			w->state = WATCH_BEGIN;
	}
}

void feed_forget(struct feed *f, struct feed_entry *e)
{
	if (!list_linked(&e->link))
		return;
	f->floor = e->seq > f->floor ? e->seq : f->floor;
	feed_remove(f, e);
	begin_behind_floor(f);
}

static void drop_tombstones(struct feed *f)
{
	struct list *at = f->entries.next;

	// More than one at a time, since each walk begins at the head.
	while (f->gone > f->gone_max * 3 / 4 && at != &f->entries) {
		struct feed_entry *e = entry_of(at);

		at = at->next;
		if (e->marker || !e->gone)
			continue;
		f->floor = e->seq > f->floor ? e->seq : f->floor;
		feed_remove(f, e);
		f->ops->drop(f, e);
	}
	begin_behind_floor(f);
}

void feed_settle(struct feed *f)
{
	if (f->gone > f->gone_max)
		drop_tombstones(f);
	list_for_each_safe (at, after, &f->watchers) {
		struct watcher *w = list_entry(at, struct watcher, all);

		w->ready(w);
	}
}

// ---- watchers ----

static void marker_to(struct watcher *w, struct list *behind)
{
	list_del(&w->marker.link);
	list_push_first(behind, &w->marker.link);
}

// Puts the marker behind everything that the watcher has seen.
static void resume(struct feed *f, struct watcher *w, uint64_t after)
{
	struct list *at = f->entries.prev;

	while (at != &f->entries && (entry_of(at)->marker || entry_of(at)->seq > after))
		at = at->prev;
	marker_to(w, at);
	w->sent_seq = after;
	w->state = WATCH_LIVE;
}

void feed_watch(struct feed *f, struct watcher *w, const char *name, const char *epoch,
	uint64_t after, void (*ready)(struct watcher *w))
{
	*w = (struct watcher){.feed = f, .state = WATCH_WAITING, .ready = ready};
	w->marker.marker = true;
	snprintf(w->name, sizeof(w->name), "%s", name);
	list_push(&f->watchers, &w->all);
	list_push_first(&f->entries, &w->marker.link);
	if (strcmp(epoch, f->epoch) == 0 && after >= f->floor && after <= f->seq)
		resume(f, w, after);
	ready(w);
}

void feed_unwatch(struct watcher *w)
{
	list_del(&w->marker.link);
	list_del(&w->all);
}

char *feed_text(const char *op, uint64_t seq, json_t *members)
{
	json_t *out = json_object();
	char *text;

	json_object_set_new(out, "op", json_string(op));
	json_object_set_new(out, "seq", json_integer((json_int_t)seq));
	if (members)
		json_object_update(out, members);
	json_decref(members);
	text = must(json_dumps(out, JSON_COMPACT));
	json_decref(out);
	return text;
}

// An entry that the watcher needs not be told of.
static bool skips(const struct watcher *w, const struct feed_entry *e)
{
	bool before = w->state == WATCH_SNAPSHOT && e->seq <= w->begin_seq;

	if (e->marker || (before && e->gone))
		return true;
	return w->feed->ops->concerns && !w->feed->ops->concerns(w, e, before);
}

// The next entry behind the marker, which moves behind it; NULL at the end.
static struct feed_entry *advance(struct watcher *w)
{
	const struct list *end = &w->feed->entries;
	struct feed_entry *found = NULL;
	struct list *at = &w->marker.link;

	while (!found && at->next != end) {
		at = at->next;
		if (!skips(w, entry_of(at)))
			found = entry_of(at);
	}
	if (at != &w->marker.link)
		marker_to(w, at);
	return found;
}

// True if the entry behind the marker is of the same change. A watch that is cut between the two
// must come back for both, so only the last item of a change carries its seq.
static bool more_of(const struct watcher *w, uint64_t seq)
{
	const struct list *end = &w->feed->entries;
	struct list *at = w->marker.link.next;

	while (at != end && entry_of(at)->marker)
		at = at->next;
	return at != end && entry_of(at)->seq == seq;
}

static char *next_entry(struct watcher *w)
{
	struct feed *f = w->feed;
	struct feed_entry *e = advance(w);

	if (!e && (w->state == WATCH_LIVE || (f->ops->may_end && !f->ops->may_end(f, w))))
		return NULL;
	if (!e) {
		// Nothing that changed meanwhile is left out: the marker has reached the end.
		w->state = WATCH_LIVE;
		w->sent_seq = f->seq;
		return feed_text("snapshot_end", f->seq, NULL);
	}
	w->sent_seq = more_of(w, e->seq) ? e->seq - 1 : e->seq;
	// Within a snapshot no seq is smaller than its beginning's.
	if (w->state == WATCH_SNAPSHOT && w->sent_seq < w->begin_seq)
		w->sent_seq = w->begin_seq;
	return f->ops->item(e, w->sent_seq);
}

static char *begin(struct watcher *w)
{
	struct feed *f = w->feed;

	marker_to(w, &f->entries);
	w->begin_seq = w->sent_seq = f->seq;
	w->state = WATCH_FIRST;
	w->snapshots++;
	return feed_text("snapshot_begin", f->seq, json_pack("{s:s}", "epoch", f->epoch));
}

char *feed_next(struct watcher *w)
{
	const struct feed_ops *ops = w->feed->ops;
	struct feed_entry *first;
	char *text;

	if (w->state == WATCH_WAITING && (!ops->may_begin || ops->may_begin(w->feed, w)))
		w->state = WATCH_BEGIN;
	if (w->state == WATCH_WAITING)
		return NULL;
	if (w->state == WATCH_BEGIN) {
		text = begin(w);
	} else if (w->state == WATCH_FIRST) {
		w->state = WATCH_SNAPSHOT;
		first = ops->first ? ops->first(w->feed, w) : NULL;
		text = first ? ops->item(first, w->begin_seq) : next_entry(w);
	} else {
		text = next_entry(w);
	}
	w->items += text != NULL;
	return text;
}

void feed_applied(struct watcher *w, uint64_t seq)
{
	// Only the end of a snapshot and what follows counts: before, it speaks of another table.
	if (w->state == WATCH_LIVE)
		w->applied_seq = seq < w->sent_seq ? seq : w->sent_seq;
}

bool feed_reached(const struct feed *f, uint64_t seq)
{
	list_for_each (at, &f->watchers) {
		const struct watcher *w = list_entry(at, struct watcher, all);

		if (w->applied_seq < seq)
			return false;
	}
	return true;
}
