// SPDX-License-Identifier: Apache-2.0
// penstock-controlplane: starts the parts in order, runs them on one thread, stops them in reverse.
//
// One epoll waits for the API's sockets (libmicrohttpd), the peers' loop (io_uring), the committing
// thread and signals. A turn: settle what the store has finished (publish it, answer who waited),
// run the API, run the peers, hand the next batch to the store. So all state belongs to this
// thread, and changes that arrive while the disk is busy are stored together.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/commit.h"
#include "controlplane/http.h"
#include "controlplane/options.h"
#include "controlplane/orchestrator.h"
#include "controlplane/peers.h"
#include "controlplane/publish.h"
#include "controlplane/registry.h"
#include "controlplane/sockets.h"
#include "controlplane/store_journal.h"
#include "controlplane/telemetry.h"
#include "lib/base/addr.h"
#include "lib/base/log.h"
#include "lib/base/notify.h"

#define SUBSYSTEM "controlplane"
#define STOP_TIMEOUT (2 * NS_PER_SEC)

struct server {
	struct options options;
	struct store *store;
	struct registry registry;
	struct committer committer;
	struct publisher publisher;
	struct orchestrator orchestrator;
	struct telemetry *telemetry;
	struct api api;
	struct http control, metrics;
	bool has_metrics, stop;
	struct loop *loop;
	struct peers peers;
	char peer_path[200];  // of a Unix socket, "" for TCP
	struct token token;
	int signal_fd, epoll_fd;
	int exit_code;
};

// ---- starting ----

static bool put_journal(struct server *s)
{
	const char *dir = s->options.state;
	struct store *store;
	int rc;

	store = store_journal_open(dir, s->store, 0, &rc);
	if (!store && rc == -ENODATA)
		log_error(SUBSYSTEM,
			"%s/journal is not there, and the store needs what was in it: bring it "
			"back, or restore a backup",
			dir);
	else if (!store && rc == -ESTALE)
		log_error(SUBSYSTEM,
			"%s/journal does not belong to the store.mdb beside it, which is older or "
			"newer: bring back the two that belong together, or restore a backup",
			dir);
	else if (!store)
		log_error(SUBSYSTEM,
			"cannot use %s/journal: %s; see whether the disk is full, what dmesg says "
			"of it, and who owns the file",
			dir, strerror(-rc));
	if (!store)
		return false;
	if (rc)
		log_warn(SUBSYSTEM,
			"no room for %s/journal (64 MiB): changes take longer to store; free some "
			"space and restart",
			dir);
	s->store = store;
	return true;
}

static bool start_store(struct server *s)
{
	const char *dir = s->options.state;
	int rc = directory_make(dir, 0750);

	if (rc) {
		log_error(SUBSYSTEM,
			"cannot make the state directory %s: %s; choose another with --state", dir,
			strerror(-rc));
		return false;
	}
	s->store = store_lmdb_open(dir, &rc);
	if (!s->store) {
		log_error(SUBSYSTEM,
			rc == -EBUSY ? "another control plane already uses the state directory %s "
				       "(%s): stop it, or "
				       "give this one its own with --state and --control"
				     : "cannot open the store in %s: %s; see whether the disk is "
				       "full and who owns it",
			dir, strerror(-rc));
		return false;
	}
	if (!put_journal(s))
		return false;
	rc = registry_init(&s->registry, s->store);
	if (rc) {
		log_error(SUBSYSTEM,
			"cannot read the store in %s: %s; restore it from a backup, or start with "
			"an "
			"empty directory",
			dir, strerror(-rc));
		return false;
	}
	s->registry.where = dir;
	store_stat(s->store, &s->registry.stat);
	return true;
}

static bool start_committing(struct server *s)
{
	int rc = committer_start(&s->committer, &s->registry);

	if (rc)
		log_error(SUBSYSTEM, "cannot start the committing thread: %s", strerror(-rc));
	else
		scheduler_commits(&s->orchestrator.scheduler, committer_wake, &s->committer);
	return rc == 0;
}

static void on_change(void *user, const struct change *change)
{
	struct server *s = user;

	publisher_apply(&s->publisher, change);
	orchestrator_apply(&s->orchestrator, change);
}

static json_t *explain(void *user, const char *namespace, const char *name)
{
	return scheduler_explain(user, namespace, name);
}

static void metrics(void *user, const struct prom *p)
{
	scheduler_metrics(user, p);
}

