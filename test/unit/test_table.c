// SPDX-License-Identifier: Apache-2.0
// dataplane/table: names, prefixes, targets, and readers that run while the writer changes it all.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/table.h"
#include "lib/base/rng.h"

static int put(struct table *t, const char *namespace, const char *route, bool prefix, const char *a,
	const char *b)
{
	const char *targets[] = {a, b};
	struct service_spec spec = {.namespace = namespace, .route = route, .prefix = prefix,
		.fragments = true, .targets = targets, .targets_count = a ? b ? 2 : 1 : 0};

	return table_put(t, &spec);
}

static const struct service *find(struct table *t, const char *route)
{
	return table_find(t, route, (uint8_t)strlen(route));
}

static void finds_exact_names_in_their_namespace(void **state)
{
	struct table *t = table_new(NULL);

	assert_int_equal(put(t, "default", "orders", false, "10.0.0.1:7000", NULL), 0);
	assert_int_equal(put(t, "imagery", "orders", false, "10.0.0.2:7000", "10.0.0.3:7000"), 0);
	assert_int_equal(find(t, "orders")->targets_count, 1);
	assert_int_equal(find(t, "default/orders")->targets_count, 1);
	assert_int_equal(find(t, "imagery/orders")->targets_count, 2);
	assert_null(find(t, "order"));
	assert_null(find(t, "orderss"));
	assert_null(find(t, "nope/orders"));
	assert_null(find(t, "/orders"));
	assert_null(find(t, "imagery/"));
	assert_null(find(t, ""));
	assert_int_equal(table_remove(t, "default", "orders", false), 0);
	assert_int_equal(table_remove(t, "default", "orders", false), -ENOENT);
	assert_null(find(t, "orders"));
	assert_non_null(find(t, "imagery/orders"));
	assert_int_equal(table_services(t), 1);
	table_destroy(t);
}

static void exact_first_then_the_longest_prefix(void **state)
{
	struct table *t = table_new(NULL);
	char long_prefix[201], long_route[256];

	memset(long_prefix, 'x', 200);
	long_prefix[200] = '\0';
	memset(long_route, 'x', 255);
	long_route[255] = '\0';
	assert_int_equal(put(t, "default", "person.", true, "10.0.0.1:1", NULL), 0);
	assert_int_equal(put(t, "default", "person.admin.", true, "10.0.0.2:1", NULL), 0);
	assert_int_equal(put(t, "default", "person.find", false, "10.0.0.3:1", NULL), 0);
	assert_int_equal(put(t, "default", long_prefix, true, "10.0.0.4:1", NULL), 0);
	assert_string_equal(find(t, "person.find")->targets[0]->text, "10.0.0.3:1");
	assert_string_equal(find(t, "person.findAll")->targets[0]->text, "10.0.0.1:1");
	assert_string_equal(find(t, "person.admin.x")->targets[0]->text, "10.0.0.2:1");
	assert_string_equal(find(t, "person.admin")->targets[0]->text, "10.0.0.1:1");
	assert_string_equal(find(t, "person.")->targets[0]->text, "10.0.0.1:1");
	assert_null(find(t, "person"));
	assert_string_equal(find(t, long_route)->targets[0]->text, "10.0.0.4:1");
	assert_int_equal(table_remove(t, "default", "person.admin.", true), 0);
	assert_string_equal(find(t, "person.admin.x")->targets[0]->text, "10.0.0.1:1");
	table_destroy(t);
}

static void refuses_what_does_not_fit(void **state)
{
	struct table *t = table_new(NULL);
	char name[300];

	memset(name, 'a', sizeof(name) - 1);
	name[299] = '\0';
	assert_int_equal(put(t, "default", name, false, NULL, NULL), -EINVAL);
	assert_int_equal(put(t, "", "a", false, NULL, NULL), -EINVAL);
	assert_int_equal(put(t, "default", "", false, NULL, NULL), -EINVAL);
	assert_int_equal(put(t, "default", "a", false, "10.0.0.1", NULL), -EINVAL);
	assert_int_equal(put(t, "default", "a", false, "10.0.0.1:1", "nonsense"), -EINVAL);
	assert_int_equal(table_services(t), 0);
	table_destroy(t);
}

