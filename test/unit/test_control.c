// SPDX-License-Identifier: Apache-2.0
// The gateway's side of the peer protocol: messages applied or refused whole, snapshots, and the
// watch over a real connection to a control plane that the test plays.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>

#include "dataplane/control.h"
#include "lib/base/log.h"
#include "lib/rsocket/metadata.h"

static const char *const port_names[] = {"p0", "p1"};

struct fixture {
	struct control control;
	struct table *table;
	struct net_config net; // the last one applied
	unsigned nets;
};

static void on_net(const struct net_config *net, void *arg)
{
	struct fixture *f = arg;

	f->net = *net;
	f->nets++;
}

static void configure(struct fixture *f)
{
	f->table = table_new(NULL);
	assert_non_null(f->table);
	f->control.config = (struct control_config){
		.name = "gw1",
		.table = f->table,
		.ports = port_names,
		.ports_count = 2,
		.apply_net = on_net,
		.arg = f,
	};
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	configure(f);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	table_destroy(f->table);
	free(f);
	return 0;
}

// JSON with ' for ".
static json_t *json_of(const char *text)
{
	char *copy = strdup(text);
	json_t *json;
	json_error_t error;

	for (char *at = copy; *at; at++)
		if (*at == '\'')
			*at = '"';
	json = json_loads(copy, 0, &error);
	if (!json)
		fail_msg("%s: %s", text, error.text);
	free(copy);
	return json;
}

static int apply(struct fixture *f, const char *text)
{
	json_t *json = json_of(text);
	int rc = control_apply(&f->control, json);

	json_decref(json);
	return rc;
}

static const struct service *find(struct fixture *f, const char *route)
{
	return table_find(f->table, route, (uint8_t)strlen(route));
}

// Messages

static void services_come_change_and_go(void **state)
{
	struct fixture *f = *state;
	const struct service *s;

	assert_int_equal(apply(f, "{'op': 'service', 'seq': 5, 'namespace': 'default', 'route': "
				  "'orders', 'prefix': false,"
				  " 'kind': 'endpoint', 'fragments': false, 'lease': false, "
				  "'timeout_ms': 250, 'new': [],"
				  " 'targets': [{'name': 'a', 'address': '10.0.0.1:7000'}, "
				  "{'address': 'unix:/x'}]}"),
		0);
	assert_int_equal(f->control.seq, 5);
	s = find(f, "orders");
	assert_int_equal(s->targets_count, 2);
	assert_int_equal(s->timeout_ms, 250);
	assert_string_equal(s->targets[0]->text, "10.0.0.1:7000");
	assert_string_equal(s->targets[1]->text, "unix:/x");
	assert_false(s->targets[0]->fragments);
	// Fragments are understood unless the contrary is said; no targets: no live instance.
	assert_int_equal(apply(f, "{'op': 'service', 'seq': 6, 'namespace': 'n', 'route': 'a.',"
				  " 'prefix': true, 'targets': [{'address': '10.0.0.1:7000'}]}"),
		0);
	assert_true(find(f, "n/a.b")->targets[0]->fragments);
	assert_int_equal(apply(f, "{'op': 'service', 'seq': 7, 'namespace': 'default',"
				  " 'route': 'orders', 'targets': []}"),
		0);
	assert_int_equal(find(f, "orders")->targets_count, 0);
	assert_int_equal(table_services(f->table), 2);
	// Exact and prefix are two services.
	assert_int_equal(
		apply(f, "{'op': 'service_gone', 'seq': 8, 'namespace': 'n', 'route': 'a.'}"), 0);
	assert_non_null(find(f, "n/a.b"));
	assert_int_equal(
		apply(f, "{'op': 'service_gone', 'seq': 9, 'namespace': 'n', 'route': 'a.',"
			 " 'prefix': true}"),
		0);
	assert_null(find(f, "n/a.b"));
	assert_int_equal(f->control.seq, 9);
	assert_int_equal(f->control.counters.applied, 5);
	assert_int_equal(apply(f, "{'op': 'newer_than_us', 'seq': 10}"), -ENOTSUP);
	assert_int_equal(f->control.counters.unknown, 1);
	assert_int_equal(f->control.seq, 10);
}

