// SPDX-License-Identifier: Apache-2.0
// The registry: two heads, batches, what a refused batch undoes, the history of events, and that a
// restart forgets nothing.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/registry.h"

struct fixture {
	struct store *store;
	struct registry r;
	size_t changed;
	uint64_t last_changed;
};

static void on_changed(void *user, const struct change *c)
{
	struct fixture *f = user;

	// In order, each once, and only what is durable.
	assert_int_equal(c->seq, f->last_changed + 1);
	assert_true(c->seq <= f->r.durable);
	f->last_changed = c->seq;
	f->changed++;
}

static void start(struct fixture *f)
{
	assert_int_equal(registry_init(&f->r, f->store), 0);
	registry_observe(&f->r, on_changed, f);
	f->last_changed = f->r.durable;
}

static void restart(struct fixture *f)
{
	registry_fini(&f->r);
	start(f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->store = store_mem_new();
	start(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	registry_fini(&f->r);
	store_close(f->store);
	free(f);
	return 0;
}

static int put(struct fixture *f, const char *name, const char *address)
{
	const struct resource *res;
	struct schema_error error;
	json_t *in = json_pack("{s:{s:s}, s:{s:[s], s:[s]}}", "metadata", "name", name, "spec",
		"addresses", address, "routes", name);
	json_t *object = schema_normalize(&kinds[KIND_ENDPOINT], in, &error);
	int rc;

	assert_non_null(object);
	rc = registry_put(&f->r, KIND_ENDPOINT, object, 1000000007, &res);
	json_decref(in);
	json_decref(object);
	return rc;
}

static const char *address_of(const struct fixture *f, const char *name)
{
	const struct resource *res = registry_get(&f->r, KIND_ENDPOINT, name);

	return res ? json_string_value(json_array_get(json_object_get(res->spec, "addresses"), 0))
		   : NULL;
}

static size_t events(const struct fixture *f)
{
	uint64_t after = registry_event_floor(&f->r);
	const struct event *e;
	size_t n = 0;
	bool gone;

	while ((e = registry_event_after(&f->r, after, &gone))) {
		assert_int_equal(e->seq, after + 1);
		after = e->seq;
		n++;
	}
	assert_false(gone);
	return n;
}

static void test_two_heads(void **state)
{
	struct fixture *f = *state;
	uint64_t durable = f->r.durable;
	struct batch *first;
	bool gone;

	assert_int_equal(put(f, "a", "10.0.0.1:1"), 0);
	assert_int_equal(f->r.seq, durable + 1);
	assert_int_equal(f->r.durable, durable);
	assert_null(registry_event_after(&f->r, durable, &gone));  // not told before it is durable
	first = registry_seal(&f->r);
	assert_non_null(first);
	// While the first is with the store, changes collect in a second, which has to wait.
	assert_int_equal(put(f, "b", "10.0.0.1:1"), 0);
	assert_int_equal(put(f, "c", "10.0.0.1:1"), 0);
	assert_null(registry_seal(&f->r));
	assert_int_equal(registry_commit(&f->r, first, false), 0);
	assert_false(registry_settle(&f->r, 0));
	assert_int_equal(f->r.durable, durable + 1);
	assert_int_equal(f->changed, 1);
	assert_int_equal(registry_flush(&f->r), 0);
	assert_int_equal(f->r.durable, durable + 3);
	assert_int_equal(f->changed, 3);
}

static void test_same_is_no_change(void **state)
{
	struct fixture *f = *state;
	uint64_t seq;

	put(f, "a", "10.0.0.1:1");
	seq = f->r.seq;
	assert_int_equal(put(f, "a", "10.0.0.1:1"), 0);
	assert_int_equal(f->r.seq, seq);
	assert_int_equal(put(f, "a", "10.0.0.1:2"), 0);
	assert_int_equal(f->r.seq, seq + 1);
	assert_int_equal(registry_get(&f->r, KIND_ENDPOINT, "a")->version, seq + 1);
}

static void test_refused_batch_is_undone_with_all_behind_it(void **state)
{
	struct fixture *f = *state;
	uint64_t durable, meta;
	struct batch *b;

	put(f, "kept", "10.0.0.1:1");
	put(f, "deleted", "10.0.0.1:1");
	assert_int_equal(registry_flush(&f->r), 0);
	durable = f->r.durable;
	meta = f->r.commit.number;
	// In the batch that is with the store: create, replace, delete. Behind it: more of the
	// same.
	put(f, "new", "10.0.0.1:1");
	put(f, "kept", "10.0.0.1:2");
	assert_int_equal(registry_delete(&f->r, KIND_ENDPOINT, "deleted", 1), 0);
	b = registry_seal(&f->r);
	put(f, "kept", "10.0.0.1:3");
	put(f, "deleted", "10.0.0.1:9");
	put(f, "later", "10.0.0.1:1");
	registry_note(&f->r, "connected", KIND_GATEWAY, "gw1", NULL, 1);
	store_mem_fail(f->store, -ENOSPC, 1);
	assert_int_equal(registry_commit(&f->r, b, false), -ENOSPC);
	assert_true(registry_settle(&f->r, -ENOSPC));
	assert_int_equal(f->r.seq, durable);
	assert_int_equal(f->r.commit.number, meta);
	assert_string_equal(address_of(f, "kept"), "10.0.0.1:1");
	assert_string_equal(address_of(f, "deleted"), "10.0.0.1:1");
	assert_null(address_of(f, "new"));
	assert_null(address_of(f, "later"));
	assert_int_equal(registry_count(&f->r, KIND_ENDPOINT), 2);
	assert_int_equal(f->r.last_error, -ENOSPC);
	// Then it goes on, with the same seqs.
	assert_int_equal(put(f, "again", "10.0.0.1:1"), 0);
	assert_int_equal(registry_flush(&f->r), 0);
	assert_int_equal(f->r.durable, durable + 1);
	assert_int_equal(f->r.last_error, 0);
	restart(f);
	assert_int_equal(registry_count(&f->r, KIND_ENDPOINT), 3);
	assert_string_equal(address_of(f, "kept"), "10.0.0.1:1");
}

static void test_restart_forgets_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t seq, published, version;
	char epoch[17];
	size_t n;

	put(f, "a", "10.0.0.1:1");
	put(f, "b", "10.0.0.1:1");
	put(f, "a", "10.0.0.1:2");
	registry_delete(&f->r, KIND_ENDPOINT, "b", 5);
	registry_note(&f->r, "connected", KIND_GATEWAY, "gw1", NULL, 1);
	assert_int_equal(registry_flush(&f->r), 0);
	seq = f->r.seq;
	published = f->r.published;
	assert_int_equal(published, seq - 1);  // the note is no change of what is published
	version = registry_get(&f->r, KIND_ENDPOINT, "a")->version;
	strcpy(epoch, f->r.epoch);
	n = events(f);
	restart(f);
	assert_int_equal(f->r.seq, seq);
	assert_int_equal(f->r.durable, seq);
	assert_int_equal(f->r.published, published);
	assert_string_equal(f->r.epoch, epoch);
	assert_int_equal(events(f), n);
	assert_int_equal(registry_count(&f->r, KIND_ENDPOINT), 1);
	assert_int_equal(registry_get(&f->r, KIND_ENDPOINT, "a")->version, version);
	assert_int_equal(registry_get(&f->r, KIND_ENDPOINT, "a")->created_ns, 1000000007);
	assert_string_equal(address_of(f, "a"), "10.0.0.1:2");
	// And the next change goes on from there.
	put(f, "c", "10.0.0.1:1");
	assert_int_equal(registry_flush(&f->r), 0);
	assert_int_equal(f->r.durable, seq + 1);
}

static void test_history_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t first, floor;
	char address[32];
	struct batch *b;
	bool gone;

	for (int i = 0; i < REGISTRY_EVENTS_MAX + 500; i++) {
		snprintf(address, sizeof(address), "10.0.%d.%d:1", i >> 8 & 255, i & 255);
		assert_int_equal(put(f, "a", address), 0);
		if (i % 1000 == 0)
			assert_int_equal(registry_flush(&f->r), 0);
	}
	assert_int_equal(registry_flush(&f->r), 0);
	assert_int_equal(events(f), REGISTRY_EVENTS_MAX);
	floor = registry_event_floor(&f->r);
	assert_int_equal(floor, f->r.seq - REGISTRY_EVENTS_MAX);
	registry_event_after(&f->r, floor - 1, &gone);
	assert_true(gone);
	first = registry_event_after(&f->r, floor, &gone)->seq;
	// A refused change gives the dropped event back.
	put(f, "a", "10.9.9.9:9");
	b = registry_seal(&f->r);
	assert_non_null(b);
	assert_int_equal(registry_event_floor(&f->r), floor + 1);
	registry_settle(&f->r, -EIO);
	assert_int_equal(registry_event_floor(&f->r), floor);
	assert_int_equal(registry_event_after(&f->r, floor, &gone)->seq, first);
	assert_int_equal(events(f), REGISTRY_EVENTS_MAX);
	restart(f);
	assert_int_equal(events(f), REGISTRY_EVENTS_MAX);
	assert_int_equal(registry_event_floor(&f->r), floor);
}