static void is_full_at_its_limit_and_recovers(void **state)
{
	struct table *t = table_new(NULL);
	char name[32];

	for (unsigned i = 0; i < SERVICES_MAX; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(put(t, "default", name, false, "10.0.0.1:1", NULL), 0);
	}
	assert_int_equal(put(t, "default", "more", false, "10.0.0.1:1", NULL), -ENOSPC);
	assert_int_equal(table_remove(t, "default", "f77", false), 0);
	assert_int_equal(put(t, "default", "more", false, "10.0.0.1:1", NULL), 0);
	assert_non_null(find(t, "more"));
	assert_null(find(t, "f77"));
	table_destroy(t);
}

// Each service with addresses of its own: what finds no room takes none, and what goes gives room.
static void is_full_of_targets_and_recovers(void **state)
{
	struct table *t = table_new(NULL);
	char name[32], address[2][32];

	for (unsigned i = 0; i < TARGETS_MAX / 2; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		snprintf(address[0], sizeof(address[0]), "10.0.0.1:%u", i + 1);
		snprintf(address[1], sizeof(address[1]), "10.0.0.2:%u", i + 1);
		assert_int_equal(put(t, "default", name, false, address[0], address[1]), 0);
	}
	assert_int_equal(put(t, "default", "more", false, "10.0.0.3:1", NULL), -ENOSPC);
	// Known addresses need no room; of one that is known and one that is not neither is taken.
	assert_int_equal(put(t, "default", "more", false, "10.0.0.1:7", "10.0.0.2:9"), 0);
	assert_int_equal(put(t, "default", "none", false, "10.0.0.1:7", "10.0.0.3:1"), -ENOSPC);
	assert_null(find(t, "none"));
	assert_int_equal(table_remove(t, "default", "f6", false), 0); // 10.0.0.1:7 is still used
	assert_false(find(t, "more")->targets[0]->gone);
	assert_int_equal(put(t, "default", "none", false, "10.0.0.1:7", "10.0.0.3:1"), 0);
	assert_int_equal(put(t, "default", "last", false, "10.0.0.3:2", NULL), -ENOSPC);
	assert_int_equal(table_remove(t, "default", "f7", false), 0);
	assert_int_equal(put(t, "default", "last", false, "10.0.0.3:2", "10.0.0.3:3"), 0);
	// A snapshot that moves everything.
	table_mark(t);
	assert_int_equal(table_sweep(t), TARGETS_MAX / 2 + 1);
	for (unsigned i = 0; i < TARGETS_MAX; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		snprintf(address[0], sizeof(address[0]), "10.0.0.4:%u", i + 1);
		assert_int_equal(put(t, "default", name, false, address[0], NULL), 0);
	}
	table_destroy(t);
}

// A target lives while a service or a worker's connection refers to it; then its id is free again.
static void targets_are_shared_and_go_with_the_last_reference(void **state)
{
	struct table *t = table_new(NULL);
	struct target *kept;

	assert_int_equal(put(t, "default", "a", false, "10.0.0.1:1", NULL), 0);
	assert_int_equal(put(t, "default", "b", false, "10.0.0.1:1", NULL), 0);
	assert_ptr_equal(find(t, "a")->targets[0], find(t, "b")->targets[0]);
	kept = target_ref(find(t, "a")->targets[0]);
	assert_false(kept->gone);
	assert_int_equal(table_remove(t, "default", "a", false), 0);
	assert_false(kept->gone);
	assert_int_equal(put(t, "default", "b", false, "10.0.0.2:1", NULL), 0);
	assert_true(kept->gone);
	// The same address again is a new target; the old one ends with its connections.
	assert_int_equal(put(t, "default", "a", false, "10.0.0.1:1", NULL), 0);
	assert_ptr_not_equal(find(t, "a")->targets[0], kept);
	target_unref(kept);
	table_destroy(t);
}