static const char *const bad[] = {
	"[]",
	"{}",
	"{'op': 'service'}",
	"{'op': 7, 'seq': 1}",
	"{'op': 'service_gone', 'seq': -1, 'namespace': 'default', 'route': 'kept'}",
	"{'op': 'service_gone', 'seq': '9', 'namespace': 'default', 'route': 'kept'}",
	"{'op': 'service_gone', 'seq': 9.5, 'namespace': 'default', 'route': 'kept'}",
	"{'op': 'service_gone', 'seq': 9, 'namespace': 'default'}",
	"{'op': 'service_gone', 'seq': 9, 'namespace': 'default', 'route': 'kept', 'prefix': 0}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'x'}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': '', 'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': '', 'route': 'x', 'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': 'a/b', 'route': 'x', 'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': 5, 'route': 'x', 'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept', 'targets': {}}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept', 'targets': "
	"['10.0.0.1:1']}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept',"
	" 'targets': [{'address': '10.0.0.9:1'}, {'address': 'nonsense'}]}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept',"
	" 'targets': [{'address': '10.0.0.9:99999'}]}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept', 'timeout_ms': -1, "
	"'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept', 'fragments': 'no', "
	"'targets': []}",
	"{'op': 'service', 'seq': 9, 'namespace': 'default', 'route': 'kept', 'targets': [],"
	" 'timeout_ms': 4294967296}",
	"{'op': 'gateway', 'seq': 9}",
	"{'op': 'gateway', 'seq': 9, 'spec': null}",
	"{'op': 'gateway', 'seq': 9, 'spec': []}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': {}}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'addresses': ['10.0.0.1/24']}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'name': 'p0', 'addresses': "
	"'10.0.0.1/24'}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'name': 'p0', 'addresses': [1]}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'name': 'p0', 'addresses': "
	"['10.0.0.1/33']}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'name': 'p0', 'addresses':"
	" ['10.0.0.1/24', '10.0.0.1/24']}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'name': 'p0', 'addresses': "
	"['10.0.0.1/24'],"
	" 'routes': [{'to': 'default', 'via': '192.168.0.1'}]}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'ports': [{'name': 'p0', 'addresses': "
	"['10.0.0.1/24'],"
	" 'routes': [{'to': 'default'}]}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'listeners': [{'port': 0}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'listeners': [{'port': 65536}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'listeners': [{}]}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'limits': {'connections_per_address': -1}}}",
	"{'op': 'gateway', 'seq': 9, 'spec': {'limits': {'connections_per_address': 4294967296}}}",
	"{'op': 'snapshot_begin', 'seq': 9}",
	"{'op': 'snapshot_begin', 'seq': 9, 'epoch': 7}",
	"{'op': 'snapshot_begin', 'seq': 9, 'epoch':"
	" '0123456789012345678901234567890123456789012345678901234567890123456789'}",
	"{'op': 'snapshot_end', 'seq': 9}",
};

static void bad_messages_change_nothing(void **state)
{
	struct fixture *f = *state;
	const struct service *kept;

	assert_int_equal(
		apply(f, "{'op': 'service', 'seq': 3, 'namespace': 'default', 'route': 'kept',"
			 " 'targets': [{'address': '10.0.0.1:7000'}]}"),
		0);
	strcpy(f->control.epoch, "e");
	kept = find(f, "kept");
	log_set_level(LOG_ERROR);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = apply(f, bad[i]);

		if (rc != -EINVAL)
			fail_msg("%d for %s", rc, bad[i]);
		assert_int_equal(f->control.counters.invalid, i + 1);
		assert_ptr_equal(find(f, "kept"), kept);
		assert_int_equal(table_services(f->table), 1);
		assert_int_equal(f->nets, 0);
		assert_int_equal(f->control.seq, 3);
		assert_string_equal(f->control.epoch, "e");
		assert_false(f->control.in_snapshot);
	}
	log_set_level(LOG_INFO);
	assert_int_equal(f->control.counters.applied, 1);
}