static void test_batch_is_bounded(void **state)
{
	struct fixture *f = *state;
	char address[32];
	int rc = 0, n = 0;

	while (!rc && n <= REGISTRY_CHANGES_MAX) {
		snprintf(address, sizeof(address), "10.0.%d.%d:1", n >> 8, n & 255);
		rc = put(f, "a", address);
		n += !rc;
	}
	assert_int_equal(rc, -EBUSY);
	assert_int_equal(n, REGISTRY_CHANGES_MAX);
	assert_int_equal(registry_delete(&f->r, KIND_ENDPOINT, "a", 1), -EBUSY);
	assert_int_equal(registry_flush(&f->r), 0);
	assert_int_equal(put(f, "a", "10.9.9.9:9"), 0);
}

static void test_order_and_pages(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"m", "b", "z", "a", "b-1"};

	for (size_t i = 0; i < 5; i++)
		put(f, names[i], "10.0.0.1:1");
	assert_string_equal(registry_at(&f->r, KIND_ENDPOINT, 0)->key, "a");
	assert_string_equal(registry_at(&f->r, KIND_ENDPOINT, 2)->key, "b-1");
	assert_string_equal(registry_at(&f->r, KIND_ENDPOINT, 4)->key, "z");
	assert_null(registry_at(&f->r, KIND_ENDPOINT, 5));
	assert_int_equal(registry_after(&f->r, KIND_ENDPOINT, NULL), 0);
	assert_int_equal(registry_after(&f->r, KIND_ENDPOINT, "b"), 2);
	assert_int_equal(registry_after(&f->r, KIND_ENDPOINT, "c"), 3);
	assert_int_equal(registry_after(&f->r, KIND_ENDPOINT, "zz"), 5);
}

