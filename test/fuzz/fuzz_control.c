// SPDX-License-Identifier: Apache-2.0
// A control plane that says anything: an input is messages of a watch, one a line, from the first
// state of a process. Whatever comes: what is refused changes nothing, what is applied can be
// found, and the table ends empty, with no target left.

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "dataplane/control.h"
#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "not true: %s\n", what);
	abort();
}

// Instead of the program's: the faults of an input are no news.
void log_line(enum log_level level, const char *subsystem, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
}

struct world {
	struct control control;
	struct table *table;
	struct net_config net;
	unsigned nets;
};

static void on_net(const struct net_config *net, void *arg)
{
	struct world *w = arg;

	check(net->addresses <= NET_ADDRESSES_MAX, "addresses fit");
	check(net->routes <= NET_ROUTES_MAX, "routes fit");
	check(net->listeners <= NET_LISTENERS_MAX, "listeners fit");
	for (uint32_t i = 0; i < net->addresses; i++)
		check(net->address[i].port < 2, "addresses lie on ports that are there");
	w->net = *net;
	w->nets++;
}

static void check_service(const struct service *s, void *arg)
{
	char called[64 + 1 + ROUTE_LEN_MAX + 1];
	int n = snprintf(called, sizeof(called), "%s/%s", s->namespace, s->route);
	const struct service *found;

	check(s->targets_count <= SERVICE_TARGETS_MAX, "targets fit");
	for (uint32_t i = 0; i < s->targets_count; i++)
		check(!s->targets[i]->gone && s->targets[i]->refs > 0, "targets live");
	if (n > UINT8_MAX)
		return; // longer than a routing tag: nobody can call it
	found = table_find(arg, called, (uint8_t)n);
	check(found && (found == s || s->prefix), "a service is found by its name");
}

// All that a message can change.
struct seen {
	unsigned services, nets;
	uint64_t seq;
	bool in_snapshot;
	char epoch[65];
};

static void look(const struct world *w, struct seen *s)
{
	memset(s, 0, sizeof(*s));
	s->services = table_services(w->table);
	s->nets = w->nets;
	s->seq = w->control.seq;
	s->in_snapshot = w->control.in_snapshot;
	strcpy(s->epoch, w->control.epoch);
}

static void apply(struct world *w, const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, 0, NULL);
	struct seen before, after;
	int rc;

	if (!json)
		return;
	look(w, &before);
	rc = control_apply(&w->control, json);
	look(w, &after);
	check(rc == 0 || rc == -EINVAL || rc == -ENOTSUP || rc == -ENOSPC, "a known result");
	if (rc && rc != -ENOTSUP)
		check(memcmp(&before, &after, sizeof(before)) == 0,
			"a refused message changes nothing");
	check(strlen(w->control.epoch) < sizeof(w->control.epoch), "the epoch fits");
	table_each(w->table, check_service, w->table);
	json_decref(json);
}

// The table is made once: its hash takes longer than an input. It is empty between inputs.
static struct world *world(void)
{
	static const char *const ports[] = {"p0", "p1"};
	static char *args[] = {"fuzz-control", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
	static struct world *w;

	if (w)
		return w;
	check(rte_eal_init(8, args) >= 0, "DPDK starts");
	w = calloc(1, sizeof(*w));
	w->table = table_new(NULL);
	check(w->table != NULL, "there is memory");
	w->control.config = (struct control_config){.name = "fuzz",
		.table = w->table,
		.ports = ports,
		.ports_count = 2,
		.apply_net = on_net,
		.arg = w};
	return w;
}

static void no_target(const struct target *target, void *arg)
{
	check(false, "no target is left without a service");
}

static void restart(struct world *w)
{
	struct control_config config = w->control.config;

	table_mark(w->table);
	table_sweep(w->table);
	table_reclaim(w->table);
	check(table_services(w->table) == 0, "a sweep removes all");
	table_each_target(w->table, no_target, NULL);
	w->control = (struct control){.config = config};
	w->nets = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world *w = world();
	const char *at = (const char *)data, *end = at + len;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((stop ? stop : end) - at);

		apply(w, at, n);
		at += n + 1;
	}
	restart(w);
	return 0;
}