static void too_many_targets(void **state)
{
	struct fixture *f = *state;
	json_t *message =
		json_of("{'op': 'service', 'seq': 1, 'namespace': 'default', 'route': 'x'}");
	json_t *targets = json_array();

	json_object_set_new(message, "targets", targets);
	for (unsigned i = 0; i < SERVICE_TARGETS_MAX; i++)
		json_array_append_new(
			targets, json_pack("{s:o}", "address",
					 json_sprintf("10.0.%u.%u:1", i / 256, i % 256)));
	assert_int_equal(control_apply(&f->control, message), 0);
	assert_int_equal(find(f, "x")->targets_count, SERVICE_TARGETS_MAX);
	json_array_append_new(targets, json_pack("{s:s}", "address", "10.1.0.0:1"));
	assert_int_equal(control_apply(&f->control, message), -ENOSPC);
	assert_int_equal(find(f, "x")->targets_count, SERVICE_TARGETS_MAX);
	assert_int_equal(f->control.counters.drop_no_room, 1);
	json_decref(message);
}

// What exceeds the table is refused and counted, and what is there is served and can be changed.
static void too_many_services(void **state)
{
	struct fixture *f = *state;
	char text[256], route[32];

	log_set_level(LOG_ERROR);
	for (unsigned i = 0; i < SERVICES_MAX + 100; i++) {
		snprintf(text, sizeof(text),
			"{'op': 'service', 'seq': %u, 'namespace': 'default', 'route': 'f%u',"
			" 'targets': [{'address': '10.0.0.1:7000'}]}",
			i + 1, i);
		assert_int_equal(apply(f, text), i < SERVICES_MAX ? 0 : -ENOSPC);
	}
	assert_int_equal(f->control.counters.drop_no_room, 100);
	assert_int_equal(f->control.counters.applied, SERVICES_MAX);
	assert_int_equal(f->control.counters.invalid, 0);
	assert_int_equal(table_services(f->table), SERVICES_MAX);
	assert_int_equal(
		apply(f, "{'op': 'service', 'seq': 99999, 'namespace': 'default', 'route': 'f7',"
			 " 'targets': [{'address': '10.0.0.2:7000'}]}"),
		0);
	assert_string_equal(find(f, "f7")->targets[0]->text, "10.0.0.2:7000");
	snprintf(route, sizeof(route), "f%u", SERVICES_MAX);
	assert_null(find(f, route));
	// Room comes back.
	assert_int_equal(
		apply(f, "{'op': 'service_gone', 'seq': 99999, 'namespace': 'default', 'route': 'f7'}"),
		0);
	assert_int_equal(apply(f, text), 0);
	log_set_level(LOG_INFO);
}