static void a_sweep_removes_what_a_snapshot_left_out(void **state)
{
	struct table *t = table_new(NULL);

	put(t, "default", "a", false, "10.0.0.1:1", NULL);
	put(t, "default", "b", false, "10.0.0.1:1", NULL);
	put(t, "default", "c.", true, "10.0.0.1:1", NULL);
	table_mark(t);
	put(t, "default", "b", false, "10.0.0.2:1", NULL);
	put(t, "default", "d", false, NULL, NULL);
	assert_int_equal(table_sweep(t), 2);
	assert_null(find(t, "a"));
	assert_null(find(t, "c.x"));
	assert_string_equal(find(t, "b")->targets[0]->text, "10.0.0.2:1");
	assert_int_equal(find(t, "d")->targets_count, 0);
	table_destroy(t);
}

// Readers under the writer's hands

enum { READERS = 2, NAMES = 50, CHANGES = 20000 };

struct reading {
	struct table *table;
	struct rte_rcu_qsbr *qsbr;
	unsigned id;
	bool stop;
	uint64_t found, missed, wrong;
};

static void *read_table(void *arg)
{
	struct reading *r = arg;
	struct rng rng;
	char name[32];

	rng_seed(&rng, r->id);
	rte_rcu_qsbr_thread_register(r->qsbr, r->id);
	rte_rcu_qsbr_thread_online(r->qsbr, r->id);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		unsigned n = rng_below(&rng, NAMES);
		int len = snprintf(name, sizeof(name), "f%u", n);
		const struct service *s = table_find(r->table, name, (uint8_t)len);

		if (!s && n >= NAMES / 2)
			r->missed++;
		else if (!s)
			r->wrong++;
		else if (strcmp(s->route, name) != 0 || s->targets_count != 1 ||
			strncmp(s->targets[0]->text, "10.0.", 5) != 0)
			r->wrong++;
		else
			r->found++;
		rte_rcu_qsbr_quiescent(r->qsbr, r->id);
	}
	rte_rcu_qsbr_thread_offline(r->qsbr, r->id);
	rte_rcu_qsbr_thread_unregister(r->qsbr, r->id);
	return NULL;
}

// Names below NAMES/2 are only replaced, so they must be found always; the others come and go.
static void readers_never_see_freed_or_foreign_records(void **state)
{
	struct rte_rcu_qsbr *qsbr = aligned_alloc(64, (rte_rcu_qsbr_get_memsize(READERS) + 63) / 64 * 64);
	struct reading readings[READERS];
	pthread_t threads[READERS];
	struct table *t;
	struct rng rng;
	char name[32], target[32];

	rte_rcu_qsbr_init(qsbr, READERS);
	t = table_new(qsbr);
	rng_seed(&rng, 5);
	for (unsigned i = 0; i < NAMES / 2; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(put(t, "default", name, false, "10.0.0.1:1", NULL), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		readings[i] = (struct reading){.table = t, .qsbr = qsbr, .id = i};
		pthread_create(&threads[i], NULL, read_table, &readings[i]);
	}
	for (unsigned i = 0; i < CHANGES; i++) {
		unsigned n = rng_below(&rng, NAMES);

		snprintf(name, sizeof(name), "f%u", n);
		snprintf(target, sizeof(target), "10.0.%u.1:1", rng_below(&rng, 200));
		if (n >= NAMES / 2 && rng_below(&rng, 2))
			table_remove(t, "default", name, false);
		else
			assert_int_equal(put(t, "default", name, false, target, NULL), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		__atomic_store_n(&readings[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
		assert_int_equal(readings[i].wrong, 0);
		assert_true(readings[i].found > 0);
	}
	assert_int_equal(table_reclaim(t), 0);
	table_destroy(t);
	free(qsbr);
}

int main(void)
{
	char *args[] = {"test-table", "--no-huge", "--no-pci", "--no-shconf", "-m", "64", "--log-level",
		"critical", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_exact_names_in_their_namespace),
		cmocka_unit_test(exact_first_then_the_longest_prefix),
		cmocka_unit_test(refuses_what_does_not_fit),
		cmocka_unit_test(is_full_at_its_limit_and_recovers),
		cmocka_unit_test(is_full_of_targets_and_recovers),
		cmocka_unit_test(targets_are_shared_and_go_with_the_last_reference),
		cmocka_unit_test(a_sweep_removes_what_a_snapshot_left_out),
		cmocka_unit_test(readers_never_see_freed_or_foreign_records),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
