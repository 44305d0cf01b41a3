# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the smoke tests share. A smoke test is a script NAME.sh in this folder:
#
#	#!/bin/bash
#	# SPDX-License-Identifier: Apache-2.0
#	# A sentence that says what it shows.
#	. "${0%/*}/lib.sh"
#	smoke_start                            # control plane, gateway, backends on 7000 and 7001; calls go
#	expect "echo replies" test "$(penstock call echo -d hello)" = hello
#	smoke_pools_settle                     # every pool as full as before
#	smoke_end
#
# run.sh runs it as: NAME.sh BUILD_DIR [--workers N] [--no-huge]. Everything lives in the network namespace
# penstock-test-PID and a temporary directory; both go at the end, also after a failure. A failed
# test leaves its logs where run.sh collects them ($SMOKE_LOGS).
# shellcheck disable=SC2154,SC2034

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/tools/lib/base.sh"
. "$root/tools/lib/setup.sh"
. "$root/tools/lib/netns.sh"
. "$root/tools/lib/stack.sh"

smoke_failed=0
smoke_expected=0

smoke_usage() {
	say "usage: ${0##*/} BUILD_DIR [--workers N] [--no-huge]"
	exit 2
}

smoke_options() {
	[ $# -ge 1 ] && [ -d "$1" ] || smoke_usage
	stack_build=$(cd "$1" && pwd)
	shift
	stack_workers=1
	smoke_no_huge=
	while [ $# -gt 0 ]; do
		case $1 in
		--workers) stack_workers=${2:?}; shift ;;
		--no-huge) smoke_no_huge=1 ;;
		*) smoke_usage ;;
		esac
		shift
	done
}

# Before smoke_start or smoke_open, where memory is measured: a sanitizer keeps what was freed, up to 256 MiB if
# nobody says otherwise.
smoke_measures_memory() {
	export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
}

# Shims outlive their host by design; these are the ones below this test's own directory.
smoke_end_instances() {
	local pid
	for pid in $(pgrep -f "$stack_run/" || true); do
		[ "$pid" = $$ ] || kill -KILL "$pid" 2>/dev/null || true
	done
}

# Undone last: logs of a failed test are kept, and what a sanitizer said fails a test that seemed to pass.
smoke_close() {
	local said
	smoke_end_instances
	said=$(grep -lE 'ERROR: (Address|Leak|Thread)Sanitizer|runtime error:' "$stack_run"/*.log \
		2>/dev/null || true)
	if [ -n "$said" ]; then
		warn "a sanitizer spoke up in: $said"
		undo_rc=1
	fi
	if [ "$undo_rc" != 0 ] && [ -n "${SMOKE_LOGS:-}" ]; then
		mkdir -p "$SMOKE_LOGS"
		cp "$stack_run"/*.log "$stack_run"/*.json "$SMOKE_LOGS"/ 2>/dev/null || true
	fi
	rm -rf "$stack_run"
}

# Makes namespace and directory. smoke_start does it, too.
smoke_open() {
	[ -z "${stack_run:-}" ] || return 0
	need_root
	need_tun
	undo_arm
	stack_ns=penstock-test-$$
	stack_run=$(mktemp -d "${TMPDIR:-/tmp}/penstock-test.XXXXXX")
	stack_logs=$stack_run
	undo_push smoke_close
	netns_make "$stack_ns"
	if [ -z "$smoke_no_huge" ] && ! hugepages_take 256; then
		warn "no huge pages to be had: going on with --no-huge"
		smoke_no_huge=1
	fi
	if [ -n "$smoke_no_huge" ]; then stack_args+=(--no-huge); fi
}

# --- manifests ---

# manifest_endpoint NAME ROUTES ADDRESS...: one on standard output. ROUTES as YAML: '[echo, "js."]'.
manifest_endpoint() {
	local name=$1 routes=$2 list
	shift 2
	printf -v list '"%s", ' "$@"
	printf -- '---\napiVersion: penstock/v1\nkind: Endpoint\nmetadata: {name: %s}\n' "$name"
	printf 'spec: {addresses: [%s], routes: %s}\n' "${list%, }" "$routes"
}

manifest_gateway() {
	printf -- '---\napiVersion: penstock/v1\nkind: Gateway\nmetadata: {name: gw1}\nspec:\n'
	printf '  ports: [{name: p0, addresses: [%s/24]}]\n' "$stack_gateway"
	printf '  listeners: [{port: %s}]\n' "$stack_port"
}

# smoke_apply: manifests from standard input.
smoke_apply() {
	cat >"$stack_run/manifest.yaml"
	penstock apply -f "$stack_run/manifest.yaml" >>"$stack_run/apply.log" 2>&1 || {
		tail -n 5 "$stack_run/apply.log" >&2
		die "the manifests were not applied"
	}
}

# The whole set with backends (penstock-gen serve) on ports 7000 and 7001 that share the test functions.
# Sets smoke_backend_pid[PORT].
declare -gA smoke_backend_pid=()

smoke_backend() {
	stack_start_backend "$@"
	smoke_backend_pid[$1]=$process_pid
}

smoke_start() {
	smoke_open
	stack_start_controlplane
	stack_start_dataplane
	smoke_backend 7000
	smoke_backend 7001
	{
		manifest_gateway
		manifest_endpoint demo '[echo, count, delay, error, size, sink]' "$stack_host:7000" "$stack_host:7001"
	} | smoke_apply
	stack_wait_dataplane
	stack_wait_call echo
	smoke_pools_note
}

# --- expectations: each is told; the first that fails does not end the test, smoke_end does ---

# expect SENTENCE COMMAND...
expect() {
	local sentence=$1
	shift
	smoke_expected=$((smoke_expected + 1))
	if "$@"; then
		say "  ok    $sentence"
	else
		smoke_failed=$((smoke_failed + 1))
		say "  WRONG $sentence"
	fi
}

# expect_fail SENTENCE STATUS COMMAND...: ends with that very status.
expect_status() {
	local sentence=$1 want=$2 got=0
	shift 2
	"$@" >/dev/null 2>&1 || got=$?
	expect "$sentence (status $got)" test "$got" = "$want"
}

# smoke_skip WHY: this test cannot be run here; run.sh tells it and does not count it as passed.
smoke_skip() {
	say "not run: $1"
	exit 77
}

smoke_end() {
	say "${0##*/}: $smoke_expected expectations, $smoke_failed wrong"
	[ "$smoke_expected" -gt 0 ] && [ "$smoke_failed" = 0 ] || exit 1
	exit 0
}