static void the_net_configuration_follows(void **state)
{
	struct fixture *f = *state;
	struct ip_addr addr;

	assert_int_equal(
		apply(f, "{'op': 'gateway', 'seq': 1, 'spec': {'ports': ["
			 " {'name': 'p1', 'addresses': ['10.77.0.2/24', '10.78.0.2/16'],"
			 "  'routes': [{'to': 'default', 'via': '10.77.0.1'}]}], 'unknown': 1,"
			 " 'listeners': [{'port': 7878}, {'port': 80}],"
			 " 'limits': {'connections_per_address': 10000}}}"),
		0);
	assert_int_equal(f->nets, 1);
	assert_int_equal(f->net.addresses, 2);
	assert_int_equal(f->net.address[0].port, 1);
	ip_parse("10.77.0.2", &addr);
	assert_true(ip_equal(&f->net.address[0].addr, &addr));
	assert_int_equal(f->net.address[1].prefix_len, 16);
	assert_int_equal(f->net.routes, 1);
	assert_int_equal(f->net.listeners, 2);
	assert_true(net_config_has_listener(&f->net, 80));
	assert_int_equal(f->net.limits.connections_per_address, 10000);
	// A port that this process has not is left out, with its routes; the rest is used.
	log_set_level(LOG_ERROR);
	assert_int_equal(apply(f, "{'op': 'gateway', 'seq': 2, 'spec': {'ports': ["
				  " {'name': 'p9', 'addresses': ['10.99.0.2/24'], 'routes': "
				  "[{'to': 'default', 'via': '10.99.0.1'}]},"
				  " {'name': 'p0', 'addresses': ['10.77.0.2/24']}]}}"),
		0);
	log_set_level(LOG_INFO);
	assert_int_equal(f->nets, 2);
	assert_int_equal(f->net.addresses, 1);
	assert_int_equal(f->net.address[0].port, 0);
	assert_int_equal(f->net.routes, 0);
	assert_int_equal(f->net.listeners, 0);
	assert_int_equal(f->net.limits.connections_per_address, 0);
}

#define SERVICE(seq, route, address)                                                 \
	"{'op': 'service', 'seq': " seq ", 'namespace': 'default', 'route': '" route \
	"', 'targets': [{'address': '" address "'}]}"

static void a_snapshot_removes_what_it_does_not_name(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(apply(f, SERVICE("1", "a", "10.0.0.1:1")), 0);
	assert_int_equal(apply(f, SERVICE("2", "b", "10.0.0.1:1")), 0);
	assert_int_equal(apply(f, SERVICE("3", "c", "10.0.0.1:1")), 0);
	assert_int_equal(apply(f, "{'op': 'snapshot_begin', 'seq': 17, 'epoch': 'c0ffee'}"), 0);
	assert_string_equal(f->control.epoch, "");
	assert_int_equal(apply(f, SERVICE("17", "a", "10.0.0.2:1")), 0);
	assert_int_equal(apply(f, SERVICE("17", "d", "10.0.0.2:1")), 0);
	// Named, but not as it should be: it stays as it was.
	assert_int_equal(apply(f, SERVICE("17", "b", "nonsense")), -EINVAL);
	// Until the end all is there, and the place is not known.
	assert_non_null(find(f, "c"));
	assert_int_equal(f->control.seq, 3);
	assert_int_equal(apply(f, "{'op': 'snapshot_end', 'seq': 17}"), 0);
	assert_int_equal(f->control.seq, 17);
	assert_string_equal(f->control.epoch, "c0ffee");
	assert_null(find(f, "c"));
	assert_string_equal(find(f, "a")->targets[0]->text, "10.0.0.2:1");
	assert_string_equal(find(f, "b")->targets[0]->text, "10.0.0.1:1");
	assert_non_null(find(f, "d"));
	// One that begins again before its end counts from there.
	assert_int_equal(apply(f, "{'op': 'snapshot_begin', 'seq': 20, 'epoch': 'x'}"), 0);
	assert_int_equal(apply(f, SERVICE("20", "d", "10.0.0.2:1")), 0);
	assert_int_equal(apply(f, "{'op': 'snapshot_begin', 'seq': 21, 'epoch': 'y'}"), 0);
	assert_int_equal(apply(f, SERVICE("21", "a", "10.0.0.2:1")), 0);
	assert_int_equal(apply(f, "{'op': 'snapshot_end', 'seq': 21}"), 0);
	assert_string_equal(f->control.epoch, "y");
	assert_int_equal(table_services(f->table), 1);
	assert_non_null(find(f, "a"));
}

// The watch