static bool start_core(struct server *s)
{
	const struct orchestrator_config config = {
		.workers = s->options.workers,
		.lease_ns = s->options.lease_s * NS_PER_SEC,
		.planning = s->options.planning,
	};
	int rc;

	publisher_init(&s->publisher, &s->registry);
	s->telemetry = telemetry_new(clock_now());
	rc = orchestrator_start(
		&s->orchestrator, &s->registry, &s->publisher, s->store, &config);
	if (rc) {
		log_error(SUBSYSTEM, "cannot start the scheduler: %s%s", strerror(-rc),
			rc == -EBADMSG || rc == -EPROTO
				? "; the store is damaged or of a newer version"
				: "");
		return false;
	}
	registry_observe(&s->registry, on_change, s);
	api_init(&s->api, &s->registry, s->telemetry, &s->publisher, PENSTOCK_VERSION, clock_now());
	s->api.fleet = &s->orchestrator.fleet;
	s->api.explain = explain;
	s->api.scheduler_metrics = metrics;
	s->api.explain_user = &s->orchestrator.scheduler;
	s->api.scheduler = &orchestrator_api;
	s->api.scheduler_user = &s->orchestrator;
	return true;
}

static void complain_listen(const char *what, const char *where, const char *flag, int error)
{
	if (error == -EADDRINUSE)
		log_error(SUBSYSTEM,
			"%s %s is in use: another control plane already runs; stop it, or choose "
			"another with --%s",
			what, where, flag);
	else if (error == -ENOTSOCK)
		log_error(SUBSYSTEM,
			"%s exists and is no socket: remove it, or choose another path with --%s",
			where, flag);
	else
		log_error(SUBSYSTEM, "cannot listen on %s %s: %s; choose another with --%s", what,
			where, strerror(-error), flag);
}

static bool start_control(struct server *s)
{
	const char *path = s->options.control;
	int fd, rc = directory_of_make(path, 0755);

	fd = rc ? rc : socket_listen_unix(path, 0660, "penstock");
	rc = fd < 0 ? fd : http_start(&s->control, &s->api, fd, NULL);
	if (rc)
		complain_listen("the control socket", path, "control", rc);
	return rc == 0;
}

static bool start_metrics(struct server *s)
{
	int fd, rc;

	if (strcmp(s->options.metrics, "off") == 0)
		return true;
	fd = socket_listen_tcp(s->options.metrics);
	rc = fd < 0 ? fd : http_start(&s->metrics, &s->api, fd, "/metrics");
	if (rc)
		complain_listen("the metrics port", s->options.metrics, "metrics", rc);
	s->has_metrics = rc == 0;
	return rc == 0;
}

// Parses --peer; a plain path is a Unix socket, too.
static int peer_address(struct server *s, struct sockaddr_storage *addr, socklen_t *len)
{
	const char *text = s->options.peer;
	int rc = sockaddr_parse(text, addr, len);

	if (rc || addr->ss_family != AF_UNIX)
		return rc;
	snprintf(s->peer_path, sizeof(s->peer_path), "%s",
		strncmp(text, "unix:", 5) == 0 ? text + 5 : text);
	rc = directory_of_make(s->peer_path, 0755);
	if (rc)
		return rc;
	// That somebody answers may be the last breath of one that was killed: its ring is taken
	// down after its death. loop_listen() waits for that and decides.
	rc = socket_answers(s->peer_path);
	return rc < 0 ? rc : 0;
}

static bool share_peer(const struct server *s)
{
	const char *group = s->options.peer_group;
	int rc = s->peer_path[0] && *group ? socket_share(s->peer_path, group) : 0;

	if (rc)
		log_error(SUBSYSTEM,
			"cannot give the peer socket %s to the group %s: %s; make the group and put this "
			"user into it, or leave --peer-group out",
			s->peer_path, group, rc == -ENOENT ? "there is none" : strerror(-rc));
	return rc == 0;
}

static bool listen_peer(struct server *s)
{
	struct sockaddr_storage addr;
	socklen_t len;
	mode_t old;
	int rc = peer_address(s, &addr, &len);

	if (!rc) {
		old = umask(0177);
		rc = peers_listen(&s->peers, (const struct sockaddr *)&addr, len);
		umask(old);
	}
	if (rc)
		complain_listen("the peer socket", s->options.peer, "peer", rc);
	return rc == 0 && share_peer(s);
}

static bool listen_peer_tcp(struct server *s)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int rc;

	if (strcmp(s->options.peer_tcp, "off") == 0)
		return true;
	rc = sockaddr_parse(s->options.peer_tcp, &addr, &len);
	if (!rc)
		rc = peers_listen(&s->peers, (const struct sockaddr *)&addr, len);
	if (rc)
		complain_listen("the peer address", s->options.peer_tcp, "peer-tcp", rc);
	else if (!address_is_local(&addr) && !s->token.known)
		log_warn(SUBSYSTEM,
			"--peer-tcp %s without --token-file: nobody can join from another machine",
			s->options.peer_tcp);
	return rc == 0;
}