// A store that somebody else has written to is noticed, not overwritten.
static void test_foreign_write_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct store_write w = {"meta/state", "{\"epoch\":\"x\",\"seq\":99}", 22, 77};
	struct store_txn t = {.writes = &w, .write_count = 1};

	assert_int_equal(store_commit(f->store, &t), 0);
	put(f, "a", "10.0.0.1:1");
	assert_int_equal(registry_flush(&f->r), -EAGAIN);
	assert_null(address_of(f, "a"));
}

// What a newer version wrote is kept although this one does not know it.
static void test_unknown_fields_of_the_store_are_kept(void **state)
{
	struct fixture *f = *state;
	const char *text =
		"{\"namespace\":\"default\",\"name\":\"n\",\"labels\":{},\"created_ns\":1,"
		"\"updated_ns\":2,\"spec\":{\"addresses\":[\"10.0.0.1:1\"],\"routes\":[\"n\"],"
		"\"from-the-future\":true}}";
	struct store_write w = {"endpoints/n", text, strlen(text), 5};
	struct store_txn t = {.writes = &w, .write_count = 1};
	const struct resource *res;

	assert_int_equal(store_commit(f->store, &t), 0);
	restart(f);
	res = registry_get(&f->r, KIND_ENDPOINT, "n");
	assert_non_null(res);
	assert_true(json_is_true(json_object_get(res->spec, "from-the-future")));
}

static void test_damaged_store_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_write w = {"endpoints/n", "{\"spec\":", 8, 5};
	struct store_txn t = {.writes = &w, .write_count = 1};
	struct registry *other = calloc(1, sizeof(*other));

	assert_int_equal(store_commit(f->store, &t), 0);
	assert_int_equal(registry_init(other, f->store), -EBADMSG);
	free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_two_heads),
		TEST(test_same_is_no_change),
		TEST(test_refused_batch_is_undone_with_all_behind_it),
		TEST(test_restart_forgets_nothing),
		TEST(test_history_is_bounded),
		TEST(test_batch_is_bounded),
		TEST(test_order_and_pages),
		TEST(test_foreign_write_is_noticed),
		TEST(test_unknown_fields_of_the_store_are_kept),
		TEST(test_damaged_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