struct plane {
	struct fixture f;
	char folder[64], address[96];
	struct loop *loop, *control_loop;
	struct buf_pool *blocks;
	struct rs_pool *pool;
	struct link_hub hub;
	struct loop_listener *listener;
	struct link link;
	bool up; // the link is there
	struct rs_stream *watch;
	char asked[256], hello[512];
	unsigned watches, reports, fulls;
	uint64_t granted;
};

static struct plane *plane_of(struct rs_session *s)
{
	return container_of(link_of(s), struct plane, link);
}

static uint32_t on_setup(struct rs_session *s, struct rs_setup *setup, const char **why)
{
	struct plane *p = plane_of(s);
	size_t n = chain_read(&setup->message.data, 0, p->hello, sizeof(p->hello) - 1);

	p->hello[n] = '\0';
	return 0;
}

static void on_report(struct plane *p, struct rs_message *message)
{
	char *text = calloc(1, message->data.len + 1);
	json_t *json;

	chain_read(&message->data, 0, text, message->data.len);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	p->reports += json_object_get(json, "counters") != NULL;
	p->fulls += json_object_get(json, "help") != NULL;
	json_decref(json);
	free(text);
}

static void on_request(struct rs_stream *stream, struct rs_message *message)
{
	struct plane *p = plane_of(stream->session);
	struct rs_route route;
	size_t n;

	assert_int_equal(rs_route_find(RS_METADATA_COMPOSITE, &message->metadata, &route), 0);
	if (stream->type == RS_REQUEST_FNF) {
		assert_string_equal(route.text, "penstock.report");
		on_report(p, message);
		return;
	}
	assert_string_equal(route.text, "penstock.watch");
	n = chain_read(&message->data, 0, p->asked, sizeof(p->asked) - 1);
	p->asked[n] = '\0';
	p->watch = stream;
	p->watches++;
	p->granted = rs_stream_credit(stream);
}

static void on_request_n(struct rs_stream *stream, uint32_t n)
{
	plane_of(stream->session)->granted += n;
}

static void on_watch_ended(struct rs_stream *stream)
{
	plane_of(stream->session)->watch = NULL;
}

static void on_watch_lost(struct rs_stream *stream, bool sent)
{
	plane_of(stream->session)->watch = NULL;
}

static const struct rs_handler plane_handler = {
	.wake = link_wake,
	.closed = link_ended,
	.setup = on_setup,
	.request = on_request,
	.request_n = on_request_n,
	.cancel = on_watch_ended,
	.lost = on_watch_lost,
};

static void on_plane_down(struct link *link, const char *why)
{
	container_of(link, struct plane, link)->up = false;
}

static const struct link_ops plane_link_ops = {.down = on_plane_down};

static void on_accept(struct loop_listener *l, int fd, void *user)
{
	static const struct rs_config config = {.handler = &plane_handler};
	struct plane *p = user;

	assert_false(p->up);
	p->up = true;
	assert_int_equal(link_serve(&p->link, &p->hub, fd, &config, &plane_link_ops, NULL), 0);
}

static void step(struct plane *p)
{
	assert_true(loop_step(p->loop, clock_now() + NS_PER_MS) >= 0);
	assert_true(loop_step(p->control_loop, 0) >= 0);
}

#define RUN_UNTIL(p, condition)                              \
	do {                                                 \
		ns_t limit_ = clock_now() + 20 * NS_PER_SEC; \
		while (!(condition) && clock_now() < limit_) \
			step(p);                             \
		assert_true(condition);                      \
	} while (0)

static void plane_listen(struct plane *p)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int error;

	assert_int_equal(sockaddr_parse(p->address, &addr, &len), 0);
	p->listener = loop_listen(p->loop, (struct sockaddr *)&addr, len, on_accept, p, &error);
	assert_non_null(p->listener);
}

static struct plane *plane_new(void)
{
	struct plane *p = calloc(1, sizeof(*p));
	struct control_config config;
	int error;