static bool start_peers(struct server *s)
{
	struct peers_config config = {
		.registry = &s->registry,
		.publisher = &s->publisher,
		.telemetry = s->telemetry,
		.orchestrator = &s->orchestrator,
		.token = &s->token,
	};
	int rc;

	config.loop = s->loop = loop_new(NULL, &rc);
	if (!s->loop) {
		log_error(SUBSYSTEM,
			"cannot start io_uring: %s; the kernel must be 6.1 or newer and "
			"RLIMIT_MEMLOCK at least 8 MiB",
			strerror(-rc));
		return false;
	}
	rc = peers_start(&s->peers, &config);
	if (rc)
		log_error(SUBSYSTEM, "cannot start the peers' side: %s", strerror(-rc));
	s->control.peers = &s->peers;
	return rc == 0 && listen_peer(s) && listen_peer_tcp(s);
}

static bool watch(struct server *s, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return fd >= 0 && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool start_waiting(struct server *s)
{
	sigset_t set;
	bool good;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	good = s->epoll_fd >= 0 && watch(s, s->signal_fd) && watch(s, s->committer.event_fd) &&
	       watch(s, loop_fd(s->loop)) && watch(s, http_fd(&s->control)) &&
	       watch(s, s->control.watch_fd) && watch(s, s->orchestrator.scheduler.event_fd);
	if (s->has_metrics)
		good = good && watch(s, http_fd(&s->metrics));
	if (!good)
		log_error(SUBSYSTEM, "cannot wait for events: %s", strerror(errno));
	return good;
}

// Blocked before the first thread starts, so that only the signalfd sees them.
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

// ---- running ----

// The store differs from what we hold: somebody else wrote, or a commit that was reported as failed
// is there after all. Going on could undo it, so start again from the store.
static void lost_track(struct server *s)
{
	log_error(SUBSYSTEM,
		"the store is not what this process last wrote: stopping, so that the next start "
		"reads it anew");
	s->exit_code = 1;
	s->stop = true;
}

// Once when it begins and once when it ends: who asks is told each time.
static void tell_trouble(const struct server *s, int result)
{
	if (result && result != s->registry.last_error)
		log_error(SUBSYSTEM,
			"changes cannot be stored in %s and are refused: %s; %s; it is tried again "
			"until it succeeds",
			s->options.state, strerror(-result),
			result == -ENOSPC ? "free some space there"
					  : "see what dmesg says of its disk");
	else if (!result && s->registry.last_error)
		log_info(SUBSYSTEM, "changes are stored again");
}

// In the registry and in the log. An error and its end may be in one result: each is told, and what
// came last stands.
static void heed(struct server *s, const struct commit_result *r)
{
	if (r->alone || r->alone_error) {
		tell_trouble(s, r->alone_error);
		registry_rode(&s->registry, r->alone, r->alone_error);
	}
	if (r->settled) {
		tell_trouble(s, r->error);
		registry_settle(&s->registry, r->error);
	}
	tell_trouble(s, r->last);
	s->registry.last_error = r->last;
	if (!r->last)
		s->registry.stat = r->stat;
	if (r->last == -EAGAIN && !s->stop)
		lost_track(s);
}

// What is stored is told before what is not: both may be in one result.
static void settle(struct server *s, bool wait)
{
	const struct commit_result r = committer_take(&s->committer, wait);

	heed(s, &r);
	if (scheduler_settle(&s->orchestrator.scheduler))
		http_logged(&s->control, 0);
	if (r.alone_error)
		http_logged(&s->control, r.alone_error);
	if (r.settled)
		http_settled(&s->control, r.error);
}

// What the scheduler puts into batches waits until the store takes something again; a client's
// change does not.
static bool pauses(const struct server *s)
{
	const struct batch *b = s->registry.collecting;

	return s->registry.last_error && !(b && b->count);
}

static void hand_over(struct server *s)
{
	struct batch *batch;

	if (pauses(s))
		return;
	batch = registry_seal(&s->registry);
	if (batch)
		committer_submit(&s->committer, batch);
}

static int sleep_ms(const struct server *s)
{
	ns_t next = timer_wheel_next(loop_timers(s->loop)), now = clock_now();
	ns_t due = orchestrator_next(&s->orchestrator);
	int ms = -1, limits[2] = {http_timeout_ms(&s->control),
			     s->has_metrics ? http_timeout_ms(&s->metrics) : -1};

	next = due < next ? due : next;
	if (next != NS_NEVER)
		ms = next <= now
			     ? 0
			     : (int)((next - now < 60 * NS_PER_SEC ? next - now : 60 * NS_PER_SEC) /
				       NS_PER_MS) +
				       1;
	for (int i = 0; i < 2; i++)
		if (limits[i] >= 0 && (ms < 0 || limits[i] < ms))
			ms = limits[i];
	return ms;
}

static void take_signal(struct server *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		log_info(SUBSYSTEM, "signal %u: stopping", info.ssi_signo);
		s->stop = true;
	}
}