# --- load in the background ---

# load_start SECONDS [FLAGS]: penstock-gen load; its result is in $stack_run/load.json after load_wait.
# What earlier loads said is kept as load-1, load-2...
load_number=0

load_start() {
	local seconds=$1 program kind
	shift
	program=$(stack_program penstock-gen)
	for kind in json log; do
		[ ! -e "$stack_run/load.$kind" ] || mv "$stack_run/load.$kind" "$stack_run/load-$load_number.$kind"
	done
	load_number=$((load_number + 1))
	process_start "$stack_run/load.log" ip netns exec "$stack_ns" "$program" load \
		--to "$stack_gateway:$stack_port" --duration "$seconds" --json "$stack_run/load.json" "$@"
	load_pid=$process_pid
}

# Fails when the generator did.
load_wait() {
	wait "$load_pid"
}

# load_get FILTER: a value of the result, by jq.
load_get() { jq -r "$1" "$stack_run/load.json"; }

# --- function hosts and the control plane ---

declare -A host_pid=()

# host_start NAME PORT [FLAGS]: a function host on loopback; its pid is host_pid[NAME]. $host_in goes before the command.
host_in=()
host_start() {
	local name=$1 port=$2 program shim
	shift 2
	program=$(stack_program penstock-fnhost)
	shim=$(stack_program penstock-shim)
	process_start "$stack_run/$name.log" ip netns exec "$stack_ns" "${host_in[@]}" "$program" --config /dev/null --name "$name" \
		--control "unix:$stack_run/peer.sock" --listen "127.0.0.1:$port" --state "$stack_run/fnhost-$name" \
		--functions "$stack_build/fnhost/demo" --shim "$shim" "$@"
	host_pid[$name]=$process_pid
}

node_ready() { [ "$(penstock get node "$1" -o json | jq -r .status.state)" = ready ]; }

# After a kill -9.
controlplane_restart() {
	kill -KILL "$stack_controlplane_pid"
	wait "$stack_controlplane_pid" 2>/dev/null || true
	stack_start_controlplane
}

# --- what the gateway says of itself ---

# The control plane's statistics as JSON; filter with jq.
stats() { PENSTOCK_SOCKET=$stack_run/control.sock penstock stats --json | jq -r "$1"; }

# Where `meson install` puts what was built.
smoke_prefix() { meson introspect --buildoptions "$stack_build" | jq -r '.[] | select(.name == "prefix") | .value'; }

# Resident memory of a process in KiB.
rss_kib() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }

# One line a pool: what is in use of it. Connections to backends stay while they are used now and then, so they
# are no leak.
smoke_pools() {
	penstock stats --json | jq -r '[(.gateways[].workers[] | .id as $id | .pools | to_entries[]
		| select(.key != "upstreams") | "worker \($id) \(.key) \(.value)"),
		(.gateways[].ports[] | "\(.name) mbufs \(.mbufs - .mbufs_free)")] | sort[]'
}

smoke_pools_note() {
	sleep 2  # two reports: the first calls are over
	smoke_pools >"$stack_run/pools-before.log"
}

smoke_pools_same() {
	smoke_pools >"$stack_run/pools-now.log"
	cmp -s "$stack_run/pools-before.log" "$stack_run/pools-now.log"
}

# Expects every pool to be as full as when smoke_start was through, within SECONDS (10).
smoke_pools_settle() {
	if ! [ -s "$stack_run/pools-before.log" ]; then
		expect "the gateway reports its pools" false
		return
	fi
	expect "pools are as full as before" wait_for "${1:-10}" "the pools" "$stack_dataplane_pid" \
		smoke_pools_same
	cmp -s "$stack_run/pools-before.log" "$stack_run/pools-now.log" ||
		diff "$stack_run/pools-before.log" "$stack_run/pools-now.log" || true
}

smoke_options "$@"