	log_set_level(LOG_ERROR);
	strcpy(p->folder, "/tmp/penstock-control-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->address, sizeof(p->address), "unix:%s/peer", p->folder);
	p->loop = loop_new(NULL, &error);
	p->control_loop = loop_new(NULL, &error);
	assert_non_null(p->loop);
	assert_non_null(p->control_loop);
	p->blocks = buf_pool_new(4096, 0);
	p->pool = rs_pool_new(64, p->blocks);
	link_hub_init(&p->hub, p->loop, p->pool);
	plane_listen(p);
	configure(&p->f);
	config = p->f.control.config;
	config.address = p->address;
	config.token = "what the plane knows";
	config.loop = p->control_loop;
	assert_int_equal(control_init(&p->f.control, &config), 0);
	return p;
}

static void plane_free(struct plane *p)
{
	control_stop(&p->f.control);
	if (p->up)
		link_close(&p->link);
	RUN_UNTIL(p, !p->up && p->f.control.link.state == LINK_CLOSED);
	loop_listener_close(p->listener);
	loop_destroy(p->control_loop);
	control_fini(&p->f.control);
	loop_destroy(p->loop);
	rs_pool_destroy(p->pool);
	buf_pool_destroy(p->blocks);
	table_destroy(p->f.table);
	rmdir(p->folder);
	free(p);
	log_set_level(LOG_INFO);
	assert_int_equal(chain_nodes_in_use(), 0);
}

static void tell(struct plane *p, const char *text)
{
	json_t *json = json_of(text);
	char *bytes = json_dumps(json, JSON_COMPACT);
	struct rs_message message = {0};

	assert_int_equal(chain_copy(&message.data, p->blocks, bytes, strlen(bytes)), 0);
	assert_int_equal(rs_payload(p->watch, &message, true, false), 0);
	free(bytes);
	json_decref(json);
}

static bool asked(const struct plane *p, const char *epoch, json_int_t after)
{
	json_t *json = json_loads(p->asked, 0, NULL);
	bool same = strcmp(json_string_value(json_object_get(json, "epoch")), epoch) == 0 &&
		    json_integer_value(json_object_get(json, "after")) == after;

	json_decref(json);
	return same;
}

static void cut(struct plane *p)
{
	unsigned watches = p->watches;

	loop_abort(p->link.conn);
	RUN_UNTIL(p, p->watches > watches && p->watch);
}

// A watch goes on where it was, unless it was cut within a snapshot: then it starts anew.
static void a_watch_that_is_cut(void **state)
{
	struct plane *p = plane_new();
	struct fixture *f = &p->f;
	json_t *hello;

	RUN_UNTIL(p, p->watch);
	hello = json_loads(p->hello, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(hello, "role")), "gateway");
	assert_string_equal(json_string_value(json_object_get(hello, "name")), "gw1");
	assert_string_equal(
		json_string_value(json_object_get(hello, "token")), "what the plane knows");
	json_decref(hello);
	assert_true(asked(p, "", 0));
	tell(p, "{'op': 'snapshot_begin', 'seq': 4, 'epoch': 'e1'}");
	tell(p, SERVICE("4", "a", "10.0.0.1:1"));
	RUN_UNTIL(p, find(f, "a"));
	cut(p);
	assert_true(asked(p, "", 0));
	assert_non_null(find(f, "a"));
	tell(p, "{'op': 'snapshot_begin', 'seq': 5, 'epoch': 'e1'}");
	tell(p, SERVICE("5", "b", "10.0.0.1:1"));
	tell(p, "{'op': 'snapshot_end', 'seq': 5}");
	tell(p, SERVICE("6", "c", "10.0.0.1:1"));
	RUN_UNTIL(p, find(f, "c"));
	assert_null(find(f, "a"));
	cut(p);
	assert_true(asked(p, "e1", 6));
	// What cannot be read is said, and does not end the watch.
	tell(p, "{'op': 'service', 'seq': 7}");
	tell(p, SERVICE("8", "d", "10.0.0.1:1"));
	RUN_UNTIL(p, find(f, "d"));
	assert_int_equal(f->control.counters.invalid, 1);
	cut(p);
	assert_true(asked(p, "e1", 8));
	assert_int_equal(table_services(f->table), 3);
	plane_free(p);
}