static void turn(struct server *s)
{
	struct epoll_event events[8];

	loop_submit(s->loop);
	if (epoll_wait(s->epoll_fd, events, 8, sleep_ms(s)) < 0 && errno != EINTR) {
		log_error(SUBSYSTEM, "cannot wait: %s", strerror(errno));
		s->exit_code = 1;
		s->stop = true;
		return;
	}
	take_signal(s);
	settle(s, false);
	http_run(&s->control);
	if (s->has_metrics)
		http_run(&s->metrics);
	loop_step(s->loop, 0);
	orchestrator_tick(&s->orchestrator, clock_now());
	hand_over(s);
}

// ---- stopping ----

// Everything that was taken becomes durable or is refused before the end.
static void finish_commits(struct server *s)
{
	for (int i = 0; i < 3; i++) {
		settle(s, true);
		http_run(&s->control);
		hand_over(s);
	}
	settle(s, true);
}

static void stop_peers(struct server *s)
{
	ns_t until = clock_now() + STOP_TIMEOUT;

	if (s->loop)
		peers_stop(&s->peers);
	while (s->peers.count && clock_now() < until)
		loop_step(s->loop, until);
	if (s->loop)
		loop_destroy(s->loop);
	peers_fini(&s->peers);
	if (s->peer_path[0])
		unlink(s->peer_path);
}

static void stop(struct server *s)
{
	finish_commits(s);
	http_stop(&s->control);
	unlink(s->options.control);
	if (s->has_metrics)
		http_stop(&s->metrics);
	stop_peers(s);
	scheduler_commits(&s->orchestrator.scheduler, NULL, NULL);
	committer_stop(&s->committer);
	orchestrator_stop(&s->orchestrator);
	api_fini(&s->api);
	publisher_fini(&s->publisher);
	telemetry_destroy(s->telemetry);
	registry_fini(&s->registry);
	store_close(s->store);
	chain_nodes_free();
	close(s->signal_fd);
	close(s->epoll_fd);
}

// The parts in the order of their needs; the kernel takes back what a failed start leaves, but
// files.
static bool start(struct server *s)
{
	if (!start_store(s))
		return false;
	if (!start_core(s) || !start_committing(s) || !start_control(s))
		return false;
	if (!start_metrics(s) || !start_peers(s) || !start_waiting(s)) {
		unlink(s->options.control);
		return false;
	}
	return true;
}

// False after a complaint.
static bool read_token(struct server *s)
{
	const char *path = s->options.token_file;
	int rc = *path ? token_read(&s->token, path) : 0;

	if (rc == -EINVAL)
		log_error(SUBSYSTEM,
			"cannot use --token-file %s: its first line must have %d to %d characters, "
			"such as `head -c 24 /dev/urandom | base64` makes, or be sha256: and the "
			"token's hash, as `printf %%s TOKEN | sha256sum` tells it",
			path, TOKEN_MIN, TOKEN_MAX);
	else if (rc)
		log_error(SUBSYSTEM, "cannot read --token-file %s: %s", path, strerror(-rc));
	return rc == 0;
}

int main(int argc, char **argv)
{
	static struct server server;
	struct server *s = &server;
	enum settings_result options = options_read(&s->options, argc, argv, stdout, stderr);

	if (options != SETTINGS_RUN)
		return options == SETTINGS_EXIT ? 0 : 2;
	log_set_level(s->options.log_level);
	if (!read_token(s))
		return 2;
	block_signals();
	if (!start(s))
		return 1;
	log_info(SUBSYSTEM, "version %s serves %s with %zu services at seq %llu", PENSTOCK_VERSION,
		s->options.control, publisher_services(&s->publisher),
		(unsigned long long)s->registry.durable);
	notify("READY=1");
	while (!s->stop)
		turn(s);
	notify("STOPPING=1");
	stop(s);
	return s->exit_code;
}