// An end or a refusal of the watch is answered by another connection, after the back-off.
static void a_watch_that_ends(void **state)
{
	struct plane *p = plane_new();
	struct rs_message none = {0};

	RUN_UNTIL(p, p->watch);
	rs_payload(p->watch, &none, false, true);
	p->watch = NULL;
	RUN_UNTIL(p, p->watches == 2 && p->watch);
	rs_error(p->watch, RS_ERROR_REJECTED, "not now");
	p->watch = NULL;
	RUN_UNTIL(p, p->watches == 3 && p->watch);
	tell(p, SERVICE("1", "a", "10.0.0.1:1"));
	RUN_UNTIL(p, find(&p->f, "a"));
	plane_free(p);
}

// While the control plane is away the table stays.
static void a_control_plane_that_is_away(void **state)
{
	struct plane *p = plane_new();
	struct fixture *f = &p->f;

	RUN_UNTIL(p, p->watch);
	tell(p, SERVICE("1", "a", "10.0.0.1:1"));
	RUN_UNTIL(p, find(f, "a"));
	loop_listener_close(p->listener);
	loop_abort(p->link.conn);
	RUN_UNTIL(p, f->control.link.attempts >= 3);
	assert_null(f->control.watch);
	assert_non_null(find(f, "a"));
	plane_listen(p);
	RUN_UNTIL(p, p->watch);
	plane_free(p);
}

// More items than the first credit; credit is given again, and never more than WATCH_CREDIT ahead.
static void credit_is_renewed(void **state)
{
	struct plane *p = plane_new();
	char text[256];

	RUN_UNTIL(p, p->watch);
	assert_int_equal(p->granted, WATCH_CREDIT);
	for (unsigned i = 1; i <= 3000; i++) {
		snprintf(text, sizeof(text), SERVICE("%u", "f%u", "10.0.0.1:1"), i, i % 1000);
		tell(p, text);
	}
	RUN_UNTIL(p, p->f.control.seq == 3000);
	assert_int_equal(p->f.control.counters.applied, 3000);
	assert_int_equal(table_services(p->f.table), 1000);
	assert_in_range(p->granted, 3000, 3000 + WATCH_CREDIT);
	plane_free(p);
}

static void reports_are_sent(void **state)
{
	struct plane *p = plane_new();

	RUN_UNTIL(p, p->reports == 1);
	assert_int_equal(p->fulls, 1);
	RUN_UNTIL(p, p->reports == 2);
	assert_int_equal(p->fulls, 1);
	cut(p);
	RUN_UNTIL(p, p->fulls == 2);
	plane_free(p);
}

static void addresses_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct control_config config = f->control.config;
	struct loop *loop;
	int error;

	loop = loop_new(NULL, &error);
	config.loop = loop;
	config.address = "not an address";
	assert_int_equal(control_init(&f->control, &config), -EINVAL);
	loop_destroy(loop);
}

int main(void)
{
	char *args[] = {"test-control", "--no-huge", "--no-pci", "--no-shconf", "-m", "64",
		"--log-level", "critical", NULL};
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(services_come_change_and_go),
		CASE(bad_messages_change_nothing),
		CASE(too_many_targets),
		CASE(too_many_services),
		CASE(the_net_configuration_follows),
		CASE(a_snapshot_removes_what_it_does_not_name),
		CASE(addresses_that_cannot_be),
		cmocka_unit_test(a_watch_that_is_cut),
		cmocka_unit_test(a_watch_that_ends),
		cmocka_unit_test(a_control_plane_that_is_away),
		cmocka_unit_test(credit_is_renewed),
		cmocka_unit_test(reports_are_sent),
	};

	if (rte_eal_init(8, args) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
